# SPDX-License-Identifier: BSD-2-Clause
"""coapd under callgrind: how many instructions it executes, and in which function of which library.

Counts of instructions are the same whatever else the machine does, so that a difference of one per cent shows in one
round. They are those of the process alone: the kernel's are not seen.
"""
import re
import subprocess
from collections import Counter
from pathlib import Path

from .servers import Coapd, ServerError

OWNERS = (("coapd", "coapd"), ("libcoap-3-gnutls", "libcoap"), ("libsqlite3", "sqlite"), ("libc", "libc"))


def owner_of(path):
    """By the name of the file that a function is in."""
    name = Path(path).name.split(".so")[0]
    return next((owner for file, owner in OWNERS if name == file), "other")


def read_costs(text):
    """{(owner, function): instructions} of callgrind's format: what each function executed itself."""
    names, costs, here, skip = {}, Counter(), {"ob": "?", "fn": "?"}, False
    for line in text.splitlines():
        name = re.match(r"c?(ob|fn)=(\(\d+\))(?: (.*))?$", line)
        if name:
            kind, number, spelled = name.groups()
            if spelled is not None:
                names[kind, number] = spelled
            if not line.startswith("c"):
                here[kind] = names[kind, number]
        elif line.startswith("calls="):
            skip = True  # what the next line counts was executed by the function called
        elif line[:1] in "+-*0123456789" and " " in line:
            if not skip:
                costs[owner_of(here["ob"]), re.sub(r"'\d+$", "", here["fn"])] += int(line.split()[1])
            skip = False
    return costs


class CountedCoapd(Coapd):
    """`count(function)`: the costs of what it does meanwhile."""

    def command(self):
        return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.state}/callgrind", *super().command()]

    def tell(self, word):
        done = subprocess.run(["vgdb", f"--pid={self.pid}", word], capture_output=True, text=True, timeout=60,
                              check=False)
        if done.returncode != 0:
            raise ServerError(f"callgrind does not {word}: {done.stderr.strip()}")

    def count(self, function):
        self.tell("zero")
        result = function()
        self.tell("dump")
        return read_costs((self.state / "callgrind.1").read_text(encoding="utf-8")), result


def figures(costs, requests):
    """For each request: in all, by owner, and the functions that take the most of it."""
    sums = Counter()
    for (owner, _), cost in costs.items():
        sums[owner] += cost
    top = [f"{cost / requests:8.0f}  {owner:8} {function}" for (owner, function), cost in costs.most_common(40)]
    return {"instructions": sum(sums.values()) / requests, "top": top,
            **{f"in_{owner}": sums[owner] / requests for owner in ("coapd", "libcoap", "libc", "sqlite", "other")}}
