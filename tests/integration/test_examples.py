# SPDX-License-Identifier: BSD-2-Clause
"""The examples of conf/examples/ that show a kind of resource: coapd runs with each, and it does what it says."""

import json
import re
import time
from pathlib import Path

import coap
import pytest

EXAMPLES = Path(__file__).parents[2] / "conf/examples"


@pytest.fixture
def example(coapd):
    """example(NAME, OLD=NEW...) runs coapd with that file, but for its ports, its state, and what is replaced."""

    def run(name, replace=(), prepare=lambda folder: None):
        daemon = coapd(start=False)
        text = (EXAMPLES / name).read_text().replace(":5683\"", f":{daemon.port}\"")
        text = text.replace("/var/lib/coapd", str(daemon.folder))
        for old, new in replace:
            assert old in text
            text = text.replace(old, str(new))
        assert not re.search(r":568\d\"", text)
        daemon.file.write_text(text)
        prepare(daemon.folder)
        return daemon.start()

    return run


def test_static_file(example):
    daemon = example("static-file.conf")
    with daemon.client() as client:
        assert client.get("motd").payload == b"hello"
        assert client.get("state").content_format == coap.JSON
        assert client.get("about").payload == Path("/etc/os-release").read_bytes()


def test_dynamic(example):
    daemon = example("dynamic.conf")
    with daemon.client() as client:
        assert client.put("devices/lamp", b'{"on":false,"level":3}', content_format=coap.JSON).text == "2.01"
        assert client.request(coap.IPATCH, "devices/lamp", payload=b'{"on":true}', content_format=52).text == "2.04"
        assert client.get("devices/lamp").payload == b'{"on":true,"level":3}'
        assert client.post(["readings", ""], b"21.5").location.startswith("readings/")
        assert client.put("elsewhere", b"x").text == "4.01"


def test_status(example):
    daemon = example("status.conf")
    with daemon.client() as client, daemon.client("::1") as six:
        assert b"store_engine sqlite" in client.get("status").payload
        assert json.loads(six.get("status", accept=coap.JSON).payload)["resources_configured"] == 2
        assert client.observe("status").first.observe is not None
        assert client.get("time").text == "2.05"


def test_exec(example):
    daemon = example("exec.conf")
    with daemon.client() as client:
        for path, form in (("load", rb"\d+\.\d\d\n"), ("disk", rb"Use%\n *\d+%\n")):
            end = time.monotonic() + 30
            while (answer := client.get(path)).text == "5.03" and time.monotonic() < end:
                time.sleep(0.05)
            assert re.fullmatch(form, answer.payload), answer
        assert client.observe("load").first.observe is not None


def test_files(example):
    def prepare(folder):
        (folder / "srv/fw").mkdir(parents=True)
        (folder / "srv/upload").mkdir()
        (folder / "srv/fw/image.bin").write_bytes(b"\0" * 3000)

    daemon = example("files.conf", [("/srv/coap", "srv")], prepare)
    with daemon.client() as client:
        assert client.get_blocks("fw/image.bin", 1024).payload == b"\0" * 3000
        assert client.observe("fw").first.observe is not None
        assert client.put("upload/device-1/report.json", b"{}", content_format=coap.JSON).text == "2.01"
        assert (daemon.folder / "srv/upload/device-1/report.json").read_bytes() == b"{}"
        assert client.get("upload/device-1/report.json").content_format == coap.JSON
        assert client.put("fw/image.bin", b"x").text in ("4.01", "4.03")


def test_hosts(example):
    daemon = example("hosts.conf")
    with daemon.client() as client:
        for host, content in (("a.example.org", b"for A"), ("localhost", b"for this machine"), ("b", b"for everybody")):
            extra = [(coap.URI_HOST, host.encode())]
            assert client.get("motd", extra=extra).payload == content
            assert client.get("time", extra=extra).text == "2.05"
