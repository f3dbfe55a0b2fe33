# SPDX-License-Identifier: BSD-2-Clause
"""OSCORE observers over restarts, and what the access rules say to them then."""

import re
import select
import sqlite3

import coap
import pytest
import oscore
from clients import CoapClient, coap_client
from coap import GET, Message, request_options
from test_store_trouble import Fault, files_of, wait_for_line
from coap_stream import CSM, StreamClient
from daemon import SLOW
from relay import Relay

SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"
CLOCK = re.compile(r"\w{3} \d\d \d\d:\d\d:\d\d")


def context(*recipients):
    return {"oscore": [{"sender_id": "01", "recipient_ids": list(recipients), "master_secret": SECRET,
                        "master_salt": SALT}]}


def only(subject):
    return [{"path": "/time", "methods": ["GET", "OBSERVE"], "allow": [subject]}]


@pytest.fixture
def client_files(tmp_path):
    """-E of coap-client for the recipient id 02 of the server."""
    conf = tmp_path / "oscore-client"
    conf.write_text(f'master_secret,hex,"{SECRET}"\nmaster_salt,hex,"{SALT}"\nsender_id,hex,"02"\n'
                    'recipient_id,hex,"01"\n')
    return f"{conf},{tmp_path}/oscore-client-sequence"


def line(client, seconds=10):
    """The next line, or None when none comes."""
    ready = select.select([client.process.stdout], [], [], seconds)[0]
    return client.line() if ready else None


def ticks(client, n):
    """The next n notifications are the clock's."""
    seen = []
    while len(seen) < n:
        text = line(client)
        assert text is not None, f"no notification within 10 s after {seen}"
        if CLOCK.fullmatch(text):
            seen.append(text)
    return seen


def observer(daemon, client_files):
    # Unbuffered: what it prints is to be seen at once.
    return CoapClient("-v", "0", "-E", client_files, daemon.uri("time"), duration=60)


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_oscore_observer_goes_on(coapd, client_files, how):
    daemon = coapd(security=context("02"), access=only("oscore:02"))
    with observer(daemon, client_files) as client:
        ticks(client, 3)
        for _ in range(2):
            daemon.restart(how)
            ticks(client, 3)


def test_sequence_numbers_are_never_used_again(coapd, client_files):
    daemon = coapd(security=context("02"), access=only("oscore:02"))
    stored = []
    with observer(daemon, client_files) as client:
        for _ in range(3):
            # Numbers are reserved before the first one is used: a notification of this run says that they are.
            ticks(client, 2)
            with sqlite3.connect(f"file:{daemon.folder}/observe-counters?mode=ro", uri=True) as db:
                stored += [row[0] for row in db.execute("SELECT max(reserved) FROM sequences")]
            daemon.restart("kill")
    assert stored == sorted(set(stored)), stored


def test_no_number_is_used_that_is_not_on_the_disk(coapd):
    """Whatever `sync` says: a power cut would bring it back, and its second use gives both messages away."""
    daemon = coapd(start=False, security=context("02"))
    daemon.write_config(persist=daemon.persist(sync="interval", sync_interval=60000))
    daemon.start()
    keys = oscore.Context(b"\2", b"\1", bytes.fromhex(SECRET), bytes.fromhex(SALT))
    with oscore.Client(keys, daemon.port) as client:
        with Fault(daemon, "fdatasync,fsync", "EIO", files_of(daemon, "observe-counters")):
            # The answer asks for a proof of freshness, under a number of the server's own.
            client.send(keys.protect(Message(GET, mid=1, token=b"x", options=request_options("time")))[0])
            wait_for_line(daemon, "the next sequence numbers cannot be stored (Input/output error)")
            client.ping()
            assert client.numbers == []
        assert client.ask(GET, "time", observe=0).text == "2.05"
        assert client.numbers


def test_who_may_no_longer_observe_is_told_so_after_a_restart(coapd, client_files):
    daemon = coapd(security=context("02", "03"), access=only("oscore:02"))
    with observer(daemon, client_files) as client:
        ticks(client, 2)
        daemon.write_config(access=only("oscore:03"))
        daemon.restart()
        rest = [line(client, 5), line(client, 3)]
        assert not any(CLOCK.fullmatch(text or "") for text in rest), rest


def test_who_may_no_longer_observe_is_told_so_after_a_reload(coapd, client_files):
    daemon = coapd(security=context("02", "03"), access=only("oscore:02"))
    with observer(daemon, client_files) as client:
        ticks(client, 2)
        daemon.write_config(access=only("oscore:03"))
        daemon.reload()
        rest = [line(client, 3) for _ in range(4)]
        assert not any(CLOCK.fullmatch(text or "") for text in rest[1:]), rest  # one may have been on its way


def test_an_observer_whose_context_is_gone_hears_nothing(coapd, client_files):
    daemon = coapd(security=context("02", "03"), access=only("oscore:02"))
    with observer(daemon, client_files) as client:
        ticks(client, 2)
        daemon.write_config(security=context("03"), access=only("oscore:03"))
        daemon.restart()
        rest = [line(client, 5), line(client, 3)]
        assert not any(CLOCK.fullmatch(text or "") for text in rest), rest
        # It is kept, for the day that the context is back.
        daemon.write_config(security=context("02"), access=only("oscore:02"))
        daemon.restart()
        ticks(client, 2)


def test_a_recipient_that_is_taken_out_is_a_stranger_at_once(coapd, client_files):
    daemon = coapd(security=context("02", "03"), access=only("oscore:02") + only("anyone"))
    ask = ["-v", "0", "-E", client_files, daemon.uri("time")]
    assert CLOCK.fullmatch(coap_client(*ask).stdout.strip())
    daemon.write_config(security=context("03"), access=only("oscore:03"))
    daemon.reload()
    result = coap_client(*ask)
    assert result.stderr.startswith("4.01"), result


def test_what_came_over_udp_is_a_replay_over_tcp(coapd, client_files):
    rules = [{"path": "/door", "methods": ["GET", "PUT", "CREATE"], "allow": ["oscore:02"]}]
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"], security=context("02"),
                   access=rules)

    def do(method, uri, *more):
        return coap_client("-v", "0", "-E", client_files, "-m", method, *more, uri).stdout.strip()

    door = daemon.uri("door")
    with Relay(daemon.port) as relay:
        do("put", daemon.uri("door", port=relay.port), "-e", "open")
        assert do("get", door) == "open"
        do("put", door, "-e", "shut")
        # From here on the other context of libcoap's that has these keys knows that the client is fresh.
        assert do("get", door.replace("coap:", "coap+tcp:")) == "shut"
        with StreamClient(daemon.port) as client:
            for data in relay.sent:
                message = coap.Message.decode(data)
                if message.code:
                    client.send(message)
                    answer = client.receive(10 * SLOW, lambda m: m.token == message.token and m.code < CSM)
                    assert answer.text in ("4.00", "4.01")
    assert do("get", door) == "shut"


def test_replayed_messages_change_nothing(coapd, client_files):
    rules = [{"path": "/door", "methods": ["PUT", "CREATE"], "allow": ["oscore:02"]},
             {"path": "/**", "methods": ["GET"], "allow": ["anyone"]}]
    daemon = coapd(security=context("02"), access=rules)

    def put(value, port):
        coap_client("-v", "0", "-E", client_files, "-m", "put", "-e", value, daemon.uri("door", port=port))

    def door():
        with daemon.client() as client:
            return client.get("door").payload

    with Relay(daemon.port) as relay:
        put("open", relay.port)
        assert door() == b"open" and relay.sent
        put("shut", daemon.port)
        assert door() == b"shut"
        for _ in range(2):
            relay.replay()
            assert door() == b"shut"
        for how in ("stop", "kill"):
            daemon.restart(how)
            relay.replay()
            assert door() == b"shut", how
        # And to nobody it looks as if it were its message.
        with daemon.client() as client:
            for data in relay.sent:
                client.send_raw(data)
            assert door() == b"shut"
        put("open", daemon.port)
        assert door() == b"open"


def test_a_replay_after_one_that_came_late(coapd):
    """libcoap goes back to the number of the late one, and all above it would be new to it."""
    daemon = coapd(security=context("02"))
    keys = oscore.Context(b"\2", b"\1", bytes.fromhex(SECRET), bytes.fromhex(SALT))
    with oscore.Client(keys, daemon.port) as client, daemon.client() as other:
        client.ask(GET, "time")
        posts = [keys.protect(Message(coap.POST, mid=i, token=b"%d" % i, payload=b"%d" % i, options=request_options(["c", ""])))[0]
                 for i in range(4)]
        for post in (posts[0], posts[3], posts[1]):
            client.send(post)
            assert client.receive(10 * SLOW, lambda m, token=post.token: m.token == token).option(coap.OSCORE) is not None
        for i, post in enumerate((posts[3], posts[0], posts[1])):
            post.mid = 100 + i
            client.send(post)
            answer = client.receive(10 * SLOW, lambda m, mid=post.mid: m.mid == mid)
            assert (answer.text, answer.option(coap.OSCORE)) in (("4.00", None), ("4.01", None)), answer
        assert other.get_blocks(".well-known/core", 1024).payload.count(b"</c/") == 3
        assert client.ask(GET, "time").text == "2.05"
