# SPDX-License-Identifier: BSD-2-Clause
"""/.well-known/core: every link with its attributes, filters (RFC 6690), and lists longer than a block."""

import re

import coap
import pytest
from clients import aiocoap_request
from test_endpoints import ask_group

RESOURCES = [
    {"path": "time", "kind": "time", "title": "Clock"},
    {"path": "sensors/temp", "kind": "static", "content": "21", "rt": ["temperature-c", "outdoor"], "if": "sensor",
     "title": "Temperature outside"},
    {"path": "sensors/light", "kind": "static", "content": "{}", "content_format": "application/json",
     "rt": "light-lux", "if": "sensor", "observable": False},
    {"path": "secret", "kind": "static", "content": "x", "hidden": True},
    {"path": "a b", "kind": "static", "content": "x"},
]


def links(payload):
    """{path: {attribute: value}}"""
    out = {}
    for link in re.findall(r"<[^>]*>(?:;[^,\"]*(?:\"[^\"]*\")?)*", payload.decode()):
        path, *attributes = link.split(";")
        out[path[1:-1]] = dict((a.split("=", 1) + [None])[:2] for a in attributes)
    return out


@pytest.fixture
def client(coapd):
    daemon = coapd(resources=RESOURCES)
    with daemon.client() as client:
        yield client


def test_attributes(client):
    response = client.get(".well-known/core")
    assert (response.text, response.content_format) == ("2.05", coap.LINK_FORMAT)
    assert response.etag
    found = links(response.payload)
    assert found == {
        "/time": {"rt": '"coapd.time"', "title": '"Clock"', "ct": "0", "obs": None},
        "/sensors/temp": {"rt": '"temperature-c outdoor"', "if": '"sensor"', "title": '"Temperature outside"',
                          "ct": "0", "sz": "2", "obs": None},
        "/sensors/light": {"rt": '"light-lux"', "if": '"sensor"', "ct": "50", "sz": "2"},
        "/a%20b": {"ct": "0", "sz": "1", "obs": None},
    }


@pytest.mark.parametrize(
    "query, expected",
    [
        ("rt=temperature-c", ["/sensors/temp"]),
        ("rt=outdoor", ["/sensors/temp"]),
        ("rt=temperature", []),
        ("rt=temp*", ["/sensors/temp"]),
        ("rt=*", ["/time", "/sensors/temp", "/sensors/light"]),
        ("if=sensor", ["/sensors/temp", "/sensors/light"]),
        ("if=sen*", ["/sensors/temp", "/sensors/light"]),
        ("ct=50", ["/sensors/light"]),
        ("ct=0", ["/time", "/sensors/temp", "/a%20b"]),
        ("sz=2", ["/sensors/temp", "/sensors/light"]),
        ("sz=*", ["/sensors/temp", "/sensors/light", "/a%20b"]),
        ("title=Clock", ["/time"]),
        ("title=Temperature*", ["/sensors/temp"]),
        ("title=Temperature", []),
        ("obs", ["/time", "/sensors/temp", "/a%20b"]),
        ("href=/time", ["/time"]),
        ("href=/sensors/*", ["/sensors/temp", "/sensors/light"]),
        ("href=/sensors", []),
        ("href=sensors/*", ["/sensors/temp", "/sensors/light"]),
        ("href=*", ["/time", "/sensors/temp", "/sensors/light", "/a%20b"]),
        ("href=/a%20b", ["/a%20b"]),
        ("href=/a b", ["/a%20b"]),
        ("href=/a *", ["/a%20b"]),
        ("ct=5*", ["/sensors/light"]),
        ("ct=60", []),
        ("title=*", ["/time", "/sensors/temp"]),
        ("sz=20", []),
        ("if", ["/sensors/temp", "/sensors/light"]),
        ("rt=temperature-c outdoor", []),
        ("rt=\xe9", []),
        ("nosuch=thing", []),
        ("rt=", []),
        (["rt=light-lux", "if=sensor"], ["/sensors/light"]),
        (["rt=light-lux", "ct=0"], []),
    ],
)
def test_filters(client, query, expected):
    response = client.get(".well-known/core", query=query)
    assert response.text == "2.05"
    assert list(links(response.payload)) == expected


def test_several_formats(coapd):
    daemon = coapd(resources=[*RESOURCES, {"path": "status", "kind": "status"}])
    with daemon.client() as client:
        assert links(client.get(".well-known/core", query="href=/status").payload)["/status"]["ct"] == '"0 50 60"'
        assert list(links(client.get(".well-known/core", query="ct=60").payload)) == ["/status"]
        assert list(links(client.get(".well-known/core", query="ct=50").payload)) == ["/sensors/light", "/status"]
        assert list(links(client.get(".well-known/core", query="ct=6").payload)) == []


def test_hidden(client):
    assert client.get("secret").payload == b"x"
    for query in ("href=/secret", "href=/sec*", "ct=0", "sz=1"):
        assert "/secret" not in links(client.get(".well-known/core", query=query).payload)


def test_multicast_without_a_match(coapd, network):
    """RFC 7252, 8.2.1: nothing to tell is no answer to a group, and an empty list to one client."""
    daemon = coapd(endpoints=[{"uri": "coap://0.0.0.0:{port}", "multicast": ["224.0.1.187%net0"]}],
                   resources=RESOURCES, prefix=network.prefix())
    with ask_group(network, "224.0.1.187", daemon.port, ".well-known/core", b"none", query="rt=nothing") as one:
        # The leisure is at most 5 s (RFC 7252, 4.8).
        one.settimeout(6)
        with pytest.raises(TimeoutError):
            print(coap.Message.decode(one.recv(2048)))
    with ask_group(network, "224.0.1.187", daemon.port, ".well-known/core", b"some", query="rt=out*") as one:
        answer = coap.Message.decode(one.recv(2048))
    assert (answer.token, list(links(answer.payload))) == (b"some", ["/sensors/temp"])
    with network.inside():
        client = daemon.client()
    with client:
        answer = client.get(".well-known/core", query="rt=nothing")
        assert (answer.text, answer.payload) == ("2.05", b"")


def test_etag(client):
    response = client.get(".well-known/core")
    assert client.get(".well-known/core", extra=[(coap.ETAG, response.etag)]).text == "2.03"
    assert client.get(".well-known/core", query="obs").etag != response.etag


def test_accept(client):
    assert client.get(".well-known/core", accept=coap.LINK_FORMAT).text == "2.05"
    assert client.get(".well-known/core", accept=coap.JSON).text == "4.06"


@pytest.mark.parametrize("method", [coap.PUT, coap.POST, coap.DELETE])
def test_other_methods(client, method):
    assert client.request(method, ".well-known/core", payload=b"x").text == "4.05"


@pytest.mark.parametrize("path", [".well-known/core/x", ".well-known/core/", ".well-known", ".well-known/x", ".well-known/core/a/b"])
def test_nothing_beside_it(client, path):
    segments = path.split("/")
    for method in (coap.GET, coap.PUT, coap.POST, coap.DELETE, coap.FETCH):
        assert client.request(method, segments, payload=b"x", content_format=0).text in ("4.04", "4.05")
    assert client.get(".well-known/core").text == "2.05"


def test_dynamic_resources(coapd):
    """Their attributes are the query of the request that made them, or of a later one that has some."""
    daemon = coapd()
    with daemon.client() as client:
        client.put("lamp", b"on", query=["rt=light", "if=actuator", "title=The lamp"], content_format=coap.TEXT)
        etag = client.get(".well-known/core").etag
        assert links(client.get(".well-known/core").payload)["/lamp"] == {
            "rt": '"light"', "if": '"actuator"', "title": '"The lamp"', "ct": "0", "sz": "2", "obs": None,
        }
        assert list(links(client.get(".well-known/core", query="rt=light").payload)) == ["/lamp"]
        client.put("lamp", b"off", content_format=coap.TEXT)
        client.put("lamp", b"off", query=["by=hand"], content_format=coap.TEXT)
        assert list(links(client.get(".well-known/core", query="rt=light").payload)) == ["/lamp"]
        client.put("lamp", b"off", query=["rt=lux"], content_format=coap.TEXT)
        daemon.restart()
        found = links(client.get(".well-known/core").payload)["/lamp"]
        assert found == {"rt": '"lux"', "ct": "0", "sz": "3", "obs": None}
        etag = client.get(".well-known/core").etag
        client.delete("lamp")
        again = client.get(".well-known/core")
        assert again.etag != etag and "/lamp" not in links(again.payload)


def test_attributes_are_not_markup(coapd):
    """What a client calls its resource cannot make links of its own."""
    daemon = coapd()
    with daemon.client() as client:
        client.put("x", b"1", query=['title=a",</evil>;rt="b', "rt=\\"])
        payload = client.get(".well-known/core").payload.decode()
        assert 'title="a\\",</evil>;rt=\\"b"' in payload and 'rt="\\\\"' in payload


def test_long_list(coapd):
    """Block by block, and whole even though resources come and go meanwhile."""
    daemon = coapd(resources=[{"path": f"r{i}", "kind": "static", "content": "x"} for i in range(200)])
    with daemon.client() as client, daemon.client() as other:
        for size in (16, 64, 1024):
            response = client.get_blocks(".well-known/core", size)
            assert len(links(response.payload)) == 200
        assert response.uint(coap.SIZE2) == len(response.payload)
        first = client.get(".well-known/core", block2=coap.Block.of_size(0, False, 512))
        other.put("between", b"x")
        rest, num = first.payload, 1
        while True:
            block = client.get(".well-known/core", block2=coap.Block.of_size(num, False, 512))
            assert block.etag == first.etag
            rest, num = rest + block.payload, num + 1
            if not block.block(coap.BLOCK2).more:
                break
        assert len(links(rest)) == 200
        assert "/between" in links(client.get_blocks(".well-known/core", 1024).payload)


def test_aiocoap_reads_it(coapd):
    from aiocoap.util.linkformat import parse

    daemon = coapd(resources=RESOURCES)
    found = parse(aiocoap_request(daemon.uri(".well-known/core")).payload.decode())
    assert {link.href for link in found.links} == {"/time", "/sensors/temp", "/sensors/light", "/a%20b"}


def test_attributes_given_twice_are_words(coapd):
    """RFC 6690, 2: of rt and if there is one each, with words in it."""
    with coapd().client() as client:
        assert client.put("lamp", b"1", query=["rt=light", "if=sensor", "rt=lux b"]).text == "2.01"
        assert links(client.get(".well-known/core", query="rt=lux").payload)["/lamp"]["rt"] == '"light lux b"'
