# SPDX-License-Identifier: BSD-2-Clause
"""Clients are divided among libcoap contexts by their address, and none of them can tell."""

import sqlite3

import coap
import pytest

PEERS = 48  # of 256 shards they are in about 44


@pytest.fixture
def peers(coapd):
    """peers(DAEMON) gives clients on ports of their own, half of them over IPv6."""
    clients = []

    def make(daemon, count=PEERS):
        clients.extend(daemon.client("::1" if i % 2 else "127.0.0.1") for i in range(count))
        return clients[-count:]

    yield make
    for client in clients:
        client.close()


def hear(watches, payload):
    """Everyone is told `payload`, the last of what is told; numbers rise. Returns the numbers that it came with."""
    last = {}

    def all_did():
        for watch in watches:
            for message in watch.client.inbox:
                if message.token == watch.token:
                    assert message.text == "2.05", message
                    assert coap.newer(watch.number, message.observe), f"{watch.number} then {message}"
                    watch.number = message.observe
                    if message.payload == payload:
                        last[watch] = message.observe
            watch.client.inbox.clear()
        return len(last) == len(watches)

    assert coap.serve_all([watch.client for watch in watches], all_did, 20), f"{len(last)} of {len(watches)} were told"
    return set(last.values())


def test_observers_of_one_resource(coapd, peers):
    """What a client made, observed from everywhere: told to all under one number, also after crash, stop and deletion."""
    daemon = coapd()
    writer, *readers = peers(daemon)
    writer.put("value", b"0")
    watches = [client.observe("value") for client in readers]
    assert all(watch.first.type == coap.ACK and watch.first.observe is not None for watch in watches)
    for i, how in enumerate((None, "kill", "stop")):
        if how:
            daemon.restart(how)
        for step in range(3):
            payload = b"%d.%d" % (i, step)
            assert writer.put("value", payload).text == "2.04"
            assert len(hear(watches, payload)) == 1
    # Half of them go, from wherever they were restored: they hear no more, and nobody else hears less.
    for watch in watches[::2]:
        watch.cancel()
        watch.client.inbox.clear()
    left = watches[1::2]
    writer.put("value", b"half")
    hear(left, b"half")
    for watch in watches[::2]:
        assert watch.client.nothing(0)
    assert writer.delete("value").text == "2.02"
    for watch in left:
        assert watch.next(20).text == "4.04"
    # And again, from numbers that nobody has had.
    writer.put("value", b"new")
    for watch in left:
        again = watch.client.observe("value")
        assert coap.newer(watch.number, again.first.observe)


def test_every_request_from_everywhere(coapd, peers):
    """A context that does not know the resource serves it as one that does."""
    daemon = coapd(resources=[{"path": "a/b c", "kind": "static", "content": "text"},
                              {"path": "still", "kind": "static", "content": "x", "observable": False}])
    clients = peers(daemon)
    clients[0].put("made", b"0")
    for client in clients:
        answer = client.get("a/b c")
        assert (answer.text, answer.payload) == ("2.05", b"text")
        assert client.get("a/b c", extra=[(coap.ETAG, answer.etag)]).text == "2.03"
        assert client.put("a/b c", b"").text == "4.05"
        assert client.get("nowhere").text == "4.04"
        assert client.put("made", b"1", extra=[(coap.IF_NONE_MATCH, b"")]).text == "4.12"
        assert client.observe("still").first.observe is None
        assert client.observe("a/b c").first.observe is not None
        assert b"</made>" in client.get(".well-known/core").payload
    assert clients[0].delete("made").text == "2.02"
    assert all(client.get("made").text == "4.04" for client in clients)


def test_another_number_of_shards(coapd, peers):
    """Each start may divide the clients otherwise."""
    daemon = coapd(server={"shards": 1})
    writer, *readers = peers(daemon)
    writer.put("value", b"0")
    watches = [client.observe("value") for client in readers]
    for i, shards in enumerate((1024, 3, 0, 1)):
        daemon.stop()
        daemon.write_config(server={"shards": shards})
        daemon.start()
        payload = b"run %d" % i
        writer.put("value", payload)
        hear(watches, payload)


def test_as_many_shards_as_the_store_needs(coapd, peers):
    """Where none are configured; and the one observer that they all are copies of is there as before."""
    daemon = coapd(server={"shards": 0})
    assert "divided into 256 shards" in daemon.stderr
    writer, reader = peers(daemon, 2)
    writer.put("value", b"0")
    watch = reader.observe("value")
    daemon.stop()
    with sqlite3.connect(daemon.groups["persist"]["observers"]) as db:
        columns = ", ".join(row[1] for row in db.execute("PRAGMA table_info(observers)") if row[1] != "id")
        for _ in range(16):
            db.execute(f"INSERT INTO observers({columns}) SELECT {columns} FROM observers")
    db.close()
    daemon.start()
    assert "divided into 512 shards" in daemon.stderr
    writer.put("value", b"1")
    hear([watch], b"1")
    daemon.restart("stop")
    assert "divided into 256 shards" in daemon.stderr
    writer.put("value", b"2")
    hear([watch], b"2")
    daemon.stop()
    daemon.write_config(server={"shards": 2})
    daemon.start()
    assert "divided into 2 shards" in daemon.stderr
