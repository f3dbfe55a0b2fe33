# SPDX-License-Identifier: BSD-2-Clause
"""Floods against the secure endpoints: whoever has a key still gets in."""

import os
import random
import select
import socket
import struct
import threading
import time
from subprocess import DEVNULL, PIPE, Popen

import pytest

from certificates import PSK_IDENTITY, PSK_KEY
from clients import coap_client
from daemon import SANITIZED, SLOW

SUITES = struct.pack("!6H", 0xC0A8, 0xC0A4, 0x00AE, 0xC0AE, 0xC02B, 0x00FF)


def client_hello(cookie=b"", message=0):
    """A ClientHello of DTLS 1.2 (RFC 6347, 4.2.1) that offers PSK and ECDHE-ECDSA."""
    curves = struct.pack("!HHHH", 10, 4, 2, 23) + struct.pack("!HHBB", 11, 2, 1, 0)
    signatures = struct.pack("!HHHH", 13, 4, 2, 0x0403)
    extensions = curves + signatures
    body = b"\xfe\xfd" + os.urandom(32) + b"\0" + bytes([len(cookie)]) + cookie
    body += struct.pack("!H", len(SUITES)) + SUITES + b"\1\0" + struct.pack("!H", len(extensions)) + extensions
    size = struct.pack("!I", len(body))[1:]
    handshake = b"\1" + size + struct.pack("!H", message) + b"\0\0\0" + size + body
    return b"\x16\xfe\xfd" + b"\0\0" + struct.pack("!Q", message)[2:] + struct.pack("!H", len(handshake)) + handshake


def cookie_of(reply):
    """The cookie of a HelloVerifyRequest; None: it is something else."""
    if len(reply) < 28 or reply[0] != 22 or reply[13] != 3:
        return None
    return reply[28:28 + reply[27]]


def secure(coapd, **security):
    return coapd(endpoints=["coaps://127.0.0.1:{port}"], security=security)


class Flood(threading.Thread):
    """Sends what `make()` returns from socket after socket, at most `rate` a second, until it is stopped."""

    def __init__(self, port, sockets, rate, step):
        super().__init__(daemon=True)
        self.sockets = []
        for _ in range(sockets):
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setblocking(False)
            s.connect(("127.0.0.1", port))
            self.sockets.append(s)
        self.rate, self.step = rate, step
        self.sent = 0
        self.over = threading.Event()

    def run(self):
        began = time.monotonic()
        while not self.over.is_set():
            behind = (time.monotonic() - began) * self.rate - self.sent
            for _ in range(int(behind)):
                self.step(self.sockets[self.sent % len(self.sockets)])
                self.sent += 1
            self.over.wait(0.005)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join(10)
        for s in self.sockets:
            s.close()


def drain(s):
    try:
        return s.recv(4096)
    except OSError:
        return b""


def hello_without_cookie(s):
    drain(s)
    try:
        s.send(client_hello())
    except OSError:
        pass


def half_a_handshake(s):
    """With the cookie this time, and then nothing more."""
    cookie = cookie_of(drain(s))
    try:
        s.send(client_hello(cookie, 1) if cookie else client_hello())
    except OSError:
        pass


def get_time(daemon):
    began = time.monotonic()
    result = coap_client("-v", "0", "-u", PSK_IDENTITY, "-k", PSK_KEY, daemon.uri("time", "coaps"), wait=9)
    return (time.monotonic() - began) if result.stdout.strip() else None


def get_in(daemon, seconds=2):
    """Handshakes with a GET, one client after the other: how many, how many a second, the daemon's time for all."""
    began, n, start = time.monotonic(), 0, daemon.cpu_time()
    while time.monotonic() - began < seconds:
        assert get_time(daemon) is not None, n
        n += 1
    return n, n / (time.monotonic() - began), daemon.cpu_time().ran - start.ran


# What a step may cost the daemon, counted in handshakes with a GET.
@pytest.mark.parametrize("step, most", [(hello_without_cookie, 0.3), (half_a_handshake, 0.5)])
def test_clients_get_in_during_a_flood_of_hellos(coapd, certificates, step, most):
    daemon = secure(coapd, psk=certificates.psk(), pki=certificates.pki())
    n, quiet, ran = get_in(daemon)
    handshake, before = ran / n, daemon.rss()
    slow = SLOW if SANITIZED else 1
    with Flood(daemon.port, 3000 // slow, 2000 // slow, step) as flood:
        while flood.sent < 4000 // slow:
            time.sleep(0.05)
        sent, began = flood.sent, time.monotonic()
        n, flooded, ran = get_in(daemon)
        sent, took = flood.sent - sent, time.monotonic() - began
        grown = daemon.rss() - before
    cost = (ran - n * handshake) / sent / handshake
    print(f"{step.__name__}, {sent / took:.0f} a second: {flooded:.0f} handshakes and GETs a second, {quiet:.0f} without; "
          f"a step costs {cost:.2f} of {handshake * 1e6:.0f} us; {grown / 1e6:.1f} MB more")
    assert cost < most
    if not SANITIZED:  # whose quarantine keeps what was freed
        assert grown < 40e6


def test_handshakes_are_bounded(coapd, certificates):
    daemon = coapd(security={"psk": certificates.psk()}, limits={"handshakes": 20},
                   resources=[{"path": "time", "kind": "time"}, {"path": "status", "kind": "status"}])
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", f"coaps://127.0.0.1:{daemon.port + 1}"])
    daemon.restart()
    with Flood(daemon.port + 1, 200, 1000, half_a_handshake) as flood:
        while flood.sent < 1000:
            time.sleep(0.05)
        assert rate_of_one(daemon)
    with daemon.client() as client:
        status = dict(line.split(" ", 1) for line in client.get_blocks("status", 1024).payload.decode().splitlines())
    assert int(status["handshakes_ended"]) > 0


def rate_of_one(daemon):
    result = coap_client("-v", "0", "-u", PSK_IDENTITY, "-k", PSK_KEY,
                         daemon.uri("time", "coaps", port=daemon.port + 1), wait=9)
    return result.stdout.strip()


def test_a_hello_is_answered_with_less_than_it_brings_and_forgotten(coapd, certificates):
    daemon = secure(coapd, psk=certificates.psk())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", daemon.port))
        s.settimeout(5)
        hello = client_hello()
        s.send(hello)
        reply = s.recv(4096)
        assert cookie_of(reply)
        assert len(reply) <= len(hello)
        # A cookie of somebody else's is worth nothing.
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.connect(("127.0.0.1", daemon.port))
            other.settimeout(5)
            other.send(client_hello(cookie_of(reply), 1))
            assert cookie_of(other.recv(4096))
        s.send(client_hello(cookie_of(reply), 1))
        assert s.recv(4096)[13] == 2  # ServerHello


def test_garbage_that_looks_like_dtls_is_survived(coapd, certificates):
    daemon = secure(coapd, psk=certificates.psk(), pki=certificates.pki())
    rng = random.Random(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", daemon.port))
        for i in range(3000):
            datagram = bytearray(client_hello(rng.randbytes(rng.randrange(0, 32)), rng.randrange(3)))
            for _ in range(rng.randrange(1, 6)):
                datagram[rng.randrange(len(datagram))] = rng.randrange(256)
            s.send(datagram[:rng.randrange(1, len(datagram) + 1)])
            if i % 50 == 0:
                select.select([s], [], [], 0.01)
    assert get_time(daemon) is not None


def test_a_device_that_restarts_comes_back_from_the_same_port(coapd, certificates):
    """Its old session is still up here, and it knows nothing of it (RFC 6347, 4.2.8)."""
    daemon = secure(coapd, psk=certificates.psk())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    identity = ["-u", PSK_IDENTITY, "-k", PSK_KEY]
    for _ in range(3):
        client = Popen(["coap-client-gnutls", "-v", "0", "-w", "-p", str(port), *identity, "-s", "30", "-B", "30",
                        daemon.uri("time", "coaps")], stdout=PIPE, stderr=DEVNULL, text=True)
        assert select.select([client.stdout], [], [], 10)[0], "no answer within 10 s"
        assert client.stdout.readline().strip()
        client.kill()  # no goodbye
        client.communicate()
