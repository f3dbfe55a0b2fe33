# SPDX-License-Identifier: BSD-2-Clause
"""The limits: what one client may use up, and that others do not notice."""

import contextlib
import random

import coap
import coap_stream
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import CoapClient, coap_client, tls_psk_context
from coap_stream import Closed, StreamClient

# Each remembers for a second what it told, so that every question goes to another.
STATUS = [{"path": f"status{i}", "kind": "status", "hidden": True} for i in range(40)]


def watched(n=1):
    """Resources t0, t1... that never change by themselves, and the daemon's own counters."""
    return STATUS + [{"path": f"t{i}", "kind": "static", "content": "x"} for i in range(n)]


def counters(daemon):
    daemon.asked = getattr(daemon, "asked", -1) + 1
    with daemon.client(source="127.0.0.9") as client:
        text = client.get_blocks(f"status{daemon.asked}", 1024).payload.decode()
    return {name: int(value) for name, value in (line.split(" ", 1) for line in text.splitlines()) if value.isdigit()}


def test_requests_per_second(coapd):
    daemon = coapd(limits={"requests_per_second": 20})
    with coap.Client(daemon.port) as greedy, coap.Client(daemon.port, source="127.0.0.2") as modest:
        answers = [greedy.get("time") for _ in range(100)]
        texts = [a.text for a in answers]
        assert texts[:20] == ["2.05"] * 20
        assert "4.29" in texts
        refused = answers[texts.index("4.29")]
        assert refused.max_age == 1
        assert modest.get("time").text == "2.05"


def test_no_limit_by_default(coapd):
    daemon = coapd()
    with coap.Client(daemon.port) as client:
        assert {client.get("time").text for _ in range(500)} == {"2.05"}


# --- observations ---


def register(client, path="t0", token=b"one", **more):
    return client.request(coap.GET, path, observe=0, token=token, **more)


def leave(client, path="t0", token=b"one"):
    return client.request(coap.GET, path, observe=1, token=token)


ENGINES = ("sqlite", "libcoap", None)
TRANSPORTS = ("coap", "coap+tcp", "coaps+tcp")


def open_endpoints(coapd, engine, **groups):
    """One port for UDP and TCP, the next with TLS."""
    daemon = coapd(start=False, security={"psk": {"identities": [{"identity": PSK_IDENTITY, "key": PSK_KEY}]}}, **groups)
    daemon.write_config(persist=daemon.persist(engine=engine) if engine else None, endpoints=[
        "coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}", f"coaps+tcp://127.0.0.1:{daemon.port + 1}"])
    return daemon.start()


def connect(daemon, transport):
    if transport == "coap":
        return coap.Client(daemon.port)
    if transport == "coap+tcp":
        return StreamClient(daemon.port)
    return StreamClient(daemon.port + 1, tls=tls_psk_context(PSK_IDENTITY, PSK_KEY))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_observations_in_all(coapd, transport, engine):
    daemon = open_endpoints(coapd, engine, resources=watched(2), limits={"observations": 3})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connect(daemon, transport)) for _ in range(4)]
        answers = [register(c, f"t{i % 2}") for i, c in enumerate(clients)]
        assert [a.text for a in answers] == ["2.05", "2.05", "2.05", "5.03"]
        assert answers[3].max_age and answers[3].observe is None
        leave(clients[0])
        assert register(clients[3]).text == "2.05", "one that leaves makes room"
        assert register(clients[3]).text == "2.05", "and one that is there already needs none"
        now = counters(daemon)
        assert (now["observations_now"], now["observations_refused"]) == (3, 1)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_registration_counts_as_a_request(coapd, transport):
    """And a notification as a notification; libcoap 4.3.5 makes both alike over a stream."""
    daemon = open_endpoints(coapd, None, resources=watched())
    with connect(daemon, transport) as client:
        register(client)
        before = counters(daemon)
        assert before["notifications"] == 0 and before["observations"] == 1
        assert client.request(coap.PUT, "made", payload=b"1").text == "2.01"
        register(client, "made", b"two")
        change(daemon)
        client.receive(wanted=lambda m: m.token == b"two")
        leave(client, "made", b"two")
        now = counters(daemon)
        assert (now["observations_now"], now["observations"], now["notifications"]) == (1, 2, 1)


def test_observations_of_one_resource_and_of_one_session(coapd):
    daemon = coapd(resources=watched(8), limits={"observations_per_resource": 2, "observations_per_session": 3})
    with coap.Client(daemon.port) as a, coap.Client(daemon.port) as b, coap.Client(daemon.port) as c:
        assert [register(x).text for x in (a, b, c)] == ["2.05", "2.05", "5.03"]
        assert [register(a, f"t{i}", b"%d" % i).text for i in (1, 2, 3)] == ["2.05", "2.05", "5.03"]
        assert register(c, "t3").text == "2.05"
        # Another token for the same, in place of the old one, even where no more may be.
        assert register(a, token=b"two").text == "2.05"
        assert counters(daemon)["observations_now"] == 5
        # A reload may lower a limit: who observes already goes on.
        daemon.write_config(limits={"observations_per_resource": 1})
        daemon.reload()
        assert register(a, token=b"two").text == "2.05"
        assert register(c).text == "5.03"


def test_a_registration_that_comes_twice_counts_once(coapd):
    daemon = coapd(resources=watched())
    with coap.Client(daemon.port) as client:
        for kind in (coap.CON, coap.NON):
            message = coap.Message(coap.GET, type=kind, token=b"twice", options=coap.request_options("t0", observe=0))
            for _ in range(3):
                client.send(message)
                assert client.receive(wanted=lambda m: m.token == b"twice").text == "2.05"
            assert counters(daemon)["observations_now"] == 1
        register(client, token=b"other")
        assert counters(daemon)["observations_now"] == 1, "another token for the same replaces it"
        register(client, token=b"query", query="x=1")
        assert counters(daemon)["observations_now"] == 2


def change(daemon, path="made"):
    with daemon.client(source="127.0.0.9") as client:
        client.put(path, random.randbytes(8))


@pytest.mark.parametrize("engine", ENGINES)
def test_every_end_of_an_observation_is_noticed(coapd, engine):
    daemon = open_endpoints(coapd, engine, resources=watched())
    change(daemon)

    def ended(n):
        return counters(daemon)["observations_now"] == n

    with coap.Client(daemon.port) as client, StreamClient(daemon.port) as stays:
        register(stays)
        # A RST to a notification that needs no acknowledgement.
        register(client, "made")
        assert ended(2)
        change(daemon)
        note = client.receive(wanted=lambda m: m.token == b"one")
        client.send(coap.Message(0, type=coap.RST, mid=note.mid))
        client.ping()
        assert ended(1)
        # The same to one that does.
        client.acknowledge = False
        register(client, "made")
        while True:
            change(daemon)
            note = client.receive(wanted=lambda m: m.token == b"one")
            if note.type == coap.CON:
                break
        client.send(coap.Message(0, type=coap.RST, mid=note.mid))
        client.ping()
        assert ended(1)
        # The resource is gone.
        register(client, "made", b"last")
        assert ended(2)
        client.delete("made")
        assert client.receive(wanted=lambda m: m.token == b"last").text == "4.04"
        assert ended(1)
    # The session is gone: seen at the latest when the next one comes.
    with StreamClient(daemon.port) as other:
        other.request(coap.GET, "t0")
        assert ended(0)


def test_observers_of_before_the_restart_are_counted(coapd):
    daemon = coapd(resources=watched(3), limits={"observations": 3})
    with coap.Client(daemon.port) as client, coap.Client(daemon.port) as other:
        for i in range(3):
            register(client, f"t{i}", b"%d" % i)
        daemon.restart("kill")
        for i in range(3):
            client.receive(wanted=lambda m, i=i: m.token == b"%d" % i)
        assert counters(daemon)["observations_now"] == 3
        assert register(other).text == "5.03"


def test_no_limit_is_got_round_by_asking_for_no_answer(coapd):
    """libcoap takes an observation back with the error that it sends; RFC 7967 lets a client ask for none."""
    daemon = coapd(limits={"observations": 1}, resources=watched())
    change(daemon)
    with coap.Client(daemon.port) as first, coap.Client(daemon.port) as sly:
        register(first)
        for kind in (coap.CON, coap.NON):
            assert register(sly, "made", type=kind, extra=[(coap.NO_RESPONSE, b"\x1a")]).text == "5.03"
        assert counters(daemon)["observations_kept"] == 1
        change(daemon)
        assert sly.nothing(0.3)


def test_the_count_is_the_stores(coapd):
    """Whatever clients do, the store, which libcoap tells of each beginning and end over UDP, counts the same."""
    rng = random.Random(7)
    daemon = coapd(resources=watched(3))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(coap.Client(daemon.port)) for _ in range(4)]
        for step in range(400):
            client, path = rng.choice(clients), rng.choice(("t0", "t1", "t2", "made", "none"))
            token, query = b"%d" % rng.randrange(3), rng.choice(((), ("a",), ("a", "b")))
            action = rng.randrange(10)
            if action < 5:
                client.request(rng.choice((coap.GET, coap.GET, coap.FETCH)), path, token=token, query=query, observe=0,
                               type=rng.choice((coap.CON, coap.NON)), accept=rng.choice((None, None, 0, 50)),
                               content_format=0, payload=rng.choice((b"", b"x")))
            elif action < 7:
                client.request(coap.GET, path, token=token, query=query, observe=1)
            elif action == 7:
                change(daemon)
            elif action == 8 and client.inbox:
                client.send(coap.Message(0, type=coap.RST, mid=client.inbox[-1].mid))
            elif rng.randrange(3) == 0:
                client.delete("made")
            if step % 20 == 19:
                now = counters(daemon)
                assert now["observations_now"] == now["observations_kept"], f"step {step}"
    assert now["observations"] > 50


# --- sessions ---


def test_the_idle_session_of_an_address_makes_room(coapd):
    daemon = coapd(resources=watched(), limits={"sessions_per_address": 4})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(coap.Client(daemon.port)) for _ in range(10)]
        assert register(clients[0]).text == "2.05"
        assert {c.get("t0").text for c in clients} == {"2.05"}
        now = counters(daemon)
        assert (now["sessions_evicted"], now["sessions_refused"], now["observations_now"]) == (6, 0, 1)
        assert now["sessions"] == 5  # and the one that asks for this
        for client in clients[1:4]:
            assert register(client).text == "2.05"
        refused = clients[5].get("t0")
        assert (refused.text, refused.max_age) == ("5.03", 60)
        assert clients[6].put("new", b"x").text == "5.03"
        assert clients[0].get("t0").text == "2.05", "those that are there are served"
        with coap.Client(daemon.port, source="127.0.0.2") as elsewhere:
            assert elsewhere.get("t0").text == "2.05"
        assert "limits.sessions_per_address is reached" in daemon.stderr
        leave(clients[0])
        assert clients[5].get("t0").text == "2.05"


def is_closed(client):
    try:
        client.get("t0", timeout=5)
        return False
    except (Closed, OSError):
        return True


@pytest.mark.parametrize("key", ["sessions_per_address", "max_sessions"])
def test_streams_make_room(coapd, key):
    limit = {"limits": {key: 3}} if key == "sessions_per_address" else {"server": {key: 3}}
    daemon = coapd(resources=watched(), **limit)
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"])
    daemon.restart()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(StreamClient(daemon.port)) for _ in range(3)]
        assert register(clients[0]).text == "2.05"
        clients.append(stack.enter_context(StreamClient(daemon.port)))
        assert clients[3].get("t0").text == "2.05"
        clients[1].wait_closed()  # at the end of a turn, in which it could still be answered
        assert [is_closed(c) for c in clients] == [False, True, False, False]
        for client in clients[2:]:
            assert register(client).text == "2.05"
        late = stack.enter_context(StreamClient(daemon.port))
        assert late.get("t0").text == "5.03"
        late.wait_closed()
        assert not is_closed(clients[0])
        now = counters(daemon)
        assert (now["sessions_evicted"], now["sessions_refused"], now["observations_now"]) == (1, 1, 3)


def test_dtls_sessions_of_an_address(coapd):
    daemon = open_endpoints(coapd, "sqlite", resources=watched(), limits={"sessions_per_address": 3})
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", f"coaps://127.0.0.1:{daemon.port + 1}"])
    daemon.restart()
    key = ["-v", "0", "-u", PSK_IDENTITY, "-k", PSK_KEY, daemon.uri("t0", "coaps", port=daemon.port + 1)]
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            assert stack.enter_context(CoapClient(*key)).line() == "x"
        assert coap_client(*key, wait=5).stderr.startswith("5.03")
        now = counters(daemon)
        assert (now["sessions_refused"], now["observations_now"]) == (1, 3)


def test_sessions_that_wait_make_room_too(coapd, tmp_path):
    """What is put off until there is something to observe, and answers that take a while, outlive their session."""
    for i in range(60):
        (tmp_path / f"f{i}").write_text("x")
    daemon = coapd(limits={"sessions_per_address": 2},
                   resources=STATUS + [{"path": "fw", "kind": "files", "root": tmp_path}])
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            clients = [stack.enter_context(coap.Client(daemon.port)) for _ in range(20)]
            for kind in (coap.NON, coap.CON):
                for i, client in enumerate(clients):
                    client.send(coap.Message(coap.GET, type=kind, token=b"one",
                                             options=coap.request_options(f"fw/f{i}", observe=0)))
        for i in range(60):
            (tmp_path / f"f{i}").write_text("y")
        with daemon.client(source="127.0.0.8") as elsewhere:
            assert elsewhere.get("fw/f0").payload == b"y"
        now = counters(daemon)
        assert now["sessions_evicted"] + now["sessions_refused"] > 50


# --- messages ---


def test_tokens(coapd):
    daemon = coapd(limits={"token_length": 20})
    with coap.Client(daemon.port) as client:
        assert client.get("time", token=b"t" * 20).text == "2.05"
        client.send(coap.Message(coap.GET, token=b"t" * 21, options=coap.request_options("time")))
        assert client.receive().text != "2.05"
        assert client.get("time").text == "2.05"


def test_stream_messages(coapd):
    daemon = coapd(limits={"message_size": 2000}, dynamic={"enable": True})
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"])
    daemon.restart()
    with StreamClient(daemon.port) as client:
        assert client.csm.uint(coap_stream.MAX_MESSAGE_SIZE) == 2000
        assert client.request(coap.PUT, "a", payload=b"x" * 1900).text == "2.01"
        before = daemon.rss()
        # Only its length comes: 8 MiB.
        client.send_raw(bytes([0xF0]) + (8 << 20).to_bytes(4, "big") + bytes([coap.PUT]))
        assert is_closed(client)
        assert daemon.rss() - before < 1 << 20
    daemon.alive()
