# SPDX-License-Identifier: BSD-2-Clause
"""The real coapd as a child process: its config, its life and death, and what it said meanwhile.

Nothing here sleeps: readiness, reloads and ends are awaited as events, over $NOTIFY_SOCKET (sd_notify(3)) and a
pidfd.
"""

import atexit
import os
import random
import re
import select
import signal
import socket
import subprocess
import threading
import time
from collections import namedtuple
from pathlib import Path

import coap

BINARY = os.environ.get("COAPD_BIN", "")
SANITIZED = bool(os.environ.get("COAPD_SANITIZE"))
# How patient to be: sanitizers on a busy machine are slow.
SLOW = 5 if SANITIZED else 2

SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|runtime error:|SUMMARY: \w+Sanitizer|Assertion .* failed")

CpuTime = namedtuple("CpuTime", "ran waited")

_held_ports = {}


def free_port():
    """A port that is free for UDP and TCP on IPv4 and IPv6, and that no other test picks while this process lives.

    Not of the kernel's range for clients, so that no client of another test gets it. An abstract socket of that
    number is the mark by which the tests of one machine keep off each other.
    """
    for _ in range(1000):
        port = random.SystemRandom().randrange(10000, 32000)
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0coapd-test-port-{port}")
        except OSError:
            mark.close()
            continue
        try:
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                for family, any_address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                    with socket.socket(family, kind) as probe:
                        if family == socket.AF_INET6:
                            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                        probe.bind((any_address, port))
        except OSError:
            mark.close()
            continue
        _held_ports[port] = mark
        return port
    raise RuntimeError("no free port found")


# --- the config: Python values as libconfig writes them ---


def libconfig(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}L" if abs(value) > 0x7FFFFFFF else str(value)
    if isinstance(value, (str, Path)):
        escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'
    if isinstance(value, dict):
        return "{ " + " ".join(f"{key} = {libconfig(v)};" for key, v in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "( " + ", ".join(libconfig(v) for v in value) + " )"
    raise TypeError(f"no such value in libconfig: {value!r}")


def config_text(groups):
    return "".join(f"{key} = {libconfig(value)};\n" for key, value in groups.items() if value is not None)


# What a test has that says nothing of access: to create takes a rule.
ANYTHING = {"path": "/**", "methods": ["*"], "allow": ["anyone"]}


class Coapd:
    """One coapd with a folder, a port and a config of its own. Made by the fixture `coapd`."""

    def __init__(self, folder, groups):
        self.folder = Path(folder)
        self.port = free_port()
        self.file = self.folder / "coapd.conf"
        self.process = None
        self.log = ""  # of the runs that ended
        self.runs = 0
        self.expected_end = None
        self.environment = {}
        self.prefix = []  # a command that runs it, such as nsenter
        self.groups = self._defaults(groups)
        self.write_config()

    def _defaults(self, groups):
        config = {
            "server": {"log_level": "debug" if os.environ.get("COAPD_TEST_DEBUG") else "info"},
            "endpoints": ["coap://127.0.0.1:{port}", "coap://[::1]:{port}"],
            "resources": [{"path": "time", "kind": "time", "title": "Clock"}],
            "dynamic": {"enable": True, "prefix": [""]},
            "access": [ANYTHING],
            "persist": self.persist(),
        }
        config.update(groups)
        return config

    def persist(self, **more):
        """The group `persist` with all three files in the test's folder."""
        files = ("dynamic_resources", "observers", "observe_counters")
        return {**{key: self.folder / key.replace("_", "-") for key in files}, **more}

    def write_config(self, **changes):
        """Changes groups of the config; None takes one out. {port} in an endpoint is the daemon's own."""
        self.groups.update(changes)
        groups = dict(self.groups)
        groups["endpoints"] = [self._endpoint(e) for e in groups["endpoints"] or ()]
        self.file.write_text(config_text(groups))

    def _endpoint(self, entry):
        entry = {"uri": entry} if isinstance(entry, str) else dict(entry)
        entry["uri"] = entry["uri"].replace("{port}", str(self.port))
        return entry

    # --- life and death ---

    def command(self, *arguments):
        return [*self.prefix, BINARY, "-c", str(self.file), *arguments]

    def start(self, wait=True):
        """Starts it and waits until it says READY=1; an early end raises with its log."""
        assert self.process is None, "it runs already"
        self.runs += 1
        self.expected_end = None
        notify_path = self.folder / f"notify-{self.runs}"
        self._listener = Listener(notify_path)
        self._stderr_path = self.folder / f"stderr-{self.runs}"
        with open(self._stderr_path, "wb") as stderr:
            self.process = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env={**os.environ, "NOTIFY_SOCKET": str(notify_path), **self.environment},
                cwd=self.folder,
            )
        _running.add(self)
        self._pidfd = os.pidfd_open(self.process.pid)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, count=1, timeout=20.0):
        """Waits for the `count`th READY=1 of this run."""
        self._await(lambda states: states.count("READY=1") >= count, timeout, "READY=1")

    def _await(self, condition, timeout, what):
        if not self._listener.wait(condition, self._pidfd, timeout):
            ended = self.process.poll()
            how = f"ended with {ended}" if ended is not None else f"is silent for {timeout} s"
            raise AssertionError(f"coapd {how} before it said {what}:\n{self.stderr}")

    @property
    def states(self):
        """What it told the service manager in this run, in order."""
        return self._listener.snapshot()

    @property
    def status(self):
        """The last STATUS= text."""
        return next((s[7:] for s in reversed(self.states) if s.startswith("STATUS=")), "")

    def await_status(self, text, timeout=20.0):
        """Until the last STATUS= has the text in it."""
        self._await(lambda states: text in next((s for s in reversed(states) if s.startswith("STATUS=")), ""),
                    timeout, text)

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def stderr(self):
        """What this run, or the last one, wrote."""
        return self._stderr_path.read_text(errors="replace") if self.runs else ""

    def send_signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=10.0):
        """Waits for its end and returns the exit code; negative: the signal that ended it."""
        select.select([self._pidfd], [], [], timeout)
        code = self.process.poll()
        if code is None:
            raise AssertionError(f"coapd still runs after {timeout} s:\n{self.stderr}")
        os.close(self._pidfd)
        self._listener.close()
        self.process = None
        _running.discard(self)
        self.log += f"--- run {self.runs}, ended with {code}\n{self.stderr}"
        complaint = SANITIZER.search(self.stderr)
        assert not complaint, f"{complaint.group(0)}\n{self.stderr}"
        return code

    def stop(self, number=signal.SIGTERM, timeout=None):
        """A clean stop: exit code 0, and soon."""
        began = time.monotonic()
        self.send_signal(number)
        code = self.wait(timeout or 2.5 * SLOW)
        assert code == 0, f"exit code {code} after {signal.Signals(number).name}:\n{self.stderr}"
        return time.monotonic() - began

    def kill(self):
        self.send_signal(signal.SIGKILL)
        assert self.wait() == -signal.SIGKILL

    def restart(self, how="stop"):
        """stop() or kill(), and start()."""
        getattr(self, how)()
        return self.start()

    def reload(self, timeout=20.0):
        """SIGHUP, until it is ready again; returns what it logged meanwhile."""
        before, ready = len(self.stderr), self.states.count("READY=1")
        self.send_signal(signal.SIGHUP)
        self._await(lambda states: states.count("READY=1") > ready, timeout, "READY=1 after SIGHUP")
        return self.stderr[before:]

    def end(self):
        """For the fixture: whatever still runs is stopped, and must stop well."""
        if self.process is None:
            return
        code = self.process.poll()
        if code is not None:
            self.wait()
            raise AssertionError(f"coapd ended by itself with {code}:\n{self.stderr}")
        self.stop()

    # --- what it needs of the machine ---

    def _proc(self, name):
        return Path(f"/proc/{self.pid}/{name}").read_text()

    def wakeups(self):
        """How often it went to sleep of its own will."""
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", self._proc("status"), re.M).group(1))

    def rss(self):
        """Resident memory in bytes."""
        return int(self._proc("statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_time(self):
        """Seconds that all its threads ran, and that they waited for a processor."""
        threads = [self._proc(f"task/{thread}/schedstat").split() for thread in os.listdir(f"/proc/{self.pid}/task")]
        return CpuTime(sum(int(t[0]) for t in threads) / 1e9, sum(int(t[1]) for t in threads) / 1e9)

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # --- clients ---

    def uri(self, path="", scheme="coap", host="127.0.0.1", port=None):
        name = f"[{host}]" if ":" in host else host
        return f"{scheme}://{name}:{port or self.port}/{path}"

    def client(self, host="127.0.0.1", **more):
        """A coap.Client; close it, or use it in a with."""
        return coap.Client(self.port, host, **more)

    def alive(self):
        """It answers a GET and a ping: nothing that came before hurt it."""
        assert self.running, f"coapd is gone:\n{self.stderr}"
        with self.client() as client:
            assert client.get(".well-known/core").text == "2.05"
            client.ping()


class Listener:
    """The service manager's end of sd_notify(3). Reads at once, since a full socket would stop the daemon."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.states = []
        self.changed = threading.Condition()
        self.ended = False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self):
        while not self.ended:
            data = self.socket.recv(65536)
            with self.changed:
                self.states += data.decode().splitlines()
                self.changed.notify_all()

    def snapshot(self):
        with self.changed:
            return list(self.states)

    def wait(self, condition, pidfd, timeout):
        """Until the condition holds; False when the time is over or the process has ended without."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            # What it said before it ended is read before its end is believed.
            gone = bool(select.select([pidfd], [], [], 0)[0])
            with self.changed:
                if condition(self.states):
                    return True
                if not gone:
                    self.changed.wait(0.05)
            if gone:
                self._drained()
                return condition(self.snapshot())
        return False

    def _drained(self):
        """A message of our own comes behind all others."""
        self._tell("DRAINED=1")
        with self.changed:
            self.changed.wait_for(lambda: "DRAINED=1" in self.states, 5)
            self.states.remove("DRAINED=1")

    def _tell(self, text):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.sendto(text.encode(), self.socket.getsockname())

    def close(self):
        self._drained()
        self.ended = True
        self._tell("CLOSED=1")
        self.thread.join(5)
        self.socket.close()


_running = set()


@atexit.register
def _kill_leftovers():
    """An interrupted run leaves no daemon behind."""
    for daemon in list(_running):
        if daemon.process and daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()
