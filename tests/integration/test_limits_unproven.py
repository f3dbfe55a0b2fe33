# SPDX-License-Identifier: BSD-2-Clause
"""Answers to addresses that have proved nothing: a short request with a forged source draws no long one, and clients
of every make still get all of it. In a network of its own, as loopback proves an address."""

import contextlib
import subprocess

import coap
import pytest
from clients import HERE
from coap_stream import StreamClient

LONG = "".join(f"{i:04}" for i in range(250))  # 1000 bytes, each block of them another
HOST = "10.9.8.1"
SECRET, SALT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340"
BOUND = 160


@pytest.fixture
def far(coapd, network):
    """far(**limits) runs a coapd in the network."""

    def run(engine="sqlite", **limits):
        daemon = coapd(
            start=False, prefix=network.prefix(), limits=limits,
            resources=[{"path": "long", "kind": "static", "content": LONG},
                       {"path": "short", "kind": "static", "content": "21.5"},
                       {"path": "status", "kind": "status", "hidden": True}],
            security={"oscore": [{"sender_id": "01", "recipient_ids": ["02"], "master_secret": SECRET,
                                  "master_salt": SALT}]})
        daemon.write_config(endpoints=[f"coap://{HOST}:{{port}}", f"coap+tcp://{HOST}:{{port}}", "coap://127.0.0.1:{port}"],
                            persist=daemon.persist(engine=engine))
        return daemon.start()

    return run


@pytest.fixture
def asking(network):
    """asking(daemon) is a coap.Client in the network, whose address is none of loopback's."""
    with contextlib.ExitStack() as stack:
        def make(daemon, host=HOST):
            with network.inside():
                return stack.enter_context(coap.Client(daemon.port, host, source=host))
        yield make


def ask(client, path, **more):
    """The answer, and its length on the wire."""
    message = coap.Message(coap.GET, type=more.pop("type", coap.NON), mid=client.next_mid(), token=b"t",
                           options=coap.request_options(path, **more))
    client.send(message)
    client.socket.settimeout(10)
    data = client.socket.recv(65536)
    return coap.Message.decode(data), len(data)


def test_no_long_answer_by_default(far, asking):
    daemon = far()
    client = asking(daemon)
    for path in ("long", ".well-known/core"):
        for block in (None, coap.Block(0, False, 6)):
            for kind in (coap.CON, coap.NON):
                answer, n = ask(client, path, block2=block, type=kind)
                assert answer.text == "2.05" and n <= BOUND, (answer, n)
    assert ask(client, "short")[0].option(coap.ECHO) is None, "an ordinary answer is as it was"
    # A longer request may draw more.
    query = [(coap.URI_QUERY, b"q" * 200)]
    answer, n = ask(client, "long", extra=query)
    assert BOUND < n <= 3 * (len(b"long") + 210 + 10)
    # Three times as long; four times as long would be the next larger block.
    answer, n = ask(client, "long", extra=[(coap.URI_QUERY, b"q" * 150)])
    assert BOUND < n <= 3 * (4 + len(b"t") + 5 + 2 + 150)
    # Observers get no more either.
    answer, n = ask(client, "long", observe=0)
    assert answer.observe is not None and n <= BOUND


def test_blocks_give_all_of_it(far, asking):
    client = asking(far())
    for size in (1024, 64, 16):
        assert client.get_blocks("long", size).payload == LONG.encode()
    # From the middle, in larger blocks than we give: the same place.
    answer, _ = ask(client, "long", block2=coap.Block(1, False, 5))
    block = answer.block(coap.BLOCK2)
    assert block.num * block.size == 512
    assert answer.payload == LONG.encode()[512:512 + block.size]


def test_an_echo_proves_the_address(far, asking):
    daemon = far()
    client, other = asking(daemon), asking(daemon)
    echo = ask(client, "long")[0].option(coap.ECHO)
    assert 1 <= len(echo) <= 40
    # Neither of somebody else, nor changed, nor of its own making.
    for who, value in ((other, echo), (client, echo[:-1] + bytes([echo[-1] ^ 1])), (client, bytes(len(echo))),
                       (client, echo[:-1]), (client, b""), (client, b"\xff" * 40)):
        assert ask(who, "long", extra=[(coap.ECHO, value)])[1] <= BOUND
    answer, n = ask(client, "long", extra=[(coap.ECHO, echo)])
    assert answer.payload == LONG.encode() and answer.option(coap.ECHO) is None
    assert ask(client, "long")[0].payload == LONG.encode(), "it stays proved"
    assert ask(client, "long", extra=[(coap.ECHO, bytes(len(echo)))])[0].payload == LONG.encode(), "whatever it sends"
    assert ask(other, "long")[1] <= BOUND


def test_a_challenge(far, asking):
    daemon = far(unproven="echo")
    client = asking(daemon)
    assert ask(client, "short")[0].text == "2.05"
    for options in ({}, {"observe": 0}):
        answer, n = ask(client, "long", **options)
        assert (answer.text, answer.observe, n <= BOUND) == ("4.01", None, True)
    answer, n = ask(client, "short", observe=0)
    assert answer.text == "4.01", "an observation is more than one answer"
    answer, n = ask(client, "long", observe=0, extra=[(coap.ECHO, answer.option(coap.ECHO))])
    assert answer.payload == LONG.encode() and answer.observe is not None


def test_as_it_is(far, asking):
    assert ask(asking(far(unproven="serve")), "long")[0].payload == LONG.encode()


@pytest.mark.parametrize("unproven", ["blocks", "echo"])
def test_loopback_streams_and_keys_prove(far, asking, network, tmp_path, unproven):
    daemon = far(unproven=unproven)
    assert ask(asking(daemon, "127.0.0.1"), "long")[0].payload == LONG.encode()
    conf = tmp_path / "client"
    conf.write_text(f'master_secret,hex,"{SECRET}"\nmaster_salt,hex,"{SALT}"\nsender_id,hex,"02"\nrecipient_id,hex,"01"\n')
    for arguments in (["-E", conf, f"coap://{HOST}:{daemon.port}/long"], [f"coap+tcp://{HOST}:{daemon.port}/long"]):
        result = run(network, "coap-client-gnutls", "-v", "6", "-B", "10", *arguments)
        assert LONG in result.stdout and "Block2:" not in result.stdout + result.stderr, result


@pytest.mark.parametrize("unproven", ["blocks", "echo"])
def test_observers_of_before_the_restart_go_on(far, asking, unproven):
    daemon = far(unproven="serve")
    client = asking(daemon)
    assert ask(client, "long", observe=0)[0].payload == LONG.encode()
    daemon.groups["limits"] = {"unproven": unproven}
    daemon.write_config()
    daemon.restart("kill")
    answer = client.receive(10, wanted=lambda m: m.token == b"t")
    assert answer.text == "2.05" and answer.payload == LONG.encode()


# --- sessions, of an address that others forge ---


def test_forged_sessions_end_none_of_the_owners(far, asking, network):
    daemon = far(sessions_per_address=3)
    with contextlib.ExitStack() as stack:
        with network.inside():
            streams = [stack.enter_context(StreamClient(daemon.port, HOST)) for _ in range(3)]
        proved = asking(daemon)
        ask(proved, "short", extra=[(coap.ECHO, ask(proved, "long")[0].option(coap.ECHO))])
        streams[0].wait_closed()  # with the proof there are four of them
        forged = [asking(daemon) for _ in range(10)]
        assert {ask(client, "short")[0].text for client in forged} == {"2.05"}
        assert [s.get("short").text for s in streams[1:]] == ["2.05", "2.05"]
        assert ask(proved, "long")[0].payload == LONG.encode(), "it is proved still"


def test_forged_observers_keep_no_session_out(far, asking, network):
    daemon = far(sessions_per_address=3)
    forged = [asking(daemon) for _ in range(3)]
    assert {ask(client, "short", observe=0)[0].text for client in forged} == {"2.05"}
    assert ask(asking(daemon), "short")[0].text == "5.03"
    with network.inside(), StreamClient(daemon.port, HOST) as stream:
        assert [stream.get("short").text for _ in range(2)] == ["2.05", "2.05"]


@pytest.mark.parametrize("limit", ["observations", "observations_per_resource"])
def test_forged_observers_leave_room_for_those_who_prove(far, asking, network, limit):
    daemon = far(**{limit: 5})
    clients = [asking(daemon) for _ in range(5)]
    assert [ask(client, "short", observe=0)[0].text for client in clients] == ["2.05"] * 4 + ["5.03"]
    assert ask(clients[0], "short", observe=0)[0].text == "2.05", "who is there may stay"
    echo = ask(clients[4], "long")[0].option(coap.ECHO)
    assert ask(clients[4], "short", observe=0, extra=[(coap.ECHO, echo)])[0].text == "2.05"
    with network.inside(), StreamClient(daemon.port, HOST) as stream:
        assert stream.request(coap.GET, "short", observe=0).text == "5.03", "that was the last one"


def test_all_observe_where_nobody_is_to_prove(far, asking):
    daemon = far(unproven="serve", observations=5)
    assert {ask(asking(daemon), "short", observe=0)[0].text for _ in range(5)} == {"2.05"}


def test_a_proof_gets_nobody_beyond_the_limit(far, asking):
    daemon = far(sessions_per_address=3)
    clients = [asking(daemon) for _ in range(10)]
    for client in clients:
        ask(client, "short", extra=[(coap.ECHO, ask(client, "long")[0].option(coap.ECHO))])
    whole = [ask(client, "long")[1] > BOUND for client in clients]
    assert whole == [False] * 7 + [True] * 3


def run_cat(daemon, output):
    """A resource whose content is another with every look, once a second."""
    daemon.groups["resources"].append({"path": "run", "kind": "exec", "interval": 1, "command": ["/bin/cat", output]})
    daemon.write_config()
    daemon.restart()


def answered(get, wanted):
    """What `get` returns once that begins with what is wanted."""
    while True:
        answer = get()
        if answer.payload.startswith(wanted):
            return answer


def test_forged_requests_end_no_transfer_of_the_owners(far, asking, network, tmp_path):
    daemon, output = far(), tmp_path / "output"
    output.write_text(LONG)
    run_cat(daemon, output)
    half = coap.Block.of_size(0, False, 512)
    forged = [asking(daemon) for _ in range(100)]
    with network.inside(), StreamClient(daemon.port, HOST) as stream:
        first = answered(lambda: stream.get("run", block2=half), b"0000")
        output.write_text(LONG[::-1])
        answered(lambda: ask(forged[0], "run", block2=half)[0], b"9420")
        assert {ask(client, "run", block2=half)[0].text for client in forged} == {"2.05"}
        second = stream.get("run", block2=coap.Block.of_size(1, False, 512))
        assert first.payload + second.payload == LONG.encode()


def test_small_blocks_are_all_of_one_answer(far, asking, tmp_path):
    """Who did not ask for blocks gets them all the same."""
    daemon, output = far(), tmp_path / "output"
    output.write_text(LONG)
    run_cat(daemon, output)
    client, other = asking(daemon), asking(daemon)
    first = answered(lambda: ask(client, "run")[0], b"0000")
    output.write_text(LONG[::-1])
    answered(lambda: ask(other, "run")[0], b"9420")
    assert client.rest(first, coap.GET, "run").payload == LONG.encode()


# --- clients as they are ---


def run(network, *command):
    return subprocess.run([*network.prefix(), *map(str, command)], capture_output=True, text=True, timeout=60, check=False)


AIOCOAP = """
import asyncio, sys, aiocoap
async def main():
    context = await aiocoap.Context.create_client_context()
    print((await context.request(aiocoap.Message(code=aiocoap.GET, uri=sys.argv[1])).response).payload.decode())
    await context.shutdown()
asyncio.run(main())
"""


@pytest.mark.parametrize("command", [
    ["coap-client-gnutls", "-v", "0", "-B", "10"],
    ["coap-client-gnutls", "-v", "0", "-B", "10", "-N"],
    ["coap-client-gnutls", "-v", "0", "-B", "10", "-b", "1024"],
    ["python3", "-c", AIOCOAP],
    ["node", HERE / "client.js", "GET"],
], ids=["libcoap", "libcoap-non", "libcoap-block", "aiocoap", "node-coap"])
def test_every_client_gets_all_of_it_by_default(far, network, command):
    daemon = far()
    result = run(network, *command, f"coap://{HOST}:{daemon.port}/long")
    assert LONG in result.stdout, result


def test_libcoap_meets_a_challenge(far, network):
    daemon = far(unproven="echo")
    for more in ([], ["-s", "1"]):
        result = run(network, "coap-client-gnutls", "-v", "0", "-B", "10", *more, f"coap://{HOST}:{daemon.port}/long")
        assert LONG in result.stdout, result
