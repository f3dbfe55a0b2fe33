# SPDX-License-Identifier: BSD-2-Clause
"""SIGKILL at any instant, under a stream of changes that are committed in groups: whatever was acknowledged is there.

Several writers each own some paths, so that what a path may hold after a kill follows from what its one writer sent
and heard: the last change that was acknowledged, or any that was sent after it. Observers come and go meanwhile.
COAPD_KILL_ROUNDS runs more rounds than the default, COAPD_KILL_SEED other ones.
"""

import os
import random
import select
import signal
import threading

import pytest

from coap import ACK, CBOR, CON, DELETE, GET, OCTETS, PUT, TEXT, Message, Timeout, newer, request_options
from daemon import SANITIZED, SLOW

CHUNKS = 8
ROUNDS = int(os.environ.get("COAPD_KILL_ROUNDS", 64 if SANITIZED else 200))
SEED = int(os.environ.get("COAPD_KILL_SEED", 20))

WATCHED = [f"watched/{i}" for i in range(4)]  # changed, but never deleted, nor given another format, as that ends observations
WINDOW = 12  # requests in flight for each writer
REFUSED = "refused"  # a change that was answered with an error: it never counts


class Party:
    """A client that sends without waiting."""

    def __init__(self, daemon, seed, host):
        self.random = random.Random(seed)
        self.client = daemon.client(host)

    def send(self, code, path, token, payload=b"", type=CON, **options):
        message = Message(
            code,
            type=type,
            mid=self.client.next_mid(),
            token=token,
            options=request_options(path, **options),
            payload=payload,
        )
        return self.client.send(message)

    def take_all(self):
        """Everything that has come, what a daemon sent before it died too."""
        while select.select([self.client.socket], [], [], 0)[0]:
            self.client.take()
        for message in self.client.inbox:
            self.digest(message)
        self.client.inbox.clear()


class Writer(Party):
    def __init__(self, daemon, seed, number):
        super().__init__(daemon, seed, ("127.0.0.1", "::1")[number % 2])
        self.name = f"w{number}"
        self.count = 0
        self.steady = WATCHED[number]
        self.paths = [self.steady] + [f"{self.name}/{i}" for i in range(5)]
        # What each path held or may hold: entry 0 is certain at the start of a round; from `sure` on all may be.
        self.history = {path: [None] for path in self.paths}
        self.sure = dict.fromkeys(self.paths, 0)
        self.flying = {}
        self.heard = 0

    def push(self):
        while len(self.flying) < WINDOW:
            path = self.random.choice(self.paths)
            token = self.client.new_token()
            if path != self.steady and self.random.random() < 0.3:
                state = None
                self.send(DELETE, path, token)
            else:
                self.count += 1
                size = self.random.choice((0, 0, 20, 200, 900))
                form = TEXT if path == self.steady else self.random.choice((None, TEXT, OCTETS, CBOR, 65000))
                state = (f"{self.name} {self.count} ".encode() + self.random.randbytes(size), form)
                self.send(PUT, path, token, state[0], content_format=state[1])
            self.history[path].append(state)
            self.flying[token] = (path, len(self.history[path]) - 1)

    def digest(self, message):
        if message.token not in self.flying:
            return
        path, index = self.flying.pop(message.token)
        if message.text == "5.03" and message.payload == b"it is being deleted":
            # The DELETE that it was sent right behind is not over yet.
            self.history[path][index] = REFUSED
            return
        wanted = ("2.01", "2.04") if self.history[path][index] else ("2.02",)
        assert message.text in wanted, f"{path}: {message}"
        self.sure[path] = max(self.sure[path], index)
        self.heard += 1

    def check(self):
        """After a restart: each path holds what it may, which is certain from now on."""
        self.flying.clear()
        for path in self.paths:
            got = self.client.get(path, timeout=10 * SLOW)
            state = None if got.text == "4.04" else (got.payload, got.content_format)
            assert got.text in ("2.05", "4.04"), f"{path}: {got}"
            may = self.history[path][self.sure[path]:]
            assert state in may, (
                f"{path} holds {state}, acknowledged was {may[0]}, in flight {len(may) - 1}, "
                f"before {[i for i, old in enumerate(self.history[path]) if old == state]} of {len(self.history[path])}"
            )
            self.history[path] = [state]
            self.sure[path] = 0


class Slot:
    """One observation that a watcher may have: off, coming, on or going; `mid` is of the request in flight."""

    def __init__(self, path):
        self.path, self.state, self.token, self.mid, self.number = path, "off", None, None, None
        self.payload = None
        self.renewed = False  # heard of in this run of the daemon


class Watcher(Party):
    def __init__(self, daemon, seed, number):
        super().__init__(daemon, seed, ("127.0.0.1", "::1")[number % 2])
        self.slots = [Slot(path) for path in [*WATCHED, "time"]]
        self.ended = set()  # tokens whose end was acknowledged
        self.gone = set()  # and that a daemon of an earlier run was told of
        self.heard = 0

    def push(self):
        if self.random.random() > 0.4:
            return
        slot = self.random.choice(self.slots)
        if slot.state == "off":
            slot.token, slot.number, slot.state = self.client.new_token(), None, "coming"
            slot.mid = self.send(GET, slot.path, slot.token, observe=0).mid
        elif slot.state == "on" and self.random.random() < 0.5:
            slot.state = "going"
            slot.mid = self.send(GET, slot.path, slot.token, observe=1).mid

    def digest(self, message):
        assert message.text != "4.04", f"an observer was told 4.04: {message}"
        assert message.token not in self.gone, f"an observation that was ended is back: {message}"
        for slot in self.slots:
            if slot.token == message.token and slot.state != "off":
                self.note(slot, message)

    def note(self, slot, message):
        assert message.text == "2.05", f"{slot.path}: {message}"
        if slot.state == "going" and message.type == ACK and message.mid == slot.mid:
            self.end(slot)
        elif message.observe is not None:
            # One who registers between a change and its notification hears the same twice.
            same = slot.renewed and (slot.number, slot.payload) == (message.observe, message.payload)
            assert slot.number is None or same or newer(slot.number, message.observe), (
                f"{slot.path}: Observe went from {slot.number} to {message.observe}"
            )
            slot.number, slot.payload, slot.renewed = message.observe, message.payload, True
            if slot.state == "coming":
                slot.state = "on"
            self.heard += 1

    def end(self, slot):
        slot.state = "off"
        self.ended.add(slot.token)

    def killed(self):
        self.gone |= self.ended
        for slot in self.slots:
            slot.renewed = False

    def waiting(self):
        return [slot for slot in self.slots if slot.state == "on" and not slot.renewed]

    def settle(self):
        """What was asked for and not acknowledged may be either: it is ended, and asked for anew later."""
        for slot in self.slots:
            while slot.state in ("coming", "going"):
                slot.state = "going"
                slot.mid = self.send(GET, slot.path, slot.token, observe=1).mid
                if select.select([self.client.socket], [], [], 2 * SLOW)[0]:
                    self.take_all()


def wait_for_renewal(watchers):
    """Every acknowledged observer hears again, by itself."""
    sockets = {w.client.socket: w for w in watchers}
    while any(w.waiting() for w in watchers):
        ready = select.select(list(sockets), [], [], 5 * SLOW)[0]
        if not ready:
            raise Timeout(f"not notified again: {[(s.path, s.token.hex()) for w in watchers for s in w.waiting()]}")
        for one in ready:
            sockets[one].take_all()


def stream_until_killed(daemon, parties, delay):
    """All send as fast as they may, until the daemon is dead. The clock of the kill is no part of their loop."""
    dead = threading.Event()

    pid = daemon.pid

    def kill():
        os.kill(pid, signal.SIGKILL)
        dead.set()

    killer = threading.Timer(delay, kill)
    killer.start()
    by_socket = {party.client.socket: party for party in parties}
    try:
        while not dead.is_set():
            for party in parties:
                party.push()
            for one in select.select(list(by_socket), [], [], 0.002)[0]:
                by_socket[one].take_all()
    finally:
        killer.join()
        daemon.kill()
    for party in parties:
        party.take_all()


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_what_was_acknowledged_survives(coapd, chunk):
    daemon = coapd(start=False)
    daemon.write_config(persist=daemon.persist(sync=("interval", "always")[chunk % 2], sync_interval=20))
    daemon.start()
    seed = SEED * 1000 + chunk
    chance = random.Random(seed)
    writers = [Writer(daemon, seed * 100 + i, i) for i in range(4)]
    watchers = [Watcher(daemon, seed * 100 + 50 + i, i) for i in range(4)]
    for writer in writers:
        body = f"{writer.name} 0".encode()
        assert writer.client.put(writer.steady, body, content_format=TEXT).text == "2.01"
        writer.history[writer.steady] = [(body, TEXT)]
    for turn in range(ROUNDS // CHUNKS):
        try:
            stream_until_killed(daemon, writers + watchers, chance.uniform(0.001, 0.08) * (2 if SANITIZED else 1))
            for watcher in watchers:
                watcher.killed()
            daemon.start()
            for writer in writers:
                writer.check()
            wait_for_renewal(watchers)
            for watcher in watchers:
                watcher.settle()
        except Exception as trouble:
            trouble.add_note(f"seed {seed}, round {turn}")
            raise
    # Else nothing was tested.
    assert sum(w.heard for w in writers) > 3 * (ROUNDS // CHUNKS), "hardly a change was acknowledged"
    assert sum(w.heard for w in watchers) > 0, "no observer was ever notified"
    print(f"{sum(w.heard for w in writers)} changes, {sum(w.heard for w in watchers)} notifications")
    for party in writers + watchers:
        party.client.close()
