# SPDX-License-Identifier: BSD-2-Clause
"""A store that another takes the place of: a damaged one by what could be read of it, one that could not be written by
the file that can. Whatever comes in between, no row is lost on the way."""

import os
import signal
import sqlite3
import time

import pytest

from coap import OCTETS, TEXT
from daemon import SLOW
from test_disk import disk, put_until_taken, refused, start_on  # noqa: F401 (a fixture)
from test_store_trouble import UNPRIVILEGED

ROWS = 40


def body(i):
    return f"{i:04} ".encode() * 180


def fill(client, n=ROWS):
    for i in range(n):
        assert client.put(f"r/{i}", body(i), content_format=OCTETS).text == "2.01"


def left(client, n=ROWS):
    return sum(client.get(f"r/{i}").payload == body(i) for i in range(n))


def damage(store):
    """A page of rows in the middle."""
    assert not store.with_name(store.name + "-wal").exists()
    with open(store, "r+b") as file:
        file.seek(os.path.getsize(store) // 4096 // 2 * 4096)
        file.write(bytes(4096))


def set_aside(folder):
    return [file for file in folder.glob("dynamic?resources.bad-*") if file.name[-4:] not in ("-wal", "-shm")]


def killed_at(call, file):
    """The command that runs coapd until it calls that with the file."""
    return ["strace", "-f", "-D", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL", "-P", file]


def test_a_damaged_store_on_a_full_disk_waits_for_room(coapd, disk):  # noqa: F811
    """What can be read of it takes room that is not there: it stays where it is until there is."""
    daemon = start_on(coapd, disk)
    with daemon.client() as client:
        fill(client)
        daemon.stop()
        damage(disk.folder / "dynamic_resources")
        disk.fill()
        daemon.start()
        assert refused(client.put("new", b"x"))
        assert not list(disk.folder.glob("dynamic_resources.*bad*")), daemon.stderr
        daemon.stop()
        disk.free()
        daemon.start()
        assert left(client) >= ROWS / 2, daemon.stderr
        assert client.put("new", b"x").text == "2.01"
    assert len(set_aside(disk.folder)) == 1


def test_garbage_on_a_full_disk_makes_way_when_there_is_room(coapd, disk):  # noqa: F811
    """Nothing of it is to be saved, so no restart is needed."""
    daemon = coapd(start=False)
    store = disk.folder / "dynamic_resources"
    store.write_bytes(b"no store at all " * 100)
    disk.fill()
    start_on(lambda **_: daemon, disk)
    with daemon.client() as client:
        assert refused(client.put("a", b"x"))
        assert store.read_bytes().startswith(b"no store")
        end = time.monotonic() + 6
        while time.monotonic() < end:
            assert refused(client.put("a", b"x"))
            assert client.nothing(0.2)
        assert daemon.stderr.count("cannot be set aside") == 1
        disk.free()
        put_until_taken(client, "a", b"after")
        daemon.restart("kill")
        assert client.get("a").payload == b"after"
    assert len(set_aside(disk.folder)) == 1


@pytest.mark.parametrize("call, suffix", [
    ("rename", ".new"), ("renameat2", ""), ("renameat2", "-wal"), ("rename", ".saved"),
])  # fmt: skip
def test_a_crash_while_a_damaged_store_is_replaced(coapd, call, suffix):
    """At whichever step: what could be read is there at the next start."""
    daemon = coapd()
    store = daemon.folder / "dynamic-resources"
    with daemon.client() as client:
        fill(client)
        daemon.stop()
        damage(store)
        daemon.prefix = killed_at(call, f"{store}{suffix}")
        daemon.start(wait=False)
        # strace(1) is told of its end before us.
        assert daemon.process.wait(timeout=10 * SLOW) == -signal.SIGKILL
        daemon.wait()
        daemon.prefix = []
        daemon.start()
        assert left(client) >= ROWS / 2, daemon.stderr
        daemon.restart()
        assert left(client) >= ROWS / 2, daemon.stderr
    assert len(set_aside(daemon.folder)) == 1
    assert not list(daemon.folder.glob("dynamic-resources.saved*"))


def test_a_file_that_comes_back_with_rows_of_its_own_is_not_written_over(coapd):
    """coapd started without it, its folder read-only and empty, as where a disk was not mounted yet."""
    daemon = coapd(start=False)
    folder, away = daemon.folder / "state", daemon.folder / "away"
    folder.mkdir()
    files = ("dynamic_resources", "observers", "observe_counters")
    daemon.write_config(persist={key: folder / key for key in files})
    daemon.start()
    with daemon.client() as client:
        fill(client)
        daemon.stop()
        folder.rename(away)
        folder.mkdir(mode=0o555)
        daemon.prefix = UNPRIVILEGED
        daemon.start()
        assert client.get("r/0").text == "4.04"
        assert refused(client.put("new", b"x"))
        folder.rmdir()
        away.rename(folder)
        daemon.prefix = []
        end = time.monotonic() + 10 * SLOW
        while "until it is started again" not in daemon.stderr:
            assert refused(client.put("new", b"x")), daemon.stderr
            assert time.monotonic() < end, daemon.stderr
            assert client.nothing(0.2)
        daemon.restart()
        assert left(client) == ROWS
        assert client.put("new", b"x").text == "2.01"


def test_a_store_behind_a_symbolic_link(coapd):
    """The link stays, and the log that is synced and the lock are those of the file behind it."""
    daemon = coapd(start=False)
    real, link = daemon.folder / "real", daemon.folder / "link"
    real.mkdir()
    link.symlink_to(real / "store")
    daemon.write_config(persist=daemon.persist(dynamic_resources=link, sync_interval=20))
    daemon.start()
    with daemon.client() as client:
        assert client.put("a", b"one", content_format=TEXT).text == "2.01"
        assert client.put("a", b"one", content_format=TEXT).text == "2.04"
        assert client.nothing(0.5)
        assert "cannot be forced" not in daemon.stderr
        assert link.is_symlink() and (real / "store-wal").exists()
        other = coapd(start=False)
        other.write_config(persist=other.persist(dynamic_resources=real / "store"))
        other.start(wait=False)
        other.expected_end = 1
        assert other.wait() == 1
        assert "works with this store" in other.log
        daemon.restart("kill")
        assert client.get("a").payload == b"one"
    db = sqlite3.connect(real / "store")
    assert db.execute("SELECT path FROM resources").fetchall() == [("a",)]
    db.close()
