# SPDX-License-Identifier: BSD-2-Clause
"""The process itself: no keys in core dumps, and nothing of a peer's makes it into the log as it came."""

import os
import re

import coap
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import coap_client, dtls_psk_exchange
from daemon import SANITIZED

KEYS = {"psk": {"identities": [{"identity": PSK_IDENTITY, "key": PSK_KEY}]}}
OSCORE = {"oscore": [{"sender_id": "01", "recipient_ids": ["02"], "master_secret": "01020304"}]}
NOBODY = 65534
# Somebody else than root, who may read this test's folder nevertheless.
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]


def may_be_dumped(daemon):
    """proc(5): what is in /proc/PID belongs to root when PR_SET_DUMPABLE is 0, else to the process's user."""
    return os.stat(f"/proc/{daemon.pid}/environ").st_uid == NOBODY


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_no_core_dump_with_keys_in_it(coapd):
    daemon = coapd(prefix=AS_NOBODY, persist=None)
    assert may_be_dumped(daemon), "there are no keys"
    daemon.write_config(security=OSCORE)
    daemon.reload()
    assert not may_be_dumped(daemon)
    daemon.write_config(security=KEYS, server={"core_dumps": True})
    daemon.reload()
    assert may_be_dumped(daemon)
    daemon.write_config(server={"core_dumps": False})
    daemon.restart()
    assert not may_be_dumped(daemon)


def find_in_memory(pid, needles):
    """Which of them are anywhere that the process can write to."""
    found = set()
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            begin, end, writable = re.match(r"([0-9a-f]+)-([0-9a-f]+) .(.)", line).groups()
            if writable != "w" or "[vvar" in line:
                continue
            memory.seek(int(begin, 16))
            piece = memory.read(int(end, 16) - int(begin, 16))
            found |= {needle for needle in needles if needle in piece}
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to read the memory of a process with keys")
@pytest.mark.skipif(SANITIZED, reason="ASan keeps what was freed")
def test_keys_that_a_reload_takes_out_are_wiped(coapd, tmp_path):
    """All but the master secrets that libcoap keeps: those are looked for as the config has them, in hex digits."""
    (tmp_path / "key").write_text("Key-of-a-file-4711")
    (tmp_path / "key").chmod(0o600)

    def keys(inline, secret, name):
        return {"psk": {"identities": [{"identity": "one", "key": inline},
                                       {"identity": "two", "key_file": tmp_path / name}]},
                "oscore": [{"sender_id": "01", "recipient_ids": ["02"], "master_secret": secret}]}

    old = (b"Key-of-the-config-0815", b"4b65792d6f662d4f53434f5245", b"Key-of-a-file-4711")
    # As in the package: the dynamic linker would leave vector registers, and what memcpy() left there, on the stack.
    daemon = coapd(start=False, prefix=["env", "LD_BIND_NOW=1"],
                   security=keys(old[0].decode(), old[1].decode(), "key"))
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", f"coaps://127.0.0.1:{daemon.port + 1}"])
    daemon.start()
    for identity, key in (("one", old[0]), ("two", old[2])):
        asked = coap_client("-v", "0", "-u", identity, "-k", key.decode(),
                            daemon.uri("time", "coaps", port=daemon.port + 1))
        assert re.match(r"\w{3} \d\d \d\d:", asked.stdout), asked
    assert find_in_memory(daemon.pid, old) >= {old[0], old[2]}, "they are in use"
    (tmp_path / "new").write_text("another key")
    (tmp_path / "new").chmod(0o600)
    daemon.write_config(security=keys("yet another", "00" * 16, "new"))
    daemon.reload()
    assert not find_in_memory(daemon.pid, old)


NASTY = "x\n2026-01-01 00:00:00.000 error   faked\x1b[2J\x7f\u202e\u0085\\end"


@pytest.mark.parametrize("level", ["info", "debug"])
def test_what_a_peer_sends_is_escaped_in_the_log(coapd, level):
    daemon = coapd(start=False, server={"log_level": level}, security=KEYS, access=[
        {"path": "/.well-known/core", "methods": ["GET"], "allow": ["anyone"]}])
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", f"coaps://127.0.0.1:{daemon.port + 1}"])
    daemon.start()
    nasty = NASTY.encode()
    with daemon.client() as client:
        assert client.put([nasty, b"a/b"], nasty, query=[nasty], token=nasty[:8]).text == "4.01"
        client.put([b"\xff\xfe\r\n"], b"\r\n", extra=[(coap.URI_HOST, nasty), (coap.PROXY_SCHEME, nasty)])
        client.get([], extra=[(coap.PROXY_URI, b"coap://" + nasty)])
        client.send_raw(b"\x41\x01\x00\x01" + nasty)
    dtls_psk_exchange("127.0.0.1", daemon.port + 1, "who\x1b[2J\u0085", "a key", b"x", timeout=1)
    coap_client("-v", "0", "-u", NASTY, "-k", "a key", daemon.uri("x", "coaps", port=daemon.port + 1), wait=1)
    daemon.stop()
    log = (daemon.folder / "stderr-1").read_bytes()
    assert b"denied with 4.01" in log
    assert b"faked" in log, "it was there to be seen"
    assert not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80\xae", log)
    for line in log.splitlines():
        assert re.match(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} \w+ +", line), line
        assert not line.startswith(b"2026-01-01 00:00:00.000"), line
