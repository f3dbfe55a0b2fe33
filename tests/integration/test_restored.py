# SPDX-License-Identifier: BSD-2-Clause
"""What a restored observation is like: as it was asked for, told the present state soon; and a long restore says so."""

import re

import coap
import pytest
from coap import CON, FETCH, GET, NON, OCTETS, RST, TEXT, Block, Message, request_options
from coap_target import Target, reply
from daemon import SLOW

HOWS = ("stop", "kill")


@pytest.mark.parametrize("how", HOWS)
def test_as_it_was_asked_for(coapd, how):
    """Block sizes, Accept, queries, and tokens of any length that RFC 8974 allows and coapd takes."""
    daemon = coapd()
    large = bytes(range(256)) * 12
    with daemon.client() as writer, daemon.client() as client:
        assert writer.put_blocks("large", large, size=1024, content_format=OCTETS).text == "2.01"
        assert writer.put("small", b"0", content_format=TEXT).text == "2.01"
        blocks = client.observe("large", token=b"blocks", block2=Block.of_size(0, False, 64))
        watched = [
            client.observe("small", token=b"", query="none"),
            client.observe("small", token=b"12345678", query=["a=1", "b=\xfc"]),
            client.observe("small", token=b"x" * 20, accept=TEXT),
            client.observe("small", token=b"y" * 200, query="long"),
        ]
        for observation in [blocks, *watched]:
            assert observation.first.text == "2.05" and observation.number is not None, observation.first
        for turn in range(2):
            daemon.restart(how)
            got = blocks.fresh()
            assert got.block(coap.BLOCK2) == Block.of_size(0, True, 64) and got.payload == large[:64]
            for observation in watched:
                assert observation.fresh().payload == f"{turn}".encode()
            assert writer.put("small", f"{turn + 1}", content_format=TEXT).text == "2.04"
            for observation in watched:
                assert observation.fresh().payload == f"{turn + 1}".encode()
        # And each of them ends as it would have.
        for observation in [blocks, *watched]:
            assert observation.cancel().text == "2.05"
        daemon.restart("kill")
        assert ", 0 observers restored" in daemon.stderr


def test_each_is_told_the_present_state(coapd):
    """Of many resources and none of them changed: one after the other, with requests answered in between."""
    daemon = coapd(resources=[{"path": f"r{i}", "kind": "static", "content": f"{i}"} for i in range(200)])
    with daemon.client() as client, daemon.client() as other:
        watched = [client.observe(f"r{i}", token=f"t{i}".encode()) for i in range(200)]
        daemon.restart("kill")
        # Nobody is forgotten while requests come in.
        for i in range(50):
            assert other.get(f"r{i}").payload == f"{i}".encode()
        for i, observation in enumerate(watched):
            assert observation.fresh(5 * SLOW).payload == f"{i}".encode()


def test_the_first_notification_asks_whether_they_are_there(coapd):
    """It is confirmable, so that who is gone is found out before anything changes; those behind it are not."""
    daemon = coapd(resources=[{"path": "still", "kind": "static", "content": "x"}])
    with daemon.client() as client, daemon.client() as writer:
        assert writer.put("value", b"0").text == "2.01"
        still, value = client.observe("still"), client.observe("value")
        for turn in range(2):
            daemon.restart("kill")
            assert still.fresh(5 * SLOW).type == value.fresh(5 * SLOW).type == CON
            assert writer.put("value", f"{turn + 1}").text == "2.04"
            note = value.fresh(5 * SLOW)
            assert (note.type, note.payload) == (NON, f"{turn + 1}".encode())


def test_who_is_gone_meanwhile_is_not_kept(coapd):
    """A client that has begun anew knows nothing of its observation, and says so (RFC 7641, 3.6)."""
    daemon = coapd(resources=[{"path": "still", "kind": "static", "content": "x"}])
    with daemon.client() as client:
        client.observe("still")
        daemon.kill()
        client.acknowledge = False
        daemon.start()
        note = client.receive(5 * SLOW, lambda m: m.observe is not None)
        client.send(Message(0, type=RST, mid=note.mid))
        client.ping()  # it has been read
        daemon.restart("kill")
        assert ", 0 observers restored" in daemon.stderr


class Queried(Target):
    """Answers a FETCH with its body and a number that grows; remembers who observes what."""

    def __init__(self):
        self.tokens, self.number, self.state = {}, 5, b""
        super().__init__(self._answer)

    def _options(self):
        return [(coap.OBSERVE, coap.uint(self.number)), (coap.MAX_AGE, coap.uint(1000))]

    def _answer(self, m):
        if m.code != FETCH:
            return reply(m, "4.05")
        self.tokens[m.payload] = m.token
        return reply(m, "2.05", m.payload + self.state, self._options() if m.observe == 0 else [])

    def change(self, query, value):
        self.number += 1
        self.send(Message(coap.code("2.05"), token=self.tokens[query], options=self._options(), payload=value))


@pytest.mark.parametrize("how", HOWS)
def test_a_fetch_has_its_body_again(coapd, how):
    """RFC 8132, 2: what is observed is what the body asks for. Two that differ in nothing else, and one with an empty one."""
    queries = (b"temperature", b"humidity" * 50, b"")
    with Queried() as target:
        uri = f"coap://127.0.0.1:{target.port}/"
        daemon = coapd(resources=[{"path": "up", "kind": "proxy", "target": uri}])
        with daemon.client() as client:
            tokens = {}

            def comes(query, payload):
                """All who observe a path are told when one has news: some of it twice."""
                while (note := client.receive(20 * SLOW, lambda m: m.token == tokens[query])).payload != payload:
                    assert note.text == "2.05", note
                assert note.observe is not None

            for query in queries:
                tokens[query] = client.new_token()
                answer = client.request(FETCH, "up/x", token=tokens[query], payload=query, observe=0, content_format=TEXT)
                assert (answer.text, answer.payload) == ("2.05", query) and answer.observe is not None
            for turn in range(2):
                target.tokens.clear()
                target.seen.clear()
                target.state = b" after %d" % turn
                daemon.restart(how)
                for query in queries:
                    target.await_seen(lambda m, q=query: m.code == FETCH and m.payload == q and m.observe == 0)
                    comes(query, query + target.state)
                for query in queries:
                    target.change(query, query + b" changed %d" % turn)
                    comes(query, query + b" changed %d" % turn)


def register_many(daemon, client, n):
    """Distinct queries make distinct observations."""
    for start in range(0, n, 50):
        tokens = set()
        for i in range(start, min(n, start + 50)):
            token = i.to_bytes(4, "big")
            tokens.add(token)
            options = request_options("idle", query=f"n={i}", observe=0)
            client.send(Message(GET, type=CON, mid=client.next_mid(), token=token, options=options))
        while tokens:
            got = client.receive(5 * SLOW, lambda m: m.token in tokens)
            assert got.text == "2.05" and got.observe is not None, got
            tokens.discard(got.token)


def test_a_long_restore_asks_for_more_time(coapd):
    """READY=1 comes when it serves; until then each thousand rows extend the time that the start may take."""
    many = 2500
    daemon = coapd(resources=[{"path": "idle", "kind": "static", "content": "x"}],
                   limits={"observations_per_session": many})
    with daemon.client() as client:
        register_many(daemon, client, many)
        daemon.restart("kill")
        states = daemon.states
        ready = states.index("READY=1")
        progress = [i for i, s in enumerate(states) if re.fullmatch(rf"STATUS=Restoring observers: \d+ of {many}", s)]
        extensions = [i for i, s in enumerate(states) if s.startswith("EXTEND_TIMEOUT_USEC=")]
        assert len(progress) == len(extensions) == 2, states
        assert max(progress) < ready and max(extensions) < ready
        assert f"{many} observers restored" in daemon.stderr
        # All of them are there: the first who asks anew adds none.
        client.inbox.clear()
        assert client.get("idle", query="n=0", observe=0, token=(0).to_bytes(4, "big")).text == "2.05"


def test_resources_report_too(coapd):
    daemon = coapd()
    with daemon.client() as client:
        for i in range(600):
            assert client.put(f"r/{i}", b"x").text == "2.01"
        daemon.restart("kill")
        progress = [s for s in daemon.states if s.startswith("STATUS=Restoring dynamic resources: ")]
        assert progress == [f"STATUS=Restoring dynamic resources: {n} of 600" for n in (256, 512)]
