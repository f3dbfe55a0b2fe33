# SPDX-License-Identifier: BSD-2-Clause
"""Who stands between a client and the daemon, and sees what they say to each other."""

import select
import socket
import threading


class Relay(threading.Thread):
    """Keeps what the client sends. Its datagrams go on where `goes()` says so, the daemon's where `passes()` does."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.near, self.far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.near.bind(("127.0.0.1", 0))
        self.far.connect(("127.0.0.1", port))
        self.sent, self.over = [], False

    def goes(self, data):
        return True

    def passes(self, data):
        return True

    @property
    def port(self):
        return self.near.getsockname()[1]

    def run(self):
        client = None
        while not self.over:
            for ready in select.select([self.near, self.far], [], [], 0.1)[0]:
                if ready is self.near:
                    data, client = self.near.recvfrom(2048)
                    self.sent.append(data)
                    if self.goes(data):
                        self.far.send(data)
                elif client:
                    data = self.far.recv(2048)
                    if self.passes(data):
                        self.near.sendto(data, client)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.join()
        self.near.close()
        self.far.close()

    def replay(self):
        """Everything once more: as it was, and as another message."""
        for data in list(self.sent):
            self.far.send(data)
            self.far.send(data[:2] + bytes([data[2] ^ 0x55]) + data[3:])
