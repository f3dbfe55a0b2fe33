# SPDX-License-Identifier: BSD-2-Clause
"""The clock: text, seconds, the tick at the start of each second, and sleep while nobody watches."""

import calendar
import select
import time

import coap
import pytest


def test_text(coapd):
    daemon = coapd()
    with daemon.client() as client:
        before = int(time.time())
        response = client.get("time")
        after = int(time.time())
    assert (response.text, response.content_format, response.max_age) == ("2.05", coap.TEXT, 1)
    shown = time.strptime(f"{time.gmtime(before).tm_year} {response.payload.decode()}", "%Y %b %d %H:%M:%S")
    assert before <= calendar.timegm(shown) <= after


def test_seconds(coapd):
    daemon = coapd()
    with daemon.client() as client:
        before = int(time.time())
        response = client.get("time", query="secs")
        assert response.content_format == coap.TEXT
        assert before <= int(response.payload) <= int(time.time())


@pytest.mark.parametrize("query", ["minutes", "secs2", "sec", "SECS", "secs=1", ["secs", "other"]])
def test_unknown_query(coapd, query):
    daemon = coapd()
    with daemon.client() as client:
        response = client.get("time", extra=[(coap.URI_QUERY, q.encode()) for q in ([query] if isinstance(query, str) else query)])
        assert response.text == "4.00"
        assert b"secs" in response.payload


@pytest.mark.parametrize("method", [coap.PUT, coap.POST, coap.DELETE])
def test_other_methods(coapd, method):
    daemon = coapd()
    with daemon.client() as client:
        assert client.request(method, "time", payload=b"12:00").text == "4.05"
        assert client.get("time").text == "2.05"


def test_ticks_at_the_start_of_each_second(coapd):
    daemon = coapd()
    late = []
    with daemon.client() as client:
        watch = client.observe("time", query="secs")
        assert watch.first.text == "2.05" and watch.first.observe is not None
        last = int(watch.first.payload)
        for _ in range(4):
            message = watch.fresh(3)
            now = time.time()
            assert int(message.payload) == last + 1 == int(now), (now, watch.first, message)
            late.append(now % 1)
            last += 1
    # The median, since this machine may be busy for one of them.
    assert sorted(late)[1] < 0.1, late


def test_text_and_seconds_are_observed_apart(coapd):
    daemon = coapd()
    with daemon.client() as client:
        text = client.observe("time")
        seconds = client.observe("time", query="secs")
        for _ in range(2):
            assert b":" in text.fresh(3).payload
            int(seconds.fresh(3).payload)


def test_sleeps_while_nobody_observes(coapd):
    """Also once somebody observed and went away."""
    daemon = coapd()

    def wakeups(interval):
        before = daemon.wakeups()
        # Time has to pass without anything happening: waits for an end of the daemon that does not come.
        assert not select.select([daemon._pidfd], [], [], interval)[0]
        return daemon.wakeups() - before

    select.select([daemon._pidfd], [], [], 0.3)  # the start is over
    assert wakeups(2.5) == 0
    with daemon.client() as client:
        watch = client.observe("time")
        watch.fresh(3)
        assert wakeups(2.2) >= 2
        assert watch.cancel().text == "2.05"
        # The next second's tick finds nobody; libcoap looks after its sessions once.
        select.select([daemon._pidfd], [], [], 1.1)
        assert wakeups(2.5) <= 1


def test_hidden_and_titled(coapd):
    daemon = coapd(
        resources=[
            {"path": "clock/utc", "kind": "time", "title": "The clock", "rt": ["time", "clock"], "if": "sensor"},
            {"path": "secret", "kind": "time", "hidden": True},
            {"path": "still", "kind": "time", "observable": False},
        ]
    )
    with daemon.client() as client:
        links = client.get(".well-known/core").payload.decode()
        assert '</clock/utc>;rt="time clock";if="sensor";title="The clock";ct=0;obs' in links
        assert "secret" not in links
        assert "</still>" in links and "obs" not in links.split("</still>")[1].split(",")[0]
        assert client.get("secret").text == "2.05"
        assert client.observe("still").first.observe is None
