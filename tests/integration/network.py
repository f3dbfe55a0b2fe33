# SPDX-License-Identifier: BSD-2-Clause
"""A network of one's own: a namespace with an interface that carries multicast."""

import os
import subprocess
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000


class Network:
    """Loopback and the interface `net0`, a veth pair's end with the addresses 10.9.8.1 and fe80::...; its other end
    is `far0`, in the same namespace, only so that the link is up."""

    def __init__(self):
        # A process keeps the namespace; it dies with its standard input.
        self.keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && ip link add net0 type veth peer name far0 && "
             "sysctl -qw net.ipv6.conf.net0.accept_dad=0 net.ipv6.conf.far0.disable_ipv6=1 && "
             "ip addr add 10.9.8.1/24 brd + dev net0 && ip link set far0 up && ip link set net0 up && "
             "ip route add 224.0.0.0/4 dev net0 && echo ready; cat >/dev/null"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.keeper.stdout.readline() != "ready\n":
            self.keeper.stdin.close()
            raise OSError(self.keeper.stderr.read())
        self.file = f"/proc/{self.keeper.pid}/ns/net"

    def prefix(self):
        """What runs a command in here."""
        return ["nsenter", f"--net={self.file}", "--"]

    @contextmanager
    def inside(self):
        """Sockets made in here belong to the namespace."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        away = os.open(self.file, os.O_RDONLY)
        try:
            os.setns(away, CLONE_NEWNET)
            yield
        finally:
            os.setns(home, CLONE_NEWNET)
            os.close(home)
            os.close(away)

    def close(self):
        self.keeper.stdin.close()
        self.keeper.wait(10)
