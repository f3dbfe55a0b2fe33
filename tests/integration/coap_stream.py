# SPDX-License-Identifier: BSD-2-Clause
"""CoAP over TCP and over WebSockets (RFC 8323), as bare as coap.py."""

import base64
import ctypes
import os
import socket
import ssl
import struct
import time

from coap import GET, Message, Timeout, decode_options, request_options, uint

CSM, PING, PONG, RELEASE, ABORT = (7 << 5 | n for n in range(1, 6))
MAX_MESSAGE_SIZE, BLOCK_WISE = 2, 4  # options of a CSM


# OpenSSL's error queue belongs to the thread: what one broken connection leaves in it is taken for an error of the
# next read of another.
clear_errors = ctypes.CDLL("libcrypto.so.3").ERR_clear_error


class Closed(Exception):
    code = None  # that of the WebSocket's Close frame


class StreamClient:
    """CoAP over TCP. The CSM is sent when the connection is made; the server's comes first."""

    # Not empty: libcoap takes no notice of a WebSocket message of 2 bytes.
    capabilities = Message(CSM, options=[(MAX_MESSAGE_SIZE, uint(1 << 20)), (BLOCK_WISE, b"")])

    def __init__(self, port, host="127.0.0.1", *, tls=None, csm=True, timeout=10.0):
        self.socket = socket.create_connection((host, port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname=host)
        self.buffer = b""
        self.inbox = []
        self.handshake(host, port)
        if csm:
            self.send(self.capabilities)
            self.csm = self.receive(wanted=lambda m: m.code == CSM)

    def handshake(self, host, port):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    @staticmethod
    def encoded(message):
        return message.encode_stream()

    def send(self, message):
        self.send_raw(self.encoded(message))

    def send_raw(self, data):
        self.socket.sendall(data)

    def fill(self, end):
        left = end - time.monotonic()
        if left <= 0:
            raise Timeout(f"nothing came; waiting: {self.inbox}")
        self.socket.settimeout(left)
        clear_errors()
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, ssl.SSLWantReadError) as error:
            raise Timeout(f"nothing came; waiting: {self.inbox}") from error
        except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError) as error:
            raise Closed() from error
        if not data:
            raise Closed()
        self.buffer += data

    def take(self):
        """One message off the buffer, or None."""
        data = self.buffer
        if not data:
            return None
        nibble, token_length = data[0] >> 4, data[0] & 15
        more = {13: 1, 14: 2, 15: 4}.get(nibble, 0)
        if len(data) < 2 + more:
            return None
        length = int.from_bytes(data[1 : 1 + more], "big") + {13: 13, 14: 269, 15: 65805}.get(nibble, 0) if more else nibble
        start = 2 + more + token_length
        if len(data) < start + length:
            return None
        self.buffer = data[start + length :]
        options, payload = decode_options(data[start : start + length])
        return Message(data[1 + more], token=data[2 + more : start], options=options, payload=payload)

    def receive(self, timeout=10.0, wanted=lambda message: True):
        """The first message that is wanted. Raises Timeout, or Closed when the server closes."""
        end = time.monotonic() + timeout
        while True:
            for i, message in enumerate(self.inbox):
                if wanted(message):
                    return self.inbox.pop(i)
            message = self.take()
            if message:
                self.inbox.append(message)
            else:
                self.fill(end)

    def wait_closed(self, timeout=10.0):
        end = time.monotonic() + timeout
        try:
            while True:
                self.fill(end)
        except Closed:
            pass

    def request(self, method, path="", *, token=None, payload=b"", timeout=10.0, **options):
        token = os.urandom(6) if token is None else token
        self.send(Message(method, token=token, options=request_options(path, **options), payload=payload))
        return self.receive(timeout, lambda m: m.token == token and m.code < CSM & 0xE0)

    def get(self, path="", **more):
        return self.request(GET, path, **more)


class WebSocketClient(StreamClient):
    """CoAP over WebSockets. Frames from the client are masked (RFC 6455, 5.1)."""

    def __init__(self, *args, fields=(), **more):
        self.pongs = []
        self.fields = "".join(f"{field}\r\n" for field in fields)
        super().__init__(*args, **more)

    def handshake(self, host, port):
        key = base64.b64encode(os.urandom(16)).decode()
        name = f"[{host}]" if ":" in host else host
        self.send_raw(
            f"GET /.well-known/coap HTTP/1.1\r\nHost: {name}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: coap\r\nSec-WebSocket-Version: 13\r\n{self.fields}\r\n".encode()
        )
        end = time.monotonic() + 10
        while b"\r\n\r\n" not in self.buffer:
            self.fill(end)
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        self.status = head.split(b"\r\n")[0].decode()
        if " 101 " not in self.status:
            raise Closed(self.status)

    @staticmethod
    def frame(data, opcode=2, *, fin=True):
        mask, first = os.urandom(4), opcode | (0x80 if fin else 0)
        if len(data) < 126:
            head = bytes([first, 0x80 | len(data)])
        elif len(data) < 65536:
            head = struct.pack("!BBH", first, 0x80 | 126, len(data))
        else:
            head = struct.pack("!BBQ", first, 0x80 | 127, len(data))
        return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))

    @classmethod
    def encoded(cls, message):
        return cls.frame(message.encode_websocket())

    def take(self):
        while True:
            frame = self.take_frame()
            if not frame:
                return None
            opcode, payload = frame
            if opcode == 8:
                closed = Closed("close frame", payload)
                closed.code = int.from_bytes(payload[:2], "big")
                raise closed
            if opcode != 10:
                return Message.decode_websocket(payload)
            self.pongs.append(payload)

    def take_frame(self):
        data = self.buffer
        if len(data) < 2:
            return None
        length, at = data[1] & 0x7F, 2
        if length == 126:
            at = 4
        elif length == 127:
            at = 10
        if at > 2:
            if len(data) < at:
                return None
            length = int.from_bytes(data[2:at], "big")
        if len(data) < at + length:
            return None
        assert data[0] & 15 in (2, 8, 10) and data[0] & 0xF0 == 0x80, data[:2]
        self.buffer = data[at + length :]
        return data[0] & 15, data[at : at + length]

    def pong(self, timeout=10.0):
        """The payload of the next one."""
        end = time.monotonic() + timeout
        while not self.pongs:
            message = self.take()
            if message:
                self.inbox.append(message)
            elif not self.pongs:
                self.fill(end)
        return self.pongs.pop(0)

    def pongs_until(self, payload):
        """How many there are, that one included."""
        n = 1
        while self.pong(30) != payload:
            n += 1
        return n

    def close_code(self, timeout=10.0):
        """Why the server closes."""
        try:
            self.receive(timeout, lambda message: False)
        except Closed as closed:
            return closed.code
