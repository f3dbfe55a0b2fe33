# SPDX-License-Identifier: BSD-2-Clause
"""coapctl and the control socket of a running coapd."""

import json
import os
import re
import socket
import stat
import subprocess
from pathlib import Path

import coap
import pytest
from daemon import SLOW, free_port

COAPCTL = Path(os.environ.get("COAPD_BUILD", "")) / "coapctl"


class Control:
    def __init__(self, daemon):
        self.path = daemon.folder / "control"

    def run(self, *arguments, check=True, prefix=(), **options):
        done = subprocess.run([*prefix, COAPCTL, "-s", self.path, *map(str, arguments)], capture_output=True, text=True,
                              timeout=30 * SLOW, check=False, **options)
        assert not check or done.returncode == 0, done.stderr
        return done

    def json(self, *arguments):
        return json.loads(self.run("--json", *arguments).stdout)

    def table(self, *arguments):
        """The rows, each a list of cells."""
        return [line.split() for line in self.run(*arguments).stdout.splitlines()[1:]]

    def connect(self):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(10 * SLOW)
        s.connect(str(self.path))
        return s


@pytest.fixture
def controlled(coapd):
    """controlled(**groups): a daemon with a control socket, and what speaks to it."""

    def run(server=(), **groups):
        daemon = coapd(start=False, **groups)
        daemon.write_config(server={"log_level": "info", "control": daemon.folder / "control", **dict(server)})
        return daemon.start(), Control(daemon)

    return run


def test_status(controlled):
    daemon, control = controlled()
    with daemon.client() as client:
        client.put("door", b"open")
        client.get("nothing")
        text = control.run("status").stdout
        assert f"process {daemon.pid}" in text and "1 dynamic with 4 bytes" in text and "1 4.xx" in text
        status = control.json("status")
    assert status["pid"] == daemon.pid and status["config"] == str(daemon.file)
    assert status["counters"]["requests"] == 2 and status["store"] == {
        "engine": "sqlite", "writable": True, "bytes": status["store"]["bytes"]}


def test_trouble_is_pointed_at(controlled):
    daemon, control = controlled(access=[{"path": "/**", "methods": ["GET"], "allow": ["anyone"]}])
    assert "trouble:" not in control.run("status").stdout
    with daemon.client() as client:
        client.put("door", b"open")
    assert "trouble: requests_denied 1" in control.run("status").stdout


def test_endpoints(controlled):
    daemon, control = controlled(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://[::1]:{port}"])
    assert control.table("endpoints") == [["udp", f"127.0.0.1:{daemon.port}", "-", "0", "0"],
                                          ["tcp", f"[::1]:{daemon.port}", "-", "0", "0"]]


def test_sessions_tell_who_a_client_proved_to_be(controlled):
    port = free_port()
    daemon, control = controlled(endpoints=["coap://127.0.0.1:{port}", f"coaps://127.0.0.1:{port}"],
                                 security={"psk": {"identities": [{"identity": "sensor-1", "key": "secret"}]}})
    with subprocess.Popen(["coap-client-gnutls", "-w", "-s", "60", "-B", "60", "-u", "sensor-1", "-k", "secret",
                           f"coaps://127.0.0.1:{port}/time"], stdout=subprocess.PIPE, text=True) as client:
        assert client.stdout.readline()
        rows = control.table("sessions")
        client.kill()
    assert [(row[0], row[3], row[4]) for row in rows] == [("dtls", "psk:sensor-1", "1")]
    assert daemon.running


def test_observers_by_resource(controlled):
    daemon, control = controlled(resources=[{"path": "time", "kind": "time"}, {"path": "motd", "kind": "static",
                                                                               "content": "hello"}])
    with daemon.client() as a, daemon.client() as b:
        a.observe("time"), b.observe("time"), b.observe("motd")
        rows = control.table("observers")
        assert sorted((row[0], row[2]) for row in rows) == sorted(
            [("/time", f"127.0.0.1:{a.port}"), ("/time", f"127.0.0.1:{b.port}"), ("/motd", f"127.0.0.1:{b.port}")])
        assert sorted(control.table("observers", "--count")) == [["/motd", "1"], ["/time", "2"]]
        assert [row[0] for row in control.table("observers", "/motd")] == ["/motd"]
        assert {row["path"]: row["observers"] for row in control.json("resources")} == {"time": 2, "motd": 1}
    assert {row["kind"] for row in control.json("resources")} == {"time", "static"}


def test_long_paths_are_whole(controlled):
    """Two that begin alike are not one, and neither is cut."""
    daemon, control = controlled(server={"shards": 1})
    long = "/".join(letter * 200 for letter in "abcd")
    with daemon.client() as client:
        for path in (long + "1", long + "2"):
            assert client.put(path, b"x").text == "2.01"
            client.observe(path)
        paths = [f"/{long}1", f"/{long}2"]
        assert sorted(control.table("observers", "--count")) == [[path, "1"] for path in paths]
        assert sorted(row[0] for row in control.table("observers")) == paths
        assert sorted(row[0] for row in control.table("resources", "/" + "a" * 200)) == paths


def test_listings_of_several_pages_have_each_row_once(controlled):
    daemon, control = controlled()
    clients = [daemon.client() for _ in range(300)]
    try:
        for i, client in enumerate(clients):
            assert client.put(f"r/{i}", b"x").text == "2.01"
            client.observe("time")
            client.observe(f"r/{i // 2}")
        paths = [row["path"] for row in control.json("resources")]
        assert len(paths) == len(set(paths)) == 301
        peers = [row["peer"] for row in control.json("sessions")]
        assert sorted(peers) == sorted(f"127.0.0.1:{client.port}" for client in clients)
        observers = [(row["resource"], row["peer"]) for row in control.json("observers")]
        assert len(observers) == len(set(observers)) == 600
        assert len(control.table("resources", "/r/1")) == 1
        assert len(control.table("resources", "/r/")) == 300
    finally:
        for client in clients:
            client.close()


def test_notify(controlled):
    daemon, control = controlled(resources=[{"path": "motd", "kind": "static", "content": "hello"}])
    with daemon.client() as client:
        assert "nobody observes" in control.run("notify", "/motd").stdout
        observation = client.observe("motd")
        assert control.run("notify", "motd").stdout == ""
        again = observation.next()
        assert again.payload == b"hello" and coap.newer(observation.first.observe, again.observe)
    failed = control.run("notify", "/nothing", check=False)
    assert failed.returncode == 1 and "no resource /nothing" in failed.stderr


def test_reload(controlled):
    daemon, control = controlled()
    daemon.write_config(resources=[{"path": "time", "kind": "time"}, {"path": "new", "kind": "static",
                                                                      "content": "here"}])
    assert "resources" in control.run("reload").stdout
    assert [row["path"] for row in control.json("resources")] == ["time", "new"]
    assert daemon.states[-4:-1] != [] and "READY=1" in daemon.states
    with daemon.file.open("a") as file:
        file.write("nosuch = 1;\n")
    line = daemon.file.read_text().count("\n")
    failed = control.run("reload", check=False)
    assert failed.returncode == 1
    assert f"{daemon.file}:{line}: nosuch" in failed.stderr and "the old configuration goes on" in failed.stderr
    assert f"{daemon.file}:{line}: nosuch" in daemon.stderr
    with daemon.client() as client:
        assert client.get("new").payload == b"here"


def fill(control, sizes):
    rows = [{"path": path, "body_hex": os.urandom(size).hex()} for path, size in sizes.items()]
    assert f"{len(rows)} of" in control.run("import", input=json.dumps({"dynamic_resources": rows})).stdout


def test_a_dump_goes_into_another_daemon(controlled):
    first, control = controlled()
    with first.client() as client:
        assert client.put("a/b c", b"\x00\xff", content_format=42, query=["rt=x", "title=y"]).text == "2.01"
    fill(control, {"large": 60000, **{f"many/{i}": 40000 for i in range(40)}})
    dump = control.run("dump").stdout
    assert len(json.loads(dump)["dynamic_resources"]) == 42

    second, other = controlled()
    with second.client() as client:
        client.put("large", b"old")
        client.put("a/b c", b"\x00\xff", content_format=42, query=["rt=other"])
        observation = client.observe("large")
        assert "42 of 42 resources imported" in other.run("import", input=dump).stdout
        assert observation.next() is not None
        answer = client.get("a/b c")
        assert answer.payload == b"\x00\xff" and answer.content_format == 42
        assert b'</a/b%20c>;rt="x"' in client.get(".well-known/core", query=["rt=x"]).payload.replace(b"rt=x;", b'rt="x";')

    def plain(text):
        rows = json.loads(text)["dynamic_resources"]
        return sorted((row["path"], row.get("content_format"), row["body_hex"], row.get("attributes")) for row in rows)

    assert plain(other.run("dump").stdout) == plain(dump)
    second.restart("kill")
    assert plain(other.run("dump").stdout) == plain(dump)


def test_what_the_config_does_not_let_exist_is_not_imported(controlled):
    daemon, control = controlled(dynamic={"enable": True, "prefix": ["devices"], "max_size": 10})
    rows = [{"path": "elsewhere", "body_hex": ""}, {"path": "time", "body_hex": "00"},
            {"path": "devices/large", "body_hex": "00" * 11}, {"path": "/devices/x", "body_hex": ""},
            {"path": "devices/odd", "body_hex": "0"}, {"path": "devices/f", "body_hex": "", "content_format": 70000},
            {"path": "devices/good", "body_hex": "6f6b", "content_format": None}]
    done = control.run("import", input=json.dumps({"dynamic_resources": rows}), check=False)
    assert done.returncode == 1 and "1 of 7 resources imported" in done.stdout
    for reason in ("dynamic.prefix", "the configuration has this path", "dynamic.max_size", "no path", "body_hex",
                   "no content format"):
        assert reason in done.stderr, done.stderr
    with daemon.client() as client:
        assert client.get("devices/good").payload == b"ok"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"dynamic_resources":3}'])
def test_what_is_no_dump(controlled, text):
    _, control = controlled()
    done = control.run("import", input=text, check=False)
    assert done.returncode == 1 and done.stderr


# --- the socket ---


def test_only_the_daemons_own_may_ask(controlled):
    daemon, control = controlled()
    mode = stat.S_IMODE(control.path.stat().st_mode)
    assert mode == 0o660
    if os.geteuid() != 0:
        pytest.skip("needs root to be somebody else")
    daemon.folder.chmod(0o755)
    for parent in daemon.folder.parents:
        if parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    refused = control.run("status", check=False, prefix=["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"])
    assert refused.returncode == 1 and "for root and the group" in refused.stderr
    assert control.run("status", prefix=["setpriv", "--reuid=nobody", f"--regid={control.path.stat().st_gid}",
                                         "--clear-groups"]).returncode == 0


def test_it_goes_with_the_daemon_and_a_stale_one_is_replaced(controlled):
    daemon, control = controlled()
    daemon.stop()
    assert not control.path.exists()
    assert "nobody listens" in control.run("status", check=False).stderr
    daemon.start()
    daemon.kill()
    assert control.path.is_socket()
    daemon.start()
    assert str(daemon.pid) in control.run("status").stdout


def test_what_is_no_stale_socket_is_left_alone(controlled, coapd):
    """Another daemon's, or a file: coapd serves all the same, and says what it lacks."""
    _, control = controlled()
    other = coapd(server={"control": control.path})
    assert "another coapd does" in other.stderr
    assert str(other.pid) not in control.run("status").stdout
    third = coapd(start=False)
    path = third.folder / "file"
    path.write_text("precious")
    third.write_config(server={"control": path})
    third.start()
    assert "something else than a socket" in third.stderr and path.read_text() == "precious"
    third.alive()


def test_without_the_key_there_is_none(coapd):
    daemon = coapd()
    assert not any(path.is_socket() and "notify" not in path.name for path in daemon.folder.iterdir())


def test_rubbish_and_crowds_on_it_hurt_nobody(controlled):
    daemon, control = controlled()
    for data in (b"\0", b"rubbish\0", b"{}\0", b"[" * 3000 + b"\0", b'{"method":"io.coapd.Control.Nosuch"}\0',
                 b'{"method":"io.coapd.Control.Status","parameters":{"x":1}}\0',
                 b'{"method":"io.coapd.Control.ListResources","parameters":{"after":"-1.x"}}\0', os.urandom(100000)):
        with control.connect() as s:
            try:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                while s.recv(65536):
                    pass
            except ConnectionError:
                pass
    crowd = [control.connect() for _ in range(40)]
    daemon.alive()
    for s in crowd:
        s.close()
    assert str(daemon.pid) in control.run("status").stdout


def test_whoever_does_not_read_is_not_waited_for(controlled):
    daemon, control = controlled()
    with control.connect() as s:
        fill(control, {f"r/{i}": 60000 for i in range(50)})
        s.setblocking(False)
        try:
            for _ in range(2000):
                s.send(b'{"method":"io.coapd.Control.ListResources","parameters":{"bodies":true}}\0')
        except BlockingIOError:
            pass
        daemon.alive()
        assert daemon.rss() < 200 << 20


# --- coapctl itself ---


def test_a_reload_that_changes_nothing_says_so(controlled):
    daemon, control = controlled()
    assert control.run("reload").stdout.startswith("no key has changed")
    daemon.write_config(server={"log_level": "debug", "control": daemon.folder / "control"})
    assert control.run("reload").stdout == "changed: server.log_level\n"


def test_metrics(controlled):
    """In the form that Prometheus reads: a HELP and a TYPE for each, counters named so, and all of them there."""
    daemon, control = controlled()
    with daemon.client() as client:
        client.put("door", b"open")
        client.get("nothing")
        lines = control.run("metrics").stdout.splitlines()
        status = control.json("status")
    assert len(lines) % 3 == 0
    values = {}
    for about, kind, value in zip(*[iter(lines)] * 3):
        name = re.fullmatch(r"# HELP (coapd_[a-z_]+) [^\n]+", about).group(1)
        assert kind == f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}"
        values[name] = re.fullmatch(name + r'(?:{version="[^"]+"})? (\d+)', value).group(1)
    for name, value in status["counters"].items():
        if not name.startswith("datagrams"):
            assert int(values.get(f"coapd_{name}_total", values.get(f"coapd_{name}"))) == value, name
    assert (values["coapd_store_writable"], values["coapd_dynamic_bytes"]) == ("1", "4")
    assert "coapd_observations_now" in values and "coapd_requests_total" in values


@pytest.mark.parametrize("arguments", [[], ["nosuch"], ["--nosuch", "status"], ["notify"], ["status", "more"]])
def test_wrong_usage(arguments):
    done = subprocess.run([COAPCTL, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2 and ("usage" if not arguments else arguments[0].strip("-")) in done.stderr
    # What is wrong stays in sight.
    assert done.stderr.count("\n") == 2 or not arguments, done.stderr


def test_check_is_that_of_coapd(coapd):
    daemon = coapd(start=False)
    done = subprocess.run([COAPCTL, "check", daemon.file], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and "valid" in done.stdout
    daemon.file.write_text("nosuch = 1;")
    done = subprocess.run([COAPCTL, "check", daemon.file], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and ":1: nosuch" in done.stderr


def test_reload_without_a_socket_under_systemd(coapd, tmp_path):
    """ExecReload= has $MAINPID: the file is checked, and then the daemon told by a signal."""
    daemon = coapd()
    # /etc/coapd.conf is the one that is checked there, and there is none here.
    done = subprocess.run([COAPCTL, "-s", tmp_path / "none", "reload"], env={**os.environ, "MAINPID": str(daemon.pid)},
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1 and "/etc/coapd.conf" in done.stderr
    assert "reloaded" not in daemon.stderr
