# SPDX-License-Identifier: BSD-2-Clause
"""Floods that need no key: whoever is honest goes on being served. test_security_flood.py has those of DTLS.

Every request of an honest client is answered, over UDP without being sent again. How many a second that are is printed
(pytest -s) and not judged: the flood, the client and the daemon share a machine, with whatever else it does. Judged is
what does not change with that: what a datagram of the flood takes of the daemon's processor time, in honest GETs.
"""

import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from coap_stream import StreamClient
from daemon import SANITIZED, SLOW

RESOURCES = [{"path": "time", "kind": "time"}, {"path": "status", "kind": "status"},
             {"path": "long", "kind": "static", "content": "x" * 60000}]


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


def ask(client, seconds=1.0):
    """Each request is answered, in the end; returns how many were, and how many a second."""
    began, n = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        assert client.get("time", timeout=30).text == "2.05"
        n += 1
    return n, n / (time.monotonic() - began)


def datagrams_received(daemon):
    with daemon.client() as client:
        return int(re.search(rb"^datagrams_received (\d+)$", client.get_blocks("status", 1024, timeout=30).payload, re.M).group(1))


# Steps a second, and how many honest GETs one may cost: about twice the most that was seen, with and without two
# other programs that took all of the two cores. Where there are few steps a second, no such figure was steady.
@pytest.mark.parametrize("kind, transport, steps, most", [
    ("sources", "UDP", 4000, 8), ("blocks", "UDP", 2000, 12), ("observers", "UDP", 2000, 12),
    ("readers", "UDP", 100, None), ("readers", "TCP", 100, None), ("hellos", "TCP", 500, None),
])
def test_the_honest_are_served(coapd, kind, transport, steps, most):
    daemon = coapd(
        endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"], resources=RESOURCES,
        server={"log_level": "warning", "max_sessions": 5000},
        access=[{"path": "/**", "methods": ["*"], "allow": ["anyone"]}],
    )
    open_client = daemon.client if transport == "UDP" else lambda: StreamClient(daemon.port)
    counts = []
    with open_client() as honest:
        start = daemon.cpu_time()
        n, quiet = ask(honest)
        calm = daemon.cpu_time()
        get = (calm.ran - start.ran) / n
        before, received = daemon.rss(), datagrams_received(daemon)
        with flood(kind, daemon.port, steps if not SANITIZED else steps / SLOW, counts):
            n, flooded = ask(honest)
            with open_client() as newcomer:
                assert newcomer.get("time", timeout=30).text == "2.05"
            with daemon.client() as writer:
                assert writer.put("new", b"x", timeout=30).text in ("2.01", "2.04")
            grown = daemon.rss() - before
        end, received = daemon.cpu_time(), datagrams_received(daemon) - received
        again = honest.sent_again if transport == "UDP" else 0
    cost = (end.ran - calm.ran - n * get) / (received - n) / get if most else 0
    print(f"{kind} against {transport}, {counts[1]} steps a second: {flooded:.0f} requests a second, {quiet:.0f} without; "
          f"{again} sent again" + (f", a step costs {cost:.1f} GETs" if most else "") + f"; {grown / 1e6:.1f} MB more")
    daemon.alive()
    # Who waits for a processor for so long in all cannot be blamed for an answer that is late.
    assert again == 0 or end.waited - calm.waited > honest.ACK_TIMEOUT
    if not SANITIZED:  # with which there are few steps, and whose quarantine keeps what was freed
        assert most is None or cost < most
        assert grown < 40e6
