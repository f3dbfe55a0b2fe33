# SPDX-License-Identifier: BSD-2-Clause
"""A disk that remembers: an NBD server that logs every write and flush in the order in which they came.

From one log, many disks as a power cut could have left them: all that was written before the last flush, and of what
came later any part, whole sectors of it written or not. Protocol: the NBD project's doc/proto.md, fixed newstyle.
"""

import socket
import struct
import threading
import time

WRITE, FLUSH, NOTE = range(3)
SECTOR, BLOCK = 512, 4096

_MAGIC, _OPTION_MAGIC, _REPLY_MAGIC = 0x4E42444D41474943, 0x49484156454F5054, 0x3E889045565A9
_REQUEST, _SIMPLE_REPLY = 0x25609513, 0x67446698
_EIO = 5
_HAS_FLAGS, _SEND_FLUSH, _SEND_FUA = 1, 4, 8


class Event:
    __slots__ = ("kind", "at", "offset", "data", "forced", "note")

    def __init__(self, kind, offset=0, data=b"", forced=False, note=None):
        self.kind, self.offset, self.data, self.forced, self.note = kind, offset, data, forced, note
        self.at = time.monotonic()


class Disk:
    """Serves `image`, a bytearray, on a UNIX socket; `log` has all that happened."""

    def __init__(self, image, path):
        self.image = image
        self.start = bytes(image)
        self.log = []
        self.lock = threading.Lock()
        self.failing = False  # from now on every write and flush is an error
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(path))
        self.listener.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def note(self, note):
        """Puts something that the world outside learned into the order of events."""
        with self.lock:
            self.log.append(Event(NOTE, note=note))

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            with connection:
                if self._handshake(connection):
                    self._requests(connection)
        except (ConnectionError, OSError):
            pass

    def _handshake(self, connection):
        connection.sendall(struct.pack("!QQH", _MAGIC, _OPTION_MAGIC, 3))
        flags = _HAS_FLAGS | _SEND_FLUSH | _SEND_FUA
        no_zeroes = struct.unpack("!I", _exactly(connection, 4))[0] & 2
        while True:
            _, option, length = struct.unpack("!QII", _exactly(connection, 16))
            data = _exactly(connection, length)
            if option == 1:  # EXPORT_NAME
                connection.sendall(struct.pack("!QH", len(self.image), flags) + (b"" if no_zeroes else bytes(124)))
                return True
            if option == 7:  # GO
                info = struct.pack("!HQH", 0, len(self.image), flags)
                connection.sendall(struct.pack("!QIII", _REPLY_MAGIC, option, 3, len(info)) + info)
                connection.sendall(struct.pack("!QIII", _REPLY_MAGIC, option, 1, 0))
                return True
            connection.sendall(struct.pack("!QIII", _REPLY_MAGIC, option, 0x80000001, 0))
            if option == 2:  # ABORT
                return False
            del data

    def _requests(self, connection):
        while True:
            magic, flags, kind, cookie, offset, length = struct.unpack("!IHHQQI", _exactly(connection, 28))
            assert magic == _REQUEST
            data, error = b"", 0
            if kind == 0:
                data = bytes(self.image[offset : offset + length])
            elif kind == 1:
                written = _exactly(connection, length)
                with self.lock:
                    error = _EIO if self.failing else 0
                    if not error:
                        self.image[offset : offset + length] = written
                        self.log.append(Event(WRITE, offset, written, forced=bool(flags & 1)))
            elif kind == 2:
                return
            elif kind == 3:
                with self.lock:
                    error = _EIO if self.failing else 0
                    if not error:
                        self.log.append(Event(FLUSH))
            else:
                error = 22
            connection.sendall(struct.pack("!IIQ", _SIMPLE_REPLY, error, cookie) + data)


def _exactly(connection, n):
    data = b""
    while len(data) < n:
        more = connection.recv(n - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


class Cuts:
    """Images of the disk after power cuts. `lying`: of a disk that says it has flushed and has not (a control)."""

    def __init__(self, disk, since, lying=False):
        self.log, self.lying = disk.log, lying
        self.image = bytearray(disk.start)
        self.done = 0  # events before it are in `image` for good
        self._settle(since)

    def _settle(self, until):
        for event in self.log[self.done : until]:
            if event.kind == WRITE:
                self._apply(self.image, event)
        self.done = max(self.done, until)

    @staticmethod
    def _apply(image, event):
        image[event.offset : event.offset + len(event.data)] = event.data

    def at(self, index, random):
        """The disk when the power went right before event `index`; indices must rise."""
        if not self.lying:
            for i in range(index - 1, self.done - 1, -1):
                if self.log[i].kind == FLUSH:
                    self._settle(i)
                    break
        image = bytearray(self.image)
        kept = random.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        for event in self.log[self.done : index]:
            if event.kind != WRITE:
                continue
            if (event.forced and not self.lying) or random.random() < kept:
                self._apply(image, event)
            elif random.random() < 0.5:
                self._tear(image, event, random)
        return image

    @staticmethod
    def _tear(image, event, random):
        """Some of its sectors, or of its blocks."""
        size = random.choice((SECTOR, BLOCK))
        for at in range(0, len(event.data), size):
            if random.random() < 0.5:
                piece = event.data[at : at + size]
                image[event.offset + at : event.offset + at + len(piece)] = piece
