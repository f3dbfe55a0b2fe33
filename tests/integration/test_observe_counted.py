# SPDX-License-Identifier: BSD-2-Clause
"""What is a registration, and what a notification: libcoap calls for both, and does not always show for which."""

import itertools

import coap
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import tls_psk_context
from coap_stream import StreamClient, WebSocketClient

CLIENTS = {"coap+tcp": StreamClient, "coaps+tcp": StreamClient, "coap+ws": WebSocketClient, "coaps+ws": WebSocketClient}
# Each remembers for a second what it told.
STATUS = [{"path": f"status{i}", "kind": "status", "hidden": True} for i in range(9)]


def counters_of(client, status=0):
    text = client.get(f"status{status}").payload.decode()
    return {name: int(value) for name, value in (line.split(" ", 1) for line in text.splitlines()) if value.isdigit()}


@pytest.fixture(params=CLIENTS)
def scheme(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["beside-udp", "alone"])
def daemon(coapd, scheme, request):
    """Without a datagram endpoint there is no read by which the end of all that came could be seen."""
    daemon = coapd(start=False)
    udp = ["coap://127.0.0.1:{port}"] if request.param else []
    daemon.write_config(endpoints=[f"{scheme}://127.0.0.1:{{port}}", *udp],
                        security={"psk": {"identities": [{"identity": PSK_IDENTITY, "key": PSK_KEY}]}},
                        resources=[*STATUS, {"path": "motd", "kind": "static", "content": "hello"}])
    return daemon


@pytest.fixture
def connect(daemon, scheme):
    tls = tls_psk_context(PSK_IDENTITY, PSK_KEY) if scheme.startswith("coaps") else None
    return lambda: CLIENTS[scheme](daemon.port, tls=tls)


@pytest.fixture
def counters(connect):
    asked = itertools.count()

    def read():
        with connect() as client:
            return counters_of(client, next(asked))

    return read


def register(token=b"one", path="motd"):
    return coap.Message(coap.GET, token=token, options=coap.request_options(path, observe=0))


def put(path, payload, token=b"put"):
    return coap.Message(coap.PUT, token=token, options=coap.request_options(path), payload=payload)


# --- over streams, where libcoap 4.3.5 makes both alike ---


def test_a_registration_that_is_repeated_is_a_request(daemon, connect, counters):
    daemon.start()
    with connect() as client:
        for _ in range(3):
            client.send(register())
            assert client.receive(wanted=lambda m: m.token == b"one").text == "2.05"
        now = counters()
    assert (now["observations_now"], now["observations"], now["notifications"]) == (1, 3, 0)


def test_a_registration_that_is_repeated_meets_the_rate_limit(daemon, connect):
    daemon.write_config(limits={"requests_per_second": 5})
    daemon.start()
    with connect() as client:
        for _ in range(20):
            client.send(register())
        texts = [client.receive(wanted=lambda m: m.token == b"one").text for _ in range(20)]
    assert texts[:5] == ["2.05"] * 5 and "4.29" in texts


def test_a_notification_is_none(daemon, connect, counters):
    """Also where it is made right behind the requests that it comes from, one of them with its token."""
    daemon.start()
    with connect() as client:
        client.send(put("made", b"0"))
        assert client.receive().text == "2.01"
        client.send(register(path="made"))
        assert client.receive().payload == b"0"
        for i in range(1, 6):
            client.send_raw(b"".join(client.encoded(m) for m in (put("made", b"%d" % i), register(path="made"))))
            answers = [client.receive() for _ in range(3)]
            assert sorted(m.token for m in answers) == [b"one", b"one", b"put"]
            assert {m.payload for m in answers if m.token == b"one"} == {b"%d" % i}
        now = counters()
    assert (now["observations_now"], now["observations"], now["notifications"]) == (1, 6, 5)


# --- over UDP, in messages that want no acknowledgement ---


def test_without_acknowledgement(coapd):
    daemon = coapd(resources=STATUS)
    with daemon.client() as client, daemon.client() as other:
        other.put("made", b"0")
        for _ in range(3):
            assert client.request(coap.GET, "made", type=coap.NON, token=b"one", observe=0).text == "2.05"
        for i in range(1, 6):
            other.put("made", b"%d" % i)
            assert client.receive(wanted=lambda m: m.token == b"one").payload == b"%d" % i
        now = counters_of(other)
    assert (now["observations_now"], now["observations"], now["notifications"]) == (1, 3, 5)


@pytest.mark.parametrize("kind", [coap.CON, coap.NON])
def test_what_was_put_off_is_a_request(coapd, tmp_path, kind):
    """Nobody has observed these files: each gets a resource of its own first, and the request comes again."""
    for name in ("a", "b"):
        (tmp_path / name).write_text("x")
    daemon = coapd(resources=[*STATUS, {"path": "fw", "kind": "files", "root": tmp_path}],
                   limits={"requests_per_second": 1})
    with daemon.client() as client, daemon.client(source="127.0.0.9") as other:
        for name in ("a", "b"):
            assert client.request(coap.GET, f"fw/{name}", type=kind, observe=0).text == "2.05"
        now = counters_of(other)
        # It alone had been counted against the limit before.
        assert "4.29" in [client.get(".well-known/core").text for _ in range(20)]
    assert (now["observations_now"], now["observations"], now["notifications"], now["requests"]) == (2, 2, 0, 2)
