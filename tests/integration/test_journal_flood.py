# SPDX-License-Identifier: BSD-2-Clause
"""What peers do to fill the disk with messages: each kind of it is logged a few times a minute, and counted."""

import os
import socket

import coap

DENIED = [{"path": "/**", "methods": ["GET"], "allow": ["anyone"]}]


def lines_about(daemon, text):
    return [line for line in daemon.stderr.splitlines() if text in line]


def test_denied_requests_are_logged_with_who_and_what(coapd):
    daemon = coapd(access=DENIED)
    with daemon.client() as client:
        assert client.put("door", b"x").text == "4.01"
    assert "denied with 4.01: PUT,CREATE on /door to anyone at 127.0.0.1:" in daemon.stderr


def test_a_flood_of_them_is_not(coapd):
    daemon = coapd(access=DENIED)
    with daemon.client() as client:
        for _ in range(1000):
            assert client.put("x" * 200, b"x").text == "4.01"
        assert client.get("time").text == "2.05"
    assert 1 <= len(lines_about(daemon, "denied with")) <= 20


def test_rubbish_is_not(coapd):
    """Cut off, of other versions, with bad options, to no endpoint of its kind: nothing of it floods the log."""
    daemon = coapd()
    rubbish = [b"", b"\x40", b"\xff" * 30, b"\x44\x01\x00\x01", b"\x40\x01\x00\x02\xd0", b"\x40\x01\x00\x03\xff",
               b"\x60\x00\x00\x01", b"\x4f\x01\x00\x01" + b"a" * 20, b"\x40\xe1\x00\x01"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", daemon.port))
        for i in range(3000):
            s.send(rubbish[i % len(rubbish)] + os.urandom(i % 3))
    with daemon.client() as client:
        assert client.request(coap.GET, "time").text == "2.05"
    assert len(daemon.stderr.splitlines()) < 60


def test_datagrams_that_are_too_long_are_not(coapd):
    daemon = coapd()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(1000):
            s.sendto(b"\x40\x01\x00\x01" + b"a" * 20000, ("127.0.0.1", daemon.port))
    with daemon.client() as client:
        assert client.get("time").text == "2.05"
    assert 1 <= len(lines_about(daemon, "longer than any message")) <= 30


def test_sessions_beyond_the_limit_are_not(coapd):
    daemon = coapd(limits={"sessions_per_address": 4})
    for _ in range(1000):
        with daemon.client() as client:
            assert client.get("time").text == "2.05"
    assert 1 <= len(lines_about(daemon, "sessions_per_address is reached")) <= 30


def test_programs_that_fail_are_not(coapd):
    """Each failure costs a process, so there are fewer of them."""
    daemon = coapd(resources=[{"path": "relay", "kind": "exec", "command": ["/bin/true"], "interval": 3600,
                               "write_command": ["/bin/false"]}])
    with daemon.client() as client:
        for _ in range(100):
            assert client.put("relay", b"x", timeout=30).text == "5.00"
    assert 1 <= len(lines_about(daemon, "failed")) <= 50
