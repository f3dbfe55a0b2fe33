# SPDX-License-Identifier: BSD-2-Clause
"""coapd --dump-state: what is stored, for people and for programs, while the daemon runs and when it does not."""

import json
import subprocess

import coap
from daemon import BINARY


def dump(daemon, *arguments):
    return subprocess.run(
        [BINARY, "-c", daemon.file, "--dump-state", *arguments], capture_output=True, text=True, timeout=20, check=False
    )


def check(daemon, observer):
    done = dump(daemon, "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    lamp = next(r for r in state["dynamic_resources"] if r["path"] == "lamp%20one")
    assert bytes.fromhex(lamp["body_hex"]) == b"\x00on\n"
    assert (lamp["content_format"], lamp["attributes"]) == (42, "rt=light")
    (row,) = state["observers"]
    assert (row["resource"], row["query"], row["peer_port"]) == ("time", "secs", observer.port)
    assert (row["token"], row["oscore"]) == (b"tok".hex(), False)
    assert any(c["resource"] == "time" for c in state["observe_counters"])
    text = dump(daemon)
    assert text.returncode == 0
    for word in ("lamp%20one", "rt=light", f"127.0.0.1 {observer.port}", "Observe counters"):
        assert word in text.stdout


def test_shows_what_is_stored(coapd):
    daemon = coapd(dynamic={"enable": True})
    with coap.Client(daemon.port) as client:
        client.request(coap.PUT, ["lamp one"], query=["rt=light"], content_format=42, payload=b"\x00on\n")
        client.request(coap.GET, "time", query=["secs"], observe=0, token=b"tok")
        check(daemon, client)
        daemon.stop()
        check(daemon, client)


def test_escapes_what_peers_sent(coapd):
    daemon = coapd(dynamic={"enable": True})
    with coap.Client(daemon.port) as client:
        client.request(coap.PUT, "x", query=["title=\x1b[31mred"], payload=b"1")
        assert "\\x1b[31mred" in dump(daemon).stdout
        assert json.loads(dump(daemon, "--json").stdout)["dynamic_resources"][0]["attributes"] == "title=\x1b[31mred"


def test_says_what_it_can_not_read(coapd):
    daemon = coapd(dynamic={"enable": True})
    daemon.stop()
    (daemon.folder / "observers").write_bytes(b"not a database, but long enough to be looked at" * 10)
    done = dump(daemon, "--json")
    assert done.returncode == 1
    assert f"{daemon.folder}/observers: this is no store of observers" in done.stderr
    assert json.loads(done.stdout)["observers"] is None


def test_says_where_it_stopped(coapd):
    """A part of the rows is not all of them."""
    daemon = coapd(dynamic={"enable": True})
    with coap.Client(daemon.port) as client:
        for i in range(40):
            client.request(coap.PUT, ["r", f"{i}"], payload=bytes(900))
    daemon.stop()
    store = daemon.folder / "dynamic-resources"
    data = store.read_bytes()
    middle = len(data) // 4096 // 2 * 4096
    store.write_bytes(data[:middle] + bytes(4096) + data[middle + 4096 :])
    for arguments in ((), ("--json",)):
        done = dump(daemon, *arguments)
        assert done.returncode == 1
        assert f"{store}: database disk image is malformed" in done.stderr
        assert "Observe counters" in done.stdout or "observe_counters" in done.stdout
