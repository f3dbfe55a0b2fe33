# SPDX-License-Identifier: BSD-2-Clause
"""Answers over OSCORE ride on the acknowledgement (RFC 7252, 5.2.1), and come again when one was lost (4.2, 4.5)."""

import json
import os
import signal
import sys
from unittest.mock import MagicMock

import coap
import oscore
import pytest
from clients import CoapClient, aiocoap_run, coap_client
from coap import ACK, CON, GET, NON, POST, PUT, Message, request_options
from coap_target import Target
from daemon import SLOW
from relay import Relay
from test_kind_exec import until
from test_store_trouble import Fault, files_of

# aiocoap wants this for EDHOC, which is not in play here, and Debian does not have it.
sys.modules.setdefault("lakers", MagicMock())

SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"
SECURITY = {"oscore": [{"sender_id": "01", "recipient_ids": ["02"], "master_secret": SECRET, "master_salt": SALT}]}
# Most that one client has in memory, and how often one is sent again.
WINDOW, TIMES = 32, 8


def context(number=0):
    keys = oscore.Context(b"\2", b"\1", bytes.fromhex(SECRET), bytes.fromhex(SALT))
    keys.number = number
    return keys


class Client(oscore.Client):
    """Counts what comes, and loses the first copy of each acknowledgement when it is told to."""

    def __init__(self, keys, port, **more):
        super().__init__(keys, port, **more)
        self.came, self.lossy, self.lost = [], False, set()

    def take(self):
        before = len(self.inbox)
        super().take()
        for message in self.inbox[before:]:
            self.came.append(message)
            if self.lossy and message.type == ACK and message.mid not in self.lost:
                self.lost.add(message.mid)
                self.inbox.remove(message)

    def prepare(self, method, path, type=CON, payload=b"", mid=None, **options):
        """A protected request and its Partial IV."""
        return self.context.protect(Message(method, type=type, mid=self.next_mid() if mid is None else mid,
                                            token=self.new_token(), payload=payload,
                                            options=request_options(path, **options)))

    def is_over(self):
        """All that the daemon had to say until now is in the inbox."""
        self.ping(10 * SLOW)
        return not self.inbox


def send_at_once(daemon, *pairs):
    """The daemon finds all of them waiting: clients, and what each sends."""
    daemon.send_signal(signal.SIGSTOP)
    try:
        for client, request in pairs:
            client.send(request)
    finally:
        daemon.send_signal(signal.SIGCONT)


def fresh(daemon, keys=None, **more):
    """A client that has shown that it is (RFC 8613, B.1.2)."""
    client = Client(keys or context(), daemon.port, **more)
    client.ask(GET, "time")
    client.came.clear()
    return client


@pytest.fixture
def daemon(coapd):
    return coapd(security=SECURITY)


def test_one_datagram_each_way(daemon):
    """Also for the challenge at the start, what is not there, and what changes something."""
    echo = None
    with Client(context(), daemon.port) as client:
        for method, path, code in ((GET, "time", "4.01"), (GET, "time", "2.05"), (GET, "nothing", "4.04"), (PUT, "x", "2.01"),
                                   (PUT, "x", "2.04"), (GET, "x", "2.05")):
            request, piv = client.prepare(method, path, payload=b"1" if method == PUT else b"",
                                          extra=[(coap.ECHO, echo)] if echo else ())
            client.send(request)
            answer = client.receive(10 * SLOW)
            assert (answer.type, answer.mid, answer.token) == (ACK, request.mid, request.token), answer
            opened = client.context.open(answer, piv)
            assert opened.text == code, (path, opened)
            echo = opened.option(coap.ECHO)
            assert client.is_over()
    # To libcoap, its empty acknowledgements could not be sent.
    assert not [line for line in daemon.stderr.splitlines() if "coap_socket_send" in line and " debug " not in line]


def test_nothing_is_sent_again_on_its_own(daemon):
    """As the confirmable answer would be, which nobody acknowledges."""
    with fresh(daemon) as client:
        client.acknowledge = False
        client.ask(GET, "time")
        assert client.nothing(4)


@pytest.mark.parametrize("path", ["time", "nothing"])
def test_the_same_again(daemon, path):
    with fresh(daemon) as client:
        request, piv = client.prepare(GET, path)
        client.send(request)
        first = client.receive(10 * SLOW)
        for _ in range(TIMES):
            client.send(request)
            assert client.receive(10 * SLOW).encode() == first.encode()
        # That is often enough for any client, and too seldom for a flood at somebody whose address it has.
        client.send(request)
        assert client.is_over()
        assert client.context.open(first, piv).text == ("2.05" if path == "time" else "4.04")


def test_the_challenge_again(daemon):
    with Client(context(), daemon.port) as client:
        request, piv = client.prepare(GET, "time")
        client.send(request)
        first = client.receive(10 * SLOW)
        client.send(request)
        assert client.receive(10 * SLOW).encode() == first.encode()
        opened = client.context.open(first, piv)
        assert opened.text == "4.01"
        assert client.ask(GET, "time", echo=(opened.option(coap.ECHO),)).text == "2.05"


def test_what_comes_twice_runs_once(coapd):
    """Each POST that runs makes one more member."""
    daemon = coapd(security=SECURITY, resources=[{"path": "status", "kind": "status", "interval": 1},
                                                 {"path": "time", "kind": "time"}])
    with fresh(daemon) as client, daemon.client() as other:
        request, piv = client.prepare(POST, ["c", ""], payload=b"1")
        answers = []
        for _ in range(3):
            client.send(request)
            answers.append(client.receive(10 * SLOW).encode())
        assert len(set(answers)) == 1
        opened = client.context.open(Message.decode(answers[0]), piv)
        assert opened.text == "2.01", opened
        assert other.get_blocks(".well-known/core", 1024).payload.count(b"</c/") == 1
        until(lambda: json.loads(other.get("status", accept=coap.JSON).payload)["duplicates"] == 2)


def test_a_client_that_loses_every_acknowledgement(daemon):
    """Block by block, up and down: each answer is the one that was lost."""
    body = os.urandom(1000)
    with fresh(daemon) as client:
        client.ACK_TIMEOUT = 0.1
        client.lossy = True
        for at in range(0, len(body), 256):
            answer = client.ask(PUT, "blob", payload=body[at : at + 256], block1=coap.Block(at // 256, at + 256 < len(body), 4))
            assert answer.text == ("2.31" if at + 256 < len(body) else "2.01")
        got = b""
        while len(got) < len(body):
            got += client.ask(GET, "blob", block2=coap.Block(len(got) // 256, False, 4)).payload
        assert got == body
        assert {m.type for m in client.came} == {ACK} and len(client.came) >= 16


def test_one_of_another_client_is_a_replay(daemon):
    """The same bytes from elsewhere, and the same message id with others."""
    with fresh(daemon) as client, daemon.client() as other:
        request, _ = client.prepare(GET, "time")
        client.send(request)
        client.receive(10 * SLOW)
        other.send(request)
        assert other.receive(10 * SLOW).text == "4.01"
        newer, piv = client.prepare(GET, "nothing", mid=request.mid)
        client.send(newer)
        assert client.context.open(client.receive(10 * SLOW, lambda m: m.token == newer.token), piv).text == "4.04"


def test_a_client_that_begins_anew(daemon):
    """As many newer requests as OSCORE's window has, and the oldest is given up: that one is a replay then."""
    with fresh(daemon) as client:
        requests = [client.prepare(GET, "time")[0] for _ in range(WINDOW + 1)]
        answers = []
        for request in requests:
            client.send(request)
            answers.append(client.receive(10 * SLOW).encode())
        for request, answer in list(zip(requests, answers))[1:]:
            client.send(request)
            assert client.receive(10 * SLOW).encode() == answer
        client.send(requests[0])
        assert client.receive(10 * SLOW).text == "4.01"


def test_not_confirmable(daemon):
    with fresh(daemon) as client:
        request, piv = client.prepare(GET, "time", type=NON)
        client.send(request)
        answer = client.receive(10 * SLOW)
        assert answer.type == NON and client.context.open(answer, piv).text == "2.05"
        client.send(request)
        assert client.receive(10 * SLOW).text == "4.01"


def test_an_observation(daemon):
    """The first answer rides on the acknowledgement; notifications are messages of their own."""
    with fresh(daemon) as client:
        # The very first in a shard has an answer of its own: what libcoap is to observe has to be made for it.
        client.ask(GET, "time", observe=1, token=client.ask(GET, "time", observe=0).token)
    with Client(client.context, daemon.port) as client:
        request, piv = client.prepare(GET, "time", observe=0)
        client.send(request)
        first = client.receive(10 * SLOW)
        assert (first.type, first.mid) == (ACK, request.mid)
        assert client.context.open(first, piv).observe is not None
        later = [client.receive(10 * SLOW) for _ in range(8)]
        assert all(m.token == request.token for m in later)
        assert {m.type for m in later} == {CON, NON}
        client.send(request)
        assert client.receive(10 * SLOW, lambda m: m.type == ACK).encode() == first.encode()


def test_while_a_notification_waits_for_its_acknowledgement(daemon):
    """It takes libcoap's only place for a confirmable message to that client; an answer needs none."""
    with fresh(daemon) as client:
        client.ask(GET, "time", observe=1, token=client.ask(GET, "time", observe=0).token)
        client.acknowledge = False
        request, _ = client.prepare(GET, "time", observe=0)
        client.send(request)
        client.receive(20 * SLOW, lambda m: m.type == CON)
        asked, piv = client.prepare(GET, "nothing")
        client.send(asked)
        answer = client.receive(10 * SLOW, lambda m: m.token == asked.token or m.mid == asked.mid)
        assert answer.type == ACK and client.context.open(answer, piv).text == "4.04"


def start_slow(coapd, tmp_path):
    """`slow` is answered when something is written to the file."""
    os.mkfifo(tmp_path / "go")
    script = tmp_path / "slow"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/go\n")
    script.chmod(0o755)
    return coapd(security=SECURITY, resources=[
        {"path": "slow", "kind": "exec", "command": [str(script)], "on_demand": True, "interval": 3600, "timeout": 600},
        {"path": "time", "kind": "time"}])


def test_an_answer_that_takes_time(coapd, tmp_path):
    """An empty acknowledgement at once, also when the request comes again, and later a confirmable answer."""
    daemon = start_slow(coapd, tmp_path)
    with fresh(daemon) as client:
        request, piv = client.prepare(GET, "slow")
        for _ in range(3):
            client.send(request)
            answer = client.receive(10 * SLOW)
            assert (answer.type, answer.code, answer.mid) == (ACK, 0, request.mid), answer
        assert client.is_over()
        (tmp_path / "go").write_text("here")
        answer = client.receive(10 * SLOW)
        assert (answer.type, answer.token) == (CON, request.token)
        assert client.context.open(answer, piv).payload == b"here"
        assert client.is_over()


def test_many_at_once(coapd, tmp_path):
    """Of one client and of several, quick and slow ones, some of them twice: each its own acknowledgement."""
    daemon = start_slow(coapd, tmp_path)
    with fresh(daemon) as client, Client(client.context, daemon.port) as other:
        slow, batch = {}, []
        for one in client, other:
            slow[one] = one.prepare(GET, "slow")
            fast = [one.prepare(GET, "time") for _ in range(3)]
            batch += [(one, *pair) for pair in (slow[one], fast[0], fast[1], fast[1], fast[2], slow[one], fast[0])]
        send_at_once(daemon, *((one, request) for one, request, _ in batch))
        for one, request, piv in batch:
            answer = one.receive(10 * SLOW)
            assert (answer.type, answer.mid) == (ACK, request.mid), answer
            assert answer.code == 0 if request is slow[one][0] else one.context.open(answer, piv).text == "2.05"
        for one in slow:
            assert one.is_over()
        (tmp_path / "go").write_text("here")
        for one, (_, piv) in slow.items():
            answer = one.receive(10 * SLOW)
            assert answer.type == CON and one.context.open(answer, piv).payload == b"here"


def test_changes_that_the_store_has_undone(daemon):
    """Answers to a group of changes that could not be kept are never sent, not even when the request comes again."""
    with fresh(daemon) as client:
        assert client.ask(PUT, "a", payload=b"old").text == "2.01"
        with Fault(daemon, "pwrite64,ftruncate,fallocate", "EIO", files_of(daemon)):
            requests = [client.prepare(PUT, name, payload=b"new") for name in "aaabc"]
            by_token = {request.token: piv for request, piv in requests}
            send_at_once(daemon, *((client, request) for request, _ in requests))
            client.ping(10 * SLOW)
            for request, _ in requests:
                client.send(request)
            # As long as libcoap might take to send something on its own.
            client.nothing(4, lambda m: False)
        for message in client.inbox:
            answer = client.context.open(message, by_token[message.token]) if message.option(coap.OSCORE) is not None else message
            assert answer.code >> 5 != 2, answer
        assert client.ask(GET, "a").payload == b"old"
        assert client.ask(GET, "b").text == "4.04"


def test_what_only_passes_through_is_not_kept(coapd):
    """A forward proxy has no key for it, and anybody could fill the memory."""
    with Target(lambda message: None) as target:
        daemon = coapd(security=SECURITY, resources=[
            {"path": "forward", "kind": "proxy", "targets": [f"coap://127.0.0.1:{target.port}"]}])
        with daemon.client() as client:
            for _ in range(TIMES + 2):
                request = Message(POST, mid=77, token=b"same", payload=b"sealed",
                                  options=[(coap.OSCORE, b"\x09\x01\x02"), (coap.PROXY_SCHEME, b"coap"),
                                           (coap.URI_HOST, b"127.0.0.1"), (coap.URI_PORT, coap.uint(target.port))])
                client.send(request)
                answer = client.receive(10 * SLOW)
                assert (answer.type, answer.code, answer.mid) == (ACK, 0, request.mid), answer
            assert target.await_seen(lambda m: m.option(coap.OSCORE) == b"\x09\x01\x02")


def test_forged_requests_are_not_kept(daemon):
    """Whoever has no key draws an error that is not protected, and draws it each time."""
    with fresh(daemon) as client:
        request, _ = client.prepare(GET, "time")
        request.payload = bytes(len(request.payload))
        for _ in range(TIMES + 2):
            client.send(request)
            answer = client.receive(10 * SLOW)
            assert (answer.type, answer.text, answer.option(coap.OSCORE)) == (ACK, "4.00", None)
    # libcoap's log is on again after the answers that it was off for.
    assert "Decryption Failure" in daemon.stderr


def test_no_room(coapd):
    """Then libcoap sees to it as it does by itself; and who has an answer in memory still gets it again."""
    body = b"x" * 1000
    daemon = coapd(security=SECURITY, resources=[{"path": "big", "kind": "static", "content": body.decode()},
                                                 {"path": "time", "kind": "time"}])
    clients = [fresh(daemon)]
    keys, separate, asked = clients[0].context, None, {}
    while not separate:
        assert len(clients) < 400, "there is room for all"
        client = Client(keys, daemon.port)
        clients.append(client)
        for _ in range(WINDOW):
            request, piv = client.prepare(GET, "big")
            client.send(request)
            answer = client.receive(10 * SLOW)
            if answer.code == 0:
                separate = client.receive(10 * SLOW)
                assert (separate.type, separate.token) == (CON, request.token)
                assert client.context.open(separate, piv).payload == body
                break
            asked[client] = request, answer
    assert 100 < len(clients)
    request, answer = asked[clients[1]]
    clients[1].send(request)
    assert clients[1].receive(10 * SLOW).encode() == answer.encode()
    for client in clients:
        client.close()


# --- other people's clients ---


class LosingRelay(Relay):
    """What the daemon says goes through, or does not the first time it is wanted so."""

    def __init__(self, port, lose=lambda message: False):
        super().__init__(port)
        self.lose, self.answered, self.lost = lose, [], set()

    @property
    def asked(self):
        return [Message.decode(data) for data in self.sent]

    def passes(self, data):
        message = Message.decode(data)
        self.answered.append(message)
        if not self.lose(message) or data in self.lost:
            return True
        self.lost.add(data)
        return False

    def check(self, answers):
        """As many answers of their own, each in an acknowledgement, and nothing else either way."""
        assert [m.type for m in self.answered] == [ACK] * len(self.answered), self.answered
        assert all(m.option(coap.OSCORE) is not None for m in self.answered), self.answered
        assert all(m.type == CON for m in self.asked), self.asked
        assert len({m.encode() for m in self.answered}) == len({m.encode() for m in self.asked}) == answers


def coap_client_arguments(folder, uri):
    conf = folder / "coap-client.conf"
    conf.write_text(f'master_secret,hex,"{SECRET}"\nmaster_salt,hex,"{SALT}"\nsender_id,hex,"02"\nrecipient_id,hex,"01"\n')
    return "-v", "0", "-E", f"{conf},{folder}/sequence", uri


def by_coap_client(folder, uri):
    return coap_client(*coap_client_arguments(folder, uri), wait=30).stdout.strip()


def by_aiocoap(folder, uri):
    import aiocoap

    settings = folder / "aiocoap"
    settings.mkdir(exist_ok=True)
    if not (settings / "settings.json").exists():
        (settings / "settings.json").write_text(json.dumps({"sender-id_hex": "02", "recipient-id_hex": "01", "secret_hex": SECRET,
                                                            "salt_hex": SALT}))

    async def body(context):
        context.client_credentials.load_from_dict({f"{uri}*": {"oscore": {"basedir": f"{settings}/"}}})
        try:
            message = aiocoap.Message(code=aiocoap.GET, uri=uri)
            return (await context.request(message).response).payload.decode()
        finally:
            for credentials in context.client_credentials.values():
                credentials._destroy()

    return aiocoap_run(body, transports=["oscore", "udp6"])


BOTH = pytest.mark.parametrize("ask", [by_coap_client, by_aiocoap])


@BOTH
def test_real_clients(coapd, tmp_path, ask):
    """The first is challenged, so that it asks twice."""
    daemon = coapd(security=SECURITY, resources=[{"path": "motd", "kind": "static", "content": "hello"}])
    with LosingRelay(daemon.port) as relay:
        assert ask(tmp_path, daemon.uri("motd", port=relay.port)) == "hello"
        relay.check(2)
    with LosingRelay(daemon.port) as relay:
        assert ask(tmp_path, daemon.uri("motd", port=relay.port)) == "hello"
        relay.check(1)


@BOTH
def test_real_clients_that_lose_acknowledgements(coapd, tmp_path, ask):
    daemon = coapd(security=SECURITY, resources=[{"path": "motd", "kind": "static", "content": "hello"}])
    with LosingRelay(daemon.port, lambda message: message.type == ACK) as relay:
        assert ask(tmp_path, daemon.uri("motd", port=relay.port)) == "hello"
        relay.check(2)
        assert len(relay.asked) == len(relay.answered) == 4


def test_coap_client_observes(coapd, tmp_path):
    daemon = coapd(security=SECURITY)
    with fresh(daemon) as client:
        client.ask(GET, "time", observe=1, token=client.ask(GET, "time", observe=0).token)
    (tmp_path / "sequence").write_text("10")
    with LosingRelay(daemon.port, lambda message: message.type == ACK) as relay:
        with CoapClient(*coap_client_arguments(tmp_path, daemon.uri("time", port=relay.port))) as client:
            for _ in range(4):
                assert client.line()
        assert relay.answered[0].type == ACK and relay.answered[0].option(coap.OSCORE) is not None
        assert {m.type for m in relay.answered if m.observe is not None} >= {ACK, NON}
