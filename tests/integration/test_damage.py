# SPDX-License-Identifier: BSD-2-Clause
"""Stores that something has damaged: coapd starts, or refuses where it shall; it never crashes, serves nothing that
was not put there, names in the log what it lost, and keeps the bad file as it was found.

COAPD_DAMAGE_ROUNDS runs more mutations than the default, COAPD_DAMAGE_SEED other ones.
"""

import os
import random
import re
import shutil
import sqlite3

import pytest

from coap import CBOR, GET, OCTETS, TEXT, Message, Timeout, request_options
from daemon import SANITIZED, SLOW

FILES = ("dynamic_resources", "observers", "observe_counters")
CHUNKS = 8
ROUNDS = int(os.environ.get("COAPD_DAMAGE_ROUNDS", 120 if SANITIZED else 560))
SEED = int(os.environ.get("COAPD_DAMAGE_SEED", 3))
OBSERVERS = 12


# --- mutations: (bytes, chance) -> bytes ---


def flip(data, chance, n=1):
    data = bytearray(data)
    for _ in range(n):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def flip_many(data, chance):
    return flip(data, chance, chance.choice((3, 20, 200)))


def flip_header(data, chance):
    return flip(data[:100], chance) + data[100:]


def truncate(data, chance):
    return data[: chance.randrange(1, len(data))]


def truncate_pages(data, chance):
    return data[: 4096 * chance.randrange(1, max(2, len(data) // 4096))]


def blank(data, chance):
    at, n = chance.randrange(len(data)), chance.choice((16, 512, 4096))
    return (data[:at] + bytes(n) + data[at + n :])[: len(data)]


def scribble(data, chance):
    at, n = chance.randrange(len(data)), chance.choice((4, 64, 4096))
    return (data[:at] + chance.randbytes(n) + data[at + n :])[: len(data)]


def move(data, chance):
    """A piece of it written a second time elsewhere."""
    n = chance.choice((64, 4096))
    a, b = (chance.randrange(max(1, len(data) // n)) * n for _ in "ab")
    return (data[:b] + data[a : a + n] + data[b + n :])[: len(data)]


def append(data, chance):
    return data + chance.randbytes(chance.choice((1, 100, 4096)))


CHANCES = (flip, flip, flip_many, flip_header, truncate, truncate_pages, blank, scribble, move, append)


# --- what is no store of ours at all: (path, store, chance) puts it there ---


def garbage(path, store, chance):
    path.write_bytes(chance.randbytes(chance.choice((1, 100, 20000))))


def text(path, store, chance):
    path.write_text("coap://127.0.0.1:5683 17 time\n" * chance.randrange(1, 5))


def empty(path, store, chance):
    path.write_bytes(b"")


def directory(path, store, chance):
    path.unlink()
    path.mkdir()


def fifo(path, store, chance):
    path.unlink()
    os.mkfifo(path)


def sqlite_file(path, statements):
    path.unlink()
    db = sqlite3.connect(path)
    db.executescript(statements)
    db.close()


def of_another_application(path, store, chance):
    sqlite_file(path, "PRAGMA application_id=77; CREATE TABLE resources(id INTEGER PRIMARY KEY, path TEXT);")


def of_no_application(path, store, chance):
    sqlite_file(path, "CREATE TABLE observations(x); INSERT INTO observations VALUES(1);")


def newer_schema(path, store, chance):
    data = bytearray(path.read_bytes())
    data[60:64] = (1000).to_bytes(4, "big")
    path.write_bytes(data)


def swapped(path, store, chance):
    path.write_bytes(store[chance.choice([name for name in FILES if name != path.name])])


STRANGERS = (garbage, text, empty, directory, fifo, of_another_application, of_no_application, newer_schema, swapped)


class Rig:
    """A daemon whose store is put back to a good one before each mutation."""

    def __init__(self, coapd, seed, how):
        self.chance = random.Random(seed)
        self.daemon = coapd(start=False)
        self.folder = self.daemon.folder / "state"
        self.folder.mkdir()
        self.configure("start-empty")
        self.client = self.daemon.client()
        self.bodies = {}  # of each path all that it ever had, the last one last
        self.tokens = [bytes([0xC0, i, 1, 2, 3]) for i in range(OBSERVERS)]
        self.make(how)
        self.lossy = 0

    def configure(self, bad_file):
        persist = {name: self.folder / name for name in FILES}
        self.daemon.write_config(persist={**persist, "bad_file": bad_file})

    def make(self, how):
        self.daemon.start()
        chance = self.chance
        for i in range(24):
            self.bodies[f"d/{i}"] = [
                (chance.randbytes(chance.choice((0, 10, 300, 1000))), chance.choice((TEXT, OCTETS, CBOR)))
                for _ in range(1 + i % 3)
            ]
        self.bodies["large"] = [(chance.randbytes(9000), OCTETS)]
        for turn in range(3):
            for path, states in self.bodies.items():
                if turn < len(states):
                    answer = self.client.put_blocks(path, states[turn][0], size=1024, content_format=states[turn][1])
                    assert answer.text in ("2.01", "2.04"), answer
        for i, token in enumerate(self.tokens):
            assert self.client.observe(f"d/{i}", token=token).number is not None
        getattr(self.daemon, how)()
        self.good = {file.name: file.read_bytes() for file in self.folder.iterdir() if file.suffix != ".lock"}

    def restore(self):
        shutil.rmtree(self.folder)
        self.folder.mkdir()
        for name, data in self.good.items():
            if not name.endswith("-shm"):
                (self.folder / name).write_bytes(data)

    # --- one mutation each ---

    def random_damage(self):
        """Also of the log, which nobody can tell from one that a power cut has shortened."""
        names = [name for name in self.good if not name.endswith("-shm") and self.good[name]]
        name = self.chance.choice(names + ["dynamic_resources"] * 2)
        mutate = self.chance.choice(CHANCES)
        self.restore()
        bad = mutate(self.good[name], self.chance)
        (self.folder / name).write_bytes(bad)
        self.what = f"{mutate.__name__} of {name}"
        return name, bad, False

    def stranger(self):
        name = self.chance.choice(FILES)
        put = self.chance.choice(STRANGERS)
        self.restore()
        for suffix in ("-wal", "-shm"):
            (self.folder / f"{name}{suffix}").unlink(missing_ok=True)
        put(self.folder / name, self.good, self.chance)
        path = self.folder / name
        self.what = f"{put.__name__} as {name}"
        return name, path.read_bytes() if path.is_file() else None, True

    def log_alone(self):
        name = self.chance.choice(FILES)
        self.restore()
        (self.folder / name).unlink()
        (self.folder / f"{name}-wal").write_bytes(self.good.get(f"{name}-wal") or self.chance.randbytes(5000))
        self.what = f"{name} missing, its log there"
        return name, None, True

    def turn(self):
        kind = self.chance.choices((self.random_damage, self.stranger, self.log_alone), (70, 25, 5))[0]
        name, bad, certain = kind()
        refuse = self.chance.random() < 0.15
        self.configure("refuse" if refuse else "start-empty")
        self.daemon.start(wait=False)
        try:
            self.daemon.wait_ready()
        except AssertionError:
            # A device or a FIFO is taken for a mistake in the config, whatever bad_file says.
            assert refuse or (self.folder / name).is_fifo(), "it did not start"
            assert self.daemon.wait() == 1
            assert self.complaints(name), "it refused to start and did not say why"
            assert bad is None or (self.folder / name).read_bytes() == bad, "it changed what it refused"
            return
        assert not (refuse and certain), "it started, and was to refuse"
        self.look(name, bad, certain)
        if self.chance.random() < 0.1:
            self.daemon.stop()
        else:
            self.daemon.kill()

    def complaints(self, name):
        name = name.removesuffix("-wal")
        return [line for line in self.daemon.stderr.splitlines()
                if re.search(rf"{self.folder / name}[:\"] ", line) and re.match(r"\S+ \S+ (error|warning) ", line)]

    def look(self, name, bad, certain):
        wal = name.endswith("-wal")
        said = self.complaints(name)
        assert said or not certain, "not a word of it in the log"
        for other in FILES:
            assert name.startswith(other) or not self.complaints(other), f"{other} suffers too"
        for path, got in self.get_all().items():
            states = self.bodies[path]
            if got == states[-1]:
                continue
            self.lossy += 1
            assert name.startswith("dynamic_resources"), f"{path} is {got}"
            assert got is None or got in states, f"{path} holds what was never put there: {got}"
            assert said or wal, f"{path} is lost or old, and not a word of it in the log"
        restored = re.search(r"(\d+) observers restored, (\d+) kept", self.daemon.stderr)
        if name == "observers" and not said:
            assert restored and int(restored[1]) == OBSERVERS, "observers are lost, and not a word of it in the log"
        for line in said:
            aside = re.search(r"set aside as (\S+?)[,;]", line)
            if aside and bad is not None and not wal:
                with open(aside[1], "rb") as file:
                    assert file.read() == bad, "the file that was set aside is not as it was found"

    def get_all(self):
        """All resources at once: path -> (body, format) or None."""
        asked = {}
        for path in self.bodies:
            if path == "large":
                continue
            message = Message(GET, mid=self.client.next_mid(), token=self.client.new_token(), options=request_options(path))
            asked[message.token] = (path, self.client.send(message))
        found = {}
        while asked:
            try:
                got = self.client.receive(1.0 * SLOW, lambda m: m.token in asked)
            except Timeout:
                assert self.daemon.running, "it died"
                for _, message in asked.values():
                    self.client.send(message)
                continue
            assert got.text in ("2.05", "4.04"), got
            found[asked.pop(got.token)[0]] = (got.payload, got.content_format) if got.text == "2.05" else None
        large = self.client.get_blocks("large", size=1024)
        found["large"] = (large.payload, large.content_format) if large.text == "2.05" else None
        # Notifications to observers who never were.
        for message in self.client.inbox:
            assert message.observe is None or message.token in self.tokens, f"whose is {message}?"
        self.client.inbox.clear()
        self.client.seen.clear()
        return found


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_damaged_stores(coapd, chunk):
    seed = SEED * 1000 + chunk
    rig = Rig(coapd, seed, ("stop", "kill")[chunk % 2])
    for turn in range(ROUNDS // CHUNKS):
        rig.what = "nothing"
        try:
            rig.turn()
        except BaseException as trouble:
            trouble.add_note(f"seed {seed}, turn {turn}: {rig.what}")
            raise
    assert rig.lossy > 0, "no damage did any harm: nothing was tested"
    rig.client.close()
