# SPDX-License-Identifier: BSD-2-Clause
"""Safe by default: what takes a rule, and what is warned of."""

import re
import subprocess
from pathlib import Path

import coap
import pytest
from daemon import BINARY

SAMPLE = Path(__file__).parents[2] / "conf/coapd.conf"
CREATE = {"path": "/**", "methods": ["GET", "PUT", "CREATE"], "allow": ["anyone"]}
CHANGE = {**CREATE, "methods": ["GET", "PUT", "DELETE"]}


def check(daemon):
    """`coapd --check`: the exit code, and what it says."""
    result = subprocess.run([BINARY, "-c", daemon.file, "--check"], capture_output=True, text=True, check=False)
    return result.returncode, result.stderr


def explain(daemon, *words):
    return subprocess.run([BINARY, "-c", daemon.file, "--explain", *words], capture_output=True, text=True, check=False)


def test_to_create_takes_a_rule(coapd):
    daemon = coapd(access=None)
    with daemon.client() as client:
        refused = client.put("new", b"1")
        assert (refused.text, b"create" in refused.payload) == ("4.01", True)
        assert client.post(["new", ""], b"1").text == "4.01"
        assert client.get("new").text == "4.04"
        assert client.get("time").text == "2.05", "all else is open"
    assert "no client can create a resource" in daemon.stderr and "CREATE" in daemon.stderr
    asked = explain(daemon, "CREATE", "/new", "anyone")
    assert (asked.returncode, "to create takes one" in asked.stdout) == (1, True)
    asked = explain(daemon, "PUT", "/new", "anyone")
    assert asked.returncode == 0 and asked.stdout.splitlines()[1].endswith(
        "CREATE is asked for as well: denied with 4.01: there are no access rules, and to create takes one")


def test_explain_names_what_it_takes(coapd, certificates):
    daemon = coapd(start=False, security={"psk": certificates.psk()}, access=[
        {"path": "/a", "methods": ["PUT"], "allow": ["psk:*"]},
        {"path": "/**", "methods": ["CREATE"], "allow": ["authenticated"]}])
    asked = explain(daemon, "PUT,CREATE", "/a", "psk:nobody")
    assert asked.returncode == 0 and "nobody can be psk:nobody" in asked.stdout, asked.stdout
    asked = explain(daemon, "PUT", "/a", f"psk:{certificates.psk()['identities'][0]['identity']}")
    assert asked.returncode == 0 and "nobody" not in asked.stdout
    assert asked.stdout.splitlines()[1].startswith("where that makes a new resource or file, CREATE is asked for as "
                                                   "well: allowed by the rule"), asked.stdout
    for wrong in ("PUT,", "/a", "anyone"), ("GET", "coap://host/a", "anyone"), ("GET", "/a", "someone"):
        assert explain(daemon, *wrong).returncode == 2, wrong


def test_a_key_that_every_user_may_read_is_warned_of(coapd, certificates):
    daemon = coapd(start=False, security={"psk": certificates.psk()})
    daemon.file.chmod(0o644)
    code, said = check(daemon)
    assert code == 0 and "identities[0].key: stands in a file that is open to every user" in said, said
    daemon.file.chmod(0o640)
    assert "every user" not in check(daemon)[1]
    # The path of a key is no key.
    daemon.write_config(security={"pki": certificates.pki()})
    daemon.file.chmod(0o644)
    code, said = check(daemon)
    assert code == 0 and "every user" not in said, said


def test_a_rule_that_never_decides_is_warned_of(coapd):
    """Whoever writes it takes the first rule for one that lets in, and asks the next where it does not."""
    lan, here = ({"path": "/**", "methods": ["GET"], "allow": [net]} for net in ("net:192.0.2.0/24", "net:127.0.0.1"))
    daemon = coapd(start=False, access=[lan, here])
    code, said = check(daemon)
    assert code == 0 and "access[1]: never decides" in said, said
    daemon.write_config(access=[here, {**lan, "methods": ["GET", "PUT"]}])
    assert "never decides" not in check(daemon)[1]


def test_a_rule_that_comes_with_a_reload_lets_create(coapd):
    daemon = coapd(access=[CHANGE])
    with daemon.client() as client:
        assert client.put("new", b"1").text == "4.01"
        daemon.write_config(access=[CREATE])
        assert "no client can create" not in daemon.reload()
        assert client.put("new", b"1").text == "2.01"
        # What is there stays there without it.
        daemon.write_config(access=[CHANGE])
        assert "no client can create" in daemon.reload()
        assert client.put("new", b"2").text == "2.04"
        assert client.put("newer", b"1").text == "4.01"


def test_new_files_take_a_rule_too(coapd, tmp_path):
    (tmp_path / "old").write_text("old")
    files = [{"path": "fw", "kind": "files", "root": tmp_path, "writable": True}]
    daemon = coapd(resources=files, dynamic={"enable": False}, access=[CHANGE])
    with daemon.client() as client:
        assert client.put("fw/old", b"changed").text == "2.04"
        for path in ("fw/new", "fw/folder/new"):
            assert client.put(path, b"x").text == "4.01"
        assert sorted(p.name for p in tmp_path.glob("[!c]*")) == ["old"]
        daemon.write_config(access=[CREATE])
        daemon.reload()
        for path in ("fw/new", "fw/folder/new"):
            assert client.put(path, b"x").text == "2.01"


def test_the_shipped_config_gives_nothing_away(coapd, tmp_path):
    daemon = coapd(start=False)
    text = SAMPLE.read_text()
    # What counts is what is not commented out.
    live = re.sub(r"^\s*//.*$", "", text, flags=re.M)
    assert re.findall(r'"(\w[\w+]*://[^"]*)"', live) == ["coap://127.0.0.1:5683", "coap://[::1]:5683"]
    for word in ("identities", "certificate", "sender_id", "key", "allow", "secret"):
        assert not re.search(rf"\b\w*{word}\w*\s*=", live), word
    daemon.file.write_text(text.replace(":5683\"", f":{daemon.port}\"").replace("/var/lib/coapd", str(daemon.folder)))
    daemon.start()
    assert "warning" not in daemon.stderr, daemon.stderr
    with daemon.client() as client:
        assert client.put("new", b"1").text in ("4.01", "4.04")
        assert client.get("time").text == "2.05"
        shown = client.get(".well-known/core").payload
        assert re.findall(rb"<([^>]*)>", shown) == [b"/time"], shown


OPEN_DOOR = "has no security and anyone may write"


@pytest.mark.parametrize("listen, groups, warned", [
    ("coap://0.0.0.0", {"access": [CREATE]}, True),
    ("coap://[::]", {"access": [CHANGE]}, True),
    ("coap+tcp://0.0.0.0", {"access": [{**CREATE, "allow": ["net:0.0.0.0/0"]}]}, True),
    ("coap+ws://0.0.0.0", {"access": None}, True),  # what was created before may be changed
    ("coap://127.0.0.1", {"access": [CREATE]}, False),
    ("coap://0.0.0.0", {"access": [{**CREATE, "allow": ["authenticated"]}]}, False),
    ("coap://0.0.0.0", {"access": None, "dynamic": {"enable": False}}, False),
    ("coap://0.0.0.0", {"access": None, "dynamic": {"enable": False}, "resources": [
        {"path": "fw", "kind": "files", "root": "/tmp", "writable": True}]}, True),
    ("coap://0.0.0.0", {"access": None, "dynamic": {"enable": False}, "resources": [
        {"path": "fw", "kind": "files", "root": "/tmp"}]}, False),
])
def test_an_open_door_is_warned_of(coapd, listen, groups, warned):
    daemon = coapd(start=False, **groups)
    daemon.write_config(endpoints=[listen + ":{port}"])
    code, said = check(daemon)
    assert (code, OPEN_DOOR in said) == (0, warned), said


def test_a_secure_endpoint_is_no_open_door(coapd, certificates):
    daemon = coapd(start=False, security={"psk": certificates.psk()}, access=[CREATE])
    daemon.write_config(endpoints=["coaps://0.0.0.0:{port}"])
    code, said = check(daemon)
    assert (code, OPEN_DOOR in said) == (0, False), said
