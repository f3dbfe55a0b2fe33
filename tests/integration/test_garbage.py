# SPDX-License-Identifier: BSD-2-Clause
"""Whatever comes in: coapd lives, answers, and takes no more memory.

All of it is drawn from a seed, so that a failure comes again. COAPD_GARBAGE=1000000 makes it a million datagrams, as
many TCP frames and as many WebSocket frames."""

import contextlib
import os
import random
import re
import select
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import coap
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import tls_psk_context
from coap_stream import CSM, Closed, StreamClient, WebSocketClient
from daemon import SANITIZED, free_port

COUNT = int(os.environ.get("COAPD_GARBAGE", "0")) or (3000 if SANITIZED else 10000)
SEED = int(os.environ.get("COAPD_TEST_SEED", "1"))
# Small limits, so that what a mutated PUT creates is bounded and the memory it takes is soon all taken.
LIMITS = {"enable": True, "prefix": [""], "max_resources": 40, "max_size": 2000, "max_total_size": 20000}
RESOURCES = [
    {"path": "time", "kind": "time"},
    {"path": "long", "kind": "static", "content": "x" * 5000},
]


def valid_messages(rng):
    """Messages of every sort that coapd answers."""
    mid = rng.randrange(65536)
    token = rng.randbytes(rng.choice([0, 1, 4, 8, 13, 40]))
    kind = rng.choice([coap.CON, coap.NON])
    path = rng.choice(["time", "long", ".well-known/core", "new/%d" % rng.randrange(60), "a/b/c/d/e", ""])
    method = rng.choice([coap.GET] * 4 + [coap.PUT, coap.POST, coap.DELETE, coap.FETCH, coap.PATCH, coap.IPATCH])
    more = []
    for number, value in (
        (coap.OBSERVE, rng.choice([b"", b"\1"])), (coap.ACCEPT, coap.uint(rng.choice([0, 40, 50, 257]))),
        (coap.CONTENT_FORMAT, coap.uint(rng.choice([0, 50, 65000]))), (coap.IF_MATCH, rng.randbytes(rng.randrange(9))),
        (coap.IF_NONE_MATCH, b""), (coap.ETAG, rng.randbytes(rng.randrange(1, 9))), (coap.URI_HOST, b"host"),
        (coap.BLOCK1, coap.uint(rng.randrange(1 << rng.choice([4, 8, 24])))), (coap.SIZE1, coap.uint(rng.getrandbits(32))),
        (coap.BLOCK2, coap.uint(rng.randrange(1 << rng.choice([4, 8, 24])))), (coap.SIZE2, b""),
        (coap.HOP_LIMIT, b"\5"), (coap.NO_RESPONSE, b"\2"), (coap.REQUEST_TAG, rng.randbytes(rng.randrange(9))),
        (coap.ECHO, rng.randbytes(8)), (coap.PROXY_URI, b"coap://127.0.0.1/x"), (coap.OSCORE, rng.randbytes(6)),
        (coap.Q_BLOCK1, b"\6"), (coap.Q_BLOCK2, b"\6"), (rng.randrange(65536), rng.randbytes(rng.randrange(40))),
    ):
        if rng.random() < 0.15:
            more.append((number, value))
    return coap.Message(
        method, type=kind, mid=mid, token=token,
        options=coap.request_options(path, query=rng.choice([[], ["secs"], ["rt=x", "a=b"]]), extra=more),
        payload=rng.randbytes(rng.choice([0, 0, 3, 64, 1024])),
    )


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 5])):
        if not data:
            break
        at = rng.randrange(len(data))
        how = rng.randrange(6)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at] = rng.choice([0, 0xFF, 0x7F, 0x80, 0xD0, 0xE0, 0xDD, 0xEE])
        elif how == 2:
            del data[at:]
        elif how == 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 20))
        elif how == 4:
            data[at:at] = bytes([rng.choice([0xD0, 0xE0, 0x0D, 0x0E, 0xF0, 0x0F])]) * rng.randrange(1, 5)
        else:
            data += data[at:]
    return bytes(data[:1400])


def datagrams(rng, count):
    for _ in range(count):
        how = rng.random()
        if how < 0.15:
            yield rng.randbytes(rng.randrange(0, 1400))
        elif how < 0.25:
            yield bytes([0x40 | rng.randrange(64)]) + rng.randbytes(rng.randrange(0, 60))
        else:
            yield mutated(rng, valid_messages(rng).encode())


def drain(clients):
    for client in clients:
        while select.select([client.socket], [], [], 0)[0] and client.socket.recv(65536):
            pass


# --- as many as one likes ---


def stream_frames(rng):
    """Frames of one connection, most of which do not end it."""
    for _ in range(20):
        message = valid_messages(rng)
        how = rng.random()
        if how < 0.6:  # as long as it says, whatever is in it
            data = mutated(rng, message.encode())[4:]
            token = min(len(data), rng.choice([0, 1, 8]))
            rest = len(data) - token
            length = (bytes([rest << 4 | token]) if rest < 13 else bytes([13 << 4 | token, rest - 13]) if rest < 269
                      else bytes([14 << 4 | token]) + struct.pack("!H", rest - 269))
            yield length + bytes([message.code]) + data
        elif how < 0.8:
            yield message.encode_stream()
        else:
            yield mutated(rng, message.encode_stream())


def websocket_frames(rng):
    for _ in range(20):
        how = rng.random()
        message = valid_messages(rng).encode_websocket()
        if how < 0.7:
            yield WebSocketClient.frame(mutated(rng, message))
        elif how < 0.85:
            yield WebSocketClient.frame(message, opcode=rng.choice([0, 1, 2, 2, 9, 10, 11]))
        else:
            yield mutated(rng, WebSocketClient.frame(message))


def send_datagrams(daemon, rng, count, clients):
    for i, data in enumerate(datagrams(rng, count)):
        clients[i % len(clients)].send_raw(data)
        if i % 100 == 99:
            # What is not read is lost, which is fine; what is not served would be, too, but is not.
            drain(clients)
            with daemon.client() as sane:
                assert sane.get("time").text == "2.05"
    return count


def send_frames(daemon, rng, count, kind, port, frames):
    """Connection after connection, each until the daemon has enough of it. Returns how many frames were sent."""
    sent = 0
    while sent < count:
        with contextlib.suppress(OSError, Closed), kind(port) as client:
            for data in frames(rng):
                client.send_raw(data)
                sent += 1
                drain([client])
            # It reads all of it, or hangs up before; what it answers is of no interest.
            client.socket.shutdown(socket.SHUT_WR)
            while client.socket.recv(65536):
                pass
    return sent


@pytest.mark.parametrize("transport", ["datagrams", "TCP", "WebSockets"])
def test_a_great_many(coapd, transport):
    websockets = free_port()
    daemon = coapd(
        endpoints=["coap://127.0.0.1:{port}", "coap://[::1]:{port}", "coap+tcp://127.0.0.1:{port}",
                   f"coap+ws://127.0.0.1:{websockets}"],
        server={"log_level": "error", "max_sessions": 200}, resources=RESOURCES, dynamic=LIMITS,
        # Each request with other options begins another observation, a thousand of them would take 1.3 MiB.
        limits={"observations_per_session": 20},
    )
    rng = random.Random(SEED + 7)
    rounds, memory, sent = 10, [daemon.rss()], 0
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        # The same ones all the time: new ones would leave their observations behind, until the daemon looks after them.
        clients = [stack.enter_context(daemon.client(host)) for host in ("127.0.0.1", "::1") for _ in range(5)]
        for _ in range(rounds):
            if transport == "datagrams":
                sent += send_datagrams(daemon, rng, COUNT // rounds, clients)
            elif transport == "TCP":
                sent += send_frames(daemon, rng, COUNT // rounds, StreamClient, daemon.port, stream_frames)
            else:
                sent += send_frames(daemon, rng, COUNT // rounds, WebSocketClient, websockets, websocket_frames)
            daemon.alive()
            memory.append(daemon.rss())
    print(f"{sent} {transport} in {time.monotonic() - began:.0f} s; resident memory in MiB: "
          + " ".join(f"{size / (1 << 20):.1f}" for size in memory))
    if not SANITIZED:
        # The first rounds fill what is bounded.
        assert memory[-1] - memory[rounds // 2] < 1 << 20, memory


def test_mutated_requests_do_not_stop_observers(coapd):
    daemon = coapd(resources=RESOURCES, dynamic=LIMITS)
    rng = random.Random(SEED + 1)
    with daemon.client() as watcher, daemon.client("::1") as rude:
        watch = watcher.observe("time")
        for data in datagrams(rng, 1500):
            rude.send_raw(data)
        for _ in range(3):
            assert watch.fresh().text == "2.05"


def test_responses_and_resets_from_nowhere(coapd):
    """Messages that only a server sends."""
    daemon = coapd()
    rng = random.Random(SEED + 2)
    with daemon.client() as client:
        for _ in range(500):
            message = valid_messages(rng)
            message.type = rng.randrange(4)
            message.code = rng.choice([0, 0x45, 0x84, 0xA0, 0x5F, 0xE1, 0xE2, 0x1F, 0x20, 0x60])
            client.send(message)
    daemon.alive()


def test_sources_of_all_ports(coapd):
    """A session for every port is forgotten in time, and costs little meanwhile."""
    daemon = coapd(server={"log_level": "info", "max_sessions": 200})
    before = daemon.rss()
    for _ in range(2000):
        with daemon.client() as client:
            client.send(coap.Message(coap.GET, type=coap.NON, options=coap.request_options("time")))
            client.receive(10)
    if not SANITIZED:
        assert daemon.rss() - before < 2 << 20
    daemon.alive()


# --- streams ---


def stream_garbage(rng):
    for _ in range(60 if SANITIZED else 150):
        how = rng.randrange(6)
        if how == 0:
            yield rng.randbytes(rng.randrange(1, 3000))
        elif how == 1:  # a length of 4 GiB
            yield b"\xf8\xff\xff\xff\xff\x01" + rng.randbytes(100)
        elif how == 2:  # 7 MiB, within what libcoap takes
            yield b"\xf0\x00\x70\x00\x00\x01" + rng.randbytes(100)
        elif how == 3:
            yield b"".join(mutated(rng, valid_messages(rng).encode_stream()) for _ in range(5))
        elif how == 4:
            yield coap.Message(CSM, options=[(rng.randrange(20), rng.randbytes(rng.randrange(9)))]).encode_stream()
        else:
            yield mutated(rng, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")


def test_tcp(coapd):
    daemon = coapd(endpoints=["coap+tcp://127.0.0.1:{port}", "coap://127.0.0.1:{port}"], resources=RESOURCES, dynamic=LIMITS)
    rng = random.Random(SEED + 3)
    with StreamClient(daemon.port) as bystander:
        for sane_start in (False, True):
            memory = []
            for i, data in enumerate(stream_garbage(rng)):
                with contextlib.suppress(OSError, Closed), StreamClient(daemon.port, csm=sane_start) as client:
                    client.send_raw(data)
                if i % 20 == 19:
                    assert bystander.get("time").text == "2.05"
                    memory.append(daemon.rss())
            if not SANITIZED:
                assert memory[-1] - memory[1] < 1 << 20, memory
    daemon.alive()


def test_tcp_claims_and_waits(coapd):
    """Connections that claim a large message and send nothing more do not take the memory they claim."""
    daemon = coapd(endpoints=["coap+tcp://127.0.0.1:{port}", "coap://127.0.0.1:{port}"])
    clients = []
    try:
        before = daemon.rss()
        for _ in range(50):
            clients.append(StreamClient(daemon.port))
            clients[-1].send_raw(b"\xf0\x00\x70\x00\x00\x01" + b"x" * 100)
        daemon.alive()
        if not SANITIZED:
            assert daemon.rss() - before < 4 << 20
    finally:
        for client in clients:
            client.close()
    daemon.alive()


@pytest.mark.parametrize("secure", [False, True])
def test_websocket(coapd, certificates, secure):
    port = free_port()
    daemon = coapd(
        endpoints=["coap://127.0.0.1:{port}", f"coap{'s' if secure else ''}+ws://127.0.0.1:{port}"],
        resources=RESOURCES, dynamic=LIMITS, security={"psk": certificates.psk()} if secure else None,
    )
    rng = random.Random(SEED + 4)
    tls = tls_psk_context(PSK_IDENTITY, PSK_KEY) if secure else None
    frames = lambda one: [  # noqa: E731
        lambda: one.frame(mutated(rng, valid_messages(rng).encode_websocket())),
        lambda: mutated(rng, one.frame(valid_messages(rng).encode_websocket())),
        lambda: one.frame(rng.randbytes(rng.randrange(0, 5000)), opcode=rng.randrange(16)),
        lambda: bytes([0x82, 0xFF]) + b"\xff" * 8 + rng.randbytes(300),
        lambda: bytes([0x82, 0xFE, 0xFF, 0xFF]) + rng.randbytes(3000),
        lambda: bytes([0x82, 0x05]) + b"plain",
        lambda: rng.randbytes(rng.randrange(1, 2000)),
        lambda: one.frame(b""),
    ]

    def be_rude(i):
        with contextlib.suppress(OSError, Closed), WebSocketClient(port, tls=tls, csm=i % 2 == 0) as client:
            for _ in range(4):
                client.send_raw(rng.choice(frames(client))())

    # The rude ones in a thread of their own: OpenSSL's error queue belongs to the thread, and what their broken
    # connections leave in it would be taken for an error of the bystander's.
    with WebSocketClient(port, tls=tls) as bystander, ThreadPoolExecutor(1) as pool:
        for i in range(40 if secure or SANITIZED else 150):
            pool.submit(be_rude, i).result()
            if i % 10 == 9:
                assert bystander.get("time").text == "2.05"
    daemon.alive()


def test_a_closed_websocket_leaves_nothing(coapd):
    """Whether it says goodbye, or is thrown out for a frame that is not masked."""
    port = free_port()
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", f"coap+ws://127.0.0.1:{port}"],
                   resources=[*RESOURCES, {"path": "status", "kind": "status"}])

    def sessions_closed():
        with daemon.client() as client:
            return int(re.search(rb"^sessions_closed (\d+)$", client.get("status").payload, re.M).group(1))

    for _ in range(10):
        for last in (WebSocketClient.frame(b"\3\xe8", opcode=8), b"\x82\x05plain"):
            with WebSocketClient(port) as client:
                client.request(coap.GET, "time", observe=0)
                client.send_raw(last)
                client.wait_closed()
    end = time.monotonic() + 20
    while sessions_closed() < 20:
        assert time.monotonic() < end, sessions_closed()
        time.sleep(0.1)


def test_websocket_handshakes(coapd):
    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}", f"coap://127.0.0.1:{free_port()}"])
    rng = random.Random(SEED + 5)
    good = (b"GET /.well-known/coap HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: coap\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n")
    for _ in range(60 if SANITIZED else 200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", daemon.port)) as one:
            one.sendall(rng.choice([
                mutated(rng, good), good[: rng.randrange(len(good))], b"A" * rng.randrange(3000),
                good.replace(b"AAAA==", rng.randbytes(4) + b"=" * rng.randrange(300)),
                good.replace(b"coap\r\n", b"x" * rng.randrange(2000) + b"\r\n"), b"\r\n" * 50, b"\0" * 200,
            ]))
    with WebSocketClient(daemon.port) as sane:
        assert sane.get("time").text == "2.05"


def test_half_a_websocket_frame_at_the_end(coapd):
    """Stopped while frames are half in."""
    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}"])
    clients = [WebSocketClient(daemon.port) for _ in range(5)]
    for client in clients:
        client.send_raw(client.frame(b"x" * 1400)[:20])
    with WebSocketClient(daemon.port) as sane:
        assert sane.get("time").text == "2.05"
        for client in clients:
            client.send_raw(b"y" * 1000)
        daemon.stop()
    for client in clients:
        client.close()


def test_dtls(coapd, certificates):
    """Garbage instead of, and in the middle of, handshakes."""
    port = free_port()
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", f"coaps://127.0.0.1:{port}"], security={"psk": certificates.psk()})
    rng = random.Random(SEED + 6)
    hello = bytes.fromhex(
        "16feff0000000000000000003b010000300000000000000030fefd" + "11" * 32 + "0000000400a800ff01000002" + "0000"
    )
    with coap.Client(port) as client:
        for _ in range(400 if SANITIZED else 1500):
            client.send_raw(rng.choice([mutated(rng, hello), rng.randbytes(rng.randrange(200)), hello]))
    daemon.alive()
