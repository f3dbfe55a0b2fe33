# SPDX-License-Identifier: BSD-2-Clause
"""OSCORE contexts that a reload changes, for clients over TCP, TLS, DTLS and WebSockets: live sessions go on."""

import sqlite3

import pytest

import oscore
from coap import GET
from coap_stream import WebSocketClient
from oscore_peers import ANYONE, CLOCK, PEERS, SECRETS, Peer, context, lines_until

SCHEMES = ("coap+tcp", "coap+ws", "coaps", "coaps+tcp", "coaps+ws")
HOST = "127.0.0.2"  # beside the endpoint that there always is
PSK = {"identities": [{"identity": "sensor-1", "key": "correct horse"}]}


@pytest.fixture(params=SCHEMES)
def scheme(request):
    return request.param


@pytest.fixture
def peer(tmp_path, scheme):
    credentials = ("-u", "sensor-1", "-k", "correct horse") if scheme.startswith("coaps") else ()
    return lambda *keys: Peer(tmp_path, *keys, *credentials)


def security(*contexts):
    return {"psk": PSK, "oscore": list(contexts)}


def serve(coapd, scheme, *contexts, **more):
    return coapd(endpoints=["coap://127.0.0.1:{port}", f"{scheme}://{HOST}:{{port}}"], security=security(*contexts), **more)


def uri_of(daemon, scheme):
    return daemon.uri("time", scheme, host=HOST)


def test_a_reload_changes_recipients_and_keys(coapd, peer, scheme):
    first, second = context("01", "02", SECRETS[0]), context("05", "06", SECRETS[1])
    daemon = serve(coapd, scheme, first, second, access=PEERS)
    uri = uri_of(daemon, scheme)
    keys = [peer("05", "06", secret) for secret in SECRETS[1:]]
    with peer("01", "02", SECRETS[0]).observe(uri) as other, keys[0].observe(uri) as old:
        for client in other, old:
            lines_until(client, CLOCK)
        # More recipients: the first takes them, the second takes them along to where new sessions begin.
        assert [peer(*ids).get(uri) for ids in (("01", "03", SECRETS[0]), ("05", "07", SECRETS[1]))] == ["4.01"] * 2
        first, second = context("01", "02 03", SECRETS[0]), context("05", "06 07", SECRETS[1])
        daemon.write_config(security=security(first, second))
        assert "restart" not in daemon.reload()
        assert peer("01", "03", SECRETS[0]).get(uri) == peer("05", "07", SECRETS[1]).get(uri) == "served"
        for client in other, old:
            for _ in range(2):
                lines_until(client, CLOCK)
        with peer("05", "07", SECRETS[1]).observe(uri) as third:
            lines_until(third, CLOCK)
            # Round and round, also back to keys that there were before.
            for turn in (1, 2, 0, 1):
                second = context("05", "06", SECRETS[1 + turn])
                daemon.write_config(security=security(first, second))
                log = daemon.reload()
                assert "restart" not in log and "connect anew" in log, log
                assert [client.is_served(uri) for client in keys] == [i == turn for i in range(3)]
                lines_until(other, CLOCK)
                if turn == 1 and old:
                    lines_until(old, "4.01")
                    lines_until(third, "4.01")
                    old = None
        assert "connect anew" not in daemon.reload(), "nothing has changed"
        with keys[1].observe(uri) as new:
            for client in new, other:
                for _ in range(3):
                    lines_until(client, CLOCK)
    daemon.restart()
    assert [client.is_served(uri) for client in keys] == [False, True, False]


def test_who_is_taken_out_is_refused_what_anyone_may(coapd, peer, scheme):
    entry, changed = context("01", "02 03", SECRETS[0]), context("05", "06", SECRETS[1])
    daemon = serve(coapd, scheme, entry, changed, access=ANYONE)
    uri = uri_of(daemon, scheme)
    gone, staying = peer("01", "02", SECRETS[0]), peer("01", "03", SECRETS[0])
    with gone.observe(uri) as one, staying.observe(uri) as two:
        for client in one, two:
            lines_until(client, CLOCK)
        # The sessions of both are from before the reload, and new ones are elsewhere after it.
        changed["master_secret"] = SECRETS[2]
        daemon.write_config(security=security({**entry, "recipient_ids": ["03"]}, changed))
        assert "connect anew" in daemon.reload()
        assert gone.get(uri) == "4.01"
        lines_until(one, "4.01")
        for _ in range(3):
            lines_until(two, CLOCK)
        daemon.write_config(security=security(entry, changed))
        daemon.reload()
        assert gone.get(uri) == "served"
        lines_until(two, CLOCK)


def test_sessions_of_before_and_after_have_their_requests_served(coapd, peer, scheme):
    first, second = context("01", "02 03", SECRETS[0]), context("05", "06", SECRETS[1])
    daemon = serve(coapd, scheme, first, second, access=PEERS)
    uri = uri_of(daemon, scheme)
    with peer("01", "02", SECRETS[0]).ask_on(uri) as before:
        lines_until(before, CLOCK)
        second["master_secret"] = SECRETS[2]
        daemon.write_config(security=security(first, second))
        assert "connect anew" in daemon.reload()
        with peer("01", "03", SECRETS[0]).ask_on(uri) as after:
            for _ in range(4):
                assert len(lines_until(before, CLOCK)) == len(lines_until(after, CLOCK)) == 1


def test_an_id_goes_from_one_context_to_another_and_back(coapd, tmp_path):
    before = [context("01", "02", SECRETS[0]), context("05", "06", SECRETS[1])]
    daemon = serve(coapd, "coap+tcp", *before, access=PEERS)
    uri = uri_of(daemon, "coap+tcp")
    one, other = Peer(tmp_path, "01", "06", SECRETS[0]), Peer(tmp_path, "05", "06", SECRETS[1])
    for contexts, served in ((before, [False, True]), ([context("01", "02 06", SECRETS[0])], [True, False])) * 2:
        daemon.write_config(security=security(*contexts))
        assert "restart" not in daemon.reload()
        assert [client.is_served(uri) for client in (one, other)] == served


class Recorder:
    """Clients of one sender's, over sessions of before and after reloads: no number of the sender's comes twice."""

    def __init__(self, daemon):
        self.daemon, self.clients = daemon, []
        self.keys = [oscore.Context(bytes([i]), b"\1", bytes.fromhex(SECRETS[0]), b"") for i in range(2, 5)]

    def observe(self, which):
        client = oscore.Stream(self.keys[which], self.daemon.port)
        assert client.ask(GET, "time", token=b"o", observe=0).text == "2.05"
        self.clients.append(client)

    def tick(self, times=2):
        for _ in range(times):
            for client in self.clients:
                assert client.answer(b"o").text == "2.05"

    def numbers(self):
        return [number for client in self.clients for number in client.numbers]

    def close(self):
        for client in self.clients:
            client.close()


def change_keys(daemon, turn):
    """Of another context: new sessions begin in another place."""
    daemon.write_config(security=security(context("01", "02 03 04", SECRETS[0]),
                                          context("05", "06", bytes([0x70 + turn] * 16).hex())))
    assert "connect anew" in daemon.reload()


@pytest.mark.parametrize("stored", [True, False])
def test_no_number_is_used_twice_in_sessions_of_before_and_after(coapd, stored):
    daemon = coapd(endpoints=["coap+tcp://127.0.0.1:{port}", "coap://127.0.0.1:{port}"], access=PEERS,
                   start=False)
    if not stored:
        daemon.write_config(persist={"observers": f"{daemon.folder}/observers"})
    daemon.write_config(security=security(context("01", "02 03 04", SECRETS[0]), context("05", "06", SECRETS[1])))
    daemon.start()
    before = Recorder(daemon)
    # Five times: the ranges of numbers for streams are taken by turns.
    for turn in range(5):
        before.observe(turn % 3)
        before.tick(1)
        change_keys(daemon, turn)
    before.observe(2)
    with oscore.Client(before.keys[0], daemon.port) as datagrams:
        assert datagrams.ask(GET, "time", observe=0).text == "2.05"
        before.tick()
        seen = before.numbers() + datagrams.numbers
    assert len(before.clients) == 6 and len(set(seen)) == len(seen) >= 6 * 3, sorted(seen)
    before.close()
    if stored:
        with sqlite3.connect(f"file:{daemon.folder}/observe-counters?mode=ro", uri=True) as db:
            reserved = [row[0] for row in db.execute("SELECT reserved FROM sequences")]
        assert max(number for number in seen) < max(reserved)
    daemon.restart("kill")
    after = Recorder(daemon)
    after.keys = before.keys
    after.observe(0)
    after.tick()
    assert not set(seen) & set(after.numbers())
    assert min(after.numbers()) > max(number for number in seen if number < 3 << 38)
    after.close()


def test_a_request_of_before_is_a_replay_after(coapd):
    daemon = coapd(endpoints=["coap+tcp://127.0.0.1:{port}", "coap://127.0.0.1:{port}"], access=ANYONE,
                   security=security(context("01", "02 03 04", SECRETS[0]), context("05", "06", SECRETS[1])))
    keys = oscore.Context(b"\2", b"\1", bytes.fromhex(SECRETS[0]), b"")
    with oscore.Stream(keys, daemon.port) as client:
        assert client.ask(GET, "time").text == "2.05"
        keys.number, again = 100, b"again"
        client.send_request(GET, "time", again)
        assert client.answer(again).text == "2.05"
        change_keys(daemon, 0)
        with oscore.Stream(keys, daemon.port) as other:
            assert other.ask(GET, "time").text == "2.05"  # after a proof that it is fresh
            keys.number = 100
            other.send_request(GET, "time", again)
            assert other.answer(again).text == "4.00"
            keys.number = 200
            assert other.ask(GET, "time").text == "2.05"
            # And the other way round.
            keys.number = 200
            client.send_request(GET, "time", again)
            assert client.answer(again).text == "4.00"


def test_all_kinds_of_sessions_go_on_through_many_changes(coapd):
    """Plain ones as well: they are where new sessions begin, too."""
    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}", "coap://127.0.0.1:{port}"], server={"shards": 32},
                   access=ANYONE, security=security(context("01", "02", SECRETS[0]), context("05", "06", SECRETS[1])))
    clients = []
    for turn in range(4):
        clients.append(WebSocketClient(daemon.port))
        assert clients[-1].get("time", token=b"o", observe=0).text == "2.05"
        change_keys(daemon, turn)
    for _ in range(3):
        for client in clients:
            assert client.receive(20, lambda m: m.token == b"o").text == "2.05"
            assert client.get("time").text == "2.05"
    daemon.write_config(security=security(context("01", "02", SECRETS[0]), context("05", "06", SECRETS[1])))
    assert 'recipient "06" is refused over DTLS, TCP and WebSocket until a restart' in daemon.reload()
    for client in clients:
        assert client.get("time").text == "2.05"
        client.close()
