# SPDX-License-Identifier: BSD-2-Clause
"""What survives a restart and a crash: the promises of the engine sqlite, seen from outside."""

import os
import random
import sqlite3

import pytest

from coap import CBOR, NON, OCTETS, TEXT, newer

HOWS = ("stop", "kill")


@pytest.mark.parametrize("how", HOWS)
def test_dynamic_resources_come_back_whole(coapd, how):
    daemon = coapd()
    bodies = {
        "plain": (b"hello", TEXT, ()),
        "empty": (b"", None, ()),
        "binary": (bytes(range(256)) * 3, OCTETS, ()),
        "queried": (b"\xa0", CBOR, ("rt=sensor", "title=Über")),
        "deep/er/and/deeper": (b"x", 65000, ()),
        "/".join(["p" * 200] * 3): (b"long", TEXT, ()),
        "grüße/%2f/🦊": (b"utf8", TEXT, ()),
    }
    etags = {}
    with daemon.client() as client:
        for path, (body, form, query) in bodies.items():
            assert client.put(path, body, content_format=form, query=query).text == "2.01", path
        for path, (body, form, _) in bodies.items():
            etags[path] = client.get(path).etag
        large = random.randbytes(20000)
        assert client.put_blocks("large", large, size=1024, content_format=OCTETS).text == "2.01"
        # What is changed later counts, and what is deleted is gone.
        assert client.put("changed", b"before", content_format=TEXT).text == "2.01"
        assert client.put("changed", b"after", content_format=OCTETS).text == "2.04"
        assert client.put("deleted", b"x").text == "2.01"
        assert client.delete("deleted").text == "2.02"

        daemon.restart(how)
        for path, (body, form, _) in bodies.items():
            got = client.get(path)
            assert (got.text, got.payload, got.content_format) == ("2.05", body, form), path
            assert got.etag == etags[path], path
        assert client.get_blocks("large", size=1024).payload == large
        got = client.get("changed")
        assert (got.payload, got.content_format) == (b"after", OCTETS)
        assert client.get("deleted").text == "4.04"
        assert 'rt="sensor"' in client.get_blocks(".well-known/core", size=1024).payload.decode()


@pytest.mark.parametrize("how", HOWS)
def test_observers_go_on(coapd, how):
    daemon = coapd()
    with daemon.client() as writer:
        assert writer.put("value", b"0", content_format=TEXT).text == "2.01"
        clients = [daemon.client(host) for host in ("127.0.0.1", "::1") for _ in range(10)]
        watched = []
        for i, client in enumerate(clients):
            path, query = ("value", ()) if i % 2 else ("time", ("secs",) if i % 4 else ())
            observation = client.observe(path, type=NON if i % 3 else 0, query=query)
            assert observation.first.text == "2.05" and observation.number is not None
            watched.append(observation)
        for turn in range(4):
            daemon.restart(how)
            # The present state comes by itself, soon.
            for observation in watched:
                got = observation.fresh()
                assert got.text == "2.05"
            assert writer.put("value", f"{turn}+".encode(), content_format=TEXT).text == "2.04"
            for observation in watched:
                got = observation.fresh()
                if observation.path == "value":
                    assert got.payload == f"{turn}+".encode()
        assert "restored" in daemon.stderr
        for client in clients:
            client.close()


@pytest.mark.parametrize("how", HOWS)
def test_one_who_cancelled_stays_away(coapd, how):
    daemon = coapd()
    with daemon.client() as stays, daemon.client() as leaves:
        a, b = stays.observe("time"), leaves.observe("time")
        b.fresh()
        b.cancel()
        daemon.restart(how)
        leaves.inbox.clear()
        a.fresh()
        a.fresh()
        assert leaves.nothing(0.1)


def test_numbers_never_step_back(coapd):
    """Also when save_frequency changes, and for a resource that is deleted and made again."""
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as client:
        assert writer.put("n", b"").text == "2.01"
        observation = client.observe("n")
        value = 0
        for frequency in (10, 1, 100, 3, 1000, 7):
            daemon.write_config(persist=daemon.persist(save_frequency=frequency))
            daemon.restart("kill")
            observation.fresh()
            for _ in range(random.randrange(40)):
                value += 1
                assert writer.put("n", str(value)).text == "2.04"
                assert observation.fresh().payload == str(value).encode()
        assert writer.delete("n").text == "2.02"
        assert observation.next().text == "4.04"
        assert writer.put("n", b"again").text == "2.01"
        again = client.observe("n")
        assert newer(observation.number, again.number)


def test_state_is_readable_while_it_runs(coapd):
    daemon = coapd()
    with daemon.client() as client:
        client.put("a/b", b"hi", content_format=TEXT)
        client.observe("a/b", token=b"\xca\xfe")
        for name, query, wanted in (
            ("dynamic-resources", "SELECT path, content_format, body FROM resources", ("a/b", 0, b"hi")),
            (
                "observers",
                "SELECT resource, peer_address, peer_port, token FROM observer_list",
                ("a/b", "127.0.0.1", client.port, "cafe"),
            ),
            ("observe-counters", "SELECT resource FROM observe_counters", ("a/b",)),
        ):
            db = sqlite3.connect(f"file:{daemon.folder / name}?mode=ro", uri=True)
            assert db.execute(query).fetchall() == [wanted]
            db.close()


def test_two_daemons_never_share_a_store(coapd):
    first = coapd()
    second = coapd(start=False, persist=first.persist())
    second.start(wait=False)
    assert second.wait() == 1
    assert f"{first.folder}/dynamic-resources: another coapd, process {first.pid} works with this store" in second.stderr
    first.alive()


@pytest.mark.parametrize("missing", ("dynamic_resources", "observers", "observe_counters"))
def test_each_file_may_be_left_out(coapd, missing):
    daemon = coapd(start=False)
    daemon.write_config(persist={k: v for k, v in daemon.persist().items() if k != missing})
    daemon.start()
    with daemon.client() as client:
        assert client.put("x", b"1").text == "2.01"
        observation = client.observe("x")
        daemon.restart("kill")
        assert client.get("x").text == ("4.04" if missing == "dynamic_resources" else "2.05")
        if missing == "dynamic_resources":
            return
        client.put("x", b"2")
        if missing == "observers":
            assert client.nothing(0.2, lambda m: m.token == observation.token)
        elif missing == "observe_counters":
            observation.next()
        else:
            observation.fresh()


def test_idle_daemon_does_not_wake(coapd):
    """A change arms one timer for the sync; then there is silence again."""
    daemon = coapd(persist={"sync_interval": 50})
    daemon.write_config(persist=daemon.persist(sync_interval=50), resources=[])
    daemon.restart()
    with daemon.client() as client:
        client.put("x", b"1")
        assert client.nothing(0.5)
        before = daemon.wakeups()
        assert client.nothing(1.0)
        assert daemon.wakeups() - before <= 1


def test_switching_engines_and_back(coapd):
    """libcoap's files hold every resource as it is now, each observer and each number; what comes later is another matter."""
    daemon = coapd()
    bodies = {
        "plain": (b"after", TEXT, ()),
        "empty": (b"", None, ()),
        "queried": (b"\xa0", CBOR, ("rt=sensor", "title=Über")),
        "grüße/%2f/🦊": (b"utf8", 65000, ()),
        "large": (random.randbytes(9000), OCTETS, ()),
    }
    with daemon.client() as client, daemon.client() as watcher:
        assert client.put("plain", b"before", content_format=OCTETS).text == "2.01"
        for path, (body, form, query) in bodies.items():
            answer = client.put_blocks(path, body, size=1024, content_format=form, query=query)
            assert answer.text in ("2.01", "2.04"), path
        # Too large for one of libcoap's records.
        assert client.put_blocks("huge", bytes(65536), size=1024, content_format=OCTETS).text == "2.01"
        watched = [watcher.observe(path, token=path[:2].encode()) for path in ("plain", "queried", "time")]
        for engine in ("libcoap", "libcoap", "sqlite"):
            daemon.stop()
            daemon.write_config(persist=daemon.persist(engine=engine))
            daemon.start()
            for path, (body, form, _) in bodies.items():
                got = client.get_blocks(path, size=1024)
                assert (got.text, got.payload, got.content_format) == ("2.05", body, form), path
            assert client.get("huge").text == "4.04"
            assert 'rt="sensor"' in client.get_blocks(".well-known/core", size=1024).payload.decode()
            for observation in watched:
                observation.fresh()
        assert len(list(daemon.folder.glob("*.sqlite-*"))) == 3
    assert "6 dynamic resources taken over, 0 left out" not in daemon.log
    assert "5 dynamic resources taken over, 1 left out" in daemon.log


def test_what_is_stored_is_for_its_owner_alone(coapd):
    """As by hand, without the unit's UMask=: values that the access rules keep from others, and tokens of observers."""
    before = os.umask(0)
    try:
        daemon = coapd()
    finally:
        os.umask(before)
    with daemon.client() as client:
        client.put("door", b"1234")
        client.observe("door")
        for again in range(2):
            files = [f for f in daemon.folder.iterdir() if f.name.split("-")[0] in ("dynamic", "observers", "observe")]
            assert len(files) >= 9
            assert {f.name: f.stat().st_mode & 0o077 for f in files} == {f.name: 0 for f in files}
            if not again:
                daemon.restart()
