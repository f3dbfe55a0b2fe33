# SPDX-License-Identifier: BSD-2-Clause
"""Observers over the death of the daemon: they go on, with newer numbers, and hear no 4.04."""

import select

import coap
import pytest
from clients import CoapClient, aiocoap_run

OBSERVERS = 50


def watch_clock(daemon, count):
    """Observers of /time from that many ports: CON and NON, with and without ?secs, IPv4 and IPv6."""
    watches = []
    for i in range(count):
        client = daemon.client("::1" if i % 2 else "127.0.0.1")
        watches.append(
            client.observe("time", type=coap.NON if i // 2 % 2 else coap.CON, query=["secs"] if i // 4 % 2 else [])
        )
        assert watches[-1].first.observe is not None
    return watches


def go_on(watches, rounds, timeout):
    """Until everyone got that many more notifications, all of them good and each newer than the one before."""
    got = dict.fromkeys(watches, 0)

    def progress():
        for watch in watches:
            for message in watch.client.inbox:
                if message.code == 0:
                    continue
                assert message.token == watch.token
                assert message.text == "2.05", message
                assert coap.newer(watch.number, message.observe), f"Observe {watch.number} then {message}"
                watch.number = message.observe
                got[watch] += 1
            watch.client.inbox.clear()
        return min(got.values()) >= rounds

    assert coap.serve_all([watch.client for watch in watches], progress, timeout), sorted(got.values())


def close(watches):
    for watch in watches:
        watch.client.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_fifty_observers(coapd, how):
    daemon = coapd()
    watches = watch_clock(daemon, OBSERVERS)
    assert len({watch.client.socket.getsockname()[:2] for watch in watches}) == OBSERVERS
    try:
        go_on(watches, 2, 20)
        daemon.restart(how)
        go_on(watches, 2, 20)
        daemon.restart("kill" if how == "stop" else "stop")
        go_on(watches, 2, 20)
    finally:
        close(watches)


def test_killed_at_any_time(coapd):
    """Killed again and again, at once after the start as well as in the middle of a round."""
    daemon = coapd()
    watches = watch_clock(daemon, 8)
    try:
        for pause in (0.0, 0.001, 0.01, 0.05, 0.3, 0.0):
            select.select([], [], [], pause)
            daemon.restart("kill")
        go_on(watches, 2, 20)
    finally:
        close(watches)


@pytest.mark.parametrize("save_frequency", [1, 10, 100])
def test_numbers_rise_whatever_the_frequency(coapd, save_frequency):
    """Also when many notifications came between two writes of the counter."""
    daemon = coapd(start=False)
    daemon.write_config(persist=daemon.persist(save_frequency=save_frequency),
                        resources=[{"path": "lamp", "kind": "static", "content": "0"}])
    daemon.start()
    with daemon.client() as client:
        watch = client.observe("lamp")
        value = 0
        for how in ("kill", "stop", "kill"):
            for _ in range(13):
                value += 1
                daemon.write_config(resources=[{"path": "lamp", "kind": "static", "content": str(value)}])
                daemon.reload()
                assert watch.fresh().payload == str(value).encode()
            daemon.restart(how)
            assert watch.fresh().payload == str(value).encode()  # told again after a start


def test_stopping_tells_nobody(coapd):
    """No 4.04, no RST, nothing: the end of the daemon is not the end of the resource."""
    daemon = coapd(resources=[{"path": "lamp", "kind": "static", "content": "0"}])
    with daemon.client() as client:
        watch = client.observe("lamp")
        daemon.stop()
        assert client.nothing(0.5)
        daemon.start()
        assert watch.fresh().text == "2.05"


def test_stop_is_quick(coapd):
    daemon = coapd()
    watches = watch_clock(daemon, 10)
    try:
        assert daemon.stop() < 1.0
    finally:
        close(watches)


def test_interrupt(coapd):
    """Ctrl-C is as good as SIGTERM."""
    import signal

    daemon = coapd()
    daemon.stop(signal.SIGINT)
    assert "STOPPING=1" in daemon.states


def test_a_change_while_it_was_down_is_told(coapd):
    daemon = coapd(resources=[{"path": "lamp", "kind": "static", "content": "off"}])
    with daemon.client() as client:
        watch = client.observe("lamp")
        daemon.stop()
        daemon.write_config(resources=[{"path": "lamp", "kind": "static", "content": "on"}])
        daemon.start()
        assert watch.fresh().payload == b"on"


def test_deregistered_stays_deregistered(coapd):
    daemon = coapd(resources=[{"path": "lamp", "kind": "static", "content": "off"}])
    with daemon.client() as client:
        watch = client.observe("lamp")
        other = client.observe("lamp", query="other")
        watch.cancel()
        daemon.restart("kill")
        other.fresh()
        assert client.nothing(0.3)


def test_coap_client_goes_on(coapd):
    """The line of the README."""
    daemon = coapd()
    with CoapClient(daemon.uri("time?secs")) as client:
        seconds = [int(client.line()) for _ in range(2)]
        for how in ("stop", "kill"):
            daemon.restart(how)
            seconds += [int(client.line()) for _ in range(2)]
    assert seconds == sorted(seconds) and len(set(seconds)) >= len(seconds) - 2


def test_aiocoap_goes_on(coapd):
    import aiocoap

    daemon = coapd()

    async def body(context):
        request = context.request(aiocoap.Message(code=aiocoap.GET, uri=daemon.uri("time?secs"), observe=0))
        seconds = [int((await request.response).payload)]
        restarts = {3: "stop", 5: "kill"}
        async for note in request.observation:
            seconds.append(int(note.payload))
            if len(seconds) in restarts:
                daemon.restart(restarts[len(seconds)])
            if len(seconds) == 8:
                request.observation.cancel()
                return seconds

    seconds = aiocoap_run(body)
    assert seconds == sorted(seconds)


def test_node_coap_goes_on(coapd):
    """With the restarts while node-coap waits for its notifications."""
    import json
    import os
    import subprocess

    from clients import HERE

    daemon = coapd()
    process = subprocess.Popen(
        ["node", str(HERE / "client.js"), "get", daemon.uri("time?secs"), '{"observe": 7}'],
        stdout=subprocess.PIPE, text=True, env=os.environ,
    )
    seconds = []
    for line in process.stdout:
        seconds.append(int(json.loads(line)["payload"]))
        if len(seconds) in (2, 4):
            daemon.restart("stop" if len(seconds) == 2 else "kill")
    assert process.wait(10) == 0
    assert len(seconds) == 7 and seconds == sorted(seconds)
