# SPDX-License-Identifier: BSD-2-Clause
"""What somebody without any key, on the way or with a forged address, makes of messages under OSCORE."""

import os
import signal
import threading

import coap
import oscore
import pytest
from coap import GET, NON, OSCORE, POST, PUT, Block, Message, request_options
from coap_stream import PING, StreamClient
from daemon import SLOW

SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"
MINE = {"path": "/**", "methods": ["*"], "allow": ["oscore:02"]}
PUBLIC = {"path": "/pub/**", "methods": ["*"], "allow": ["anyone"]}
ONE_SHARD = {"log_level": "info", "shards": 1}  # what is protected and what is not meet in one session


def context():
    return {"oscore": [{"sender_id": "01", "recipient_ids": ["02"], "master_secret": SECRET, "master_salt": SALT}]}


def keys():
    return oscore.Context(b"\2", b"\1", bytes.fromhex(SECRET), bytes.fromhex(SALT))


def slow(tmp_path):
    """A resource whose answer waits until somebody writes into the pipe."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    resource = {"path": "slow", "kind": "exec", "command": ["/bin/cat", pipe], "on_demand": True, "interval": 0,
                "timeout": 60}
    return resource, pipe


@pytest.mark.parametrize("over", ["udp", "tcp"])
def test_a_request_that_no_handler_sees_lends_its_name_to_nobody(coapd, tmp_path, over):
    """libcoap only acknowledges what has the token of a request that waits. Whoever is on the way can write that."""
    resource, pipe = slow(tmp_path)
    daemon = coapd(server=ONE_SHARD, security=context(), access=[MINE],
                   endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"],
                   resources=[{"path": "secret", "kind": "static", "content": "for 02 alone"}, resource])
    client, stranger = (oscore.Client, coap.Client) if over == "udp" else (oscore.Stream, StreamClient)
    with client(keys(), daemon.port) as mine, stranger(daemon.port) as other:
        assert mine.ask(GET, "secret").payload == b"for 02 alone"
        assert other.get("secret").text == "4.01"
        requests = [Message(GET, mid=i, token=b"waits", options=request_options(path)) for i, path in enumerate(("slow", "secret"))]
        mine.send(mine.context.protect(requests[0])[0])
        with open(pipe, "w", encoding="ascii"):  # as soon as the program reads there
            daemon.send_signal(signal.SIGSTOP)  # what comes now is read at once
            mine.send(mine.context.protect(requests[1])[0])
            other.send(Message(GET, mid=1, token=b"forged", options=request_options("secret")))
            daemon.send_signal(signal.SIGCONT)
            assert other.receive(10, lambda m: m.token == b"forged").text == "4.01"
            assert other.get("secret").text == "4.01"


@pytest.mark.parametrize("restarts", [False, True])
def test_no_other_answer_passes_for_a_notification(coapd, restarts):
    daemon = coapd(server=ONE_SHARD, security=context(), access=[PUBLIC, MINE])
    with oscore.Client(keys(), daemon.port) as mine, coap.Client(daemon.port) as other:
        assert mine.ask(PUT, "temperature", payload=b"cold").text == "2.01"
        assert other.put("pub/x", b"hot").text == "2.01"
        request = Message(GET, mid=mine.next_mid(), token=b"T", options=request_options("temperature", observe=0))
        protected, piv = mine.context.protect(request)
        first = mine.context.open(mine.exchange(protected), piv)
        assert (first.payload, first.observe is None) == (b"cold", False)
        if restarts:
            daemon.restart("kill")
            assert mine.context.open(mine.receive(20, lambda m: m.token == b"T"), piv).payload == b"cold"
        # As if by somebody else, with this client's address.
        for method, path in ((GET, "pub/x"), (POST, ".well-known/core")):
            for observe in (0, None):
                mine.send(Message(method, mid=mine.next_mid(), token=b"T", options=request_options(path, observe=observe)))
        assert other.put("pub/x", b"hotter").text == "2.04"
        assert mine.nothing(2 * SLOW, lambda m: m.option(OSCORE) is not None), mine.inbox
        assert mine.ask(PUT, "temperature", payload=b"warm").text == "2.04"
        news = mine.receive(10, lambda m: m.token == b"T")
        assert mine.context.open(news, piv).payload == b"warm"


def test_what_waits_is_answered_whatever_comes_meanwhile(coapd, tmp_path):
    resource, pipe = slow(tmp_path)
    daemon = coapd(server=ONE_SHARD, security=context(), access=[PUBLIC, MINE], resources=[resource])

    def ask_until(answered):
        with coap.Client(daemon.port) as other:
            while not answered.is_set():
                other.send(Message(GET, type=NON, mid=other.next_mid(), options=request_options("pub/x")))

    with oscore.Client(keys(), daemon.port) as mine, daemon.client() as other:
        assert mine.ask(PUT, "x", payload=b"").text == "2.01"
        for i in range(5):
            request = Message(GET, mid=i, token=bytes([i]), options=request_options("slow"))
            protected, piv = mine.context.protect(request)
            mine.send(protected)
            answered = threading.Event()
            thread = threading.Thread(target=ask_until, args=(answered,))
            with open(pipe, "w", encoding="ascii") as program:  # as soon as it reads there
                thread.start()
                program.write(f"done {i}")
            try:
                answer = mine.receive(20, lambda m, token=request.token: m.token == token)
            finally:
                answered.set()
                thread.join()
            assert mine.context.open(answer, piv).payload == f"done {i}".encode()
            assert other.get("pub/x", timeout=60).text == "4.04"  # all that was asked is read


# --- and what nobody forges: clients behind one proxy have one address, and keys of their own ---


def test_who_has_keys_may_ask_in_the_clear_too(coapd):
    """libcoap protects all that goes to who has sent a protected request, or sends nothing: such requests have contexts of their own."""
    daemon = coapd(server={**ONE_SHARD, "shards": 2}, security=context(), access=[PUBLIC, MINE])
    shared = keys()
    for _ in range(8):  # by turns, two shards would be for about half of them the one that has the keys
        with oscore.Client(shared, daemon.port) as mine:
            assert mine.ask(PUT, "door", payload=b"open").text in ("2.01", "2.04")
            assert mine.exchange(Message(GET, mid=mine.next_mid(), token=b"t", options=request_options("pub/x"))).text == "4.04"
            assert mine.ask(GET, "door").payload == b"open"


def test_over_a_stream_libcoap_answers_in_the_clear_no_more(coapd):
    """A fact of libcoap's, for docs/conformance.md: a version that does otherwise shows here."""
    daemon = coapd(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"], security=context(), access=[PUBLIC, MINE])
    with oscore.Stream(keys(), daemon.port) as mine:
        assert mine.ask(GET, "time").text == "2.05"
        mine.send(Message(GET, token=b"clear", options=request_options("pub/x")))
        mine.send(Message(PING, token=b"clear"))
        assert mine.ask(GET, "time").text == "2.05"
        assert "OSCORE: PDU could not be encrypted" in daemon.stderr
        assert not [m for m in mine.inbox if m.token == b"clear"]
    with StreamClient(daemon.port) as other:
        assert other.get("pub/x").text == "4.04"


def test_an_answer_that_is_given_again_is_its_senders(coapd):
    daemon = coapd(security=context(), access=[PUBLIC, MINE])
    with oscore.Client(keys(), daemon.port) as mine:
        assert mine.ask(PUT, "door", payload=b"open").text == "2.01"
        numbers = {"mid": mine.next_mid(), "token": b"same"}
        assert mine.exchange(Message(PUT, options=request_options("pub/x"), **numbers)).text == "2.01"
        request = Message(PUT, options=request_options("door"), payload=b"shut", **numbers)
        protected, piv = mine.context.protect(request)
        answer = mine.exchange(protected)
        assert mine.context.open(answer, piv).text == "2.04"
        assert mine.ask(GET, "door").payload == b"shut"


def test_blocks_of_two_senders_make_no_body(coapd):
    daemon = coapd(server=ONE_SHARD, security=context())
    first = {"block1": Block(0, True, 0)}
    with oscore.Client(keys(), daemon.port) as mine, daemon.client() as other:
        assert mine.ask(PUT, "x", payload=b"A" * 16, **first).text == "2.31"
        mine.send(Message(PUT, mid=mine.next_mid(), token=b"plain", options=request_options("x", **first), payload=b"B" * 16))
        assert mine.ask(PUT, "x", payload=b"A", block1=Block(1, False, 0)).text == "2.01"
        assert other.get("x").payload == b"A" * 17


def test_the_blocks_of_an_answer_are_for_who_asked(coapd, tmp_path):
    count = f"echo >> {tmp_path}/runs; printf %064d $(wc -l < {tmp_path}/runs)"
    program = {"path": "count", "kind": "exec", "command": ["/bin/sh", "-c", count], "on_demand": True, "interval": 0}
    daemon = coapd(server=ONE_SHARD, security=context(), access=[{**PUBLIC, "path": "/.well-known/core"}, {**PUBLIC, "path": "/count"}, MINE],
                   resources=[program, {"path": "hidden", "kind": "static", "content": ""}])
    with oscore.Client(keys(), daemon.port) as mine:
        assert b"hidden" not in mine.get(".well-known/core").payload
        plain = mine.get("count", block2=Block(0, False, 1))
        assert plain.block(coap.BLOCK2).more
        assert b"hidden" in mine.ask(GET, ".well-known/core").payload
        assert mine.ask(GET, "count", block2=Block(1, False, 1)).etag != plain.etag
