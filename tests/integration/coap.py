# SPDX-License-Identifier: BSD-2-Clause
"""A CoAP client as bare as it gets: messages in and out of bytes, and a UDP socket that hides nothing.

Tests that look at what is on the wire use this one; whether coapd gets on with the rest of the world is shown with
coap-client, aiocoap and node-coap. Standards: RFC 7252, 7641 (Observe), 7959 (Block), 8974 (long tokens).
"""

import os
import random
import select
import socket
import struct
import time

CON, NON, ACK, RST = range(4)

GET, POST, PUT, DELETE, FETCH, PATCH, IPATCH = range(1, 8)
METHODS = {"get": GET, "post": POST, "put": PUT, "delete": DELETE, "fetch": FETCH, "patch": PATCH, "ipatch": IPATCH}

IF_MATCH, URI_HOST, ETAG, IF_NONE_MATCH, OBSERVE, URI_PORT, LOCATION_PATH, OSCORE = 1, 3, 4, 5, 6, 7, 8, 9
URI_PATH, CONTENT_FORMAT, MAX_AGE, URI_QUERY, HOP_LIMIT, ACCEPT = 11, 12, 14, 15, 16, 17
Q_BLOCK1, LOCATION_QUERY, BLOCK2, BLOCK1, SIZE2, Q_BLOCK2 = 19, 20, 23, 27, 28, 31
PROXY_URI, PROXY_SCHEME, SIZE1, ECHO, NO_RESPONSE, REQUEST_TAG = 35, 39, 60, 252, 258, 292

TEXT, LINK_FORMAT, OCTETS, JSON, CBOR, PROBLEM_DETAILS = 0, 40, 42, 50, 60, 257


def code(text):
    """code("4.04") -> the byte"""
    major, minor = text.split(".")
    return int(major) << 5 | int(minor)


def code_text(byte):
    return f"{byte >> 5}.{byte & 31:02}"


def uint(value):
    """An option value of format uint: as few bytes as hold it."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


class Malformed(Exception):
    pass


def _extend(value):
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes([value - 13])
    return 14, struct.pack("!H", value - 269)


def _extended(nibble, data, at):
    if nibble < 13:
        return nibble, at
    if nibble == 13:
        if at + 1 > len(data):
            raise Malformed("an option is cut")
        return data[at] + 13, at + 1
    if nibble == 14:
        if at + 2 > len(data):
            raise Malformed("an option is cut")
        return struct.unpack_from("!H", data, at)[0] + 269, at + 2
    raise Malformed("an option has the reserved nibble 15")


def encode_options(options, payload=b""):
    out = b""
    last = 0
    for number, value in sorted(options, key=lambda option: option[0]):
        delta, delta_more = _extend(number - last)
        length, length_more = _extend(len(value))
        out += bytes([delta << 4 | length]) + delta_more + length_more + value
        last = number
    return out + (b"\xff" + payload if payload else b"")


def decode_options(data):
    """The options and the payload."""
    options, at, number = [], 0, 0
    while at < len(data):
        if data[at] == 0xFF:
            if at + 1 == len(data):
                raise Malformed("a payload marker without a payload")
            return options, data[at + 1 :]
        first = data[at]
        delta, at = _extended(first >> 4, data, at + 1)
        length, at = _extended(first & 15, data, at)
        number += delta
        if at + length > len(data):
            raise Malformed("an option is cut")
        options.append((number, data[at : at + length]))
        at += length
    return options, b""


class Block:
    """The value of a Block option (RFC 7959, 2.2)."""

    def __init__(self, num, more, szx):
        self.num, self.more, self.szx = num, bool(more), szx

    @classmethod
    def of_size(cls, num, more, size):
        return cls(num, more, size.bit_length() - 5)

    @classmethod
    def decode(cls, value):
        number = int.from_bytes(value, "big")
        return cls(number >> 4, number >> 3 & 1, number & 7)

    def encode(self):
        return uint(self.num << 4 | self.more << 3 | self.szx)

    @property
    def size(self):
        return 1024 if self.szx == 7 else 1 << (self.szx + 4)

    def __eq__(self, other):
        return (self.num, self.more, self.szx) == (other.num, other.more, other.szx)

    def __repr__(self):
        return f"{self.num}/{int(self.more)}/{self.size}"


class Message:
    """One message; options are (number, bytes) in any order."""

    def __init__(self, code=GET, *, type=CON, mid=None, token=b"", options=(), payload=b""):
        self.type, self.code, self.token, self.payload = type, code, token, payload
        self.mid = random.randrange(65536) if mid is None else mid
        self.options = list(options)

    # --- options ---

    def all(self, number):
        return [value for n, value in self.options if n == number]

    def option(self, number):
        values = self.all(number)
        return values[0] if values else None

    def uint(self, number):
        value = self.option(number)
        return None if value is None else int.from_bytes(value, "big")

    def block(self, number):
        value = self.option(number)
        return None if value is None else Block.decode(value)

    @property
    def observe(self):
        return self.uint(OBSERVE)

    @property
    def etag(self):
        return self.option(ETAG)

    @property
    def content_format(self):
        return self.uint(CONTENT_FORMAT)

    @property
    def max_age(self):
        return self.uint(MAX_AGE)

    @property
    def location(self):
        return "/".join(value.decode() for value in self.all(LOCATION_PATH))

    @property
    def text(self):
        return code_text(self.code)

    def __repr__(self):
        kind = ("CON", "NON", "ACK", "RST")[self.type]
        return (
            f"<{kind} {self.text} mid={self.mid} token={self.token.hex()} "
            f"options={[(n, v.hex()) for n, v in self.options]} payload={self.payload[:40]!r}>"
        )

    # --- datagrams: RFC 7252, 3; RFC 8974, 2 ---

    def encode(self):
        length, more = _extend(len(self.token))
        head = struct.pack("!BBH", 1 << 6 | self.type << 4 | length, self.code, self.mid)
        return head + more + self.token + encode_options(self.options, self.payload)

    @classmethod
    def decode(cls, data):
        if len(data) < 4 or data[0] >> 6 != 1:
            raise Malformed("no CoAP header")
        first, message_code, mid = struct.unpack_from("!BBH", data)
        length, at = _extended(first & 15, data, 4)
        if at + length > len(data):
            raise Malformed("the token is cut")
        options, payload = decode_options(data[at + length :])
        return cls(
            message_code,
            type=first >> 4 & 3,
            mid=mid,
            token=data[at : at + length],
            options=options,
            payload=payload,
        )

    # --- streams: RFC 8323, 3.2 ---

    def encode_stream(self):
        """What goes over TCP; a WebSocket message is the same with the length 0."""
        body = encode_options(self.options, self.payload)
        nibble, more = _stream_length(len(body))
        return bytes([nibble << 4 | len(self.token)]) + more + bytes([self.code]) + self.token + body

    def encode_websocket(self):
        return bytes([len(self.token), self.code]) + self.token + encode_options(self.options, self.payload)

    @classmethod
    def decode_websocket(cls, data):
        length = data[0] & 15
        options, payload = decode_options(data[2 + length :])
        return cls(data[1], type=NON, mid=0, token=data[2 : 2 + length], options=options, payload=payload)


def _stream_length(n):
    if n < 13:
        return n, b""
    if n < 269:
        return 13, bytes([n - 13])
    if n < 65805:
        return 14, struct.pack("!H", n - 269)
    return 15, struct.pack("!I", n - 65805)


def request_options(path="", query=(), observe=None, accept=None, content_format=None, block1=None, block2=None, extra=()):
    """Options of a request. The path is split at '/'; a list is taken segment by segment."""
    segments = path if isinstance(path, (list, tuple)) else [s for s in path.strip("/").split("/") if s]
    queries = [query] if isinstance(query, str) else query
    options = [(URI_PATH, s if isinstance(s, bytes) else s.encode()) for s in segments]
    options += [(URI_QUERY, q if isinstance(q, bytes) else q.encode()) for q in queries]
    for number, value in ((OBSERVE, observe), (ACCEPT, accept), (CONTENT_FORMAT, content_format)):
        if value is not None:
            options.append((number, uint(value)))
    for number, block in ((BLOCK1, block1), (BLOCK2, block2)):
        if block is not None:
            options.append((number, block.encode()))
    return options + list(extra)


def newer(old, new):
    """Whether an Observe number is newer: RFC 7641, 3.4, for notifications less than 128 s apart."""
    return (old < new and new - old < 1 << 23) or (old > new and old - new > 1 << 23)


class Timeout(Exception):
    pass


class Client:
    """A UDP socket that talks to one server. Never connected, so that a port nobody listens on is mere silence."""

    ACK_TIMEOUT = 2.0

    def __init__(self, port, host="127.0.0.1", source=None, source_port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = socket.getaddrinfo(host, port, family, socket.SOCK_DGRAM)[0][4]
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind((source or ("::1" if ":" in host else "127.0.0.1" if host.startswith("127.") else ""), source_port))
        self.mid = random.randrange(65536)
        self.inbox = []
        self.seen = set()  # the confirmable messages, so that one that is resent counts once
        self.acknowledge = True
        self.sent_again = 0  # requests, for want of an answer

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    @property
    def port(self):
        return self.socket.getsockname()[1]

    def next_mid(self):
        self.mid = (self.mid + 1) % 65536
        return self.mid

    def new_token(self):
        return os.urandom(6)

    def send(self, message):
        self.send_raw(message.encode())
        return message

    def send_raw(self, data):
        self.socket.sendto(data, self.server)

    def _read(self, timeout):
        """One datagram off the socket, into the inbox and acknowledged if it asks for that; False: none came."""
        if not select.select([self.socket], [], [], max(0, timeout))[0]:
            return False
        self.take()
        return True

    def take(self):
        data, source = self.socket.recvfrom(65536)
        if source[1] != self.server[1]:
            return  # another server's, which knew another client by this port
        message = Message.decode(data)
        if message.type == CON and self.acknowledge:
            self.send(Message(0, type=ACK, mid=message.mid))
        if message.type != CON or data not in self.seen:
            self.inbox.append(message)
        if message.type == CON:
            self.seen.add(data)

    def receive(self, timeout=5.0, wanted=lambda message: True):
        """The first message that is wanted; the others stay for later. Raises Timeout."""
        end = time.monotonic() + timeout
        seen = 0
        while True:
            for i in range(seen, len(self.inbox)):
                if wanted(self.inbox[i]):
                    return self.inbox.pop(i)
            seen = len(self.inbox)
            if not self._read(end - time.monotonic()):
                raise Timeout(f"nothing wanted within {timeout} s; waiting: {self.inbox}")

    def nothing(self, timeout, wanted=lambda message: True):
        """Whether nothing that is wanted comes for so long."""
        try:
            self.receive(timeout, wanted)
            return False
        except Timeout:
            return True

    def exchange(self, message, timeout=10.0):
        """Sends a request and returns the response, resending and taking separate responses as RFC 7252, 4.2."""
        end = time.monotonic() + timeout
        pause = self.ACK_TIMEOUT

        def answers(m):
            if m.type == RST:
                return m.mid == message.mid
            return m.code != 0 and m.token == message.token

        acked = False
        self.send(message)
        while True:
            left = end - time.monotonic()
            try:
                got = self.receive(
                    left if acked or message.type == NON else min(pause, left),
                    lambda m: answers(m) or (m.type == ACK and m.code == 0 and m.mid == message.mid),
                )
            except Timeout:
                if acked or message.type == NON or time.monotonic() >= end:
                    raise
                pause *= 2
                self.sent_again += 1
                self.send(message)
                continue
            if got.type == ACK and got.code == 0:
                acked = True
                continue
            return got

    def request(self, method, path="", *, type=CON, token=None, payload=b"", timeout=10.0, **options):
        """One request, one response; no block-wise help."""
        if isinstance(payload, str):
            payload = payload.encode()
        message = Message(
            method,
            type=type,
            mid=self.next_mid(),
            token=self.new_token() if token is None else token,
            options=request_options(path, **options),
            payload=payload,
        )
        return self.exchange(message, timeout)

    def get(self, path="", **more):
        return self.request(GET, path, **more)

    def put(self, path, payload=b"", **more):
        return self.request(PUT, path, payload=payload, **more)

    def post(self, path, payload=b"", **more):
        return self.request(POST, path, payload=payload, **more)

    def delete(self, path, **more):
        return self.request(DELETE, path, **more)

    def ping(self, timeout=5.0):
        """An empty CON must draw a RST (RFC 7252, 4.3). libcoap answers at most four a second, so it is resent."""
        message = Message(0, type=CON, mid=self.next_mid())
        end = time.monotonic() + timeout
        while True:
            self.send(message)
            try:
                return self.receive(0.3, lambda m: m.type == RST and m.mid == message.mid)
            except Timeout:
                if time.monotonic() > end:
                    raise

    # --- block-wise: RFC 7959 ---

    def put_blocks(self, path, payload, size=64, method=PUT, size1=False, **more):
        """Sends a body block by block; the last response."""
        extra = list(more.pop("extra", ()))
        num = 0
        while True:
            piece = payload[num * size : (num + 1) * size]
            last = (num + 1) * size >= len(payload)
            response = self.request(
                method,
                path,
                payload=piece,
                block1=Block.of_size(num, not last, size),
                extra=extra + ([(SIZE1, uint(len(payload)))] if size1 and num == 0 else []),
                **more,
            )
            if last or response.text != "2.31":
                return response
            num += 1

    def get_blocks(self, path, size=64, method=GET, **more):
        """Fetches a body block by block: the first response with all of the payload. The server may ask for less."""
        return self.rest(self.request(method, path, block2=Block.of_size(0, False, size), **more), method, path, **more)

    def rest(self, first, method, path, **more):
        """The response with all of the payload, of which it is the first block."""
        response = first
        body = response.payload
        while response.code >> 5 == 2 and response.block(BLOCK2) and response.block(BLOCK2).more:
            block = response.block(BLOCK2)
            response = self.request(method, path, block2=Block(len(body) // block.size, False, block.szx), **more)
            if response.code != first.code:
                raise AssertionError(f"block {len(body) // block.size} answered {response}")
            if response.etag != first.etag:
                raise AssertionError("the representation changed in the middle")
            body += response.payload
        first.payload = body
        return first

    # --- observe: RFC 7641 ---

    def observe(self, path, *, type=CON, token=None, timeout=10.0, **options):
        return Observation(self, path, type, self.new_token() if token is None else token, timeout, options)


def serve_all(clients, done, timeout):
    """Lets many clients receive and acknowledge at once, until done() holds; False when it never does."""
    by_socket = {client.socket: client for client in clients}
    end = time.monotonic() + timeout
    while not done():
        ready = select.select(list(by_socket), [], [], max(0, end - time.monotonic()))[0]
        if not ready:
            return False
        for one in ready:
            by_socket[one].take()
    return True


class Observation:
    """One observation, with the response to its registration in `first`."""

    def __init__(self, client, path, type, token, timeout, options):
        self.client, self.path, self.token, self.options, self.type = client, path, token, options, type
        self.first = client.request(GET, path, type=type, token=token, timeout=timeout, observe=0, **options)
        self.number = self.first.observe

    def next(self, timeout=5.0):
        """The next notification, whatever its number. An acknowledgement is the answer to a registration sent again."""
        return self.client.receive(timeout, lambda m: m.token == self.token and m.code != 0 and m.type != ACK)

    def fresh(self, timeout=5.0):
        """The next notification, which must be newer than the last.

        But for who registers between a change and the round that tells of it: its answer has the number and the
        content that the round brings again.
        """
        message = self.next(timeout)
        first = self.first
        if self.number == message.observe == first.observe and message.payload == first.payload:
            message = self.next(timeout)
        if message.observe is None or not newer(self.number, message.observe):
            raise AssertionError(f"Observe went from {self.number} to {message.observe}: {message}")
        self.number = message.observe
        return message

    def cancel(self):
        return self.client.request(GET, self.path, type=self.type, token=self.token, observe=1, **self.options)
