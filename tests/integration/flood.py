# SPDX-License-Identifier: BSD-2-Clause
"""Floods of plain transports, as a program of their own: python3 flood.py KIND PORT RATE.

Sends as fast as RATE steps a second from ever new addresses of 127.0.0.0/8, says "up" on its standard output once
it has made a start, and ends with how many steps it made when its standard input is closed.
"""

import contextlib
import os
import select
import socket
import struct
import sys
import time

import coap
from coap_stream import CSM

STARTED = 300


def address(number):
    """Neither the honest client's nor one that the daemon listens on."""
    return f"127.{9 + number // 62500 % 100}.{number // 250 % 250}.{1 + number % 250}"


class Sources:
    """One socket that sends from any address of loopback, by IP_PKTINFO, and forgets what comes back."""

    def __init__(self, port):
        self.to = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("0.0.0.0", 0))
        self.socket.setblocking(False)

    def send(self, number, data):
        info = struct.pack("=i4s4s", 0, socket.inet_aton(address(number)), b"\0" * 4)
        with contextlib.suppress(BlockingIOError):
            self.socket.sendmsg([data], [(socket.IPPROTO_IP, socket.IP_PKTINFO, info)], 0, self.to)
        with contextlib.suppress(BlockingIOError):
            self.socket.recv(2048)


def sources(port):
    """A new source for each request: a session for each."""
    out = Sources(port)
    return lambda n: out.send(n, coap.Message(coap.GET, mid=n & 0xFFFF, options=coap.request_options("time")).encode())


def blocks(port):
    """Block-wise transfers that claim much, send one block and no more."""
    out = Sources(port)

    def step(n):
        options = coap.request_options(
            f"half/{n % 1000}", block1=coap.Block(0, True, 6),
            extra=[(coap.SIZE1, coap.uint(60000)), (coap.REQUEST_TAG, struct.pack("!I", n))])
        out.send(n, coap.Message(coap.PUT, mid=n & 0xFFFF, token=b"t", options=options, payload=b"x" * 1024).encode())

    return step


def observers(port):
    """They register and acknowledge nothing, up to 2,000 of them, again and again."""
    out = Sources(port)
    return lambda n: out.send(n % 2000, coap.Message(
        coap.GET, mid=n & 0xFFFF, token=b"o", options=coap.request_options("time", observe=0)).encode())


def readers(port):
    """TCP connections that ask for a long representation over and over, and never read."""
    open_ones = []
    ask = coap.Message(CSM).encode_stream() + coap.Message(
        coap.GET, token=b"r", options=coap.request_options("long")).encode_stream() * 50

    def step(n):
        if len(open_ones) >= 100:
            open_ones.pop(0).close()
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(OSError):
            one.bind((address(n), 0))
            one.connect(("127.0.0.1", port))
            one.setblocking(False)
            one.send(ask)
        open_ones.append(one)

    return step


def hellos(port):
    """Connections that say nothing."""
    open_ones = []

    def step(n):
        if len(open_ones) >= 500:
            open_ones.pop(0).close()
        one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with contextlib.suppress(OSError):
            one.bind((address(n), 0))
            one.connect(("127.0.0.1", port))
        open_ones.append(one)

    return step


def main():
    kind, port, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    step = {"sources": sources, "blocks": blocks, "observers": observers, "readers": readers, "hellos": hellos}[kind](port)
    began, n, told = time.monotonic(), 0, False
    while not select.select([0], [], [], 0.002)[0]:
        for _ in range(min(int((time.monotonic() - began) * rate) - n, 200)):
            step(n)
            n += 1
        if n >= STARTED and not told:
            os.write(1, b"up\n")
            told = True
    print(n, f"{n / (time.monotonic() - began):.0f}")


if __name__ == "__main__":
    main()
