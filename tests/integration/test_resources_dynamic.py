# SPDX-License-Identifier: BSD-2-Clause
"""Resources that clients make: their life, their bodies in blocks, their limits."""

import json
import os
import signal

import coap
import pytest
from clients import aiocoap_request, coap_client, node
from daemon import SANITIZED

BODY = bytes(range(256)) * 40  # 10,240 bytes: more than one of any block size


@pytest.mark.parametrize("method", [coap.PUT, coap.POST])
def test_life(coapd, method):
    daemon = coapd()
    with daemon.client() as client:
        assert client.get("room/temperature").text == "4.04"
        assert client.request(method, "room/temperature", payload=b"21.5", content_format=coap.TEXT).text == "2.01"
        got = client.get("room/temperature")
        assert (got.text, got.payload, got.content_format) == ("2.05", b"21.5", coap.TEXT)
        assert client.request(method, "room/temperature", payload=b"{}", content_format=coap.JSON).text == "2.04"
        again = client.get("room/temperature")
        assert (again.payload, again.content_format) == (b"{}", coap.JSON)
        assert again.etag != got.etag
        assert client.delete("room/temperature").text == "2.02"
        assert client.get("room/temperature").text == "4.04"
        assert client.delete("room/temperature").text == "2.02"
        assert client.request(method, "room/temperature", payload=b"22").text == "2.01"


def test_without_content_format(coapd):
    daemon = coapd()
    with daemon.client() as client:
        assert client.put("raw", b"\0\1\2").text == "2.01"
        got = client.get("raw")
        assert (got.payload, got.content_format) == (b"\0\1\2", None)


def test_empty_body(coapd):
    daemon = coapd()
    with daemon.client() as client:
        assert client.put("empty").text == "2.01"
        assert (client.get("empty").text, client.get("empty").payload) == ("2.05", b"")


def test_all_sorts_of_paths(coapd):
    daemon = coapd()
    paths = [["a b"], ["a/b"], ["ü"], ["%41"], ["..", "x"], ["a", "", "b"], ["x" * 255], ["?q"], [b"\0\xff\n"], ["a", ""]]
    with daemon.client() as client:
        for i, path in enumerate(paths):
            assert client.put(path, b"%d" % i).text == "2.01", path
        for i, path in enumerate(paths):
            assert client.get(path).payload == b"%d" % i, path
        links = client.get_blocks(".well-known/core", 1024).payload.decode()
        assert "</a%20b>" in links and "</a%2Fb>" in links


def test_prefixes(coapd):
    daemon = coapd(dynamic={"enable": True, "prefix": ["devices", "groups/a"]})
    with daemon.client() as client:
        for path in ("devices/1", "devices/1/state", "groups/a/x"):
            assert client.put(path, b"x").text == "2.01", path
        for path in ("other", "devicesx", "groups/b", "groups", ".well-known/x"):
            refused = client.put(path, b"x")
            assert refused.text in ("4.04", "4.05"), path
        assert client.put("time", b"x").text == "4.05"


def test_disabled(coapd):
    daemon = coapd(dynamic={"enable": False})
    with daemon.client() as client:
        assert client.put("x", b"x").text == "4.04"
        assert client.delete("x").text == "4.04"


def test_deleted_and_made_again_at_once(coapd):
    """The daemon buries a resource outside of libcoap's handlers; a client never sees that."""
    daemon = coapd()
    with daemon.client() as client:
        for _ in range(200):
            assert client.put("value", b"x").text == "2.01"
            assert client.delete("value").text == "2.02"
            assert client.delete("value").text == "2.02"


def in_one_batch(daemon, client, *messages):
    """Has the daemon find all of them waiting at once; the answers in order."""
    daemon.send_signal(signal.SIGSTOP)
    try:
        for message in messages:
            client.send(message)
    finally:
        daemon.send_signal(signal.SIGCONT)
    return [client.receive(wanted=lambda m, mid=message.mid: m.mid == mid) for message in messages]


def message(client, method, path, payload=b"", **more):
    return coap.Message(method, mid=client.next_mid(), token=client.new_token(), payload=payload,
                        options=coap.request_options(path, **more))


@pytest.mark.parametrize("full", [False, True])
def test_deleted_and_made_again_in_one_batch(coapd, full):
    """Made anew, within the limits; those who observed what was there hear 4.04, and nothing of the new one."""
    daemon = coapd(dynamic={"enable": True, "prefix": [""], **({"max_resources": 1, "max_size": 3, "max_total_size": 3} if full else {})})
    with daemon.client() as client, daemon.client() as reader:
        client.put("value", b"old", content_format=coap.TEXT)
        watch = reader.observe("value")
        answers = in_one_batch(
            daemon,
            client,
            message(client, coap.DELETE, "value"),
            message(client, coap.GET, "value"),
            message(client, coap.DELETE, "value"),
            message(client, coap.PUT, "value", b"x", extra=[(coap.IF_MATCH, b"")]),
            message(client, coap.PUT, "value", b"new", content_format=coap.JSON),
            message(client, coap.GET, "value"),
            message(client, coap.PUT, "value", b"two", content_format=coap.JSON),
        )
        assert [a.text for a in answers] == ["2.02", "4.04", "2.02", "4.12", "2.01", "2.05", "2.04"]
        assert (answers[5].payload, answers[5].content_format) == (b"new", coap.JSON)
        assert watch.next().text == "4.04"
        assert client.get("value").payload == b"two"
        client.put("value", b"3", content_format=coap.JSON)
        assert reader.nothing(0.3)
        daemon.restart()
        assert client.get("value").payload == b"3"
        assert client.delete("value").text == "2.02"
        assert client.put("other", b"abc").text == "2.01"


def test_many_deleted_at_once(coapd):
    daemon = coapd()
    with daemon.client() as client:
        for i in range(20):
            client.put(f"r{i}", b"x")
        gone = in_one_batch(daemon, client, *(message(client, coap.DELETE, f"r{i}") for i in range(10)))
        assert {a.text for a in gone} == {"2.02"}
        assert [client.get(f"r{i}").text for i in range(20)] == ["4.04"] * 10 + ["2.05"] * 10


# --- observers ---


def test_registration_right_after_the_start(coapd):
    """Who registers after a start is not taken for one from before it."""
    daemon = coapd(resources=[{"path": "motd", "kind": "static", "content": "x"}])
    for _ in range(10):
        with daemon.client() as client:
            watch = client.observe("motd")
            assert client.nothing(0.05), watch.first
        daemon.stop()
        for file in daemon.folder.glob("*obs*"):
            file.unlink()
        daemon.start()


def test_observers_are_told(coapd):
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as reader:
        writer.put("value", b"0")
        watch = reader.observe("value")
        assert watch.first.payload == b"0"
        for i in range(1, 12):
            assert writer.put("value", b"%d" % i).text == "2.04"
            assert watch.fresh().payload == b"%d" % i


def test_equal_content_is_no_news(coapd):
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as reader:
        writer.put("value", b"same")
        watch = reader.observe("value")
        assert writer.put("value", b"same").text == "2.04"
        assert writer.put("value", b"new").text == "2.04"
        assert watch.fresh().payload == b"new"
        assert reader.nothing(0.2)


def test_observers_hear_of_deletion(coapd):
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as reader:
        writer.put("value", b"0")
        watches = [reader.observe("value"), reader.observe("value", query="x")]
        assert writer.delete("value").text == "2.02"
        for watch in watches:
            assert watch.next().text == "4.04"
        # A new resource of that path is another one: nobody observes it.
        assert writer.put("value", b"1").text == "2.01"
        assert reader.nothing(0.3)


def test_deleting_while_many_watch(coapd):
    daemon = coapd()
    clients = [daemon.client() for _ in range(20)]
    try:
        clients[0].put("value", b"0")
        watches = [client.observe("value") for client in clients]
        clients[0].delete("value")
        for watch in watches:
            assert watch.next().text == "4.04"
    finally:
        for client in clients:
            client.close()


# --- conditions ---


def test_if_none_match(coapd):
    daemon = coapd()
    with daemon.client() as client:
        condition = [(coap.IF_NONE_MATCH, b"")]
        assert client.put("once", b"1", extra=condition).text == "2.01"
        assert client.put("once", b"2", extra=condition).text == "4.12"
        assert client.get("once").payload == b"1"


def test_if_match(coapd):
    daemon = coapd()
    with daemon.client() as client:
        assert client.put("it", b"0", extra=[(coap.IF_MATCH, b"")]).text == "4.12"
        client.put("it", b"1")
        etag = client.get("it").etag
        assert client.put("it", b"2", extra=[(coap.IF_MATCH, b"other")]).text == "4.12"
        assert client.put("it", b"2", extra=[(coap.IF_MATCH, b"other"), (coap.IF_MATCH, etag)]).text == "2.04"
        assert client.put("it", b"3", extra=[(coap.IF_MATCH, etag)]).text == "4.12"
        assert client.put("it", b"4", extra=[(coap.IF_MATCH, b"")]).text == "2.04"
        assert client.delete("it", extra=[(coap.IF_MATCH, etag)]).text == "4.12"
        assert client.get("it").payload == b"4"


# --- limits ---


def test_too_large_in_one_piece(coapd):
    daemon = coapd(dynamic={"enable": True, "prefix": [""], "max_size": 100})
    with daemon.client() as client:
        refused = client.put("big", b"x" * 101)
        assert (refused.text, refused.uint(coap.SIZE1)) == ("4.13", 100)
        assert client.put("big", b"x" * 100).text == "2.01"
        refused = client.put("big", b"x" * 101)
        assert (refused.text, refused.uint(coap.SIZE1)) == ("4.13", 100)
        assert client.get("big").payload == b"x" * 100


@pytest.mark.parametrize("size1", [False, True])
def test_too_large_in_blocks(coapd, size1):
    daemon = coapd(dynamic={"enable": True, "prefix": [""], "max_size": 1000})
    with daemon.client() as client:
        refused = client.put_blocks("big", b"x" * 1001, 64, size1=size1)
        assert (refused.text, refused.uint(coap.SIZE1)) == ("4.13", 1000)
        if size1:
            assert refused.block(coap.BLOCK1).num == 0  # it needs no more to know
        assert client.get("big").text == "4.04"
        assert client.put_blocks("big", b"x" * 1000, 64).text == "2.01"


def test_number_of_resources(coapd):
    daemon = coapd(dynamic={"enable": True, "prefix": [""], "max_resources": 3})
    with daemon.client() as client:
        assert [client.put(f"r{i}", b"x").text for i in range(4)] == ["2.01"] * 3 + ["5.03"]
        assert client.put("r0", b"y").text == "2.04"
        client.delete("r1")
        assert client.put("r3", b"x").text == "2.01"


def test_total_size(coapd):
    daemon = coapd(dynamic={"enable": True, "prefix": [""], "max_size": 1000, "max_total_size": 1500})
    with daemon.client() as client:
        assert client.put("a", b"x" * 1000).text == "2.01"
        assert client.put("b", b"x" * 501).text == "5.03"
        assert client.put("b", b"x" * 500).text == "2.01"
        assert client.put("a", b"x" * 900).text == "2.04"
        assert client.put("b", b"x" * 600).text == "2.04"
        assert client.put("b", b"x" * 601).text == "5.03"
        assert client.get("b").payload == b"x" * 600


def test_claimed_size_reserves_nothing(coapd):
    """Size1 = 512 MiB is a claim. Refused at once, and where the limit would allow it, nothing is reserved."""
    daemon = coapd(dynamic={"enable": True, "prefix": [""], "max_size": 64 << 20})
    with daemon.client() as client:
        client.put_blocks("warm", b"x" * 4096, 1024)
        before = daemon.rss()
        bound = (8 if SANITIZED else 1) << 20  # ASan keeps what was freed
        for i in range(20):
            for claim in (512 << 20, 60 << 20):
                answer = client.put(
                    f"claim{i}", b"x" * 64, block1=coap.Block.of_size(0, True, 64), extra=[(coap.SIZE1, coap.uint(claim))]
                )
                assert answer.text == ("4.13" if claim > 64 << 20 else "2.31")
        assert daemon.rss() - before < bound


# --- block-wise ---


@pytest.mark.parametrize("size", [16, 64, 256, 1024])
@pytest.mark.parametrize("size1", [False, True])
def test_blockwise_both_ways(coapd, size, size1):
    daemon = coapd()
    with daemon.client() as client:
        created = client.put_blocks("body", BODY, size, size1=size1, content_format=coap.OCTETS)
        assert created.text == "2.01"
        assert created.block(coap.BLOCK1) == coap.Block.of_size(-(-len(BODY) // size) - 1, False, size)
        got = client.get_blocks("body", size)
        assert (got.payload, got.content_format) == (BODY, coap.OCTETS)
        assert client.put_blocks("body", BODY[::-1], size, size1=size1).text == "2.04"
        assert client.get_blocks("body", 512).payload == BODY[::-1]


def test_blockwise_interleaved(coapd):
    """Two clients, and two paths of one client, do not get into each other's way."""
    daemon = coapd()
    with daemon.client() as one, daemon.client() as two:
        jobs = [(one, "a", b"1" * 300), (one, "b", b"2" * 300), (two, "a", b"3" * 300)]
        for num in range(5):
            for client, path, body in jobs:
                client.put(path, body[num * 64 : num * 64 + 64], block1=coap.Block.of_size(num, num < 4, 64))
                if num == 4 and client is one:
                    assert client.get_blocks(path).payload == body
        assert one.get_blocks("a").payload == b"3" * 300


@pytest.mark.parametrize("other", [
    {"query": "rt=b"}, {"extra": [(coap.IF_NONE_MATCH, b"")]}, {"extra": [(coap.URI_HOST, b"b.example")]},
])
def test_blocks_of_two_operations_make_no_body(coapd, other):
    """RFC 9175, 3.3: what differs in more than its block is no part of the same body."""
    with coapd().client() as client:
        blocks = [coap.Block(0, True, 0), coap.Block(1, False, 0)]
        assert client.put("body", b"a" * 16, block1=blocks[0]).text == "2.31"
        assert client.put("body", b"b" * 16, block1=blocks[0], **other).text == "2.31"
        assert client.put("body", b"a", block1=blocks[1]).text == "2.01"
        assert client.get("body").payload == b"a" * 17
        client.delete("body")
        assert client.put("body", b"b", block1=blocks[1], **other).text == "2.01"
        assert client.get("body").payload == b"b" * 17


def test_blockwise_starts_anew(coapd):
    """RFC 7959, 2.5: the first block begins a body, also where it is that of one which was left off."""
    with coapd().client() as client:
        for num in range(3):
            assert client.put("body", b"x" * 16, block1=coap.Block(num, True, 0)).text == "2.31"
        body = b"x" * 16 + b"y" * 16 + b"z"
        assert client.put_blocks("body", body, 16).text == "2.01"
        assert client.get("body").payload == body


def test_blockwise_out_of_order(coapd):
    daemon = coapd()
    with daemon.client() as client:
        assert client.put("body", b"x" * 64, block1=coap.Block.of_size(1, True, 64)).text == "4.08"
        assert client.put("body", b"x" * 64, block1=coap.Block.of_size(0, True, 64)).text == "2.31"
        assert client.put("body", b"x" * 64, block1=coap.Block.of_size(2, True, 64)).text == "4.08"
        assert client.put("body", b"x" * 64, block1=coap.Block.of_size(1, False, 64)).text == "4.08"
        assert client.get("body").text == "4.04"


def test_blockwise_odd_blocks(coapd):
    daemon = coapd()
    with daemon.client() as client:
        assert client.put("body", b"x" * 63, block1=coap.Block.of_size(0, True, 64)).text == "4.00"
        assert client.put("body", b"x" * 65, block1=coap.Block.of_size(0, False, 64)).text == "4.00"
        assert client.put("body", b"x" * 16, block1=coap.Block(0, True, 7)).text == "4.00"
        assert client.get("body").text == "4.04"


def test_atomic(coapd):
    """Until the last block is in, the old body is what there is."""
    daemon = coapd()
    with daemon.client() as client:
        client.put("body", b"old")
        for num in range(4):
            assert client.put("body", b"n" * 64, block1=coap.Block.of_size(num, True, 64)).text == "2.31"
            assert client.get("body").payload == b"old"
        assert client.put("body", b"", block1=coap.Block.of_size(4, False, 64)).text == "2.04"
        assert client.get_blocks("body").payload == b"n" * 256


def test_change_in_the_middle_is_seen(coapd):
    """RFC 7959, 2.4: the ETag tells the blocks of two representations apart."""
    daemon = coapd()
    with daemon.client() as reader, daemon.client() as writer:
        writer.put_blocks("body", b"a" * 200)
        first = reader.get("body", block2=coap.Block.of_size(0, False, 64))
        writer.put_blocks("body", b"b" * 200)
        second = reader.get("body", block2=coap.Block.of_size(1, False, 64))
        assert second.payload == b"b" * 64 and second.etag != first.etag


def test_observed_block_by_block(coapd):
    """RFC 7959, 2.6: a notification is the first block, the client gets the rest."""
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as reader:
        writer.put_blocks("body", b"a" * 3000, 1024)
        watch = reader.observe("body")
        assert watch.first.block(coap.BLOCK2) == coap.Block(0, True, 6)
        writer.put_blocks("body", b"b" * 3000, 1024)
        note = watch.fresh()
        assert (note.payload, note.block(coap.BLOCK2)) == (b"b" * 1024, coap.Block(0, True, 6))
        rest = reader.get("body", block2=coap.Block(1, False, 6))
        assert rest.payload == b"b" * 1024 and rest.etag == note.etag and rest.observe is None


# --- other clients ---


def test_coap_client(coapd, tmp_path):
    daemon = coapd()
    body = os.urandom(20000)
    (tmp_path / "up").write_bytes(body)
    uri = daemon.uri("file")
    coap_client("-m", "put", "-t", "application/octet-stream", "-b", "512", "-f", tmp_path / "up", uri)
    coap_client("-o", tmp_path / "down", uri)
    assert (tmp_path / "down").read_bytes() == body
    coap_client("-m", "delete", uri)
    assert "4.04" in coap_client(uri).stderr


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp"])
def test_aiocoap(coapd, scheme):
    daemon = coapd(endpoints=[scheme + "://127.0.0.1:{port}", scheme + "://[::1]:{port}"])
    for host in ("127.0.0.1", "::1"):
        uri = daemon.uri("file", scheme, host)
        assert str(aiocoap_request(uri, "PUT", BODY, content_format=42).code) == "2.01 Created"
        response = aiocoap_request(uri)
        assert (response.payload, int(response.opt.content_format)) == (BODY, 42)
        assert str(aiocoap_request(uri, "DELETE").code) == "2.02 Deleted"


def test_node_coap(coapd):
    """With Block1 of 128 bytes up, and blocks down as coapd makes them."""
    daemon = coapd()
    body = "".join(f"{i:03}," for i in range(1000))
    for host in ("127.0.0.1", "::1"):
        uri = daemon.uri("file", host=host)
        sent = json.dumps({"payload": body, "options": [["Block1", [3]], ["Content-Format", "text/plain"]]})
        assert node("client.js", "put", uri, sent)[0]["code"] == "2.01"
        got = node("client.js", "get", uri)[0]
        assert (got["payload"], got["options"]["Content-Format"]) == (body, "text/plain")
        assert node("client.js", "delete", uri)[0]["code"] == "2.02"
