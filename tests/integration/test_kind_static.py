# SPDX-License-Identifier: BSD-2-Clause
"""`static` with a file: its format, its reload, and what --check says of a bad one."""

import subprocess

import coap
import pytest


def resource(**more):
    return [{"path": "page", "kind": "static", **more}]


@pytest.mark.parametrize("name, number", [("a.json", 50), ("a.TXT", 0), ("a.unknown", 42), ("a", 42)])
def test_format_by_name(coapd, tmp_path, name, number):
    (tmp_path / name).write_bytes(b"\0\xffbytes")
    daemon = coapd(resources=resource(file=tmp_path / name))
    with daemon.client() as client:
        got = client.get("page")
        assert (got.payload, got.content_format) == (b"\0\xffbytes", number)


def test_format_by_key(coapd, tmp_path):
    (tmp_path / "a.json").write_text("[]")
    daemon = coapd(resources=resource(file=tmp_path / "a.json", content_format="application/cbor"))
    with daemon.client() as client:
        assert client.get("page").content_format == coap.CBOR


def test_relative_and_large(coapd):
    """A relative name counts from the config's folder; the body goes out in blocks."""
    daemon = coapd(start=False, resources=resource(file="large.bin"))
    body = bytes(i * 7 % 251 for i in range(200_000))
    (daemon.folder / "large.bin").write_bytes(body)
    daemon.start()
    with daemon.client() as client:
        assert client.get_blocks("page", 1024).payload == body


def test_reload_tells_observers(coapd, tmp_path):
    file = tmp_path / "page.txt"
    file.write_text("one")
    daemon = coapd(resources=resource(file=file))
    with daemon.client() as client:
        watch = client.observe("page")
        assert watch.first.payload == b"one"
        file.write_text("two")
        assert client.get("page").payload == b"one"
        daemon.reload()
        assert watch.fresh().payload == b"two"


def test_reload_without_the_file_keeps_the_old(coapd, tmp_path):
    file = tmp_path / "page.txt"
    file.write_text("one")
    daemon = coapd(resources=resource(file=file))
    file.unlink()
    assert "does not exist" in daemon.reload()
    with daemon.client() as client:
        assert client.get("page").payload == b"one"


FORMS = {"content": ["text", "[1]", "<x/>"], "content_format": ["text/plain", "application/json", "41"]}


def test_several_formats(coapd):
    daemon = coapd(resources=resource(**FORMS))
    with daemon.client() as client:
        tags = set()
        for accept, body in ((None, b"text"), (0, b"text"), (50, b"[1]"), (41, b"<x/>")):
            answer = client.get("page", accept=accept)
            assert (answer.text, answer.content_format, answer.payload) == ("2.05", accept or 0, body)
            assert client.get("page", accept=accept, extra=[(coap.ETAG, answer.etag)]).text == "2.03"
            tags.add(answer.etag)
        assert len(tags) == 3
        assert client.get("page", accept=60).text == "4.06"
        assert client.observe("page", accept=60).first.text == "4.06"
        assert b'ct="0 41 50";sz=4' in client.get(".well-known/core", query="ct=41").payload
        watch = client.observe("page", accept=50)
        daemon.write_config(resources=resource(**{**FORMS, "content": ["text", "[2]", "<x/>"]}))
        daemon.reload()
        assert watch.fresh().payload == b"[2]"


def test_several_files(coapd, tmp_path):
    for name in ("a.json", "a.cbor"):
        (tmp_path / name).write_text(name)
    daemon = coapd(resources=resource(file=[tmp_path / "a.json", tmp_path / "a.cbor"]))
    with daemon.client() as client:
        assert (client.get("page").content_format, client.get("page", accept=60).payload) == (50, b"a.cbor")


@pytest.mark.parametrize(
    "keys, complaint",
    [
        ({"content": ["a", "b"]}, "content format twice"),
        ({"content": ["a", "b"], "content_format": ["text/plain", "0"]}, "content format twice"),
        ({"content": ["a", "b"], "content_format": "text/plain"}, "as many content formats"),
        ({"content": ["x"] * 9, "content_format": [str(n) for n in range(9)]}, "more than 8"),
        ({"file": ["/etc/os-release", "/nowhere"]}, "does not exist"),
        ({}, "neither content nor file"),
        ({"content": "x", "file": "/etc/hostname"}, "both content and file"),
        ({"file": "/nowhere/at/all"}, "does not exist"),
        ({"file": "/etc"}, "is not a regular file"),
    ],
)
def test_check(coapd, keys, complaint):
    daemon = coapd(start=False, resources=resource(**keys))
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 1
    assert complaint in result.stdout + result.stderr
    assert f"{daemon.file}:" in result.stdout + result.stderr


def test_check_size(coapd, tmp_path):
    with open(tmp_path / "huge", "wb") as huge:
        huge.truncate(16 * 1024 * 1024 + 1)
    daemon = coapd(start=False, resources=resource(file=tmp_path / "huge"))
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, timeout=20, check=False)
    assert result.returncode == 1 and "too large" in result.stdout + result.stderr


def test_registered_formats(coapd):
    """The names and numbers are those of another implementation's table, too."""
    from aiocoap.numbers.contentformat import ContentFormat

    # A temporary registration, and content codings other than none: they go by their numbers.
    by_number = (836, 11050, 11060)
    known = [f for f in map(ContentFormat, range(65536)) if f.is_known() and f not in by_number]
    assert len(known) > 50
    daemon = coapd(resources=[
        {"path": f"f{int(f)}", "kind": "static", "content": "x", "content_format": f.media_type} for f in known
    ] + [{"path": f"f{n}", "kind": "static", "content": "x", "content_format": str(n)} for n in by_number])
    with daemon.client() as client:
        for number in [*map(int, known), *by_number]:
            assert client.get(f"f{number}").content_format == number
