# SPDX-License-Identifier: BSD-2-Clause
"""The examples of conf/examples/ that show a kind of resource: coapd runs with each, and it does what it says."""

import json
import re
import socket
import time
from pathlib import Path

import coap
import pytest
from clients import coap_client, tls_psk_context
from coap_stream import Closed, WebSocketClient
from daemon import SLOW, free_port
from test_endpoints import ask_group
from test_kind_rd_simple import Endpoint

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "conf/examples"


def test_every_example_is_used():
    """Here, or in the conformance tests."""
    users = [Path(__file__), *(ROOT / "tests/conformance").glob("*.py")]
    text = "".join(user.read_text() for user in users)
    assert [file.name for file in EXAMPLES.glob("*.conf") if f"{file.name}\"" not in text] == []


def test_every_key_is_in_an_example():
    """Each key of coapd.conf(5), and each kind."""
    manual = (ROOT / "packaging/man/coapd.conf.5").read_text()
    text = "".join(file.read_text() for file in EXAMPLES.glob("*.conf"))
    keys = set(re.findall(r"^\.It Cm (\w+) No =", manual, re.M))
    kinds = set(re.findall(r"^\.Ss resources of kind (\w+)$", manual, re.M))
    assert len(keys) > 50 and len(kinds) >= 5
    assert [key for key in sorted(keys) if not re.search(rf"^(?!\s*//).*\b{key}\s*[=:]", text, re.M)] == []
    assert [kind for kind in sorted(kinds) if f'kind = "{kind}"' not in text] == []


@pytest.fixture
def example(coapd):
    """example(NAME, OLD=NEW...) runs coapd with that file, but for its ports, its state, and what is replaced."""

    def run(name, replace=(), prepare=lambda folder: None, prefix=()):
        daemon = coapd(start=False, prefix=prefix)
        daemon.secure_port = free_port()
        text = (EXAMPLES / name).read_text()
        for standard in sorted(set(re.findall(r":(568\d)\"", text))):
            text = text.replace(f":{standard}\"", f":{daemon.port if standard == '5683' else daemon.secure_port}\"")
        text = text.replace("/var/lib/coapd", str(daemon.folder))
        for old, new in replace:
            assert old in text
            text = text.replace(old, str(new))
        daemon.file.write_text(text)
        prepare(daemon.folder)
        return daemon.start()

    return run


def test_static_file(example):
    daemon = example("static-file.conf")
    with daemon.client() as client:
        assert client.get("motd").payload == b"hello"
        assert client.get("state").content_format == coap.JSON
        assert client.get("greeting").payload == b"Good morning"
        assert client.get("greeting", accept=41).payload == b"<greeting>Good morning</greeting>"
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
        assert b"load average" in client.get("uptime").payload
        assert client.put("relay", b"on").text == "2.04"
        watch = client.observe("relay")
        assert watch.first.payload == b"on"
        assert client.put("relay", b"off").text == "2.04"
        while watch.next(20).payload != b"off":
            pass


def test_forward_proxy(example, coapd):
    """Its two targets are one coapd each here."""
    plain = coapd()
    meter = coapd(endpoints=["coap+tcp://127.0.0.1:{port}"], resources=[
        {"path": path, "kind": "static", "content": path} for path in ("sensors/1", "secret")])
    daemon = example("forward-proxy.conf", replace=[
        ("\"coap://192.0.2.10\"", f'"{plain.uri().rstrip("/")}"'), ("192.0.2.10:5683", f"127.0.0.1:{plain.port}"),
        ("meter.example", f"localhost:{meter.port}")])
    there = f"coap+tcp://localhost:{meter.port}"
    proxy = ["-P", daemon.uri().rstrip("/")]
    with daemon.client() as client:
        for path, text in (("sensors/1", "2.05"), ("secret", "5.05")):
            extra = [(coap.PROXY_URI, f"{there}/{path}".encode())]
            assert client.get("", timeout=20 * SLOW, extra=extra).text == text
        assert "forward" not in client.get(".well-known/core").payload.decode()
    coap_client("-m", "put", "-e", "open", plain.uri("valve"), *proxy)
    coap_client("-m", "put", "-e", "open", plain.uri("other"), *proxy)
    assert coap_client(plain.uri("valve"), *proxy).stdout == "open\n"
    with plain.client() as client:
        assert client.get("other").text == "4.04"


def test_proxy(example, coapd, certificates):
    """The three targets are one coapd here, with the names that the example gives it."""
    pki = {"certificate": certificates["server.crt"], "private_key": certificates["server.key"],
           "ca": certificates["ca.crt"]}
    psk = {"identities": [{"identity": "gateway-1", "key": "the key of the mill"}]}
    key = certificates.folder / "mill.key"
    key.write_text("the key of the mill\n")
    key.chmod(0o600)
    plain, mill = coapd(), coapd(endpoints=["coaps://127.0.0.1:{port}"], security={"psk": psk})
    plant = coapd(endpoints=["coaps+tcp://127.0.0.1:{port}"], security={"pki": pki})
    daemon = example("proxy.conf", replace=[
        ("coap://192.0.2.10", plain.uri()), ("coaps://mill.example", f"coaps://localhost:{mill.port}"),
        ("coaps+tcp://plant.example", f"coaps+tcp://localhost:{plant.port}"),
        ("/etc/coapd/gateway-1.key.pem", certificates["client.key"]), ("/etc/coapd/gateway-1.key", key),
        ("/etc/coapd/ca.pem", certificates["ca.crt"]), ("/etc/coapd/gateway-1.pem", certificates["client.crt"]),
    ])
    with daemon.client() as client:
        assert client.put("greenhouse/windows/1", b"open", timeout=20).text == "2.01"
        assert client.get("greenhouse/windows/1").payload == b"open"
        assert client.put("greenhouse/x", b"").text == "4.01"
        assert client.get("mill/level", timeout=30).text == "4.04"
        assert client.observe("plant/time", timeout=30).number is not None


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


def test_demo(example):
    daemon = example("demo.conf")
    with daemon.client() as client:
        assert client.get("motd").payload == b"Hello from coapd\n"
        assert client.observe("time").first.observe is not None
        assert client.put("room/temperature", b"21.5").text == "2.01"


def test_secure(example):
    def prepare(folder):
        for name in ("sensor-1", "dashboard"):
            (folder / f"{name}.key").write_text(f"key of {name}\n")
            (folder / f"{name}.key").chmod(0o600)

    daemon = example("secure.conf", [("/etc/coapd/", "")], prepare)
    sensor, dashboard = (["-u", name, "-k", f"key of {name}"] for name in ("sensor-1", "dashboard"))
    uri = daemon.uri("sensors/1", "coaps", port=daemon.secure_port)
    assert coap_client(*sensor, "-m", "put", "-e", "21.5", uri).stdout == ""
    assert coap_client(*dashboard, uri).stdout.strip() == "21.5"
    assert coap_client(*dashboard, uri.replace("coaps", "coaps+tcp")).stdout.strip() == "21.5"
    denied = coap_client(*dashboard, "-m", "put", "-e", "0", uri)
    assert "4.03" in denied.stdout + denied.stderr
    assert "21.5" not in coap_client("-u", "sensor-1", "-k", "wrong", uri, wait=3).stdout


def test_certificates(example, certificates):
    def prepare(folder):
        certificates.client_named("revoked")
        certificates.revocations("revoked")
        for name, source in (("server.crt", "server.crt"), ("server.key", "server.key"), ("ca.crt", "ca.crt"),
                             ("ca.crl", "ca.crl"), ("doors.crt", "server.crt"), ("doors.key", "server.key"),
                             ("server-rpk.key", "server.key")):
            (folder / name).write_bytes(certificates[source].read_bytes())
            (folder / name).chmod(0o600)
        (folder / "door-1.key").write_text("key of door-1\n")
        (folder / "door-1.key").chmod(0o600)

    daemon = example("certificates.conf", [("/etc/coapd/", "")], prepare)

    def get(path, *arguments, scheme="coaps"):
        done = coap_client(*arguments, daemon.uri(path, scheme, port=daemon.secure_port), wait=5)
        return (done.stdout + done.stderr).strip()

    ops = certificates.pki_arguments()
    for scheme in ("coaps", "coaps+tcp"):
        assert re.fullmatch(r"\w{3} \d\d \d\d:\d\d:\d\d", get("time", *ops, scheme=scheme))
    assert get("motd", *certificates.pki_arguments("revoked")) != "hello"
    assert get("motd", *certificates.pki_arguments("other-client")) != "hello"
    # By name another server, with keys.
    for identity, key in (("door-1", "key of door-1"), ("door-2", "correct horse battery staple"),
                          ("door-3", bytes.fromhex("00112233445566778899aabbccddeeff"))):
        for name, known in (("doors.example.net", True), ("a.doors.example.net", True), ("coap.example.net", False)):
            assert shakes_hands(daemon.secure_port, name, identity, key) == known


def test_websocket(example):
    daemon = example("websocket.conf")
    with WebSocketClient(daemon.port, host="::1", fields=["Origin: https://panel.example.org"]) as page:
        assert page.get("time").text == "2.05"
    with pytest.raises(Closed, match="400"):
        WebSocketClient(daemon.port, host="::1", fields=["Origin: https://other.example.org"])
    with WebSocketClient(daemon.port, host="::1") as no_browser:
        assert no_browser.get("time").text == "2.05"


def shakes_hands(port, name, identity, key):
    context = tls_psk_context(identity, "")
    context.set_psk_client_callback(lambda hint: (identity, key if isinstance(key, bytes) else key.encode()))
    with socket.create_connection(("127.0.0.1", port), 20) as plain:
        try:
            return bool(context.wrap_socket(plain, server_hostname=name).version())
        except OSError:
            return False


def test_oscore(example):
    secret = "000102030405060708090a0b0c0d0e0f"

    def client_file(folder, own, secret):
        file = folder / f"client-{own}.oscore"
        file.write_text(f'master_secret,hex,"{secret}"\nmaster_salt,hex,"9e7ca92223786340"\n'
                        f'sender_id,hex,"{own}"\nrecipient_id,hex,"01"\n')
        return file

    def prepare(folder):
        (folder / "device-2.secret").write_text(f"{secret}\n")
        (folder / "device-3.oscore").write_text(f'master_secret,hex,"{secret[::-1]}"\n'
                                                'master_salt,hex,"9e7ca92223786340"\n'
                                                'sender_id,hex,"01"\nrecipient_id,hex,"03"\n')
        for name in ("device-2.secret", "device-3.oscore"):
            (folder / name).chmod(0o600)

    daemon = example("oscore.conf", [("/etc/coapd/", "")], prepare)
    for own, key in (("02", secret), ("03", secret[::-1])):
        file = client_file(daemon.folder, own, key)
        done = coap_client("-E", f"{file},{daemon.folder}/sequence-{own}", daemon.uri("time"))
        assert re.search(r"\d\d:\d\d:\d\d", done.stdout), done
    with daemon.client() as client:
        assert client.get("time").text == "4.01"
        assert client.get("motd").payload == b"hello"


def test_multicast(example, network):
    daemon = example("multicast.conf", [("%eth0", "%net0")], prefix=network.prefix())
    for group in ("224.0.1.187", "ff02::fd"):
        with ask_group(network, group, daemon.port, ".well-known/core", query="rt=clock") as one:
            assert coap.Message.decode(one.recv(2048)).payload.startswith(b"</time>;rt=\"clock\";if=\"sensor\"")


def test_tuned(example):
    daemon = example("tuned.conf", [("/run/coapd/", "")])
    with daemon.client() as client:
        assert client.observe("config").first.max_age == 3600
        assert client.put("devices/1", b"x" * 64).text == "2.01"
        assert client.get("devices/1").text == "2.05"
    daemon.restart("kill")
    with daemon.client() as client:
        assert client.get("devices/1").payload == b"x" * 64


def test_rd(example):
    daemon = example("rd.conf")
    with daemon.client() as client:
        assert client.get(".well-known/core", query="rt=core.rd*").payload.count(b"core.rd") == 3
        query = ["ep=node1", "base=coap://node1.example"]
        made = client.post("rd", b'</temp>;rt="temperature-c"', query=query, content_format=coap.LINK_FORMAT)
        assert made.text == "2.01"
        daemon.restart()
        found = client.get("rd/lookup/res", query="rt=temperature-c").payload
        assert found == b'<coap://node1.example/temp>;rt="temperature-c";anchor="coap://node1.example"'
        assert made.location.encode() in client.get("rd/lookup/ep", query="ep=node*").payload
        assert client.post(made.location).text == "2.04"
        assert client.delete(made.location).text == "2.02"
        with Endpoint() as endpoint:
            assert endpoint.post(daemon, "ep=node2").text == "2.04"
            assert b'ep="node2"' in client.get("rd/lookup/ep").payload
