# SPDX-License-Identifier: BSD-2-Clause
"""Content that stands in the config, and what every resource does with ETag, Accept and blocks."""

import coap
import pytest
from clients import aiocoap_request, node

LONG = "".join(f"{i:04} " for i in range(2000))  # 10,000 bytes


def motd(content="hello", **more):
    return [{"path": "motd", "kind": "static", "content": content, **more}]


def test_get(coapd):
    daemon = coapd(resources=motd("grüß dich\n"))
    with daemon.client() as client:
        response = client.get("motd")
        assert (response.text, response.content_format) == ("2.05", coap.TEXT)
        assert response.payload.decode() == "grüß dich\n"
        assert response.etag


@pytest.mark.parametrize("name, number", [("application/json", 50), ("60", 60), ("application/link-format", 40)])
def test_content_format(coapd, name, number):
    daemon = coapd(resources=motd("{}", content_format=name))
    with daemon.client() as client:
        assert client.get("motd").content_format == number
        assert client.get("motd", accept=number).text == "2.05"


def test_empty(coapd):
    daemon = coapd(resources=motd(""))
    with daemon.client() as client:
        response = client.get("motd")
        assert (response.text, response.payload) == ("2.05", b"")


def test_paths(coapd):
    """Spaces, percent signs, UTF-8 and encoded slashes stand for themselves."""
    paths = ["a b", "100%", "ü/ö", "x?y&z", "a=b;c,d"]
    daemon = coapd(resources=[{"path": p, "kind": "static", "content": p} for p in paths])
    with daemon.client() as client:
        for path in paths:
            assert client.get(path).payload.decode() == path
        assert client.get(["ü/ö"]).text == "4.04"


def test_etag_validates(coapd):
    daemon = coapd(resources=motd(max_age=30))
    with daemon.client() as client:
        etag = client.get("motd").etag
        valid = client.get("motd", extra=[(coap.ETAG, b"other"), (coap.ETAG, etag)])
        assert (valid.text, valid.payload, valid.etag, valid.max_age) == ("2.03", b"", etag, 30)
        assert client.get("motd", extra=[(coap.ETAG, b"other")]).payload == b"hello"
        daemon.restart()
        assert client.get("motd").etag == etag


def test_accept(coapd):
    daemon = coapd(resources=motd())
    with daemon.client() as client:
        assert client.get("motd", accept=coap.TEXT).text == "2.05"
        refused = client.get("motd", accept=coap.JSON)
        assert refused.text == "4.06" and refused.payload


def test_problem_details(coapd):
    """RFC 9290 for those who ask for it, text for the others."""
    daemon = coapd()
    with daemon.client() as client:
        assert client.get("nowhere").payload.isascii()
        problem = client.get("nowhere", accept=coap.PROBLEM_DETAILS)
        assert (problem.text, problem.content_format) == ("4.04", coap.PROBLEM_DETAILS)
        import cbor2

        assert cbor2.loads(problem.payload)[-2] == "there is no such resource"


def test_critical_option_unknown(coapd):
    daemon = coapd(resources=motd())
    with daemon.client() as client:
        assert client.get("motd", extra=[(65001, b"x")]).text == "4.02"
        assert client.get("motd", extra=[(65000, b"x")]).text == "2.05"  # elective


def test_unknown_method(coapd):
    daemon = coapd(resources=motd())
    with daemon.client() as client:
        assert client.request(15, "motd").text in ("4.05", "5.01")


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256, 512, 1024])
def test_blockwise_get(coapd, size):
    daemon = coapd(resources=motd(LONG))
    with daemon.client() as client:
        response = client.get_blocks("motd", size)
        assert response.payload.decode() == LONG
        assert response.uint(coap.SIZE2) == len(LONG)


def test_blockwise_without_being_asked(coapd):
    """The server begins with 1024; the client may go on with less (RFC 7959, 2.4)."""
    daemon = coapd(resources=motd(LONG))
    with daemon.client() as client:
        first = client.get("motd")
        assert (first.text, first.block(coap.BLOCK2)) == ("2.05", coap.Block(0, True, 6))
        assert len(first.payload) == 1024
        second = client.get("motd", block2=coap.Block.of_size(4, False, 256))
        assert second.payload.decode() == LONG[1024:1280]
        assert second.etag == first.etag


def test_block_out_of_range(coapd):
    daemon = coapd(resources=motd(LONG))
    with daemon.client() as client:
        beyond = client.get("motd", block2=coap.Block.of_size(10, False, 1024))
        # Of the content that it does not have nothing is said.
        assert (beyond.text, beyond.options, beyond.payload) == ("4.00", [], b"it ends before this block")
        assert client.get("motd", block2=coap.Block.of_size(1 << 19, False, 16)).text == "4.00"
        last = client.get("motd", block2=coap.Block.of_size(9, False, 1024))
        assert last.payload.decode() == LONG[9216:] and not last.block(coap.BLOCK2).more


def test_long_token(coapd):
    """RFC 8974: up to 256 bytes."""
    daemon = coapd(resources=motd())
    with daemon.client() as client:
        for length in (0, 1, 8, 9, 13, 14, 100, 255, 256):
            assert client.get("motd", token=b"t" * length).payload == b"hello"
        watch = client.observe("motd", token=b"l" * 200)
        assert watch.first.observe is not None
        daemon.write_config(resources=motd("changed"))
        daemon.reload()
        assert watch.fresh().payload == b"changed"
        too_long = coap.Message(coap.GET, token=b"t" * 257, options=coap.request_options("motd"))
        client.send(too_long)
        assert client.receive(wanted=lambda m: m.mid == too_long.mid).text != "2.05"


def test_no_response(coapd):
    """RFC 7967: 2 suppresses 2.xx."""
    daemon = coapd(resources=motd())
    with daemon.client() as client:
        quiet = coap.Message(
            coap.GET, type=coap.NON, token=b"q", options=coap.request_options("motd", extra=[(coap.NO_RESPONSE, b"\x02")])
        )
        client.send(quiet)
        assert client.get("motd").payload == b"hello"
        assert client.nothing(0.3, lambda m: m.token == b"q")


def test_other_clients(coapd):
    daemon = coapd(resources=motd(LONG))
    for host in ("127.0.0.1", "::1"):
        uri = daemon.uri("motd", host=host)
        assert aiocoap_request(uri).payload.decode() == LONG
        assert node("client.js", "get", uri)[0]["payload"] == LONG


def test_duplicate_request_is_answered_alike(coapd):
    """RFC 7252, 4.5: the same message id again draws the same response."""
    daemon = coapd()
    with daemon.client() as client:
        message = coap.Message(coap.PUT, mid=77, token=b"dup", options=coap.request_options("twice"), payload=b"x")
        for _ in range(3):
            client.send(message)
        answers = [client.receive() for _ in range(3)]
        assert {a.encode() for a in answers} == {answers[0].encode()}
        assert answers[0].text == "2.01"
