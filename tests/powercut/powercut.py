# SPDX-License-Identifier: BSD-2-Clause
"""Real power cuts: see README.md.

Boots coapd on a disk of ours, changes resources and observes them, cuts the power, and looks at many disks that the
cut could have left: what does a coapd that starts on each of them know?
"""

import argparse
import gzip
import json
import os
import pickle
import random
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

os.environ.setdefault("COAPD_BIN", "")
import coap  # noqa: E402
import disk as disks  # noqa: E402
import guest as guests  # noqa: E402
import oscore  # noqa: E402
from daemon import Coapd, free_port  # noqa: E402

SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"
CONFIG = """server = {{ log_level = "info"; }};
endpoints = ( {{ uri = "coap://{listen}"; }} );
dynamic = {{ enable = true; prefix = ( "" ); max_resources = 10000; }};
access = ( {{ path = "/**"; methods = ( "*" ); allow = ( "anyone" ); }} );
persist = {{ dynamic_resources = "{folder}/dynamic-resources"; observers = "{folder}/observers";
  observe_counters = "{folder}/observe-counters"; sync = "{sync}"; sync_interval = {interval}; }};
limits = {{ observations_per_session = 1000; }};
security = {{ oscore = ( {{ sender_id = "01"; recipient_ids = ( "02" );
  master_secret = "%s"; master_salt = "%s"; }} ); }};
""" % (SECRET, SALT)
INTERVAL_MS = 300
# A flush of this disk, through Python and an emulated machine, takes its time; and the answer travels, too. On a machine
# that takes long to boot all of it takes longer.
SLACK_S, BOOT_S = 0.4, 5
WATCHED, INSIDE = "watched", "inside"
# So many sender sequence numbers are reserved with one write, and so many observations use them up.
RESERVED, INSIDERS = 4096, 200


class Writer:
    """Puts and deletes, a few requests at a time, each path only once at a time; notes what was acknowledged."""

    def __init__(self, port, disk, seed):
        self.client = coap.Client(port, "127.0.0.1")
        self.disk, self.random = disk, random.Random(seed)
        self.paths = [f"p/{i}" for i in range(40)] + [WATCHED]
        self.sent = {path: [None] for path in self.paths}  # every state that it may have, oldest first
        self.flying = {}
        self.count = 0

    def push(self):
        busy = {path for path, _, _ in self.flying.values()}
        while len(self.flying) < 6:
            path = self.random.choice([p for p in self.paths if p not in busy])
            busy.add(path)
            token, mid = self.client.new_token(), self.client.next_mid()
            self.count += 1
            body = f"{path} {self.count} ".encode() * self.random.choice((1, 5, 60))
            state = None if path != WATCHED and self.random.random() < 0.2 else body.hex()
            self.sent[path].append(state)
            self.flying[token] = (path, len(self.sent[path]) - 1, time.monotonic())
            self.client.send(
                coap.Message(
                    coap.PUT if state else coap.DELETE,
                    type=coap.CON,
                    mid=mid,
                    token=token,
                    options=coap.request_options(path),
                    payload=body if state else b"",
                )
            )

    def take(self):
        self.client.take()
        for message in self.client.inbox:
            path, index, _ = self.flying.pop(message.token, (None, 0, 0))
            if path and message.text in ("2.01", "2.02", "2.04"):
                self.disk.note(("state", path, index))
        self.client.inbox.clear()
        # One that the network lost is given up: it may or may not have happened.
        for token, (_, _, began) in list(self.flying.items()):
            if time.monotonic() - began > 5:
                del self.flying[token]


class Watcher:
    """Observes; registers anew under another token now and then; notes numbers and registrations."""

    def __init__(self, port, disk, seed):
        self.client = coap.Client(port, "127.0.0.1")
        self.disk, self.random = disk, random.Random(seed)
        self.token = None
        self.asked = 0

    def push(self):
        if self.token and self.random.random() < 0.99:
            return
        if self.token is None and time.monotonic() - self.asked < 2:
            return
        self.asked = time.monotonic()
        token = self.client.new_token()
        self.disk.note(("asked", self.client.port, token.hex()))
        options = coap.request_options(WATCHED, observe=0)
        self.client.send(coap.Message(coap.GET, type=coap.CON, mid=self.client.next_mid(), token=token, options=options))

    def take(self):
        self.client.take()
        for message in self.client.inbox:
            if message.text != "2.05" or message.observe is None:
                continue
            if message.type == coap.ACK:
                self.disk.note(("observer", self.client.port, message.token.hex()))
                self.token = message.token
            self.disk.note(("number", WATCHED, message.observe))
        self.client.inbox.clear()


def inside(port):
    context = oscore.Context(b"\2", b"\1", bytes.fromhex(SECRET), bytes.fromhex(SALT))
    return oscore.Client(context, port, "127.0.0.1")


class Insider:
    """Observes under OSCORE, many times over, what it changes itself; notes each Partial IV that it is shown."""

    def __init__(self, port, disk):
        self.client, self.outside, self.disk = inside(port), coap.Client(port, "127.0.0.1"), disk
        self.outside.put(INSIDE, b"first", timeout=60)
        for i in range(INSIDERS):
            assert self.client.ask(coap.GET, INSIDE, query=f"{i}", observe=0).observe is not None
        for number in self.client.numbers:
            disk.note(("piv", INSIDE, number))
        self.changed = 0
        self.changes = 0
        self.noted = 0

    def push(self):
        """The next change when the one before is told, or was lost, and not so often that nothing else happens."""
        told = len(self.client.numbers) - self.noted >= INSIDERS
        if time.monotonic() - self.changed < (0.25 if told else 1):
            return
        self.changed, self.noted = time.monotonic(), len(self.client.numbers)
        while select.select([self.outside.socket], [], [], 0)[0]:
            self.outside.take()
        self.outside.inbox.clear()
        self.changes += 1
        options = coap.request_options(INSIDE)
        self.outside.send(coap.Message(coap.PUT, type=coap.NON, mid=self.outside.next_mid(),
                                       token=self.outside.new_token(), options=options,
                                       payload=b"%d" % self.changes))

    def take(self):
        before = len(self.client.numbers)
        self.client.take()
        for number in self.client.numbers[before:]:
            self.disk.note(("piv", INSIDE, number))
        self.client.inbox.clear()


def wait_until_up(port, guest):
    end = time.monotonic() + 600
    with coap.Client(port, "127.0.0.1") as client:
        while time.monotonic() < end:
            try:
                client.request(coap.GET, ".well-known/core", type=coap.NON, timeout=0.5)
                return
            except coap.Timeout:
                assert guest.process.poll() is None, guest.said()
    raise AssertionError(f"the guest does not answer:\n{guest.said()}")


def work(parties, seconds):
    sockets = {party.client.socket: party for party in parties}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for party in parties:
            party.push()
        for ready in select.select(list(sockets), [], [], 0.02)[0]:
            sockets[ready].take()


def live_without_a_disk(port, guest):
    """Its writes fail, and the filesystem turns read-only: changes are refused, reads go on."""
    with coap.Client(port, "127.0.0.1") as client:
        held = client.get(WATCHED, timeout=20).payload
        refusals = 0
        end = time.monotonic() + 60
        while refusals < 10:
            answer = client.put("p/0", b"not any more", timeout=20)
            refusals += answer.text in ("5.00", "5.03")
            assert time.monotonic() < end, f"a disk that fails takes everything:\n{guest.said()}"
        assert client.get(WATCHED, timeout=20).payload == held
        assert client.delete(WATCHED, timeout=20).text in ("5.00", "5.03")
    complaints = guest.said().count("dynamic-resources: cannot be written")
    assert complaints == 1, f"{complaints} lines in the log:\n{guest.said()}"


def one_life(folder, kernel, root, seconds, seed, fail=False):
    """Boots, works, cuts; with `fail` the disk fails before the end. The disk, and where in its log the work began."""
    disk = disks.Disk(guests.make_disk(folder), folder / "nbd")
    port = free_port()
    guest = guests.Guest(kernel, root, folder / "nbd", port, folder / "console")
    try:
        began = time.monotonic()
        wait_until_up(port, guest)
        disk.slack = SLACK_S * max(1, (time.monotonic() - began) / BOOT_S)
        parties = [Writer(port, disk, seed)] + [Watcher(port, disk, seed + i) for i in range(1, 6)]
        # Observed from the first moment on.
        parties.append(Insider(port, disk))
        parties[0].client.put(WATCHED, b"first", timeout=60)
        parties[0].sent[WATCHED] = [None, b"first".hex()]
        disk.note(("state", WATCHED, 1))
        since = len(disk.log)
        work(parties, seconds)
        if fail:
            disk.failing = True
            work(parties, 1)
            live_without_a_disk(port, guest)
        assert guest.process.poll() is None, guest.said()
    finally:
        guest.cut_power()
        disk.close()
        (folder / "nbd").unlink()
    return disk, since, parties[0].sent


class Expected:
    """What the world outside knows at a moment of the log, and what must still be known after a cut there."""

    def __init__(self, disk, index, sync, sent):
        cut = disk.log[index].at if index < len(disk.log) else disk.log[-1].at
        certain = cut if sync == "always" else cut - INTERVAL_MS / 1000 - disk.slack
        self.sent = sent
        self.least = {}  # path to the oldest state that it may have
        self.observers, self.number, self.piv = {}, None, -1
        self.facts = 0
        asked = {}  # port to the token that was asked for last
        for event in disk.log[:index]:
            if event.kind != disks.NOTE:
                continue
            what, key, value = event.note
            if what == "number":
                # In any mode no number may come twice.
                self.number = value
                self.facts += 1
            elif what == "piv":
                self.piv = max(self.piv, value)
                self.facts += 1
            elif what == "asked":
                # From here on the new observation may have taken the place of the old one.
                self.observers.pop(key, None)
                asked[key] = value
            elif event.at <= certain:
                self.facts += 1
                if what == "state":
                    self.least[key] = max(self.least.get(key, 0), value)
                elif asked.get(key, value) == value:
                    self.observers[key] = value


class Verdict(Exception):
    pass


def check(state, expected, binary, folder):
    """Starts coapd on the state. Raises Verdict with what is wrong."""
    port = free_port()
    config = folder / "check.conf"
    config.write_text(CONFIG.format(listen=f"127.0.0.1:{port}", folder=state, sync="always", interval=1000))
    dumped = subprocess.run([binary, "--dump-state", "--json", "-c", config], capture_output=True, text=True, check=False)
    if dumped.returncode != 0:
        raise Verdict(f"--dump-state fails: {dumped.stderr}")
    known = json.loads(dumped.stdout)
    log = folder / "check.log"
    with open(log, "wb") as out:
        daemon = subprocess.Popen([binary, "-c", config], stdout=out, stderr=out)
    try:
        with coap.Client(port, "127.0.0.1") as client:
            answer(client, daemon, log)
            for path, states in expected.sent.items():
                got = client.get(path)
                now = None if got.text == "4.04" else got.payload.hex()
                may = states[expected.least.get(path, 0) :]
                if now not in may:
                    raise Verdict(f"{path} is {now}, at least {may[0]} was acknowledged ({len(may) - 1} later ones)")
            tokens = {one["token"] for one in known["observers"]}
            for peer, token in expected.observers.items():
                if token not in tokens:
                    raise Verdict(f"the observer at port {peer} with token {token} is lost, there are {tokens}")
            number = client.observe(WATCHED).number
            # Without one it is not there, which was judged above: its creation may be in what an interval loses.
            if None not in (expected.number, number) and not coap.newer(expected.number, number):
                raise Verdict(f"Observe goes from {expected.number} back to {number}")
        if expected.piv >= 0:
            check_sequence(port, expected.piv)
    finally:
        daemon.terminate()
        daemon.wait()
    # That the end of a log is not whole is what a power cut does, and it says so by a warning or a notice.
    if " error " in log.read_text():
        raise Verdict(f"coapd complains:\n{log.read_text()}")


def check_sequence(port, last):
    """A sender sequence number that is used twice gives away what both messages say (RFC 8613, 7.2.1)."""
    with inside(port) as client:
        client.ask(coap.PUT, INSIDE, payload=b"again")
        client.ask(coap.GET, INSIDE, observe=0)
        if not client.numbers:
            raise Verdict("no Partial IV to be seen")
        if min(client.numbers) <= last:
            raise Verdict(f"the Partial IV {min(client.numbers)} comes again, there was {last}")


def answer(client, daemon, log):
    for _ in range(200):
        try:
            client.request(coap.GET, ".well-known/core", type=coap.NON, timeout=0.05)
            return
        except coap.Timeout:
            if daemon.poll() is not None:
                raise Verdict(f"coapd does not start:\n{log.read_text()}") from None
    raise Verdict(f"coapd does not answer:\n{log.read_text()}")


def edges_of(log, since):
    """Moments around the reservation of further sequence numbers; others say little about these."""
    pivs = [(i, e.note[2]) for i, e in enumerate(log) if e.kind == disks.NOTE and e.note[0] == "piv"]
    near = RESERVED // 32
    first = min((piv for _, piv in pivs), default=0)
    return [i + 1 for i, piv in pivs if i >= since and piv > first + near and (piv - first + near) % RESERVED < 2 * near]


def keep(evidence, name, disk, index, sent, folder, trouble):
    """What a complaint came from: all events, the disk as the cut left it, and what both coapds said."""
    to = evidence / name
    to.mkdir(parents=True)
    (to / "complaint").write_text(str(trouble))
    with gzip.open(to / "events.pickle.gz", "wb", compresslevel=1) as out:
        events = [(e.kind, e.at, e.offset, e.data, e.forced, e.note) for e in disk.log]
        pickle.dump({"start": disk.start, "slack": disk.slack, "cut": index, "sent": sent, "events": events}, out)
    for file in ("cut.ext4", "console", "check.log", "check.conf"):
        if (folder / file).exists():
            shutil.copy(folder / file, to / file)


def examine(disk, since, sent, sync, count, seed, binary, folder, lying=False, evidence=None):
    """Cuts at `count` moments. How many were bad, the first complaints, and how many facts were looked at."""
    chance = random.Random(seed)
    edges = edges_of(disk.log, since)
    moments = sorted(
        chance.choice(edges) if edges and i % 4 == 0 else chance.randrange(since, len(disk.log) + 1) for i in range(count)
    )
    cuts = disks.Cuts(disk, since if not lying else 0, lying)
    bad, complaints, facts = 0, [], 0
    for index in moments:
        expected = Expected(disk, index, sync, sent)
        facts += expected.facts
        try:
            check(guests.extract(cuts.at(index, chance), folder), expected, binary, folder)
        except (Verdict, AssertionError, subprocess.CalledProcessError) as trouble:
            bad += 1
            complaints.append(f"cut before event {index} of {len(disk.log)}: {trouble}")
            if evidence:
                keep(evidence, f"{seed}-{sync}-{index}-{bad}", disk, index, sent, folder, trouble)
    return bad, complaints, facts


def one_mode(arguments, folder, sync, cuts, seed):
    """One life and its cuts. Whether all is well."""
    config = CONFIG.format(listen="0.0.0.0:5683", folder="/data", sync=sync, interval=INTERVAL_MS)
    kernel, root = guests.make_root(arguments.cache, arguments.binary, config)
    disk, since, sent = one_life(folder, kernel, root, arguments.seconds, seed)
    work = disk.log[since:]
    writes, flushes = (sum(e.kind == kind for e in work) for kind in (disks.WRITE, disks.FLUSH))
    acknowledged = sum(e.kind == disks.NOTE and e.note[0] in ("state", "observer") for e in work)

    def look(promise, count, lying=False, evidence=None):
        return examine(disk, since, sent, promise, count, seed, arguments.binary, folder, lying, evidence)

    pivs = [e.note[2] for e in work if e.kind == disks.NOTE and e.note[0] == "piv"]
    print(f"sync = {sync}, seed {seed}: {writes} writes, {flushes} flushes, {acknowledged} acknowledgements", flush=True)
    print(f"sync = {sync}: {len(pivs)} Partial IVs up to {max(pivs, default=-1)}, "
          f"{len(edges_of(disk.log, since))} of them around a reservation", flush=True)
    bad, complaints, facts = look(sync, cuts, evidence=arguments.cache / "evidence")
    print(f"sync = {sync}: {cuts} cuts, {bad} bad, {facts} facts looked at", flush=True)
    for complaint in complaints[:5]:
        print(complaint)
    # Nothing found because nothing was looked at is a failure, too.
    well = bad == 0 and facts >= 10 * cuts and acknowledged >= 50
    # And the checker must be able to see: a disk that lies, and a promise that was not given.
    controls = max(5, cuts // 10)
    bad, _, _ = look(sync, controls, lying=True)
    print(f"control, a disk that lies about flushes: {bad} of {controls} bad", flush=True)
    well &= bad > 0
    if sync == "interval":
        bad, _, _ = look("always", controls)
        print(f'control, "interval" held to the promise of "always": {bad} of {controls} bad', flush=True)
        well &= bad > 0
    return well


def other_lives(arguments, folder, seed):
    """One with a disk that fails in the end, and, as a control, one of a coapd whose syncs do nothing."""
    config = CONFIG.format(listen="0.0.0.0:5683", folder="/data", sync="always", interval=INTERVAL_MS)
    cuts = max(5, arguments.cuts // 5)
    kernel, root = guests.make_root(arguments.cache, arguments.binary, config)
    disk, since, sent = one_life(folder, kernel, root, arguments.seconds / 2, seed, fail=True)
    bad, complaints, _ = examine(
        disk, since, sent, "always", cuts, seed, arguments.binary, folder, evidence=arguments.cache / "evidence"
    )
    print(f"a disk whose writes fail, then cuts: {cuts} cuts, {bad} bad", flush=True)
    for complaint in complaints[:5]:
        print(complaint)
    well = bad == 0
    (eatmydata,) = Path("/usr/lib").glob("*/libeatmydata.so")
    kernel, root = guests.make_root(arguments.cache, arguments.binary, config, preload=eatmydata)
    disk, since, sent = one_life(folder, kernel, root, arguments.seconds / 2, seed)
    bad, _, _ = examine(disk, since, sent, "always", cuts, seed, arguments.binary, folder)
    print(f"control, a coapd under libeatmydata: {bad} of {cuts} bad", flush=True)
    return well and bad > 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--cuts", type=int, default=30, help="for each mode and life")
    parser.add_argument("--lives", type=int, default=1, help="how often the machine is booted for each mode")
    parser.add_argument("--seconds", type=float, default=10, help="of work in each life")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    arguments.cache.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="coapd-powercut-", dir="/dev/shm"))
    well = True
    try:
        for life in range(arguments.lives):
            for sync in ("always", "interval"):
                well &= one_mode(arguments, folder, sync, arguments.cuts, arguments.seed + life)
        well &= other_lives(arguments, folder, arguments.seed)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print("passed" if well else "failed")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
