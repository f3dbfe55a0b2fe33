# SPDX-License-Identifier: BSD-2-Clause
"""The load generator judges what it gets as it says: against a server that errs on purpose."""
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from bench.build import compile_programs  # noqa: E402

CON, NON, ACK, RST = range(4)
CONTENT, OBSERVE, MAX_AGE = 0x45, 6, 14


@pytest.fixture(scope="module")
def load():
    program = compile_programs() / "load"

    def run(*arguments):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=30, check=True)
        return json.loads(done.stdout)

    run.program = program
    return run


def message(kind, code, number, token=b"", observe=None, payload=b""):
    option = b"" if observe is None else bytes((OBSERVE << 4 | 3,)) + observe.to_bytes(3, "big")
    body = b"\xff" + payload if payload else b""
    return bytes((0x40 | kind << 4 | len(token), code)) + number.to_bytes(2, "big") + token + option + body


class Peer:
    """A server of our own making: each datagram goes to `take(kind, code, id, token, options, source)`."""

    def __init__(self, take):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.1)
        self.port = self.socket.getsockname()[1]
        self.take, self.stopped = take, False
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        while not self.stopped:
            try:
                data, source = self.socket.recvfrom(2048)
            except TimeoutError:
                continue
            length = data[0] & 15
            self.take(data[0] >> 4 & 3, data[1], int.from_bytes(data[2:4], "big"), data[4:4 + length],
                      data[4 + length:], source)

    def send(self, source, *arguments, **options):
        self.socket.sendto(message(*arguments, **options), source)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped = True
        self.thread.join()
        self.socket.close()


# Observe value, body, type and what the generator must call it. 9 had been superseded for longer than the round.
SCRIPT = ((6, b"11", NON, "fresh"), (6, b"11", NON, "duplicate"), (4, b"10", NON, "stale_observe"),
          (7, b"12", CON, "fresh"), (8, b"9", NON, "stale_body"), (9, b"12", NON, "fresh"))
ROUND = 0.05


def test_notifications_are_judged(load):
    observer, acknowledged, resets = {}, [], []

    def take(kind, code, number, token, options, source):
        if kind == ACK:
            acknowledged.append(number)
        elif kind == RST:
            resets.append(number)
        elif options[:1] == bytes((OBSERVE << 4,)):
            observer.update(source=source, token=token)
            peer.send(source, ACK, CONTENT, number, token, observe=5, payload=b"10")
        elif code:
            if "source" in observer:  # the first GET: the measurement has begun
                where, what = observer.pop("source"), observer["token"]
                for i, (value, body, kind_of, _) in enumerate(SCRIPT):
                    if body == b"9":
                        time.sleep(2 * ROUND)
                    peer.send(where, kind_of, CONTENT, 100 + i, what, observe=value, payload=body)
                peer.send(where, CON, CONTENT, 200, b"none", observe=99, payload=b"99")
            peer.send(source, ACK, CONTENT, number, token)

    with Peer(take) as peer:
        uri = f"coap://127.0.0.1:{peer.port}/clock"
        seen = load("--observers", "1", "--observe", uri, "--round", str(ROUND), "--settle", "0", "--rate", "20",
                    "--warmup", "0", "--seconds", "0.5", uri)["observers"]
    assert seen["registered"] == 1
    for verdict in ("fresh", "duplicate", "stale_observe", "stale_body"):
        assert seen[verdict] == sum(v == verdict for *_, v in SCRIPT), verdict
    assert seen["notifications"] == len(SCRIPT)
    assert seen["confirmable"] == 1
    assert acknowledged == [103]
    assert resets == [200] and seen["strange"] == 1, "a token that is not ours is rejected"
    assert 300 < seen["max_gap_ms"] < 1500, "the silence up to the end counts"


@pytest.mark.parametrize("mode", ["port", "address"])
def test_registration_is_sent_again_and_each_peer_is_one_of_its_own(load, mode):
    seen = {}

    def take(_kind, _code, number, token, _options, source):
        tries = seen.setdefault(source, 0)
        seen[source] = tries + 1
        if len(seen) == 1 and tries == 0:
            return  # as if it were lost
        peer.send(source, ACK, CONTENT, number, token, observe=5, payload=b"1")

    with Peer(take) as peer:
        result = load("--observers", "5", "--observe", f"coap://127.0.0.1:{peer.port}/x", "--observe-by", mode,
                      "--method", "none", "--seconds", "0.1")["observers"]
    assert result["registered"] == 5 and result["retransmissions"] == 1
    assert len(seen) == 5, "five sources"
    assert len({address for address, _ in seen}) == (5 if mode == "address" else 1)
    assert result["registration_us"]["max"] > 2e6 > result["registration_us"]["p50"]


def test_lost_answers_are_counted_and_latency_is_told(load):
    asked = []

    def take(_kind, _code, number, token, _options, source):
        asked.append(number)
        if len(asked) % 5:
            time.sleep(0.01)
            peer.send(source, ACK, CONTENT, number, token)

    with Peer(take) as peer:
        flow = load("--window", "1", "--count", "10", "--timeout", "2", f"coap://127.0.0.1:{peer.port}/x")["flow"]
    assert flow["sent"] == len(asked) == 10
    assert (flow["answered"], flow["timeouts"]) == (8, 2)
    assert flow["codes"] == {"2.05": 8}
    assert 10_000 <= flow["latency_us"]["p50"] < 2_000_000


def test_open_loop_charges_a_stall_to_every_request_it_delayed(load):
    held = []

    def take(_kind, _code, number, token, _options, source):
        if not held:
            held.append(True)
            time.sleep(0.4)
        peer.send(source, ACK, CONTENT, number, token)

    with Peer(take) as peer:
        flow = load("--rate", "100", "--warmup", "0", "--seconds", "0.8",
                    f"coap://127.0.0.1:{peer.port}/x")["flow"]
    assert 70 <= flow["answered"] <= 82, "the rate does not depend on the server"
    assert flow["latency_us"]["max"] > 350_000
    assert flow["latency_us"]["p90"] > 200_000, "half of the requests were due during the stall"


class BareEcho:
    """The servers that the floors are measured with."""

    def __init__(self, program, *how):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen([program, str(self.port), *how], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        assert self.process.stdout.readline() == "ready\n"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("scheme,how", [("coap", ()), ("coap", ("--batch",)), ("coap+tcp", ("--tcp",)),
                                        ("coap+ws", ("--ws",)), ("coaps", ("--dtls", "secret"))])
def test_the_floor_of_each_transport_answers_every_request(load, scheme, how):
    with BareEcho(load.program.with_name("echo"), *how) as echo:
        flow = load("--peers", "3", "--window", "30", "--count", "1000", "--timeout", "5", "--psk", "x:secret",
                    f"{scheme}://127.0.0.1:{echo.port}/x")["flow"]
    assert flow["codes"] == {"2.05": 1000}
    assert flow["sent"] == flow["answered"] == 1000 and flow["late"] == flow["send_errors"] == 0


def test_the_floor_of_tcp_puts_messages_together(load):
    csm, get = bytes((0x00, 0xe1)), bytes((0xd1, 5, 1, 0x77)) + b"\xbd\x04" + b"x" * 16  # 13 + 5 bytes of options
    with BareEcho(load.program.with_name("echo"), "--tcp") as echo, \
            socket.create_connection(("127.0.0.1", echo.port), timeout=5) as client:
        client.sendall(csm + get + get[:3])
        answer = get[:2] + bytes((CONTENT,)) + get[3:]
        assert client.recv(len(get), socket.MSG_WAITALL) == answer
        client.sendall(get[3:])
        assert client.recv(len(get), socket.MSG_WAITALL) == answer


def test_the_floor_of_websockets_puts_frames_together(load):
    def frame(mask, message):
        return b"\x82" + bytes((0x80 | len(message),)) + mask + bytes(c ^ mask[i % 4] for i, c in enumerate(message))

    csm, get = frame(b"\1\2\3\4", b"\x00\xe1"), frame(b"mask", b"\x01\x01\x77\xb4time")
    with BareEcho(load.program.with_name("echo"), "--ws") as echo, \
            socket.create_connection(("127.0.0.1", echo.port), timeout=5) as client:
        client.sendall(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
        client.sendall(b"X: %b\r\n\r\n" % (b"x" * 100))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455, 1.3
        client.sendall(csm + get + get[:5])
        answer = b"\x82\x08\x01" + bytes((CONTENT,)) + b"\x77\xb4time"
        assert client.recv(len(answer), socket.MSG_WAITALL) == answer
        client.sendall(get[5:])
        assert client.recv(len(answer), socket.MSG_WAITALL) == answer


def test_it_never_floods_another_machine(load):
    done = subprocess.run([load.program, "coap://192.0.2.1:5683/x"], capture_output=True, check=False)
    assert done.returncode == 2
