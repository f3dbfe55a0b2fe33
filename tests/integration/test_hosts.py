# SPDX-License-Identifier: BSD-2-Clause
"""Virtual hosts: Uri-Host and Uri-Port choose among the resources of a path (RFC 7252, 5.10.1)."""

import coap
import pytest
from clients import aiocoap_request


def static(content, *hosts, path="motd", **more):
    return {"path": path, "kind": "static", "content": content, **({"host": list(hosts)} if hosts else {}), **more}


RESOURCES = [
    static("default"),
    static("a", "a.example"),
    static("bc", "b.example", "c.example"),
    static("only b", "b.example", path="b"),
    static("port", "a.example:1234"),
    static("default only", path="default"),
]


def at(host, port=None):
    """The options that name a host; they stand before the path."""
    return {"extra": [(coap.URI_HOST, host.encode())] + ([] if port is None else [(coap.URI_PORT, coap.uint(port))])}


@pytest.mark.parametrize(
    "host, port, content",
    [
        ("a.example", None, b"a"),
        ("A.Example", None, b"a"),
        ("a.example", 99, b"a"),
        ("a.example", 1234, b"port"),
        ("b.example", None, b"bc"),
        ("c.example", None, b"bc"),
        ("d.example", None, b"default"),
        ("d.example", 1234, b"default"),
        ("a.example.", None, b"default"),
        ("x" * 255, None, b"default"),
        ("a.example\0", None, b"default"),
        ("a.example:1234", None, b"default"),
    ],
)
def test_selection(coapd, host, port, content):
    daemon = coapd(resources=RESOURCES)
    with daemon.client() as client:
        assert client.get("motd", **at(host, port)).payload == content
        assert client.get("motd").payload == b"default"


def test_a_host_has_its_own_alone(coapd):
    daemon = coapd(resources=RESOURCES)
    with daemon.client() as client:
        assert client.get("b").text == "4.04"
        assert client.get("b", **at("b.example")).payload == b"only b"
        assert client.get("b", **at("c.example")).text == "4.04"
        assert client.get("default", **at("a.example")).text == "4.04"
        assert client.get("default", **at("d.example")).payload == b"default only"
        # What clients make is at none of them.
        assert client.put("new", b"x", **at("a.example")).text == "4.04"
        assert client.delete("new", **at("a.example")).text == "4.04"
        assert client.put("new", b"x").text == "2.01"
        assert client.get("new", **at("d.example")).payload == b"x"
        assert client.get("new", **at("a.example")).text == "4.04"
        # Also where a host has something at the path.
        assert client.put("b", b"mine").text == "2.01"
        assert client.get("b", **at("b.example")).payload == b"only b"
        assert client.put("b", b"theirs", **at("b.example")).text == "4.05"
        assert client.get("b").payload == b"mine"
        assert client.delete("b").text == "2.02"
        assert client.get("b").text == "4.04"
        assert client.get("b", **at("b.example")).payload == b"only b"


def test_port_of_the_endpoint(coapd):
    """Without Uri-Port it is the port that the request came to (RFC 7252, 5.10.1)."""
    daemon = coapd()
    daemon.write_config(resources=[static("here", f"a.example:{daemon.port}"), static("else", "a.example")])
    daemon.reload()
    with daemon.client() as client:
        assert client.get("motd", **at("a.example")).payload == b"here"
        assert client.get("motd", **at("a.example", daemon.port)).payload == b"here"
        assert client.get("motd", **at("a.example", 1)).payload == b"else"
        assert client.get("motd").text == "4.04"


def test_ignored_without_hosts(coapd):
    daemon = coapd(resources=[static("x")])
    with daemon.client() as client:
        assert client.get("motd", **at("anything", 7)).payload == b"x"
        assert client.put("new", b"x", **at("anything")).text == "2.01"


def test_discovery(coapd):
    daemon = coapd(resources=RESOURCES, dynamic={"enable": False})

    def links(client, host=None):
        got = client.get_blocks(".well-known/core", 1024, **(at(host) if host else {}))
        return {link.split(">")[0] + ">" for link in got.payload.decode().split(",") if link}

    with daemon.client() as client:
        assert links(client) == {"</motd>", "</default>"}
        assert links(client, "a.example") == {"</motd>"}
        assert links(client, "b.example") == {"</motd>", "</b>"}
        assert links(client) == {"</motd>", "</default>"}


def test_access_rules_are_for_every_host(coapd):
    rules = [{"path": "/motd", "methods": ["GET"], "allow": ["net:192.0.2.0/24"]},
             {"path": "/**", "methods": ["GET"], "allow": ["anyone"]}]
    daemon = coapd(resources=RESOURCES, access=rules)
    with daemon.client() as client:
        assert client.get("motd", **at("a.example")).code >> 5 == 4
        assert client.get("b", **at("b.example")).payload == b"only b"


def test_observed_apart(coapd):
    daemon = coapd(resources=RESOURCES)
    with daemon.client() as one, daemon.client() as two, daemon.client() as three:
        default, a, bc = one.observe("motd"), two.observe("motd", **at("a.example")), three.observe("motd", **at("b.example"))
        assert [w.first.payload for w in (default, a, bc)] == [b"default", b"a", b"bc"]
        changed = [static("a2", "a.example"), *RESOURCES[:1], *RESOURCES[2:]]
        daemon.write_config(resources=changed)
        daemon.reload()
        assert a.fresh().payload == b"a2"
        # One of them goes: its observers are told, the others go on.
        daemon.write_config(resources=[changed[0], *changed[2:]])
        daemon.reload()
        note = default.next()
        while note.text != "4.04":  # what changes at one host of a path is told at the others, too
            assert (note.text, note.payload) == ("2.05", b"default")
            note = default.next()
        daemon.write_config(resources=[static("a3", "a.example"), *changed[2:]])
        daemon.reload()
        while a.fresh().payload != b"a3":
            pass
        while not three.nothing(0.3, lambda m: m.token == bc.token and m.payload == b"bc"):
            pass
        assert one.nothing(0.3, lambda m: m.token == default.token) and not three.inbox


def test_observed_over_a_restart(coapd):
    daemon = coapd(resources=RESOURCES)
    with daemon.client() as one, daemon.client() as two:
        default, a = one.observe("motd"), two.observe("motd", **at("a.example"))
        daemon.restart()
        assert (default.fresh().payload, a.fresh().payload) == (b"default", b"a")
        daemon.write_config(resources=[static("new"), static("new a", "a.example")])
        daemon.reload()
        while a.fresh().payload != b"new a":
            pass
        while default.fresh().payload != b"new":
            pass


def test_files_of_hosts(coapd, tmp_path):
    """Below a folder, observed, over a restart."""
    for name in ("a", "b", "none"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    (tmp_path / "a" / "y").write_text("only a")

    def files(name, *hosts):
        return {"path": "f", "kind": "files", "root": tmp_path / name, **({"host": list(hosts)} if hosts else {})}

    daemon = coapd(resources=[files("a", "a.example"), files("b", "b.example"), files("none")])
    with daemon.client() as one, daemon.client() as two, daemon.client() as three:
        watches = {"a": one.observe("f/x", **at("a.example")), "b": two.observe("f/x", **at("b.example")),
                   "none": three.observe("f/x")}
        assert {name: w.first.payload.decode() for name, w in watches.items()} == {n: n for n in watches}
        assert all(w.first.observe is not None for w in watches.values())
        assert two.get("f/y", **at("b.example")).text == "4.04"
        assert one.get("f/y", **at("a.example")).payload == b"only a"
        for round in ("2", "3"):
            for name, watch in watches.items():
                (tmp_path / name / "x").write_text(name + round)
                while watch.fresh().payload.decode() != name + round:
                    pass
            daemon.restart()


def test_not_observable_at_one_host(coapd):
    daemon = coapd(resources=[static("a", "a.example", observable=False), static("b", "b.example")])
    with daemon.client() as client:
        assert client.get("motd", observe=0, **at("a.example")).observe is None
        assert client.get("motd", **at("a.example")).payload == b"a"
        assert client.observe("motd", **at("b.example")).number is not None


def test_aiocoap(coapd):
    """A client that names the host of its URI."""
    daemon = coapd(resources=[static("default"), static("local", "localhost"), ])
    assert aiocoap_request(daemon.uri("motd", host="localhost")).payload == b"local"
    assert aiocoap_request(daemon.uri("motd")).payload == b"default"
