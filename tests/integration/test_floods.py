# SPDX-License-Identifier: BSD-2-Clause
"""Floods that need no key: whoever is honest goes on being served. test_security_flood.py has those of DTLS.

Every request of an honest client is answered, in the end. How many a second that are is printed (pytest -s) and not
judged: the flood, the client and the daemon share a machine, with whatever else it does.
"""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from coap_stream import StreamClient
from daemon import SANITIZED, SLOW

RESOURCES = [{"path": "time", "kind": "time"}, {"path": "long", "kind": "static", "content": "x" * 60000}]


@contextmanager
def flood(kind, port, rate, counts):
    """`counts` gets the number of steps and how many they were a second."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("flood.py")), kind, str(port), str(rate)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "up\n"
        yield
        out, _ = process.communicate("", timeout=60)
        counts.extend(int(word) for word in out.split())
    finally:
        process.kill()
        process.wait()


def rate(client, seconds=1.0):
    """Each request is answered, in the end; returns how many were, a second."""
    began, n = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        assert client.get("time", timeout=30).text == "2.05"
        n += 1
    return n / (time.monotonic() - began)


@pytest.mark.parametrize("kind, transport, steps", [
    ("sources", "UDP", 4000), ("blocks", "UDP", 2000), ("observers", "UDP", 2000), ("readers", "UDP", 100),
    ("readers", "TCP", 100), ("hellos", "TCP", 500),
])
def test_the_honest_are_served(coapd, kind, transport, steps):
    daemon = coapd(
        endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"], resources=RESOURCES,
        server={"log_level": "warning", "max_sessions": 5000},
        access=[{"path": "/**", "methods": ["*"], "allow": ["anyone"]}],
    )
    open_client = daemon.client if transport == "UDP" else lambda: StreamClient(daemon.port)
    counts = []
    with open_client() as honest:
        quiet = rate(honest)
        before = daemon.rss()
        with flood(kind, daemon.port, steps if not SANITIZED else steps / SLOW, counts):
            flooded = rate(honest)
            with open_client() as newcomer:
                assert newcomer.get("time", timeout=30).text == "2.05"
            with daemon.client() as writer:
                assert writer.put("new", b"x", timeout=30).text in ("2.01", "2.04")
            grown = daemon.rss() - before
    print(f"{kind} against {transport}, {counts[1]} steps a second: {flooded:.0f} requests a second, {quiet:.0f} without; "
          f"{grown / 1e6:.1f} MB more")
    daemon.alive()
    if not SANITIZED:  # whose quarantine keeps what was freed
        assert grown < 40e6
