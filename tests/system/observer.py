# SPDX-License-Identifier: BSD-2-Clause
"""`coap-client-gnutls -s` in a machine, its notifications as they come."""
import queue
import re
import threading
import time

from machine import kill_group

NOTIFICATION = re.compile(r"c:(\d\.\d\d) .*?\[(.*?)\](?: :: (.*))?$")


def newer(v1, v2):
    """Is Observe number v2 fresher than v1? RFC 7641, section 3.4, without its clause about time."""
    return (v1 < v2 and v2 - v1 < 1 << 23) or (v1 > v2 and v1 - v2 > 1 << 23)


class Observer:
    def __init__(self, machine, uri="coap://127.0.0.1/time", *options, seconds=120):
        self.output = []
        self.answers = queue.Queue()
        self.process = machine.popen(["coap-client-gnutls", "-v", "7", "-s", str(seconds), "-B", str(seconds),
                                      *options, uri])
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        """Queue every response that arrives as (code, Observe number or None, payload)."""
        for line in self.process.stdout:
            self.output.append(line)
            found = NOTIFICATION.search(line.rstrip())
            if found and found[1] >= "2.00":
                # The number 0 is an empty option, and printed so.
                number = re.search(r"Observe:(\d*)", found[2])
                self.answers.put((found[1], number and int(number[1] or 0), found[3]))
        self.answers.put(("ended", None, None))

    def take(self, count, seconds=15):
        """The next `count` answers; less than that in time is a failure that shows what there was."""
        taken, end = [], time.monotonic() + seconds
        while len(taken) < count:
            try:
                taken.append(self.answers.get(timeout=max(0, end - time.monotonic())))
            except queue.Empty:
                raise AssertionError(f"{len(taken)} of {count} answers in {seconds} s: {taken}\n"
                                     + "".join(self.output[-30:])) from None
        return taken

    def close(self):
        kill_group(self.process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def assert_goes_on(answers):
    """Only notifications, each with a number newer than the one before."""
    assert all(code == "2.05" and number is not None for code, number, _ in answers), answers
    numbers = [number for _, number, _ in answers]
    assert all(newer(a, b) for a, b in zip(numbers, numbers[1:])), numbers
