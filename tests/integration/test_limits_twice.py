# SPDX-License-Identifier: BSD-2-Clause
"""Requests that come twice (RFC 7252, 4.5) run once, whatever others do meanwhile."""

import coap
import flood as flood_program
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import dtls_psk_exchange
from daemon import free_port
from test_limits import counters, watched


@pytest.mark.parametrize("kind", [coap.CON, coap.NON])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_first_put_that_comes_twice_is_the_first_again(coapd, host, kind):
    """libcoap would say 4.12 to the second one, for the resource is there now."""
    daemon = coapd()
    some = [(coap.URI_HOST, b"h" * 40), (coap.ETAG, b"1234")]
    # A long token (RFC 8974) of bytes that would pass for options.
    shapes = [(b"once", []), (b"once", some), (b"\x51\x00" * 8, some), (b"\x50\x61" * 100, some)]
    with daemon.client(host) as client, daemon.client(host) as other:
        for number, (token, extra) in enumerate(shapes):
            path = f"first{number}"
            create = coap.Message(coap.PUT, type=kind, token=token, mid=70 + number, payload=b"1", options=sorted(
                coap.request_options(path, extra=[(coap.IF_NONE_MATCH, b""), *extra])))
            for _ in range(3):
                client.send(create)
                assert client.receive(wanted=lambda m: m.token == token).text == "2.01"
            # Somebody else's message of the same number is another one, and so is a new one of the same client.
            other.send(create)
            assert other.receive().text == "4.12"
            create.mid += 1000
            client.send(create)
            assert client.receive(wanted=lambda m: m.token == token).text == "4.12"
            assert client.get(path).payload == b"1"
        assert client.post(path, b"3").text == "2.04"


@pytest.mark.parametrize("kind", [coap.CON, coap.NON])
def test_a_request_that_comes_twice_runs_once(coapd, kind):
    daemon = coapd(resources=watched())
    with coap.Client(daemon.port) as client:
        create = coap.Message(coap.PUT, type=kind, mid=77, token=b"once", options=coap.request_options("twice"), payload=b"1")
        client.send(create)
        first = client.receive()
        assert first.text == "2.01"
        client.request(coap.PUT, "twice", payload=b"2")
        client.send(create)
        again = client.receive()
        assert (again.text, again.mid == 77, again.token) == ("2.01", kind == coap.CON or first.mid == 77, b"once")
        assert again.options == first.options
        assert client.get("twice").payload == b"2", "the old value did not come back"
        # A POST that makes a member makes one, and its name is told again.
        post = coap.Message(coap.POST, type=kind, token=b"post", options=coap.request_options(["list", ""]), payload=b"1")
        names = set()
        for _ in range(3):
            client.send(post)
            names.add(client.receive(wanted=lambda m: m.token == b"post").location)
        assert len(names) == 1
        assert counters(daemon)["duplicates"] == 3


FLOOD = 9000  # more answers than are remembered


def flood(daemon, source, method, path):
    """So many requests of one address, of which it is known that they were answered."""
    with daemon.client(source=source) as client:
        for start in range(0, FLOOD, 50):
            for mid in range(start, start + 50):
                client.send(coap.Message(method, type=coap.NON, mid=mid, token=b"flood",
                                         options=coap.request_options(path), payload=b"x"))
            for _ in range(50):
                answer = client.receive(wanted=lambda m: m.token == b"flood")
    return answer.text


@pytest.mark.parametrize("method, path, text", [(coap.PUT, "theirs", "2.04"), (coap.DELETE, "none", "2.02"),
                                                (coap.POST, "closed", "4.01"), (coap.PUT, "t0", "4.05")])
def test_a_stranger_makes_no_request_run_twice(coapd, method, path, text):
    daemon = coapd(resources=watched(), access=[{"path": "/closed", "methods": ["*"], "allow": []},
                                                {"path": "/**", "methods": ["*"], "allow": ["anyone"]}])
    with coap.Client(daemon.port) as client:
        post = coap.Message(coap.POST, mid=77, token=b"once", options=coap.request_options("mine"), payload=b"1")
        put = coap.Message(coap.PUT, mid=78, token=b"once", options=coap.request_options("mine"), payload=b"1")
        first = []
        for message in (post, put):
            client.send(message)
            first.append(client.receive(wanted=lambda m, mid=message.mid: m.mid == mid))
        client.request(coap.PUT, "mine", payload=b"2")
        assert flood(daemon, "127.0.0.5", method, path) == text
        for message, answer in zip((post, put), first):
            client.send(message)
            again = client.receive(wanted=lambda m, mid=message.mid: m.mid == mid)
            assert again.encode() == answer.encode()
        assert client.get("mine").payload == b"2"


def test_who_may_not_takes_no_room(coapd):
    """From ever so many addresses, which anybody can forge."""
    daemon = coapd(access=[{"path": "/mine", "methods": ["*"], "allow": ["net:127.0.0.1"]}])
    with coap.Client(daemon.port) as client:
        put = coap.Message(coap.PUT, mid=77, token=b"once", options=coap.request_options("mine"), payload=b"1")
        client.send(put)
        assert client.receive(wanted=lambda m: m.mid == 77).text == "2.01"
        client.request(coap.PUT, "mine", payload=b"2")
        out = flood_program.Sources(daemon.port)
        refuse = coap.Message(coap.PUT, type=coap.CON, mid=1, options=coap.request_options("mine"), payload=b"x").encode()
        for n in range(FLOOD):
            out.send(n, refuse)
            if n % 50 == 0:
                assert client.get("mine").payload == b"2"  # so that none is lost on the way
        client.send(put)
        assert client.receive(wanted=lambda m: m.mid == 77).text == "2.01"
        assert client.get("mine").payload == b"2"


def test_a_device_that_begins_anew_is_not_answered_from_before(coapd):
    """Over DTLS a message comes twice within one session only (RFC 7252, 9.1.1): the next begins with the same numbers."""
    secure, source = free_port(), free_port()
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", f"coaps://127.0.0.1:{secure}"],
                   security={"psk": {"identities": [{"identity": PSK_IDENTITY, "key": PSK_KEY}]}})
    for body, expected in ((b"one", "2.01"), (b"two", "2.04")):
        request = coap.Message(coap.PUT, mid=1, token=b"\1", options=coap.request_options("x"), payload=body)
        answer = dtls_psk_exchange("127.0.0.1", secure, PSK_IDENTITY, PSK_KEY, request.encode(), source=source)
        assert coap.Message.decode(answer).text == expected
    with daemon.client() as client:
        assert client.get("x").payload == b"two"
