# SPDX-License-Identifier: BSD-2-Clause
"""coapd as a command: --check and its exit codes, wrong arguments, and what SIGHUP applies."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

import coap
import pytest
from coap_stream import StreamClient
from daemon import BINARY, SANITIZED, SLOW, free_port


def run(*arguments):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)


def test_check_valid(coapd):
    daemon = coapd(start=False)
    result = run("-c", daemon.file, "--check")
    assert (result.returncode, result.stderr) == (0, "")
    assert not (daemon.folder / "observers").exists()


@pytest.mark.parametrize("engine", ["sqlite", "libcoap"])
def test_check_tells_what_a_start_would_refuse(coapd, engine):
    """persist.bad_file = "refuse": a check before a restart must not be the last good word. It changes no file."""
    daemon = coapd(start=False)
    for bad_file, code in (("start-empty", 0), ("refuse", 1)):
        daemon.write_config(persist=daemon.persist(engine=engine, bad_file=bad_file))
        assert run("-c", daemon.file, "--check").returncode == 0, "there is no file yet"
        damaged = daemon.folder / "observers"
        damaged.write_bytes(b"SQLite format 3\0" + b"x" * 100)
        result = run("-c", daemon.file, "--check")
        assert result.returncode == code, result
        assert damaged.stat().st_size == 116 and sorted(p.name for p in daemon.folder.iterdir()) == [
            "coapd.conf", "observers"]
        damaged.unlink()
    assert re.match(r"\S+coapd.conf:\d+: persist.observers: \S+/observers is a database of another application",
                    result.stderr), result.stderr
    # A good one of a daemon that runs.
    daemon.start()
    assert run("-c", daemon.file, "--check").returncode == 0


def refused(daemon, engine):
    """The reasons that --check has against files of the state, by key."""
    daemon.write_config(persist=daemon.persist(engine=engine, bad_file="refuse"))
    result = run("-c", daemon.file, "--check")
    told = dict(re.findall(r"coapd\.conf:\d+: persist\.(\w+): \S+ (.*), expected", result.stderr))
    assert result.returncode == (1 if told else 0), result
    return told


def test_check_judges_every_file_as_its_engine_does(coapd):
    daemon = coapd()
    with daemon.client() as client:
        client.put("door", b"open")
        client.observe("door")
    daemon.stop()
    keys = ("dynamic_resources", "observers", "observe_counters")
    files = [daemon.folder / key.replace("_", "-") for key in keys]
    assert refused(daemon, "sqlite") == refused(daemon, "libcoap") == {}
    for file in files:
        data = file.read_bytes()
        file.write_bytes(data[:4096] + b"\xff" * (len(data) - 4096))
    damaged = refused(daemon, "sqlite")
    assert set(damaged) == set(keys) and all("damaged" in reason for reason in damaged.values()), damaged
    assert refused(daemon, "libcoap") == damaged
    for file in files:
        file.write_text("coap://127.0.0.1:5683 17 time\n")
    text = refused(daemon, "sqlite")
    assert set(text) == set(keys) and all(reason.startswith("is no store of") for reason in text.values()), text
    assert refused(daemon, "libcoap") == {}  # which reads what it can of any text
    for file in files:
        file.unlink()
        file.mkdir()
    folders = dict.fromkeys(keys, "is a folder")
    assert refused(daemon, "sqlite") == refused(daemon, "libcoap") == folders


def test_the_sample_is_valid_before_the_first_start():
    """The unit's StateDirectory= makes the folder; a mistyped one is an error all the same."""
    sample = Path(__file__).parents[2] / "conf/coapd.conf"
    assert not Path("/var/lib/coapd").exists()
    assert run("-c", sample, "--check").returncode == 0


def test_check_reports_every_error(coapd):
    daemon = coapd(start=False)
    daemon.file.write_text(
        'endpoints = ( { uri = "coap://127.0.0.1:99999"; } );\n'
        'resources = ( { path = "time"; kind = "tme"; },\n'
        '              { path = "x"; kind = "static"; contents = "x"; } );\n'
        "server: { log_level = 7; };\n"
        'dynamc: { enable = true; };\n'
    )
    result = run("-c", daemon.file, "--check")
    assert result.returncode == 1
    errors = (result.stdout + result.stderr).splitlines()
    lines = {int(m.group(1)) for e in errors if (m := re.match(re.escape(str(daemon.file)) + r":(\d+): ", e))}
    assert lines >= {1, 2, 3, 4, 5}, errors
    assert any("dynamic" in e for e in errors if ":5:" in e)  # the nearest key that there is


def test_check_syntax_error(coapd):
    daemon = coapd(start=False)
    daemon.file.write_text("endpoints = (\n  { uri = \n);\n")
    result = run("--check", "-c", daemon.file)
    assert result.returncode == 1
    assert re.search(r"coapd\.conf:\d+: ", result.stdout + result.stderr)


def test_a_system_that_allows_no_dtls(coapd, tmp_path):
    """A policy that leaves GnuTLS none of the algorithms is an error of who has keys, with its line; also at a start."""
    (tmp_path / "policy").write_text("[overrides]\n" + "".join(
        f"disabled-version = {version}\n" for version in ("tls1.2", "tls1.3", "dtls1.2")))
    environment = {"GNUTLS_SYSTEM_PRIORITY_FILE": str(tmp_path / "policy")}
    daemon = coapd(start=False, endpoints=["coaps://127.0.0.1:{port}"], environment=environment,
                   security={"psk": {"identities": [{"identity": "a", "key": "secret"}]}})
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=False,
                            env={**os.environ, **environment})
    said = r"coapd\.conf:\d+: security\.psk: GnuTLS stops at \"NORMAL\", byte 0 of \"NORMAL:.*Expected "
    assert result.returncode == 1 and re.search(said, result.stderr), result
    daemon.start(wait=False)
    assert daemon.wait() == 1 and re.search(said, daemon.log), daemon.log


def test_check_missing_file(tmp_path):
    result = run("--check", "-c", tmp_path / "nowhere.conf")
    assert result.returncode == 1 and "nowhere.conf" in result.stderr


@pytest.mark.parametrize("arguments, named", [
    (["--nonsense"], "--nonsense"), (["-x"], "'x'"), (["-c"], "'c'"), (["--check", "more"], "more"), (["--json"], "--json"),
    (["--check", "--json"], "--json"), (["--explain", "GET", "/time"], "METHOD PATH SUBJECT")])
def test_wrong_usage(arguments, named):
    result = run(*arguments)
    assert result.returncode == 2 and named in result.stderr
    # What is wrong stays in sight.
    assert result.stderr.count("\n") == 2 and "coapd --help" in result.stderr


def test_help_and_version():
    assert "--check" in run("--help").stdout
    assert re.match(r"coapd \d+\.", run("--version").stdout)


def test_invalid_config_does_not_start(coapd):
    daemon = coapd(start=False, resources=[{"path": "x", "kind": "nosuch"}])
    daemon.start(wait=False)
    assert daemon.wait() == 1
    assert "nosuch" in daemon.log


def test_examples_are_valid(coapd, tmp_path):
    """Every example of conf/, with its paths moved to where this test may write."""
    from pathlib import Path

    folder = Path(__file__).parents[2] / "conf"
    files = sorted([*folder.glob("*.conf"), *folder.glob("examples/*.conf")])
    assert files
    for file in files:
        copy = tmp_path / file.name
        text = file.read_text().replace("/var/lib/coapd", str(tmp_path)).replace("/srv/coap", str(tmp_path))
        text = text.replace("%eth0", "%lo").replace("/run/coapd", str(tmp_path))
        for root in re.findall(r'root = "([^"]+)"', text):
            Path(root).mkdir(exist_ok=True)
        copy.write_text(text)
        result = run("-c", copy, "--check")
        if re.search(r"^\s*[^/\n]*\"/etc/coapd/", file.read_text(), re.M):
            continue  # wants keys that only the operator has
        assert result.returncode == 0, (file, result.stderr)


# --- SIGHUP ---


def greeting(text="hello", **more):
    return {"path": "motd", "kind": "static", "content": text, **more}


def test_reload_nothing_new(coapd):
    daemon = coapd()
    assert "reloaded" in daemon.reload()
    daemon.alive()


def test_reload_order_of_states(coapd):
    """sd_notify(3): RELOADING=1 with a timestamp, then READY=1."""
    daemon = coapd()
    daemon.reload()
    told = ("READY", "RELOADING", "MONOTONIC_USEC")
    states = [s.split("=")[0] for s in daemon.states if s.split("=")[0] in told]
    assert states == ["READY", "RELOADING", "MONOTONIC_USEC", "READY"]


def test_reload_adds_changes_and_removes(coapd):
    daemon = coapd(resources=[greeting(), greeting(path="gone")])
    with daemon.client() as client:
        kept, gone = client.observe("motd"), client.observe("gone")
        daemon.write_config(resources=[greeting("new"), greeting("added", path="added")])
        daemon.reload()
        assert kept.fresh().payload == b"new"
        assert gone.next().text == "4.04"
        assert client.get("added").payload == b"added"
        assert client.get("gone").text == "4.04"
        assert client.nothing(0.2)


def test_reload_keeps_dynamic_resources(coapd):
    daemon = coapd()
    with daemon.client() as client:
        client.put("value", b"1")
        watch = client.observe("value")
        daemon.write_config(dynamic={"enable": True, "prefix": [""], "max_size": 10})
        daemon.reload()
        assert client.get("value").payload == b"1"
        assert client.put("value", b"x" * 11).text == "4.13"
        client.put("value", b"2")
        assert watch.fresh().payload == b"2"


def test_reload_of_an_invalid_config_changes_nothing(coapd):
    daemon = coapd(resources=[greeting()])
    with daemon.client() as client:
        watch = client.observe("motd")
        daemon.write_config(resources=[greeting("new"), {"path": "x", "kind": "nosuch"}])
        log = daemon.reload()
        assert "nosuch" in log and "not reloaded" in log
        assert client.get("motd").payload == b"hello"
        assert client.nothing(0.2)
        daemon.write_config(resources=[greeting("newer")])
        daemon.reload()
        assert watch.fresh().payload == b"newer"


def test_reload_of_a_missing_file(coapd):
    daemon = coapd()
    daemon.file.unlink()
    assert "not reloaded" in daemon.reload()
    daemon.alive()


def test_reload_log_level(coapd):
    daemon = coapd()
    with daemon.client() as client:
        client.get("time")
        assert "debug" not in daemon.stderr
        daemon.write_config(server={"log_level": "debug"})
        assert "server.log_level" in daemon.reload()
        client.get("time")
        assert "debug" in daemon.stderr


def test_reload_says_what_needs_a_restart(coapd):
    daemon = coapd()
    daemon.write_config(server={"log_level": "info", "session_timeout": 77})
    log = daemon.reload()
    assert re.search(r"server\.session_timeout.*restart", log)


def test_reload_opens_a_new_endpoint(coapd):
    daemon = coapd()
    more = free_port()
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", f"coap://127.0.0.1:{more}"])
    log = daemon.reload()
    with coap.Client(more) as client:
        assert client.get("time").text == "2.05"
    assert "restart" in log  # [::1] is left out, and closes only then


def test_many_reloads(coapd):
    """Nothing is left behind: memory and descriptors stay."""
    daemon = coapd(resources=[greeting(path=f"r{i}") for i in range(50)])
    for i in range(3):
        daemon.reload()
    daemon.alive()  # what it does behind READY=1 is done
    rss, descriptors = daemon.rss(), daemon.descriptors()
    for i in range(40):
        daemon.write_config(resources=[greeting(str(i), path=f"r{k}") for k in range(i % 2, 50)])
        daemon.reload()
    daemon.alive()
    assert daemon.descriptors() == descriptors
    assert SANITIZED or daemon.rss() - rss < 2 << 20


def test_reload_drops_no_session_and_loses_no_datagram(coapd):
    """Requests keep coming from one UDP socket and over one TCP connection while ten reloads change the resources."""
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"])
    sent, answered = 0, set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, StreamClient(daemon.port) as tcp:
        udp.connect(("127.0.0.1", daemon.port))
        udp.settimeout(10 * SLOW)
        for round in range(10):
            daemon.write_config(resources=[{"path": "time", "kind": "time"}, greeting(str(round))])
            ready = daemon.states.count("READY=1")
            daemon.send_signal(signal.SIGHUP)
            while daemon.states.count("READY=1") == ready:
                for _ in range(20):
                    udp.send(b"\x54\x01" + sent.to_bytes(2, "big") + sent.to_bytes(4, "big") + b"\xb4time")
                    sent += 1
                while len(answered) < sent:
                    answer = udp.recv(1500)
                    assert answer[1] == 0x45
                    answered.add(int.from_bytes(answer[4:8], "big"))
                assert tcp.get("time").text == "2.05"
        assert tcp.get("motd").payload == b"9"
    assert len(answered) == sent >= 200


def test_reload_keeps_observers_over_tls_and_dtls_sessions(coapd, tmp_path):
    """The same keys in the new config: the sessions that were made with them go on."""
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", {"uri": f"coaps://127.0.0.1:{free_port()}"}],
                   security={"psk": {"identities": [{"identity": "a", "key": "secret"}]}})
    port = int(str(daemon.groups["endpoints"][1]["uri"]).rsplit(":", 1)[1])
    with subprocess.Popen(["coap-client-gnutls", "-v", "7", "-s", "60", "-B", "60", "-u", "a", "-k", "secret",
                           f"coaps://127.0.0.1:{port}/time"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as client:
        try:
            seen = 0
            for line in client.stdout:
                seen += "c:2.05" in line and "Observe" in line
                assert "DTLS_CLOSED" not in line and "c:4." not in line, line
                if seen == 2:
                    daemon.write_config(resources=[{"path": "time", "kind": "time"}, greeting("new")])
                    daemon.reload()
                if seen == 6:
                    break
            assert seen == 6
        finally:
            client.kill()


def test_status_tells_sessions_and_observers(coapd):
    daemon = coapd()
    with daemon.client() as client, daemon.client() as other:
        client.observe("time")
        other.put("door", b"x")
        daemon.await_status("2 sessions: 1 observers, 1 configured and 1 dynamic")


def test_a_reload_that_fails_late_changes_nothing(coapd):
    """The config is good, but an address in it is taken, which shows only when it is to be opened."""
    daemon = coapd()
    other, taken = free_port(), free_port()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder, daemon.client() as client:
        holder.bind(("127.0.0.1", taken))
        client.put("door", b"x")
        observation = client.observe("door")
        daemon.write_config(endpoints=["coap://127.0.0.1:{port}", f"coap://127.0.0.1:{other}",
                                       f"coap://127.0.0.1:{taken}"],
                            resources=[greeting(), {"path": "door", "kind": "static", "content": "configured"}])
        log = daemon.reload()
        assert "not reloaded" in log and f"127.0.0.1:{taken} cannot be opened" in log
        assert client.get("time").text == "2.05" and client.get("motd").text == "4.04"
        assert client.get("door").payload == b"x"
        client.put("door", b"y")
        assert observation.next().payload == b"y"
    with pytest.raises((coap.Timeout, ConnectionError)), coap.Client(other) as nobody:
        nobody.get("time", timeout=0.5)
