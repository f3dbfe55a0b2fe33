# SPDX-License-Identifier: BSD-2-Clause
"""`status`: the same facts in three forms, true ones, and told to observers only while there are any."""

import json
import os
import time

import cbor2
import coap
import pytest
from clients import aiocoap_request, coap_client
from test_disk import disk, put_until_refused, put_until_taken, start_on  # noqa: F401


def resources(**more):
    return [{"path": "status", "kind": "status", **more}, {"path": "motd", "kind": "static", "content": "hello"}]


def read(client):
    response = client.get("status", accept=coap.JSON)
    assert (response.text, response.content_format) == ("2.05", coap.JSON)
    return json.loads(response.payload)


def until(client, condition, timeout=30):
    """Answers are up to a second old."""
    end = time.monotonic() + timeout
    while not condition(facts := read(client)):
        assert time.monotonic() < end, facts
        client.nothing(0.2)
    return facts


def test_forms(coapd):
    daemon = coapd(resources=resources())
    with daemon.client() as client:
        plain = client.get("status")
        assert (plain.text, plain.content_format, plain.max_age) == ("2.05", coap.TEXT, 10)
        assert client.get("status", accept=coap.TEXT).content_format == coap.TEXT
        lines = dict(line.split(" ") for line in plain.payload.decode().splitlines())
        as_json = client.get("status", accept=coap.JSON)
        as_cbor = client.get("status", accept=coap.CBOR)
        assert (as_json.content_format, as_cbor.content_format) == (coap.JSON, coap.CBOR)
        assert len({plain.etag, as_json.etag, as_cbor.etag}) == 3
        facts, same = json.loads(as_json.payload), cbor2.loads(as_cbor.payload)
        assert list(facts) == list(same) == list(lines)
        assert {type(v) for v in facts.values()} == {str, int, bool}
        for name in ("version", "endpoints", "resources_configured", "store_engine", "store_writable"):
            assert facts[name] == same[name]
        assert lines["store_writable"] == "yes" and lines["store_engine"] == "sqlite"


@pytest.mark.parametrize("accept", [40, 41, 42, 110, 257, 65535])
def test_other_forms(coapd, accept):
    daemon = coapd(resources=resources())
    with daemon.client() as client:
        response = client.get("status", accept=accept)
        assert response.text == "4.06"
        if accept != coap.PROBLEM_DETAILS:
            assert b"0, 50 and 60" in response.payload


def test_etag(coapd):
    """Two answers of one second are the same one; each form has its own tag."""
    daemon = coapd(resources=resources())
    with daemon.client() as client:
        def again():
            tag = client.get("status", accept=coap.JSON).etag
            assert client.get("status", accept=coap.CBOR, extra=[(coap.ETAG, tag)]).text == "2.05"
            return client.get("status", accept=coap.JSON, extra=[(coap.ETAG, tag)]).text == "2.03"

        assert any(again() for _ in range(20))


def test_facts(coapd):
    daemon = coapd(resources=resources(), endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"])
    with daemon.client() as client, daemon.client() as other:
        facts = read(client)
        assert (facts["endpoints"], facts["resources_configured"], facts["resources_dynamic"]) == (2, 2, 0)
        assert facts["uptime"] < 60 and facts["observers_restored"] == 0
        other.put("devices/lamp", b"on")
        other.get("nowhere")
        watch = other.observe("motd")
        assert watch.first.observe is not None
        facts = until(client, lambda f: f["observations_kept"] == 1)
        assert (facts["resources_dynamic"], facts["dynamic_bytes"], facts["sessions"]) == (1, 2, 2)
        assert (facts["observations"], facts["responses_client_error"]) == (1, 1)
        assert facts["requests"] >= 4 and facts["datagrams_received"] >= facts["requests"]
        assert facts["store_writes"] >= 2 and facts["store_errors"] == 0
        files = [daemon.folder / name for name in ("dynamic-resources", "observers", "observe-counters")]
        files += [file.with_name(f"{file.name}-wal") for file in files]
        assert facts["store_bytes"] == sum(os.path.getsize(file) for file in files if file.exists())
    daemon.restart()
    with daemon.client() as client:
        facts = read(client)
        assert (facts["observers_restored"], facts["observations_kept"], facts["resources_dynamic"]) == (1, 1, 1)


def test_sessions_end(coapd):
    daemon = coapd(resources=resources(), server={"session_timeout": 1},
                   endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"])
    result = coap_client(daemon.uri("motd", scheme="coap+tcp"))
    assert result.stdout.strip() == "hello"
    with daemon.client() as client:
        for _ in range(5):
            with daemon.client() as other:
                other.get("motd")
        until(client, lambda f: f["sessions"] == 1)


def test_store_that_is_full(coapd, disk):
    daemon = start_on(coapd, disk, resources=resources())
    with daemon.client() as client:
        assert until(client, lambda f: f["store_bytes"] > 0)["store_writable"]
        disk.fill()
        put_until_refused(client, "x")
        assert until(client, lambda f: not f["store_writable"])["store_errors"] > 0
        disk.free()
        put_until_taken(client, "x", b"again")
        until(client, lambda f: f["store_writable"])


def test_engine_libcoap(coapd):
    daemon = coapd(resources=resources(), persist={"engine": "libcoap"})
    with daemon.client() as client:
        facts = read(client)
        assert (facts["store_engine"], facts["store_bytes"], facts["store_writable"]) == ("libcoap", 0, True)


def test_observed(coapd):
    daemon = coapd(resources=resources(interval=1))
    with daemon.client() as client:
        watch = client.observe("status", accept=coap.JSON)
        uptimes = [json.loads(watch.first.payload)["uptime"]]
        for _ in range(3):
            message = watch.fresh(20)
            assert (message.content_format, message.max_age) == (coap.JSON, 1)
            uptimes.append(json.loads(message.payload)["uptime"])
        assert uptimes == sorted(uptimes) and uptimes[-1] > uptimes[0]
        watch.cancel()
        # The tick that finds nobody is the last.
        client.nothing(1.5)
        before = daemon.wakeups()
        client.nothing(3)
        assert daemon.wakeups() - before <= 2


def test_observed_over_a_restart(coapd):
    daemon = coapd(resources=resources(interval=1))
    with daemon.client() as client:
        watch = client.observe("status", accept=coap.CBOR)
        watch.fresh(20)
        daemon.restart()
        assert cbor2.loads(watch.fresh(20).payload)["observers_restored"] == 1
        watch.fresh(20)


def test_reload_changes_the_interval(coapd):
    daemon = coapd(resources=resources(interval=3600))
    with daemon.client() as client:
        watch = client.observe("status")
        assert watch.first.max_age == 3600
        daemon.write_config(resources=resources(interval=1))
        daemon.reload()
        for _ in range(3):
            assert watch.fresh(20).max_age == 1


def test_block_by_block(coapd):
    """The blocks are those of one moment, however long the client takes and whatever others ask for meanwhile."""
    daemon = coapd(resources=resources())

    def block(client, num, accept=coap.JSON):
        answer = client.get("status", accept=accept, block2=coap.Block.of_size(num, False, 256))
        assert answer.text == "2.05"
        return answer

    with daemon.client() as client, daemon.client() as other:
        first, num = block(client, 0), 1
        body = first.payload
        client.nothing(1.1)
        again = block(other, 0)
        assert again.etag != first.etag
        assert block(client, 0, coap.CBOR).etag != first.etag
        while len(body) < first.uint(coap.SIZE2):
            answer, num = block(client, num), num + 1
            assert (answer.etag, answer.max_age) == (first.etag, 10)
            body += answer.payload
        assert json.loads(body)["store_engine"] == "sqlite"
        assert block(other, 1).etag == again.etag
        assert block(client, 0).etag != first.etag


def test_many_transfers(coapd):
    """More than are kept: those that were begun first see another ETag."""
    daemon = coapd(resources=resources())
    clients = [daemon.client() for _ in range(70)]
    small = coap.Block.of_size(0, False, 256)
    first = [client.get("status", block2=small).etag for client in clients]
    clients[0].nothing(1.1)
    with daemon.client() as client:
        client.get("status")
    second = [client.get("status", block2=coap.Block.of_size(1, False, 256)).etag for client in clients]
    assert second[6:] == first[6:] and second[0] != first[0]
    for client in clients:
        client.close()


def test_discovery(coapd):
    daemon = coapd(resources=resources())
    with daemon.client() as client:
        for number in (0, 50, 60):
            links = client.get(".well-known/core", query=f"ct={number}").payload.decode()
            assert '</status>;rt="coapd.status";ct="0 50 60";obs' in links


def test_access(coapd):
    rules = [{"path": "/status", "methods": ["GET"], "allow": ["net:10.9.0.0/16"]},
             {"path": "/**", "methods": ["GET"], "allow": ["anyone"]}]
    daemon = coapd(resources=resources(), access=rules)
    with daemon.client() as client:
        assert client.get("status").text in ("4.01", "4.03")
        assert client.get("motd").text == "2.05"


def test_other_clients(coapd):
    daemon = coapd(resources=resources())
    answer = aiocoap_request(daemon.uri("status"), accept=50)
    assert json.loads(answer.payload)["endpoints"] == 2
    assert "store_engine sqlite" in coap_client(daemon.uri("status")).stdout
