# SPDX-License-Identifier: BSD-2-Clause
"""A CoAP server that answers as the test says and remembers what it was asked, for what a proxy does before it."""

import select
import socket
import threading
import time

import coap
from daemon import free_port


class Target:
    """answer(message) -> Message, list of them or None, in a thread; what came is in `seen`.

    A confirmable message is sent again until it is acknowledged or rejected (RFC 7252, 4.2), as any server would.
    """

    ACK_TIMEOUT = 2.0
    acknowledges = False  # confirmable answers, to what a test sends from here

    def __init__(self, answer, port=None, host="127.0.0.1"):
        self.answer = answer
        self.seen = []
        self.changed = threading.Condition()
        self.port = port or free_port()
        self.peer = None
        self.unanswered = {}  # by message id: the bytes, for whom, when they go out again, and the pause until then
        family, _, _, _, address = socket.getaddrinfo(host, self.port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.stopping = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stopping = True
        self.thread.join()
        self.socket.close()

    def _run(self):
        while not self.stopping:
            self._send_again()
            if not select.select([self.socket], [], [], 0.1)[0]:
                continue
            try:
                data, self.peer = self.socket.recvfrom(65536)
            except ConnectionRefusedError:
                continue
            message = coap.Message.decode(data)
            if message.type in (coap.ACK, coap.RST):
                self.unanswered.pop(message.mid, None)
            elif message.type == coap.CON and message.code >> 5 >= 2 and self.acknowledges:
                self.socket.sendto(coap.Message(0, type=coap.ACK, mid=message.mid).encode(), self.peer)
            message.peer = self.peer
            with self.changed:
                self.seen.append(message)
                self.changed.notify_all()
            answers = self.answer(message) if 1 <= message.code < 32 else None
            for one in answers if isinstance(answers, list) else [answers]:
                if one is not None:
                    self.send(one)

    def _send_again(self):
        for mid, (data, peer, at, pause) in list(self.unanswered.items()):
            if time.monotonic() >= at:
                self.unanswered[mid] = (data, peer, time.monotonic() + 2 * pause, 2 * pause)
                self.socket.sendto(data, peer)

    def send(self, message, peer=None):
        """To whom sent something last, if to nobody else."""
        data, peer = message.encode(), peer or self.peer
        if message.type == coap.CON:
            self.unanswered[message.mid] = (data, peer, time.monotonic() + self.ACK_TIMEOUT, self.ACK_TIMEOUT)
        self.socket.sendto(data, peer)

    @property
    def requests(self):
        return [m for m in self.seen if 1 <= m.code < 32]

    def await_seen(self, condition, timeout=20.0):
        """The first message that came of which the condition holds."""
        with self.changed:
            assert self.changed.wait_for(lambda: any(map(condition, self.seen)), timeout), f"only {self.seen}"
            return next(filter(condition, self.seen))


def reply(request, code, payload=b"", options=()):
    """The piggybacked answer to a request."""
    return coap.Message(coap.code(code), type=coap.ACK, mid=request.mid, token=request.token, options=list(options),
                        payload=payload)
