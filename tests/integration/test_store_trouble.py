# SPDX-License-Identifier: BSD-2-Clause
"""What comes over a store while coapd runs: a disk that begins to fail or turns read-only, other processes that lock it
or read it without end, permissions that are missing. Told once, nothing lost, reads go on, and it heals by itself."""

import re
import shutil
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from coap import OCTETS, TEXT
from daemon import SLOW
from test_disk import complaints_of, put_until_taken, refused


class Fault:
    """System calls on some files that fail, as long as it lasts: strace(1) answers them in the place of the kernel."""

    def __init__(self, daemon, calls, error, files, when=None):
        inject = f"inject={calls}:error={error}" + (f":when={when}" if when else "")
        paths = [word for file in files for word in ("-P", str(file))]
        self.strace = subprocess.Popen(
            ["strace", "-f", "-p", str(daemon.pid), "-o", str(daemon.folder / "strace"), "-e", f"trace={calls}",
             "-e", inject, *paths],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        line = self.strace.stderr.readline()
        while line and "attached" not in line:
            if "permitted" in line:
                pytest.skip(line)
            line = self.strace.stderr.readline()
        assert line, "strace does not attach"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.strace.terminate()
        self.strace.communicate()


def files_of(daemon, key="dynamic-resources"):
    return [daemon.folder / f"{key}{suffix}" for suffix in ("", "-wal")]


def wait_for_line(daemon, text):
    """Nothing tells of it but the log."""
    end = time.monotonic() + 10 * SLOW
    while text not in daemon.stderr:
        assert time.monotonic() < end, daemon.stderr
        time.sleep(0.05)


@pytest.mark.parametrize("sync", ("interval", "always"))
@pytest.mark.parametrize("error, words", [
    ("EIO", "Input/output error"),
    ("EROFS", "Read-only file system"),
    ("ENOSPC", "No space left on device"),
])
def test_writes_that_begin_to_fail(coapd, error, words, sync):
    daemon = coapd(start=False)
    daemon.write_config(persist=daemon.persist(sync=sync, sync_interval=20))
    daemon.start()
    with daemon.client() as client, daemon.client() as watcher:
        assert client.put("a", b"old", content_format=TEXT).text == "2.01"
        observation = watcher.observe("a")
        with Fault(daemon, "pwrite64,ftruncate,fallocate", error, files_of(daemon)):
            for i in range(30):
                assert refused(client.put("a", f"{i}".encode(), content_format=TEXT))
                assert refused(client.put(f"new/{i}", b"x"))
                assert refused(client.delete("a"))
            assert client.get("a").payload == b"old"
            assert client.get("new/7").text == "4.04"
            (line,) = complaints_of(daemon, daemon.folder / "dynamic-resources")
            assert words in line
        assert client.put("a", b"after", content_format=TEXT).text == "2.04"
        assert observation.fresh().payload == b"after"
        wait_for_line(daemon, "dynamic-resources: is written again")
        daemon.restart("kill")
        assert client.get("a").payload == b"after"
        assert client.get("new/7").text == "4.04"
        assert observation.fresh().payload == b"after"
    assert not list(daemon.folder.glob("*.bad-*"))


def test_a_sync_that_fails_is_made_good(coapd):
    """The kernel says it once and takes the pages for written then: to sync again is not enough."""
    daemon = coapd(start=False)
    daemon.write_config(persist=daemon.persist(sync_interval=20))
    daemon.start()
    copy = daemon.folder / "copy"
    with daemon.client() as client:
        # The first change of a log is synced by SQLite itself.
        assert client.put("a", b"before", content_format=TEXT).text == "2.01"
        assert client.nothing(0.3)
        with Fault(daemon, "fdatasync,fsync", "EIO", files_of(daemon), when=1):
            assert client.put("a", b"here", content_format=TEXT).text == "2.04"
            wait_for_line(daemon, "dynamic-resources: is on the disk again")
        assert daemon.stderr.count("dynamic-resources: cannot be forced to the disk: Input/output error") == 1
        # Whatever became of the log on the disk: the database itself has it now.
        shutil.copy(daemon.folder / "dynamic-resources", copy)
        db = sqlite3.connect(copy)
        assert db.execute("SELECT path, body FROM resources").fetchall() == [("a", b"here")]
        db.close()


def test_a_sync_that_failed_is_made_good_before_always_begins(coapd):
    """What was not forced to the disk stands in the log before all that comes: there is no success behind it."""
    daemon = coapd(start=False)
    daemon.write_config(persist=daemon.persist(sync_interval=3000))
    daemon.start()
    database, log = files_of(daemon)
    with daemon.client() as client:
        # The first change of a log is synced by SQLite itself.
        assert client.put("a", b"before", content_format=TEXT).text == "2.01"
        with Fault(daemon, "fdatasync,fsync", "EIO", [database, log]):
            assert client.put("a", b"here", content_format=TEXT).text == "2.04"
            wait_for_line(daemon, "dynamic-resources: cannot be forced to the disk")
            daemon.write_config(persist=daemon.persist(sync="always", sync_interval=3000))
            daemon.reload()
        # The log can be synced again, but what it lost is not in the database yet.
        with Fault(daemon, "fdatasync,fsync,pwrite64", "EIO", [database]):
            assert refused(client.put("a", b"there", content_format=TEXT))
            assert client.get("a").payload == b"here"
        # It tries by itself, without a change that asks for it.
        wait_for_line(daemon, "dynamic-resources: is on the disk again")
        assert client.put("a", b"after", content_format=TEXT).text == "2.04"
        db = sqlite3.connect(shutil.copy(daemon.folder / "dynamic-resources", daemon.folder / "copy"))
        assert db.execute("SELECT body FROM resources").fetchall() == [(b"here",)]
        db.close()


UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


@pytest.mark.parametrize("mode, readable", [(0o400, True), (0o000, False)])
def test_a_file_without_the_rights_to_write_it(coapd, mode, readable):
    daemon = coapd()
    store = daemon.folder / "dynamic-resources"
    with daemon.client() as client:
        assert client.put("a", b"old", content_format=TEXT).text == "2.01"
        daemon.stop()
        store.chmod(mode)
        daemon.prefix = UNPRIVILEGED
        daemon.start()
        got = client.get("a")
        assert got.payload == b"old" if readable else got.text == "4.04"
        for i in range(20):
            assert refused(client.put("b", f"{i}".encode()))
        (line,) = complaints_of(daemon, store)
        assert "Permission denied" in line
        store.chmod(0o600)
        if readable:
            put_until_taken(client, "a", b"after")
        daemon.restart("kill")
        assert client.get("a").payload == (b"after" if readable else b"old")
        assert not list(daemon.folder.glob("*.bad-*"))


def test_counters_that_can_be_written_later_say_that_coapd_runs(coapd):
    """Without it a power cut from then on would not be found out, and Observe numbers not skip ahead."""
    daemon = coapd()
    counters = daemon.folder / "observe-counters"
    daemon.stop()
    counters.chmod(0o400)
    daemon.prefix = UNPRIVILEGED
    daemon.start()
    counters.chmod(0o600)
    # Nobody observes, nobody asks: it tries by itself.
    wait_for_line(daemon, "observe-counters: is written again")
    db = sqlite3.connect(f"file:{counters}?mode=ro", uri=True)
    ((running,),) = db.execute("SELECT boot FROM running").fetchall()
    db.close()
    assert running.split()[0] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_folder_without_the_rights_to_set_aside(coapd):
    """A bad file that must stay where it is: nothing is kept, and it is as it was."""
    daemon = coapd()
    daemon.stop()
    state = daemon.folder / "state"
    state.mkdir()
    (state / "d.lock").touch()
    (state / "d").write_bytes(b"none of ours, but somebody's")
    state.chmod(0o500)
    daemon.prefix = UNPRIVILEGED
    daemon.write_config(persist={**daemon.persist(), "dynamic_resources": state / "d"})
    daemon.start()
    with daemon.client() as client:
        assert refused(client.put("b", b"1"))
        assert client.get("time").text == "2.05"
    assert f"{state}/d: is no store of dynamic resources" in daemon.stderr
    assert "and cannot be set aside: Permission denied" in daemon.stderr
    assert (state / "d").read_bytes() == b"none of ours, but somebody's"
    state.chmod(0o700)


def test_an_operator_who_locks_the_store(coapd):
    """The shell with a transaction open: one change waits for it, the next ones are refused at once."""
    daemon = coapd()
    with daemon.client() as client:
        assert client.put("a", b"old", content_format=TEXT).text == "2.01"
        db = sqlite3.connect(daemon.folder / "dynamic-resources", isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        first = client.put("a", b"x", content_format=TEXT)
        assert first.text == "5.03" and first.payload == b"the store is locked; nothing was changed"
        began = time.monotonic()
        for i in range(40):
            assert refused(client.put("a", f"{i}".encode(), content_format=TEXT))
        # Forty times half a second, if each waited.
        assert time.monotonic() - began < 10
        assert client.get("a").payload == b"old"
        (line,) = complaints_of(daemon, daemon.folder / "dynamic-resources")
        assert "another process has it locked" in line
        db.execute("ROLLBACK")
        db.close()
        assert client.put("a", b"after", content_format=TEXT).text == "2.04"
        daemon.restart("kill")
        assert client.get("a").payload == b"after"


def test_a_reader_without_end(coapd):
    """It keeps the log from being folded in: said once, and the log is short again when the reader is gone."""
    daemon = coapd()
    log = daemon.folder / "dynamic-resources-wal"
    body = bytes(60000)
    with daemon.client() as client:
        assert client.put_blocks("a", body, size=1024, content_format=OCTETS).text == "2.01"
        db = sqlite3.connect(f"file:{daemon.folder}/dynamic-resources?mode=ro", uri=True, isolation_level=None)
        db.execute("BEGIN")
        assert db.execute("SELECT count(*) FROM resources").fetchone() == (1,)
        turns = 0
        while log.stat().st_size < 24 << 20:
            turns += 1
            assert client.put_blocks("a", body[turns:], size=1024, content_format=OCTETS).text == "2.04"
        db.execute("COMMIT")
        db.close()
        # The first folds it in, the next begins it anew.
        for i in range(3):
            assert client.put("b", f"{i}".encode(), content_format=TEXT).text in ("2.01", "2.04")
        assert log.stat().st_size <= 16 << 20
        daemon.restart("kill")
        assert len(client.get_blocks("a", size=1024).payload) == 60000 - turns


def test_numbers_are_kept_more_rarely_after_a_reload(coapd):
    """What was reserved for one save_frequency is not enough for a larger one."""
    daemon = coapd(start=False)
    daemon.write_config(persist=daemon.persist(save_frequency=1))
    daemon.start()
    with daemon.client() as writer, daemon.client() as client:
        assert writer.put("n", b"0").text == "2.01"
        observation = client.observe("n")
        daemon.write_config(persist=daemon.persist(save_frequency=1000))
        daemon.reload()
        for value in range(20):
            assert writer.put("n", f"{value + 1}").text == "2.04"
            observation.fresh()
        daemon.restart("kill")
        observation.fresh()


# --- what the documentation tells the operator to do ---


def manual(name):
    from clients import HERE

    return (HERE.parent.parent / name).read_text()


def test_the_documented_select(coapd):
    daemon = coapd()
    found = re.search(r"sqlite3 -readonly /var/lib/coapd/observers '([^']+)'", manual("packaging/man/coapd.8"))
    with daemon.client() as client:
        client.put("a/b", b"hi", content_format=TEXT)
        client.observe("a/b", token=b"\xca\xfe", query="x=1")
        command = ["sqlite3", "-readonly", daemon.folder / "observers", found[1]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(f"a/b|x=1|127.0.0.1|{client.port}|cafe|0|2"), done.stdout


def test_a_backup_while_it_runs(coapd):
    """As the README says; taken under a stream of changes, and put back."""
    daemon = coapd()
    assert 'sqlite3 /var/lib/coapd/$f ".backup /backup/$f"' in manual("README.md")
    names = ("dynamic-resources", "observers", "observe-counters")
    with daemon.client() as client, daemon.client() as watcher:
        for i in range(50):
            assert client.put(f"r/{i}", f"{i}".encode(), content_format=TEXT).text == "2.01"
        observation = watcher.observe("r/1")
        for name in names:
            with subprocess.Popen(["sqlite3", daemon.folder / name, f".backup {daemon.folder / name}.saved"]) as shell:
                while shell.poll() is None:
                    assert client.put("r/0", b"more", content_format=TEXT).text == "2.04"
            assert shell.returncode == 0
        assert client.delete("r/2").text == "2.02"
        daemon.stop()
        for name in names:
            # Of a daemon that was stopped no log is left, which would belong to another file now.
            assert not (daemon.folder / f"{name}-wal").exists()
            shutil.copy(daemon.folder / f"{name}.saved", daemon.folder / name)
        daemon.start()
        assert client.get("r/0").payload in (b"0", b"more")
        assert all(client.get(f"r/{i}").payload == f"{i}".encode() for i in range(1, 50))
        assert observation.fresh().payload == b"1"
    assert " error " not in daemon.stderr
