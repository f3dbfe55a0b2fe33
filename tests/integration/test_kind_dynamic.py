# SPDX-License-Identifier: BSD-2-Clause
"""PATCH and iPATCH (RFC 8132) of JSON, and POST to a collection, on resources that clients make."""

import json

import coap
import pytest
from clients import aiocoap_request, coap_client

MERGE_PATCH, JSON_PATCH, SENML_JSON = 52, 51, 110


def patch(client, path, change, method=coap.PATCH, content_format=MERGE_PATCH, **more):
    payload = change if isinstance(change, bytes) else json.dumps(change).encode()
    return client.request(method, path, payload=payload, content_format=content_format, **more)


@pytest.mark.parametrize("method", [coap.PATCH, coap.IPATCH])
def test_patch(coapd, method):
    daemon = coapd()
    with daemon.client() as client:
        client.put("lamp", b'{"on":false,"level":21.50,"name":"x"}', content_format=coap.JSON)
        watch = client.observe("lamp")
        changed = patch(client, "lamp", {"on": True, "name": None}, method)
        assert changed.text == "2.04"
        got = client.get("lamp")
        assert (got.payload, got.content_format) == (b'{"on":true,"level":21.50}', coap.JSON)
        assert changed.etag == got.etag
        assert watch.fresh().payload == got.payload


def test_patch_of_nothing_new_tells_nobody(coapd):
    daemon = coapd()
    with daemon.client() as client, daemon.client() as other:
        client.put("lamp", b'{"on":true}', content_format=coap.JSON)
        watch = client.observe("lamp")
        assert patch(other, "lamp", {"on": True}).text == "2.04"
        assert client.nothing(0.3, lambda m: m.token == watch.token)


def test_patch_codes(coapd):
    """RFC 8132, 3.4."""
    daemon = coapd(dynamic={"enable": True, "prefix": [""], "max_size": 100})
    with daemon.client() as client:
        client.put("json", b'{"a":1}', content_format=coap.JSON)
        client.put("text", b'{"a":1}', content_format=coap.TEXT)
        client.put("broken", b'{"a":', content_format=coap.JSON)
        client.put("senml", b'[{"n":"x","v":1}]', content_format=SENML_JSON)
        assert patch(client, "json", [], content_format=JSON_PATCH).text == "4.15"
        assert patch(client, "json", {}, content_format=coap.JSON).text == "4.15"
        assert client.request(coap.PATCH, "json", payload=b"{}").text == "4.15"
        assert patch(client, "json", b"{").text == "4.22"
        assert patch(client, "json", b"").text == "4.22"
        assert patch(client, "text", {"a": 2}).text == "4.09"
        assert patch(client, "broken", {"a": 2}).text == "4.09"
        assert patch(client, "nowhere", {"a": 2}).text == "4.04"
        assert patch(client, "time", {"a": 2}).text == "4.05"
        assert patch(client, "json", {"b": "x" * 80}).text == "2.04"
        assert patch(client, "json", {"c": "y" * 80}).text == "4.13"
        assert json.loads(client.get("json").payload) == {"a": 1, "b": "x" * 80}
        assert patch(client, "senml", [{"n": "x", "v": 2}]).text == "2.04"
        assert client.get("senml").content_format == SENML_JSON


def test_patch_if_match(coapd):
    daemon = coapd()
    with daemon.client() as client:
        old = client.put("lamp", b'{"n":1}', content_format=coap.JSON).etag
        assert patch(client, "lamp", {"n": 2}, extra=[(coap.IF_MATCH, old)]).text == "2.04"
        assert patch(client, "lamp", {"n": 3}, extra=[(coap.IF_MATCH, old)]).text == "4.12"
        assert client.get("lamp").payload == b'{"n":2}'


def test_patch_in_blocks(coapd):
    daemon = coapd()
    with daemon.client() as client:
        client.put("lamp", b'{"a":1}', content_format=coap.JSON)
        change = json.dumps({"text": "x" * 3000}).encode()
        done = client.put_blocks("lamp", change, 256, method=coap.PATCH, content_format=MERGE_PATCH)
        assert done.text == "2.04"
        assert json.loads(client.get_blocks("lamp", 512).payload) == {"a": 1, "text": "x" * 3000}


def test_collection(coapd):
    """A POST to a path that ends in a slash makes a member: 2.01 with Location-Path."""
    daemon = coapd()
    with daemon.client() as client:
        made = [client.post(["readings", ""], b"%d" % i, content_format=coap.TEXT) for i in range(5)]
        assert {m.text for m in made} == {"2.01"}
        places = [m.location for m in made]
        assert len(set(places)) == 5
        for i, place in enumerate(places):
            assert place.startswith("readings/") and place.count("/") == 1
            assert client.get(place).payload == b"%d" % i
        assert client.get(["readings", ""]).text == "4.04"
        assert client.delete(place).text == "2.02"
        assert client.get(place).text == "4.04"


@pytest.mark.parametrize("token", [b"dup", b"long" * 4])
def test_collection_repeated_request_makes_one(coapd, token):
    daemon = coapd()
    with daemon.client() as client:
        message = coap.Message(coap.POST, mid=99, token=token, options=coap.request_options(["c", ""]), payload=b"x")
        for _ in range(3):
            client.send(message)
        answers = [client.receive() for _ in range(3)]
        assert {a.encode() for a in answers} == {answers[0].encode()}
        assert client.get_blocks(".well-known/core", 1024).payload.decode().count("</c/") == 1


def test_collection_that_is_a_resource_itself(coapd):
    daemon = coapd()
    with daemon.client() as client:
        assert client.put(["c", ""], b"about").text == "2.01"
        assert client.post(["c", ""], b"member").text == "2.01"
        assert client.get(["c", ""]).payload == b"about"


def test_collection_limits(coapd):
    daemon = coapd(dynamic={"enable": True, "prefix": ["in"], "max_resources": 2})
    with daemon.client() as client:
        assert client.post(["out", ""], b"x").text == "4.04"
        assert [client.post(["in", ""], b"x").text for _ in range(3)] == ["2.01", "2.01", "5.03"]


def test_other_clients(coapd):
    daemon = coapd()
    made = aiocoap_request(daemon.uri("readings/"), "POST", b"21")
    assert made.opt.location_path[0] == "readings" and len(made.opt.location_path) == 2
    assert aiocoap_request(daemon.uri("/".join(made.opt.location_path))).payload == b"21"
    aiocoap_request(daemon.uri("lamp"), "PUT", b'{"a":1}', content_format=50)
    assert str(aiocoap_request(daemon.uri("lamp"), "PATCH", b'{"b":2}', content_format=MERGE_PATCH).code)[:4] == "2.04"
    assert coap_client("-m", "ipatch", "-t", MERGE_PATCH, "-e", '{"a":null}', daemon.uri("lamp")).returncode == 0
    assert coap_client(daemon.uri("lamp")).stdout.strip() == '{"b":2}'
