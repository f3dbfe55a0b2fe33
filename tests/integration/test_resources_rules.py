# SPDX-License-Identifier: BSD-2-Clause
"""What RFC 7252 and its companions ask of every resource, whatever its kind."""

import coap
import pytest

RESOURCES = [{"path": "motd", "kind": "static", "content": "hello"}]


@pytest.fixture
def client(coapd):
    with coapd(resources=RESOURCES).client() as client:
        yield client


@pytest.mark.parametrize(
    "options",
    [
        [(coap.ACCEPT, b""), (coap.ACCEPT, b"\x32")],
        [(coap.URI_HOST, b"a"), (coap.URI_HOST, b"b")],
        [(coap.BLOCK2, b"\1"), (coap.BLOCK2, b"\2")],
        [(65001, b"x")],
    ],
)
def test_critical_options_that_can_not_be_taken(client, options):
    """RFC 7252, 5.4.1 and 5.4.5: unknown, or one too many: 4.02; a NON one is rejected."""
    answer = client.get("motd", extra=options)
    assert answer.text == "4.02"
    assert client.request(coap.GET, "motd", type=coap.NON, extra=options).text in ("4.02", "0.00")
    assert client.get("motd").payload == b"hello"


def test_elective_options_are_passed_over(client):
    assert client.get("motd", extra=[(65000, b"x"), (2048, b"y"), (coap.SIZE1, b"\1")]).payload == b"hello"


@pytest.mark.parametrize("option", [(coap.PROXY_URI, b"coap://127.0.0.1/motd"), (coap.PROXY_SCHEME, b"coap")])
def test_no_open_proxy(client, option):
    """RFC 7252, 5.7.2: 5.05, whatever else is asked."""
    extra = [option] + ([(coap.URI_HOST, b"example.org")] if option[0] == coap.PROXY_SCHEME else [])
    assert client.get("motd" if option[0] == coap.PROXY_SCHEME else "", extra=extra).text == "5.05"


def test_codes_that_are_no_request(client):
    for code in (coap.code("0.31"), coap.code("1.05")):
        assert client.request(code, "motd").text in ("0.00", "4.05", "5.01")
    assert client.get("motd").payload == b"hello"


def test_hop_limit(client):
    """RFC 8768, 3: 0 is no value."""
    assert client.get("motd", extra=[(coap.HOP_LIMIT, b"\x05")]).payload == b"hello"
    assert client.get("motd", extra=[(coap.HOP_LIMIT, b"\0")]).text == "4.00"


def test_payload_of_a_get_is_ignored(client):
    assert client.get("motd", payload=b"what?").payload == b"hello"


def test_observe_of_other_values_is_a_get(client):
    for value in (2, 3, 65536):
        answer = client.get("motd", observe=value)
        assert (answer.text, answer.observe) == ("2.05", None)


def test_no_response(coapd):
    """RFC 7967: what is done is done, only nobody hears of it; a CON is acknowledged all the same."""
    with coapd().client() as client:
        for kind, unwanted in ((coap.NON, 26), (coap.CON, 2)):
            put = client.send(
                coap.Message(coap.PUT, type=kind, mid=client.next_mid(), token=b"quiet", payload=b"%d" % unwanted,
                             options=coap.request_options("quiet", extra=[(coap.NO_RESPONSE, coap.uint(unwanted))]))
            )
            if kind == coap.CON:
                ack = client.receive(wanted=lambda m: m.mid == put.mid)
                assert (ack.type, ack.code) == (coap.ACK, 0)
            assert client.get("quiet").payload == b"%d" % unwanted
            assert client.nothing(0.2, lambda m: m.token == b"quiet")
        # Errors it wants to hear.
        refused = client.put("quiet", extra=[(coap.NO_RESPONSE, coap.uint(2)), (coap.IF_MATCH, b"other")])
        assert refused.text == "4.12"


def test_request_tags_keep_transfers_apart(coapd):
    """RFC 9175, 3: two bodies to one path at once, each whole."""
    with coapd().client() as client:
        for num in range(3):
            for tag, letter in ((b"A", b"a"), (b"B", b"b"), (b"", b"c"), (None, b"d")):
                extra = [] if tag is None else [(coap.REQUEST_TAG, tag)]
                answer = client.put("body", letter * 16, block1=coap.Block.of_size(num, num < 2, 16), extra=extra)
                if num == 2:
                    assert answer.text in ("2.01", "2.04")
                    assert client.get("body").payload == letter * 48


def test_size2(client):
    assert client.get("motd", extra=[(coap.SIZE2, b"")]).uint(coap.SIZE2) == 5
    assert client.get("motd").uint(coap.SIZE2) is None


def test_too_many_queries(client):
    assert client.get("motd", query=[f"q{i}" for i in range(32)]).text == "2.05"
    assert client.get("motd", query=[f"q{i}" for i in range(33)]).text == "4.02"


def test_the_root(coapd):
    """No resource there unless one is configured; and none can be made."""
    with coapd().client() as client:
        assert client.get("").text == "4.04"
        assert client.put("", b"x").text in ("4.04", "4.05")
