# SPDX-License-Identifier: BSD-2-Clause
"""`exec`: programs of the operator's as sources. Real ones, good and bad; nothing of them is left behind."""

import contextlib
import json
import os
import re
import subprocess
import time

import coap
import pytest
from clients import CoapClient, aiocoap_request, coap_client
from daemon import SLOW


class Script:
    """A program whose runs the test watches: each writes a line to `runs` when it begins."""

    def __init__(self, folder, name="sensor"):
        self.folder = folder
        self.path = folder / name
        self.value = folder / f"{name}.value"
        self.log = folder / f"{name}.runs"
        self.log.touch()
        self.value.write_text("21.5")
        self.write('cat "$0.value"')

    def write(self, body, shell="/bin/sh"):
        # Under another name first: a file that is open for writing cannot be executed.
        fresh = self.path.with_suffix(".new")
        fresh.write_text(f'#!{shell}\necho $$ >> "$0.runs"\n{body}\n')
        fresh.chmod(0o755)
        fresh.rename(self.path)

    @property
    def runs(self):
        return len(self.log.read_text().splitlines())

    def resource(self, **more):
        return {"path": "sensor", "kind": "exec", "command": [self.path], **more}


@pytest.fixture
def script(tmp_path):
    return Script(tmp_path)


def until(condition, timeout=20 * SLOW):
    end = time.monotonic() + timeout
    while not (result := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return result


def read(client, wanted="2.05", path="sensor"):
    """The answer once it has that code."""
    return until(lambda: (answer := client.get(path)).text == wanted and answer)


def children(daemon):
    """Its processes, zombies too."""
    found = subprocess.run(["ps", "-o", "pid=,stat=,args=", "--ppid", str(daemon.pid)], capture_output=True, text=True,
                           check=False)
    return found.stdout.split("\n")[:-1]


def exists(pid):
    return os.path.exists(f"/proc/{pid}")


def test_output_is_the_representation(coapd, script):
    daemon = coapd(resources=[script.resource(interval=3600)])
    with daemon.client() as client:
        answer = read(client)
        assert (answer.payload, answer.content_format) == (b"21.5", coap.TEXT)
        assert client.get("sensor", extra=[(coap.ETAG, answer.etag)]).text == "2.03"
        for method in (coap.PUT, coap.POST, coap.DELETE):
            assert client.request(method, "sensor", payload=b"x").text == "4.05"
        assert script.runs == 1
    assert aiocoap_request(daemon.uri("sensor")).payload == b"21.5"


def test_arguments_are_no_shells(coapd, tmp_path):
    """One string is one argument, whatever is in it."""
    words = ["a b", "$HOME", "*", "`id`", "; echo x", "", "\u00e4"]
    program = tmp_path / "arguments"
    program.write_text('#!/usr/bin/python3\nimport json, sys\nprint(json.dumps(sys.argv[1:]), end="")\n')
    program.chmod(0o755)
    daemon = coapd(resources=[{"path": "sensor", "kind": "exec", "command": [program, *words],
                               "content_format": "application/json"}])
    with daemon.client() as client:
        answer = read(client)


        assert (json.loads(answer.payload), answer.content_format) == (words, coap.JSON)


def test_binary_output(coapd, tmp_path):
    program = tmp_path / "measure"
    program.write_text("#!/usr/bin/python3\nimport sys\nsys.stdout.buffer.write(bytes(range(256)) * 300)\n")
    program.chmod(0o755)
    daemon = coapd(resources=[{"path": "sensor", "kind": "exec", "command": [program], "max_size": 256 * 300,
                               "content_format": "application/octet-stream"}])
    with daemon.client() as client:
        read(client)
        assert client.get_blocks("sensor", 512).payload == bytes(range(256)) * 300


def test_environment_is_clean(coapd, tmp_path):
    """Of coapd's environment, descriptors, signals and terminal nothing comes through."""
    program = tmp_path / "look"
    program.write_text(
        "#!/usr/bin/python3\nimport json, os, signal, sys\n"
        "fds = {int(n): os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')\n"
        "       if os.path.exists(f'/proc/self/fd/{n}') or int(n) < 3}\n"
        "status = dict(l.split(':\\t') for l in open('/proc/self/status').read().splitlines() if ':\\t' in l)\n"
        "json.dump({'environ': dict(os.environ), 'fds': fds, 'cwd': os.getcwd(), 'sid': os.getsid(0),\n"
        "           'pid': os.getpid(), 'blocked': status['SigBlk'], 'ignored': status['SigIgn']}, sys.stdout)\n")
    program.chmod(0o755)
    look = {"kind": "exec", "command": [program], "content_format": "application/json"}
    daemon = coapd(environment={"SECRET": "x", "LD_LIBRARY_PATH": os.environ.get("LD_LIBRARY_PATH", "")}, resources=[
        {"path": "a b/c", **look},
        {"path": "sensor", **look, "environment": ["UNIT=celsius", "PATH=/bin", "SPACE=a b"], "directory": tmp_path},
    ])
    with daemon.client() as client:


        first = json.loads(read(client, path="a b/c").payload)
        second = json.loads(read(client).payload)
    # LC_CTYPE is Python's own.
    for seen in (first, second):
        seen["environ"].pop("LC_CTYPE", None)
    assert {seen["environ"].pop("COAPD_METHOD") for seen in (first, second)} == {"GET"}
    assert first["environ"] == {"LANG": "C.UTF-8", "COAPD_PATH": "a b/c",
                                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    assert second["environ"] == {"LANG": "C.UTF-8", "COAPD_PATH": "sensor", "UNIT": "celsius", "PATH": "/bin",
                                 "SPACE": "a b"}
    assert (first["cwd"], second["cwd"]) == ("/", str(tmp_path))
    assert first["fds"]["0"] == "/dev/null"
    assert first["fds"]["1"].startswith("pipe:") and first["fds"]["2"].startswith("pipe:")
    assert first["fds"]["1"] != first["fds"]["2"]
    assert set(first["fds"]) - {"0", "1", "2"} == set()
    assert first["sid"] == first["pid"] and int(first["blocked"], 16) == 0
    # SIGPIPE and SIGXFSZ are ignored by Python itself.
    assert int(first["ignored"], 16) & ~(1 << 12 | 1 << 24) == 0


def test_interval_and_change(coapd, script):
    """It runs by the clock; observers hear of changes only."""
    daemon = coapd(resources=[script.resource(interval=1)])
    with daemon.client() as client:
        read(client)
        watch = client.observe("sensor")
        assert watch.first.payload == b"21.5" and watch.first.observe is not None
        ran = script.runs
        until(lambda: script.runs >= ran + 2)
        assert client.nothing(0, lambda m: m.token == watch.token)
        script.value.write_text("22.0")
        assert watch.fresh(20).payload == b"22.0"
        script.value.write_text("22.5")
        assert watch.fresh(20).payload == b"22.5"


def test_coap_client_observes(coapd, script):
    daemon = coapd(resources=[script.resource(interval=1)])
    with daemon.client() as client:
        read(client)
    script.value.write_text("21.5\n")
    with CoapClient(daemon.uri("sensor")) as observer:
        assert observer.line().startswith("21.5")
        script.value.write_text("30\n")
        while (line := observer.line()) != "30":
            assert line in ("21.5", "")


def test_failure(coapd, script):
    """5.03 while it fails, nothing for observers, and all is well again by itself."""
    daemon = coapd(resources=[script.resource(interval=1)])
    with daemon.client() as client, daemon.client() as late:
        read(client)
        watch = client.observe("sensor")
        script.write("echo broken; echo 'no such sensor' >&2; exit 3")
        answer = read(client, "5.03")
        assert b"exit status 3" in answer.payload and answer.max_age == 1
        assert watch.client.nothing(0, lambda m: m.token == watch.token)
        stale = late.observe("sensor")
        assert (stale.first.text, stale.first.payload, stale.first.max_age) == ("2.05", b"21.5", 0)
        script.write('cat "$0.value"')
        # The value is the same, but it is a fresh one.
        assert watch.fresh(20).payload == b"21.5" and stale.fresh(20).max_age is None
        assert read(client).payload == b"21.5"
    assert daemon.stderr.count("exit status 3") == 1
    assert daemon.stderr.count("runs well again") == 1
    assert "no such sensor" in daemon.stderr


@pytest.mark.parametrize("body, reason", [
    ("kill -SEGV $$", b"SIGSEGV"),
    ("kill -40 $$", b"signal 40"),
    ("exit 255", b"exit status 255"),
    ("exec /nowhere", b"exit status 127"),
])
def test_crash(coapd, script, body, reason):
    script.write(body)
    daemon = coapd(resources=[script.resource(interval=3600)])
    with daemon.client() as client:
        until(lambda: reason in client.get("sensor").payload)


def ask(client, path="sensor", method=coap.GET, **options):
    """A request whose answer comes later: it is acknowledged meanwhile."""
    message = coap.Message(method, mid=client.next_mid(), token=client.new_token(), payload=options.pop("payload", b""),
                           options=coap.request_options(path, **options))
    client.send(message)
    assert client.receive(20, lambda m: m.type == coap.ACK and m.mid == message.mid).code == 0
    return message.token


def answer_to(client, token, timeout=20 * SLOW):
    return client.receive(timeout, lambda m: m.token == token and m.code != 0)


def test_before_the_first_run_is_over(coapd, tmp_path, script):
    """A GET waits for it."""
    os.mkfifo(tmp_path / "go")
    script.write(f"cat {tmp_path}/go")
    daemon = coapd(resources=[script.resource(timeout=600)])
    with daemon.client() as client, daemon.client() as other:
        until(lambda: script.runs == 1)
        token, another = ask(client), ask(other, observe=0)
        assert client.nothing(0.3)
        daemon.alive()
        (tmp_path / "go").write_text("here")
        assert answer_to(client, token).payload == b"here"
        registered = answer_to(other, another)
        assert registered.payload == b"here" and registered.observe is not None
        assert script.runs == 1


def test_who_waits_while_it_stops(coapd, tmp_path, script):
    script.write("sleep 1000")
    daemon = coapd(resources=[script.resource(timeout=600)])
    with daemon.client() as client:
        until(lambda: script.runs == 1)
        ask(client)
        daemon.stop()


def test_who_waits_while_it_is_another(coapd, tmp_path, script):
    script.write("sleep 1000")
    daemon = coapd(resources=[script.resource(timeout=600)])
    with daemon.client() as client:
        until(lambda: script.runs == 1)
        token = ask(client)
        script.write("echo -n fresh")
        daemon.write_config(resources=[script.resource(timeout=599)])
        daemon.reload()
        assert answer_to(client, token).payload == b"fresh"
        script.write("sleep 1000")
        daemon.write_config(resources=[script.resource(timeout=598), {"path": "time", "kind": "time"}])
        daemon.reload()
        daemon.write_config(resources=[{"path": "time", "kind": "time"}])
        daemon.reload()
        assert client.get("sensor").text == "4.04"


def test_first_run_that_fails(coapd, tmp_path, script):
    os.mkfifo(tmp_path / "go")
    script.write(f"cat {tmp_path}/go; exit 7")
    daemon = coapd(resources=[script.resource(timeout=600)])
    with daemon.client() as client:
        until(lambda: script.runs == 1)
        token = ask(client)
        (tmp_path / "go").write_text("here")
        answer = answer_to(client, token)
        assert (answer.text, b"exit status 7" in answer.payload) == ("5.03", True)


# --- on demand ---


def test_on_demand(coapd, script):
    """One run for all who ask while it goes on, and none for who asks within the interval."""
    daemon = coapd(resources=[script.resource(on_demand=True, interval=3600)])
    with daemon.client() as client:
        read(client)
        assert script.runs == 1
        script.value.write_text("22")
        assert client.get("sensor").payload == b"21.5"
        assert script.runs == 1
        daemon.write_config(resources=[script.resource(on_demand=True, interval=1)])
        daemon.reload()
        before = daemon.wakeups()
        time.sleep(2.5)
        assert script.runs == 1 and daemon.wakeups() - before <= 4
        clients = [daemon.client() for _ in range(5)]
        script.write('sleep 0.5; cat "$0.value"')
        tokens = [ask(one) for one in clients]
        assert {answer_to(one, token).payload for one, token in zip(clients, tokens)} == {b"22"}
        assert script.runs == 2
        for one in clients:
            one.close()


def test_on_demand_observed(coapd, script):
    """It runs by the clock while it is observed."""
    daemon = coapd(resources=[script.resource(on_demand=True, interval=1)])
    with daemon.client() as client:
        read(client)
        watch = client.observe("sensor")
        assert watch.first.observe is not None
        script.value.write_text("23")
        while watch.fresh(20).payload != b"23":
            pass
        daemon.restart()
        script.value.write_text("24")
        while watch.fresh(20).payload != b"24":
            pass
        watch.cancel()
        script.value.write_text("25")
        # The change that finds nobody is the last run.
        ran = -1
        while ran != script.runs:
            ran = script.runs
            time.sleep(2.5)


def test_on_demand_without_an_interval(coapd, script):
    """Every GET runs it; observed it runs once a second."""
    daemon = coapd(resources=[script.resource(on_demand=True, interval=0)])
    with daemon.client() as client:
        read(client)  # maybe with what the run of the start has found
        before = script.runs
        for _ in range(3):
            assert client.get("sensor").payload == b"21.5"
        assert script.runs == before + 3
        watch = client.observe("sensor")
        script.value.write_text("22")
        assert watch.fresh(20).payload == b"22"
        assert script.runs <= before + 7


def test_on_demand_that_fails(coapd, script):
    daemon = coapd(resources=[script.resource(on_demand=True, interval=1)])
    with daemon.client() as client:
        read(client)
        script.write("exit 1")
        answer = until(lambda: (got := client.get("sensor")).text == "5.03" and got)
        assert b"exit status 1" in answer.payload
        script.write('cat "$0.value"')
        assert client.get("sensor").payload == b"21.5"


def test_other_clients_wait_too(coapd, script):
    script.write('sleep 0.3; cat "$0.value"')
    daemon = coapd(resources=[script.resource(on_demand=True, interval=1)])
    assert aiocoap_request(daemon.uri("sensor")).payload == b"21.5"
    time.sleep(1.1)
    script.value.write_text("22\n")
    assert coap_client(daemon.uri("sensor")).stdout.strip() == "22"


# --- writing ---


@pytest.fixture
def relay(tmp_path):
    """A program that takes a state, and one that tells it."""
    writer = Script(tmp_path, "relay")
    writer.write('cat > "$0.value"; echo "$COAPD_METHOD $COAPD_CONTENT_FORMAT" >> "$0.requests"')
    reader = Script(tmp_path, "state")
    reader.write(f"cat {writer.value}")
    return writer, reader


def switch(relay, **more):
    return {"path": "relay", "kind": "exec", "interval": 3600, "command": [relay[1].path],
            "write_command": [relay[0].path], **more}


def test_write(coapd, relay, tmp_path):
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client:
        read(client, path="relay")
        watch = client.observe("relay")
        assert client.put("relay", b"on", content_format=coap.TEXT).text == "2.04"
        assert watch.fresh(20).payload == b"on"
        assert read(client, path="relay").payload == b"on"
        assert client.post("relay", b"off", content_format=coap.JSON).text == "2.04"
        assert watch.fresh(20).payload == b"off"
        assert client.put_blocks("relay", bytes(70000), 1024, content_format=65000).text == "4.13"
        assert client.put_blocks("relay", bytes(range(256)) * 100, 512).text == "2.04"
        until(lambda: client.get_blocks("relay", 512).payload == bytes(range(256)) * 100)
        assert client.delete("relay").text == "4.05"
        assert (tmp_path / "relay.requests").read_text() == "PUT text/plain;charset=utf-8\nPOST application/json\nPUT \n"
    assert coap_client("-m", "put", "-e", "on", daemon.uri("relay")).stdout == ""
    assert aiocoap_request(daemon.uri("relay")).payload in (b"on", bytes(range(256)) * 100)


def test_who_writes_reads_what_was_written(coapd, relay):
    """A GET behind a write waits for the run that follows it."""
    relay[1].write(f"sleep 0.2; cat {relay[0].value}")
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client:
        for i in range(5):
            assert client.put("relay", b"%d" % i).text == "2.04"
            assert client.get("relay").payload == b"%d" % i


def test_post_gets_the_output(coapd, relay):
    """RFC 7252, 5.8.2: the result of the action."""
    relay[0].write("tr a-z A-Z")
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client:
        answer = client.post("relay", b"hello")
        assert (answer.text, answer.payload, answer.content_format) == ("2.04", b"HELLO", coap.TEXT)
        assert client.put("relay", b"hello").payload == b""
        body = b"abcdefgh" * 1000
        answer = client.put_blocks("relay", body, 512, method=coap.POST)
        ran = relay[0].runs
        assert answer.text == "2.04" and len(answer.payload) == 1024
        assert client.rest(answer, coap.POST, "relay").payload == body.upper()
        assert relay[0].runs == ran
        # To ask for the rest of nothing is no action.
        assert client.post("relay", block2=coap.Block.of_size(999, False, 512)).text in ("4.00", "4.08")
        with daemon.client() as other:
            assert other.post("relay", block2=coap.Block.of_size(1, False, 512)).text == "4.08"
        assert relay[0].runs == ran


def test_nobody_ends_what_others_are_at(coapd, relay):
    """The rest of an answer is kept, whatever other addresses begin meanwhile."""
    relay[0].write("cat; cat >/dev/null")
    daemon = coapd(resources=[switch(relay)])
    body = b"abcdefgh" * 500
    with contextlib.ExitStack() as stack:
        client, *others = (stack.enter_context(daemon.client(source=source)) for source in ["127.0.0.2"] + 100 * ["127.0.0.3"])
        answer = client.put_blocks("relay", body, 512, method=coap.POST)
        for other in others:
            assert other.put_blocks("relay", body, 1024, method=coap.POST).text == "2.04"
        ran = len(others) + 1
        assert client.rest(answer, coap.POST, "relay").payload == body
        # Of who began so many the newest are there.
        assert others[-1].post("relay", block2=coap.Block.of_size(3, False, 1024)).payload == body[3072:]
        assert others[0].post("relay", block2=coap.Block.of_size(3, False, 1024)).text == "4.08"
        assert relay[0].runs == ran


def test_post_whose_output_would_not_be_accepted(coapd, relay):
    """RFC 7252, 5.10.4: it is refused before it has done anything."""
    with coapd(resources=[switch(relay)]).client() as client:
        assert client.post("relay", b"on", accept=coap.JSON).text == "4.06"
        assert relay[0].runs == 0
        assert client.post("relay", b"on", accept=coap.TEXT).text == "2.04"
        assert client.put("relay", b"on", accept=coap.JSON).text == "2.04"


@pytest.mark.parametrize("status, code", [(1, "5.00"), (65, "4.00"), (75, "5.03"), (77, "4.03"), (126, "5.00")])
def test_write_that_fails(coapd, relay, status, code):
    relay[0].write(f"echo 'not this one' >&2; exit {status}")
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client:
        answer = client.put("relay", b"on")
        assert answer.text == code and f"exit status {status}".encode() in answer.payload
    assert "not this one" in daemon.stderr


def test_writes_take_their_turn(coapd, relay, tmp_path):
    """One at a time, in the order in which they came, and not beside a run that reads."""
    for script in relay:
        script.write(f"mkdir {tmp_path}/lock || touch {tmp_path}/two\ncat >> {tmp_path}/all; sleep 0.05\n"
                     f"rmdir {tmp_path}/lock")
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client:
        tokens = [ask(client, "relay", coap.PUT, payload=b"%d " % i) for i in range(10)]
        assert {answer_to(client, token).text for token in tokens} == {"2.04"}
    assert (tmp_path / "all").read_text() == "0 1 2 3 4 5 6 7 8 9 "
    assert not (tmp_path / "two").exists()


def test_writes_without_end_keep_nobody_from_reading(coapd, relay):
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client, daemon.client() as writer, daemon.client() as other:
        read(client, path="relay")
        watch = other.observe("relay")
        for _ in range(3):
            ask(writer, "relay", coap.PUT, payload=b"0")
        asked = None
        for i in range(40):
            writer.receive(20, lambda m: m.code)
            ask(writer, "relay", coap.PUT, payload=b"%d" % i)
            asked = asked or ask(client, "relay")
            if not client.nothing(0, lambda m: m.token == asked and m.code):
                break
        assert i < 12
        assert watch.fresh().payload


def test_too_many_writes(coapd, relay):
    relay[0].write("sleep 1000")
    daemon = coapd(resources=[switch(relay, timeout=600)])
    with daemon.client() as client:
        read(client, path="relay")
        for _ in range(17):
            ask(client, "relay", coap.PUT, payload=b"x")
        answer = client.put("relay", b"x")
        assert (answer.text, answer.max_age) == ("5.03", 1)


def test_a_write_that_comes_twice(coapd, relay):
    """RFC 7252, 4.5: it runs once."""
    relay[0].write('sleep 0.3; cat > "$0.value"')
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client:
        message = coap.Message(coap.PUT, mid=client.next_mid(), token=b"once", payload=b"on",
                               options=coap.request_options("relay"))
        for _ in range(3):
            client.send(message)
        assert answer_to(client, b"once").text == "2.04"
        client.send(message)
        client.nothing(0.5)
        assert relay[0].runs == 1


def test_a_post_that_comes_twice_gets_all_of_the_output_again(coapd, relay):
    relay[0].write("head -c 600 /dev/zero | tr '\\0' x")
    with coapd(resources=[switch(relay)]).client() as client:
        message = coap.Message(coap.POST, mid=client.next_mid(), token=b"once", payload=b"on",
                               options=coap.request_options("relay"))
        for _ in range(2):
            answer = client.exchange(message)
            assert (answer.text, answer.payload) == ("2.04", b"x" * 600)
        assert relay[0].runs == 1


def test_write_only(coapd, relay):
    daemon = coapd(resources=[{"path": "relay", "kind": "exec", "write_command": [relay[0].path]}])
    with daemon.client() as client:
        assert client.post("relay", b"on").text == "2.04"
        assert client.get("relay").text == "4.05"
        assert client.get("relay", observe=0).text == "4.05"
        assert relay[0].value.read_text() == "on"
        links = client.get(".well-known/core", query="href=/relay").payload
        assert links.startswith(b"</relay>") and b"ct=" not in links


def test_conditional_write(coapd, relay):
    daemon = coapd(resources=[switch(relay)])
    with daemon.client() as client:
        tag = read(client, path="relay").etag
        assert client.put("relay", b"on", extra=[(coap.IF_MATCH, b"other")]).text == "4.12"
        assert client.put("relay", b"on", extra=[(coap.IF_NONE_MATCH, b"")]).text == "4.12"
        assert client.put("relay", b"on", extra=[(coap.IF_MATCH, tag)]).text == "2.04"
        until(lambda: client.get("relay").payload == b"on")
        assert client.put("relay", b"off", extra=[(coap.IF_MATCH, tag)]).text == "4.12"


def test_reload_while_it_writes(coapd, relay):
    relay[0].write("sleep 1000")
    daemon = coapd(resources=[switch(relay, timeout=600)])
    with daemon.client() as client:
        read(client, path="relay")
        running, waiting = (ask(client, "relay", coap.PUT, payload=b"x") for _ in range(2))
        read_only = switch(relay, timeout=599)
        del read_only["write_command"]
        daemon.write_config(resources=[read_only])
        daemon.reload()
        assert answer_to(client, running).text == answer_to(client, waiting).text == "5.03"
        assert client.put("relay", b"x").text == "4.05"
        until(lambda: children(daemon) == [])


def test_keep(coapd, script):
    """As old as that, a value may still be returned."""
    daemon = coapd(resources=[script.resource(interval=1, keep=3600)])
    with daemon.client() as client:
        read(client)
        script.write("exit 1")
        until(lambda: "exit status 1" in daemon.stderr)
        answer = client.get("sensor")
        assert (answer.text, answer.payload, answer.max_age) == ("2.05", b"21.5", 0)


def test_timeout_ends_the_whole_group(coapd, tmp_path, script):
    """Children of the program and those that do not listen to SIGTERM are gone, too."""
    script.write(f"""
        trap '' TERM
        sh -c 'trap "" TERM; echo $$ > {tmp_path}/child; sleep 1000' &
        sleep 1000 & echo $! > {tmp_path}/sleeper
        while :; do sleep 1000; done""")
    daemon = coapd(resources=[script.resource(interval=3600, timeout=1)])
    with daemon.client() as client:
        until(lambda: b"too long" in client.get("sensor").payload, 60)
        pids = [int(pid) for pid in script.log.read_text().split()]
        pids += [int((tmp_path / name).read_text()) for name in ("child", "sleeper")]
        until(lambda: not any(exists(pid) for pid in pids))
        assert children(daemon) == []


def test_timeout_is_polite_first(coapd, tmp_path, script):
    script.write(f"trap 'echo bye > {tmp_path}/bye; exit 0' TERM\nwhile :; do sleep 0.1; done")
    daemon = coapd(resources=[script.resource(interval=3600, timeout=1)])
    with daemon.client() as client:
        until(lambda: b"too long" in client.get("sensor").payload, 60)
    assert (tmp_path / "bye").read_text() == "bye\n"


def test_never_two_at_a_time(coapd, tmp_path, script):
    script.write(f"mkdir {tmp_path}/lock || touch {tmp_path}/two\nsleep 1.5\nrmdir {tmp_path}/lock\necho -n done")
    daemon = coapd(resources=[script.resource(interval=1)])
    until(lambda: script.runs >= 3)
    assert not (tmp_path / "two").exists()
    with daemon.client() as client:
        assert read(client).payload == b"done"


def test_huge_output(coapd, script):
    """It is ended, and memory stays flat."""
    script.write("exec cat /dev/zero")
    daemon = coapd(resources=[script.resource(interval=1, max_size=1000), {**script.resource(), "path": "other",
                                                                         "command": ["/bin/echo", "-n", "x" * 1000],
                                                                         "max_size": 1000}])
    before = daemon.rss()
    with daemon.client() as client:
        until(lambda: b"too much" in client.get("sensor").payload)
        until(lambda: script.runs >= 3)
        assert daemon.rss() - before < 8 << 20
        assert client.get("other").payload == b"x" * 1000


def test_standard_error(coapd, script):
    """Line by line, without what could forge one, and not too many."""
    script.write(r"""printf 'one\n\033[31mtwo\nforged\rx\n' >&2
        i=0; while [ $i -lt 1000 ]; do echo "line $i" >&2; i=$((i + 1)); done
        head -c 100000 /dev/zero | tr '\0' y >&2; echo -n fine""")
    daemon = coapd(resources=[script.resource(interval=1)])
    with daemon.client() as client:
        assert read(client).payload == b"fine"
        until(lambda: script.runs >= 2)
    said = [line for line in daemon.stderr.splitlines() if "its program:" in line]
    assert len(said) == 20
    assert said[0].endswith("resource sensor: its program: one")
    assert said[1].endswith(r"its program: \x1b[31mtwo") and said[2].endswith(r"forged\x0dx")


def test_children_left_behind(coapd, tmp_path, script):
    """What goes on in the background when the program has ended is ended, and cannot hold up the answer."""
    script.write(f"sleep 1000 & echo $! > {tmp_path}/left; echo -n fine")
    daemon = coapd(resources=[script.resource(interval=3600)])
    with daemon.client() as client:
        assert read(client).payload == b"fine"
    pid = int((tmp_path / "left").read_text())
    until(lambda: not exists(pid))


def test_a_child_that_escaped(coapd, tmp_path, script):
    """Into a session of its own, with the pipe still open."""
    script.write(f"setsid sleep 600 & echo $! > {tmp_path}/left; echo -n fine")
    daemon = coapd(resources=[script.resource(interval=3600)])
    try:
        with daemon.client() as client:
            assert read(client).payload == b"fine"
            until(lambda: children(daemon) == [])
    finally:
        os.kill(int((tmp_path / "left").read_text()), 9)


def test_nothing_is_left_over(coapd, script):
    """No zombies, no descriptors, no memory, over many runs."""
    daemon = coapd(resources=[{**script.resource(interval=1), "path": f"s{i}"} for i in range(8)])
    with daemon.client() as client:
        read(client, path="s7")
        until(lambda: children(daemon) == [])
        before = daemon.descriptors()
        ran = script.runs
        until(lambda: script.runs >= ran + 24)
        until(lambda: children(daemon) == [])
        assert daemon.descriptors() <= before


def test_stop_in_the_middle(coapd, tmp_path, script):
    script.write(f"sleep 1000 & echo $! > {tmp_path}/child\nwait")
    daemon = coapd(resources=[script.resource(timeout=600)])
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    daemon.stop()
    pids = [int(script.log.read_text()), int((tmp_path / "child").read_text())]
    until(lambda: not any(exists(pid) for pid in pids))


def test_observers_over_a_restart(coapd, tmp_path, script):
    """They are told when the first run has ended, and are not told that there is nothing yet."""
    os.mkfifo(tmp_path / "go")
    daemon = coapd(resources=[script.resource(interval=3600)])
    with daemon.client() as client:
        read(client)
        watch = client.observe("sensor")
        daemon.stop()
        script.write(f"cat {tmp_path}/go")
        daemon.start()
        until(lambda: script.runs == 2)
        assert client.nothing(1, lambda m: m.token == watch.token)
        (tmp_path / "go").write_text("23")
        assert watch.fresh(20).payload == b"23"


def test_reload_changes_the_command(coapd, tmp_path, script):
    """The old run is ended, observers stay and get what the new program says."""
    other = Script(tmp_path, "other")
    other.value.write_text("other")
    daemon = coapd(resources=[script.resource(interval=3600)])
    with daemon.client() as client:
        read(client)
        watch = client.observe("sensor")
        script.write("sleep 1000")
        daemon.write_config(resources=[script.resource(interval=3599, timeout=600)])
        daemon.reload()
        until(lambda: script.runs == 2)
        assert client.get("sensor").payload == b"21.5"
        daemon.write_config(resources=[script.resource(command=[other.path])])
        daemon.reload()
        assert watch.fresh(20).payload == b"other"
        assert client.get("sensor").payload == b"other"
        until(lambda: children(daemon) == [])


def test_reload_that_changes_nothing(coapd, tmp_path, script):
    """Does not run it again, nor ends the run that goes on."""
    os.mkfifo(tmp_path / "go")
    script.write(f"cat {tmp_path}/go")
    daemon = coapd(resources=[script.resource(interval=3600, timeout=600)])
    with daemon.client() as client:
        until(lambda: script.runs == 1)
        daemon.reload()
        (tmp_path / "go").write_text("here")
        assert read(client).payload == b"here"
        watch = client.observe("sensor")
        daemon.write_config(resources=[script.resource(interval=3600, timeout=600, title="Sensor", max_age=7)])
        daemon.reload()
        assert client.get("sensor").max_age == 7
        assert 'title="Sensor"' in client.get(".well-known/core").payload.decode()
        assert client.nothing(0.5, lambda m: m.token == watch.token)
        assert script.runs == 1


def test_reload_removes_and_adds(coapd, tmp_path, script):
    script.write(f"sleep 1000 & echo $! > {tmp_path}/child\nwait")
    daemon = coapd(resources=[script.resource(timeout=600)])
    until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text())
    daemon.write_config(resources=[{"path": "time", "kind": "time"}])
    daemon.reload()
    until(lambda: not exists(int((tmp_path / "child").read_text())))
    with daemon.client() as client:
        assert client.get("sensor").text == "4.04"
        script.write("echo -n back")
        daemon.write_config(resources=[script.resource()])
        daemon.reload()
        assert read(client).payload == b"back"


def test_reload_changes_the_format(coapd, script):
    daemon = coapd(resources=[script.resource(interval=3600)])
    with daemon.client() as client:
        read(client)
        watch = client.observe("sensor")
        daemon.write_config(resources=[script.resource(interval=3600, content_format="application/json")])
        daemon.reload()
        until(lambda: client.get("sensor").content_format == coap.JSON)
        assert watch.next(20).text == "4.06"


def test_programs_that_vanish(coapd, script):
    """Found out at the run, since it was there at the start; back again, it runs."""
    daemon = coapd(resources=[script.resource(interval=1)])
    with daemon.client() as client:
        read(client)
        script.path.unlink()
        assert b"No such file" in read(client, "5.03").payload
        script.write("echo -n back")
        assert read(client).payload == b"back"
        script.path.write_bytes(b"\0\1\2")
        read(client, "5.03")


def test_slow_transfer(coapd, script):
    """A client that fetches by blocks gets the output that it began with, however often it changes."""
    script.write("i=$(wc -l < \"$0.runs\"); yes \"$i\" | head -n 300")
    daemon = coapd(resources=[script.resource(interval=1)])
    with daemon.client() as client:
        read(client)
        first = client.get("sensor", block2=coap.Block.of_size(0, False, 64))
        body, num, ran = first.payload, 1, script.runs
        while len(body) < first.uint(coap.SIZE2):
            if num == 2:
                until(lambda: script.runs >= ran + 2)
            answer = client.get("sensor", block2=coap.Block.of_size(num, False, 64))
            assert answer.etag == first.etag
            body, num = body + answer.payload, num + 1
        assert len(set(body.split())) == 1


def test_idle_between_runs(coapd, script):
    daemon = coapd(resources=[script.resource(interval=3600)])
    with daemon.client() as client:
        read(client)
    time.sleep(1)
    before = daemon.wakeups()
    time.sleep(3)
    assert daemon.wakeups() - before <= 2


@pytest.mark.parametrize("keys, complaint", [
    ({}, "command"),
    ({"command": []}, "command"),
    ({"command": ["sensor"]}, "absolute path"),
    ({"command": [""]}, "absolute path"),
    ({"command": ["/nowhere/at/all", "x"]}, "does not exist"),
    ({"command": ["/etc"]}, "not a file"),
    ({"command": ["/etc/passwd"]}, "may not be executed"),
    ({"write_command": ["/nowhere/at/all"]}, "write_command.*does not exist"),
    ({"command": ["/bin/true"], "interval": 0}, "interval"),
    ({"command": ["/bin/true"], "timeout": 0}, "timeout"),
    ({"command": ["/bin/true"], "content_format": "text/nonsense"}, "content format"),
    ({"command": ["/bin/true"], "environment": ["NAME"]}, "a variable such as"),
    ({"command": ["/bin/true"], "environment": ["=x"]}, "a variable such as"),
    ({"command": ["/bin/true"], "directory": "/nowhere"}, "a folder"),
    ({"command": ["/bin/true"], "shell": True}, "shell"),
])
def test_check(coapd, keys, complaint):
    daemon = coapd(start=False, resources=[{"path": "sensor", "kind": "exec", **keys}])
    result = subprocess.run(daemon.command("--check"), capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert re.search(rf"^{re.escape(str(daemon.file))}:\d+: .*{complaint}", result.stdout + result.stderr, re.M)


def test_check_runs_nothing(coapd, script):
    daemon = coapd(start=False, resources=[script.resource()])
    subprocess.run(daemon.command("--check"), check=True, timeout=30, capture_output=True)
    assert script.runs == 0
