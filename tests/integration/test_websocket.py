# SPDX-License-Identifier: BSD-2-Clause
"""What RFC 6455 has beside whole messages, which libcoap does not know: fragments, Ping, Pong, and how connections end."""

import asyncio
import contextlib
import fcntl
import ssl
import sys
import termios
import time

import coap
import coap_stream
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import tls_psk_context
from coap_stream import CSM, Closed, WebSocketClient
from daemon import SANITIZED, free_port
from websockets.asyncio.client import connect

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


@pytest.fixture(params=["ws", "wss"])
def websocket(request, coapd, certificates):
    """Starts the daemon; returns how to connect to it."""
    secure = request.param == "wss"
    tls = tls_psk_context(PSK_IDENTITY, PSK_KEY) if secure else None

    def start(**config):
        daemon = coapd(endpoints=[f"coap{'s' if secure else ''}+ws://127.0.0.1:{{port}}", f"coap://127.0.0.1:{free_port()}"],
                       security={"psk": certificates.psk()} if secure else None, **config)
        return daemon, lambda **more: WebSocketClient(daemon.port, tls=tls, **more)

    return start


def put(token, body):
    return coap.Message(coap.PUT, token=token, options=coap.request_options("made"), payload=body).encode_websocket()


HEAD = len(put(b"t", b"x")) - 1


def frames(client, message, cuts, between=b""):
    """The message in fragments that begin at `cuts`."""
    at = [0, *cuts, len(message)]
    return between.join(
        client.frame(message[at[i] : at[i + 1]], CONTINUATION if i else BINARY, fin=i + 2 == len(at))
        for i in range(len(at) - 1))


def test_ping(websocket):
    daemon, client = websocket()
    with client() as one:
        for payload in (b"", b"x", b"hello", bytes(range(125))):
            one.send_raw(one.frame(payload, PING))
            assert one.pong() == payload
        one.send_raw(one.frame(b"nobody asked", PONG))
        assert one.get("time").text == "2.05"
        one.send_raw(one.frame(b"before", PING) + one.frame(
            coap.Message(coap.GET, token=b"t", options=coap.request_options("time")).encode_websocket()))
        assert one.receive(wanted=lambda m: m.token == b"t").text == "2.05"
        assert one.pongs == [b"before"]


def test_ping_before_anything_else(websocket):
    """Of a client that has not told what it can yet (RFC 8323, 5.3)."""
    daemon, client = websocket()
    with client(csm=False) as one:
        one.send_raw(one.frame(b"hello", PING) * 3)
        assert one.pong() == b"hello"
        one.send(one.capabilities)
        assert one.receive(wanted=lambda m: m.code == CSM)
        assert one.get("time").text == "2.05"


def test_pages_of_other_sites_are_turned_away(websocket):
    """RFC 6455, 10.2: else the script of any page that somebody opens asks with his address, or his certificate."""
    daemon, client = websocket()
    panel, other = "https://panel.example.org:8443", "https://panel.example.org"

    def may(*origins):
        try:
            with client(fields=[f"Origin: {origin}" for origin in origins]) as one:
                return one.get("time").text == "2.05"
        except Closed:
            return False

    assert may() and may(other) and may("null"), "without the key all may"
    security = dict(daemon.groups["security"] or {})
    daemon.write_config(security={**security, "websocket_origins": [panel, "null"]})
    daemon.reload()
    assert may() and may(panel) and may(panel.upper()) and may("null"), "no browser, and those that are named"
    for origins in ((other,), (panel + "/",), (panel + ".example.net",), ("",), (panel, other), (other, panel)):
        assert not may(*origins), origins
    assert f'a page of "{other}" is not let in over WebSocket' in daemon.stderr


@pytest.mark.parametrize("cuts", [(), (1,)])
def test_empty_csm(websocket, cuts):
    """Two bytes, of which libcoap takes no notice: it would go on waiting for the CSM."""
    daemon, client = websocket()
    with client(csm=False) as one:
        one.send_raw(frames(one, coap.Message(CSM).encode_websocket(), cuts))
        assert one.get("time").text == "2.05"
        one.send_raw(frames(one, coap.Message(coap_stream.PING).encode_websocket(), cuts))
        assert one.receive(wanted=lambda m: m.code == coap_stream.PONG)


def test_torn_apart_anywhere(websocket):
    """Each byte of a Ping, of a message in three frames with another Ping between them, and of what follows."""
    daemon, client = websocket()
    with client() as one, client() as other:
        for body in (b"", b"x" * 150):
            for at in range(1, len(bytes_of(one, body))):
                data = bytes_of(one, body)
                one.send_raw(data[:at])
                if at % 7 == 0:  # what another client sends meanwhile does not get in between
                    assert other.get("time").text == "2.05"
                one.send_raw(data[at:])
                assert one.receive(wanted=lambda m: m.token == b"t").text in ("2.01", "2.04"), at
                assert one.pongs_until(b"between") <= 2
        assert one.get("made").payload == b"x" * 150


def bytes_of(client, body):
    message = put(b"t", body)
    return client.frame(b"first", PING) + frames(client, message, (1, 3), client.frame(b"between", PING))


def test_fragments(websocket):
    """Of any size, also none, up to the longest message that there may be."""
    daemon, client = websocket()
    with client() as one:
        for size in (1, 100, 1400, 1472 - HEAD):
            message = put(b"t", bytes([size % 251]) * size)
            n = len(message)
            for cuts in ((1,), (0, 0, 0), (n - 1,), (n, n), range(1, n), (n // 2, n // 2), (min(n, 125), min(n, 126))):
                one.send_raw(frames(one, message, cuts))
                assert one.receive(wanted=lambda m: m.token == b"t").text in ("2.01", "2.04")
                assert one.get("made").payload == bytes([size % 251]) * size
        assert n == 1472


def test_the_longest_message(websocket):
    daemon, client = websocket()
    message = put(b"t", b"y" * (1472 - HEAD))
    for whole in (True, False):
        with client() as one:
            one.send_raw(one.frame(message) if whole else frames(one, message, (700, 1000)))
            assert one.receive(wanted=lambda m: m.token == b"t").text in ("2.01", "2.04")
            one.send_raw(one.frame(message + b"y") if whole else frames(one, message + b"y", (700, 1472)))
            assert one.close_code() == 1009


def unmasked(client):
    return b"\x82\x05plain"


def first_byte(byte, payload=b"xy"):
    def make(client):
        return bytes([byte]) + client.frame(payload)[1:]

    make.__name__ = f"first_byte_{byte:02x}"
    return make


def control_of_126(opcode):
    def make(client):
        return client.frame(b"x" * 126, opcode)

    make.__name__ = f"control_of_126_{opcode}"
    return make


def within(make):
    def inner(client):
        return client.frame(b"ab", BINARY, fin=False) + make(client)

    inner.__name__ = f"within_{make.__name__}"
    return inner


@pytest.mark.parametrize("code, make", [
    (1002, unmasked),
    (1002, first_byte(0xC2)), (1002, first_byte(0xA2)), (1002, first_byte(0x92)),  # reserved bits
    *((1002, first_byte(0x80 | opcode)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)),
    (1003, first_byte(0x81)),
    (1002, first_byte(0x09)), (1002, first_byte(0x08)), (1002, first_byte(0x0A)),  # control frames in fragments
    (1002, control_of_126(CLOSE)), (1002, control_of_126(PING)), (1002, control_of_126(PONG)),
    (1002, first_byte(0x80)), (1002, first_byte(0x00)),  # a continuation of nothing
    (1002, within(first_byte(0x82))), (1002, within(first_byte(0x02))), (1002, within(first_byte(0x81))),
    (1002, first_byte(0x82, b"")),  # a message without a byte
    (1009, lambda client: client.frame(b"x" * 1473)),
    (1009, lambda client: client.frame(b"x" * 100000)),
])
def test_what_ends_a_connection(websocket, code, make):
    daemon, client = websocket()
    with client() as one, client() as bystander:
        with contextlib.suppress(OSError):
            one.send_raw(make(one))
        assert one.close_code() == code
        one.wait_closed()
        assert bystander.get("time").text == "2.05"


@pytest.mark.parametrize("payload, code", [
    (b"", 1000), (b"\x03\xe8", 1000), (b"\x03\xe9going away", 1001), (b"\x0f\xa0", 4000),
    (b"\x0f", 1002), (b"\x03\xee", 1002), (b"\x03\xe8\xff", 1007),
])
def test_close(websocket, payload, code):
    """Is answered with the same code, or with what is wrong with it."""
    daemon, client = websocket()
    with client() as one:
        one.send_raw(one.frame(b"half a message", BINARY, fin=False) + one.frame(payload, CLOSE))
        assert one.close_code() == code
        one.wait_closed()


def test_pings_keep_a_session(websocket):
    daemon, client = websocket(server={"session_timeout": 1})
    with client() as lively, client() as idle:
        end = time.monotonic() + 20
        closed = None
        while closed is None:  # it is the idle one that ends
            assert time.monotonic() < end
            lively.send_raw(lively.frame(b"there?", PING))
            assert lively.pong() == b"there?"
            with contextlib.suppress(coap.Timeout):
                closed = idle.close_code(0.1)
        for _ in range(20):
            lively.send_raw(lively.frame(b"still?", PING))
            assert lively.pong() == b"still?"
            time.sleep(0.1)
        assert lively.get("time").text == "2.05"


def test_a_flood_of_pings(websocket):
    """Who reads is answered less often than it pings, and who does not read costs nothing; others are served."""
    daemon, client = websocket()
    n = 20000
    with client() as flooding, client() as deaf, client() as other:
        before = daemon.rss()
        for one in (flooding, deaf):
            block = b"".join(one.frame(b"%124d" % i, PING) for i in range(n // 100))
            for _ in range(100):
                one.send_raw(block)
            one.send_raw(one.frame(b"last", PING))
            assert other.get("time").text == "2.05"
        for one in (flooding, deaf):
            assert one.pongs_until(b"last") < n / 5
            assert one.get("time").text == "2.05"
        if not SANITIZED:
            assert daemon.rss() - before < 2 << 20


def test_a_ping_to_who_is_behind(websocket):
    """Its Pong comes when the peer has read what came before, and does not wait for anything else that it sends."""
    body = "0123456789" * 2000
    daemon, client = websocket(resources=[{"path": "large", "kind": "static", "content": body}])
    with client() as one, client() as other:
        tokens = [i.to_bytes(2, "big") for i in range(600)]
        for token in tokens:
            one.send_raw(one.frame(coap.Message(coap.GET, token=token, options=coap.request_options("large"))
                                   .encode_websocket()) + one.frame(token, PING))
        for _ in range(10):
            assert other.get("large").text == "2.05"
        for token in tokens:
            answer = one.receive(20, lambda m: m.token)
            assert (answer.token, answer.payload == body.encode()) == (token, True)
        assert one.pongs_until(tokens[-1]) <= len(tokens)


def unread(one):
    """How much the kernel keeps of what was written to a client: in the server's buffer and in its own."""
    received = int.from_bytes(fcntl.ioctl(one.socket.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)
    ends = [f":{end[1]:04X}" for end in (one.socket.getpeername(), one.socket.getsockname())]
    with open("/proc/net/tcp") as table:
        row = next(words for words in map(str.split, table) if [words[1][-5:], words[2][-5:]] == ends)
    return received + int(row[4].split(":")[0], 16)


def test_a_pong_that_waits(websocket):
    """The peer sends nothing more, so that only the end of the backlog can bring it; it stands for those before."""
    body, n = b"0123456789" * 2000, 0
    daemon, client = websocket(resources=[{"path": "large", "kind": "static", "content": body.decode()}])
    with client() as one, client() as other:
        before = unread(one)

        def is_behind():
            """What was answered is in no buffer of the kernel's, while others are served again and again."""
            for _ in range(20):
                if unread(one) - before >= n * len(body):
                    return False
                assert other.get(".well-known/core").text == "2.05"
            return True

        while not is_behind():
            assert n < 2000
            # Far less than what makes coapd stop reading.
            for _ in range(10):
                one.send(coap.Message(coap.GET, token=n.to_bytes(2, "big"), options=coap.request_options("large")))
                n += 1
        for payload in (b"first", b"second"):
            one.send_raw(one.frame(payload, PING))
            assert is_behind()
        for i in range(n):
            answer = one.receive(20, lambda m: m.token)
            assert (answer.token, answer.payload == body) == (i.to_bytes(2, "big"), True)
        assert one.pong() == b"second"
        assert one.get(".well-known/core").text == "2.05" and not one.pongs


FIREFOX = [
    "Host: 127.0.0.1:8683",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 and more than 79 bytes of it",
    "Accept: */*", "Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br, zstd",
    "Sec-WebSocket-Version: 13", "Origin: http://127.0.0.1:8000", "Sec-WebSocket-Protocol: coap",
    "Sec-WebSocket-Extensions: permessage-deflate", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Cookie: " + "c" * 4000, "Connection: keep-alive, Upgrade", "Sec-Fetch-Dest: empty", "Upgrade: websocket",
]


class Handshake(WebSocketClient):
    def __init__(self, port, lines, end="\r\n"):
        self.lines = end.join(["GET /.well-known/coap HTTP/1.1", *lines, "", ""]).encode()
        super().__init__(port)

    def send_raw(self, data):
        super().send_raw(self.lines if data.startswith(b"GET ") else data)


@pytest.mark.parametrize("change", [
    {}, {"Host": ":x"}, {"Connection": ":upgrade"}, {"Upgrade": ":\tWebSocket"}, {"Sec-WebSocket-Protocol": ": mqtt , coap"}])
def test_handshake_of_a_browser(coapd, change):
    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}"])
    lines = [name + change.get(name, f":{value}") for name, value in (line.split(":", 1) for line in FIREFOX)]
    with Handshake(daemon.port, lines) as one:
        assert "101" in one.status
        assert one.get("time").text == "2.05"


@pytest.mark.parametrize("missing", ["Host", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Sec-WebSocket-Key",
                                     "Connection", "Upgrade"])
def test_handshake_without_a_line(coapd, missing):
    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}"])
    with pytest.raises(Closed, match="400"):
        Handshake(daemon.port, [line for line in FIREFOX if not line.startswith(missing + ":")])


def test_handshake_with_bare_line_feeds(coapd):
    """What comes behind it are frames as any: half of one is not mixed with what another client sends."""
    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}"])
    with Handshake(daemon.port, FIREFOX, end="\n") as one, WebSocketClient(daemon.port) as other:
        frame = one.frame(put(b"t", b"mine" * 200))
        one.send_raw(frame[:100])
        assert other.request(coap.PUT, "other", payload=b"other" * 200).text == "2.01"
        one.send_raw(frame[100:])
        assert one.receive(wanted=lambda m: m.token == b"t").text == "2.01"
        assert one.get("made").payload == b"mine" * 200
        one.send_raw(one.frame(b"ping", PING))
        assert one.pong() == b"ping"


async def talk_as_another_implementation(uri, tls):
    async with connect(uri, subprotocols=["coap"], ping_interval=0.05, ssl=tls) as peer:

        async def ask(message):
            await peer.send(message)
            while True:
                answer = coap.Message.decode_websocket(await asyncio.wait_for(peer.recv(), 10))
                if answer.token == b"t":
                    return answer

        assert peer.subprotocol == "coap"
        await peer.send(WebSocketClient.capabilities.encode_websocket())
        message = put(b"t", b"in fragments" * 50)
        for size in (1, 2, 3, 100, 600):
            assert (await ask(message[i : i + size] for i in range(0, len(message), size))).text in ("2.01", "2.04")
            await asyncio.wait_for(await peer.ping(b"there?"), 10)
        get = coap.Message(coap.GET, token=b"t", options=coap.request_options("made"))
        assert (await ask(get.encode_websocket())).payload == b"in fragments" * 50
        await peer.close(4321, "bye")
        assert (peer.protocol.close_rcvd.code, peer.protocol.close_rcvd_then_sent) == (4321, False)


def test_another_implementation(websocket):
    """Python's websockets: fragments, and Pings that it matches with their Pongs.

    With asyncio, that is in one thread: its client with threads makes the socket non-blocking in the one that closes while
    the other one is about to read, and what that finds then is a time-out at once.
    """
    daemon, client = websocket()
    with client() as one:
        tls = tls_psk_context(PSK_IDENTITY, PSK_KEY) if isinstance(one.socket, ssl.SSLSocket) else None
    uri = f"{'wss' if tls else 'ws'}://127.0.0.1:{daemon.port}/.well-known/coap"
    asyncio.run(talk_as_another_implementation(uri, tls))
