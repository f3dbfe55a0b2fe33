# SPDX-License-Identifier: BSD-2-Clause
"""A disk that is full or read-only: changes are refused, said once, reads go on, and it heals by itself."""

import errno
import os
import subprocess
import time

import pytest

from coap import OCTETS, PUT, TEXT, Message, Timeout, request_options
from daemon import SLOW

REFUSALS = ("5.00", "5.03")


class Disk:
    """A tmpfs of a megabyte."""

    def __init__(self, folder):
        self.folder = folder
        self.ballast = folder / "ballast"

    def mount(self, options):
        return subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], capture_output=True, text=True, check=False
        )

    def fill(self):
        fd = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (65536, 4096, 1):
                while True:
                    os.write(fd, bytes(size))
        except OSError as trouble:
            assert trouble.errno == errno.ENOSPC
        for size in (4096, 1):
            try:
                while True:
                    os.write(fd, bytes(size))
            except OSError as trouble:
                assert trouble.errno == errno.ENOSPC
        os.close(fd)

    def free(self):
        self.ballast.unlink()

    def read_only(self, on):
        done = self.mount(f"remount,{'ro' if on else 'rw'},size=1m")
        assert done.returncode == 0, done.stderr


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = Disk(folder)
    done = disk.mount("size=1m,mode=700")
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", folder], check=True)


def start_on(coapd, disk, resources=None, **more):
    daemon = coapd(start=False, **({"resources": resources} if resources else {}))
    files = ("dynamic_resources", "observers", "observe_counters")
    daemon.write_config(persist={**{key: disk.folder / key for key in files}, "sync_interval": 20, **more})
    return daemon.start()


def refused(response):
    """5.00 or 5.03 and a word on why."""
    if response.text not in REFUSALS:
        return False
    assert response.payload, response
    return True


def put_until_refused(client, path):
    """Fills what room the store still has of its own; the last body that was taken, None: not one."""
    taken = None
    for i in range(3000):
        body = f"{i} ".encode() + bytes(1000)
        response = client.put(path, body, content_format=OCTETS)
        if refused(response):
            return taken
        assert response.text in ("2.01", "2.04"), response
        taken = body
    raise AssertionError("a full disk takes everything")


def put_until_taken(client, path, body):
    end = time.monotonic() + 8 * SLOW
    while True:
        response = client.put(path, body, content_format=TEXT)
        if response.text in ("2.01", "2.04"):
            return
        assert refused(response) and time.monotonic() < end, response
        client.nothing(0.2)


def complaints_of(daemon, file):
    return [line for line in daemon.stderr.splitlines() if f"{file}: cannot be" in line]


def complaints(daemon, disk, name="dynamic_resources"):
    return complaints_of(daemon, disk.folder / name)


def wait_written_again(daemon, disk, name):
    """Nothing tells of this but the log. A small change may have gone in between two that did not: the last line counts."""
    end = time.monotonic() + 8 * SLOW
    while "is written again" not in ([line for line in daemon.stderr.splitlines() if f"{disk.folder / name}: " in line]
                                     or [""])[-1]:
        assert time.monotonic() < end, daemon.stderr
        time.sleep(0.05)


@pytest.mark.parametrize("sync", ("interval", "always"))
def test_full_disk(coapd, disk, sync):
    daemon = start_on(coapd, disk, sync=sync)
    with daemon.client() as client, daemon.client() as watcher:
        assert client.put("a", b"old", content_format=TEXT).text == "2.01"
        assert client.put("b", b"b", content_format=TEXT).text == "2.01"
        disk.fill()
        a = put_until_refused(client, "a") or b"old"
        before = len(daemon.stderr.splitlines())
        for i in range(100):
            assert refused(client.put("a", bytes(1000 + i)))
            assert refused(client.put(f"new/{i}", bytes(1000)))
            assert refused(client.delete("b"))
        # Nothing changed in memory, and reads go on.
        assert client.get("a").payload == a
        assert client.get("b").payload == b"b"
        assert client.get("new/7").text == "4.04"
        observation = watcher.observe("a")
        assert observation.first.payload == a
        assert len(complaints(daemon, disk)) == 1
        assert "No space left on device" in complaints(daemon, disk)[0]
        assert len(daemon.stderr.splitlines()) - before <= 6, daemon.stderr

        disk.free()
        put_until_taken(client, "a", b"after")
        assert client.delete("b").text == "2.02"
        assert observation.fresh().payload == b"after"
        assert f"{disk.folder}/dynamic_resources: is written again" in daemon.stderr
        daemon.restart("kill")
        assert client.get("a").payload == b"after"
        assert client.get("b").text == "4.04"
        assert client.get("new/7").text == "4.04"


def test_observers_who_come_to_a_full_disk_are_kept_once_it_has_room(coapd, disk):
    daemon = start_on(coapd, disk)
    clients = [daemon.client() for _ in range(40)]
    with daemon.client() as writer:
        assert writer.put("a", b"old", content_format=TEXT).text == "2.01"
        disk.fill()
        put_until_refused(writer, "a")
        watched = [client.observe("a") for client in clients]
        assert all(o.first.text == "2.05" and o.number is not None for o in watched)
        # A small row may find the last of the room between two that do not.
        assert 1 <= len(complaints(daemon, disk, "observers")) <= 5, daemon.stderr
        disk.free()
        wait_written_again(daemon, disk, "observers")
        put_until_taken(writer, "a", b"now")
        for observation in watched:
            observation.fresh()
        daemon.restart("kill")
        for observation in watched:
            assert observation.fresh().payload == b"now"
    for client in clients:
        client.close()


def test_start_on_a_full_disk(coapd, disk):
    """After a crash the store's log is still to be folded in, for which there is no room."""
    daemon = start_on(coapd, disk)
    with daemon.client() as client:
        for i in range(20):
            assert client.put(f"x/{i}", f"{i}".encode(), content_format=TEXT).text == "2.01"
        disk.fill()
        last = put_until_refused(client, "x/0") or b"0"
        daemon.restart("kill")
        for i in range(20):
            assert client.get(f"x/{i}").payload == (f"{i}".encode() if i else last)
        put_until_refused(client, "y")
        disk.free()
        put_until_taken(client, "x/1", b"after")
        daemon.restart("kill")
        assert client.get("x/1").payload == b"after"
        assert client.get("x/2").payload == b"2"
    assert not list(disk.folder.glob("*.bad-*")), "a good file was set aside"


@pytest.mark.parametrize("how", ("stop", "kill"))
def test_read_only_disk(coapd, disk, how):
    """Nobody can remount read-only what is open for writing, so coapd meets such a disk at its start."""
    daemon = start_on(coapd, disk)
    with daemon.client() as client, daemon.client() as watcher:
        assert client.put("a", b"old", content_format=TEXT).text == "2.01"
        observation = watcher.observe("a")
        getattr(daemon, how)()
        disk.read_only(True)
        daemon.start()
        assert observation.fresh().payload == b"old"
        for i in range(50):
            assert refused(client.put("a", f"{i}".encode()))
            assert refused(client.put(f"new/{i}", b"x"))
            assert refused(client.delete("a"))
        assert client.get("a").payload == b"old"
        assert client.get("new/7").text == "4.04"
        assert len(complaints(daemon, disk)) == 1, daemon.stderr
        assert "Read-only file system" in complaints(daemon, disk)[0]

        disk.read_only(False)
        put_until_taken(client, "a", b"after")
        assert observation.fresh().payload == b"after"
        # Numbers went out that could not be kept: they are safe again once their file is.
        wait_written_again(daemon, disk, "observe_counters")
        daemon.restart("kill")
        assert client.get("a").payload == b"after"
        assert observation.fresh().payload == b"after"
    assert not list(disk.folder.glob("*.bad-*")), "a good file was set aside"


def test_read_only_disk_is_refused_where_the_config_asks(coapd, disk):
    daemon = start_on(coapd, disk, bad_file="refuse")
    daemon.stop()
    disk.read_only(True)
    daemon.start(wait=False)
    assert daemon.wait() == 1
    assert f"{disk.folder}/dynamic_resources: cannot be opened for writing: Read-only file system; not starting" in (
        daemon.stderr
    )


def burst(client, changes):
    """Sends all at once; the answers in the order in which they came, each with its change.

    A group that could not be kept goes without answers, and is asked for again as any lost message is.
    """
    missing = {}
    for path, body in changes:
        options = request_options(path, content_format=OCTETS)
        message = Message(PUT, mid=client.next_mid(), token=client.new_token(), options=options, payload=body)
        missing[message.token] = (path, body, client.send(message))
    end = time.monotonic() + 10 * SLOW
    while missing:
        try:
            got = client.receive(0.05 * SLOW, lambda m: m.token in missing)
            path, body, _ = missing.pop(got.token)
            yield path, body, got
        except Timeout:
            assert time.monotonic() < end, "no answer"
            for _, _, message in missing.values():
                client.send(message)


def test_groups_of_changes_on_a_disk_that_fills_up(coapd, disk):
    """Changes that arrive together are kept together, or refused: each is there exactly when its client was told."""
    daemon = start_on(coapd, disk)
    held, count, refusals = {}, 0, 0
    with daemon.client() as client:
        for turn in range(6):
            disk.fill()
            for _ in range(25):
                changes = []
                for _ in range(12):
                    count += 1
                    # A fresh path, or one of few again and again, so that a group has the same one several times.
                    changes.append((f"f/{count}" if count % 3 == 0 else f"s/{count % 4}", f"{count} ".encode() * 60))
                for path, body, answer in burst(client, changes):
                    if answer.text in ("2.01", "2.04"):
                        held[path] = body
                    else:
                        assert refused(answer), answer
                        held.setdefault(path, None)
                        refusals += 1
            for path, body in held.items():
                got = client.get(path)
                assert (got.payload if got.text == "2.05" else None) == body, f"turn {turn}, before the kill: {path} {got}"
            if turn % 2:
                daemon.restart("kill")
            disk.free()
            if turn % 2 == 0:
                daemon.restart("kill")
            for path, body in held.items():
                got = client.get(path)
                assert (got.payload if got.text == "2.05" else None) == body, f"turn {turn}, after the kill: {path} {got}"
            put_until_taken(client, "s/0", b"room")
            held["s/0"] = b"room"
    assert refusals > 100 and any(held.values()), "the disk was not full, or always"
