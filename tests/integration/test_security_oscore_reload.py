# SPDX-License-Identifier: BSD-2-Clause
"""OSCORE contexts that a reload changes: what is new works at once, what is gone is refused, the rest goes on."""

import pytest

from oscore_peers import ANYONE, CLOCK, PEERS, SECRETS, Peer, context, lines_until


@pytest.fixture
def peer(tmp_path):
    return lambda *keys: Peer(tmp_path, *keys)


def test_every_context_takes_recipients(coapd, peer):
    contexts = [context("01", "02", SECRETS[0]), context("05", "06", SECRETS[1]), context("08", "", SECRETS[2])]
    contexts[2]["recipient_ids"] = ["09"]
    daemon = coapd(security={"oscore": contexts}, access=PEERS)
    uri = daemon.uri("time")
    first, second = peer("01", "02", SECRETS[0]), peer("05", "06", SECRETS[1])
    new = [peer("01", "03", SECRETS[0]), peer("05", "07", SECRETS[1]), peer("08", "0a", SECRETS[2])]
    with first.observe(uri) as one, second.observe(uri) as two:
        for client in one, two:
            lines_until(client, CLOCK)
        assert [client.get(uri) for client in new] == ["4.01"] * 3
        for entry, more in zip(contexts, ("03", "07", "0a")):
            entry["recipient_ids"].append(more)
        daemon.write_config(security={"oscore": contexts})
        assert "restart" not in daemon.reload()
        assert [client.get(uri) for client in new] == ["served"] * 3
        with new[1].observe(uri) as three:
            for client in one, two, three:
                for _ in range(3):
                    lines_until(client, CLOCK)
            # They are all where they were before: numbers that a client sees go on rising.
            daemon.restart()
            for client in one, two, three:
                for _ in range(3):
                    lines_until(client, CLOCK)


def test_a_context_takes_other_keys(coapd, peer):
    first, second = context("01", "02", SECRETS[0]), context("05", "06", SECRETS[1])
    daemon = coapd(security={"oscore": [first, second]}, access=PEERS)
    uri = daemon.uri("time")
    keys = [peer("05", "06", secret) for secret in SECRETS[1:]]
    with peer("01", "02", SECRETS[0]).observe(uri) as other, keys[0].observe(uri) as old:
        for client in other, old:
            lines_until(client, CLOCK)
        # Round and round, also back to keys that there were before.
        for turn in (1, 2, 0, 1):
            daemon.write_config(security={"oscore": [first, {**second, "master_secret": SECRETS[1 + turn]}]})
            assert "restart" not in daemon.reload()
            assert [client.is_served(uri) for client in keys] == [i == turn for i in range(3)]
            lines_until(other, CLOCK)
            if turn == 1 and old:
                lines_until(old, "4.01")
                old = None
        with keys[1].observe(uri) as new:
            for _ in range(3):
                lines_until(new, CLOCK)
            daemon.restart()
            for client in new, other:
                for _ in range(3):
                    lines_until(client, CLOCK)
        assert not keys[2].is_served(uri)


def test_who_is_taken_out_is_refused_what_anyone_may(coapd, peer):
    entry = context("01", "02 03", SECRETS[0])
    daemon = coapd(security={"oscore": [entry]}, access=ANYONE)
    uri = daemon.uri("time")
    gone, staying = peer("01", "02", SECRETS[0]), peer("01", "03", SECRETS[0])
    with gone.observe(uri) as one, staying.observe(uri) as two:
        for client in one, two:
            lines_until(client, CLOCK)
        daemon.write_config(security={"oscore": [{**entry, "recipient_ids": ["03"]}]})
        daemon.reload()
        assert gone.get(uri) == "4.01"
        assert "GET on /time to anyone at" in daemon.stderr, "it has no name any more"
        lines_until(one, "4.01")
        for _ in range(3):
            lines_until(two, CLOCK)
        daemon.write_config(security={"oscore": [entry]})
        daemon.reload()
        assert gone.get(uri) == "served"


def test_one_shard_says_what_needs_a_restart(coapd, peer):
    first, second = context("01", "02", SECRETS[0]), context("05", "06", SECRETS[1])
    daemon = coapd(server={"shards": 1}, security={"oscore": [first, second]}, access=ANYONE)
    uri = daemon.uri("time")
    daemon.write_config(security={"oscore": [{**first, "recipient_ids": ["02", "03"]}, second]})
    assert "restart" not in daemon.reload(), "a recipient of the first context"
    daemon.write_config(security={"oscore": [first, {**second, "recipient_ids": ["06", "07"]}]})
    assert 'OSCORE recipient "07" needs a restart' in daemon.reload()
    daemon.write_config(security={"oscore": [{**first, "master_secret": SECRETS[2]}, second]})
    for _ in range(2):
        assert "other keys than before, which needs a restart" in daemon.reload()
    assert [peer("01", "02", SECRETS[i]).is_served(uri) for i in (0, 2)] == [False, False]
    assert peer("05", "06", SECRETS[1]).get(uri) == "served"
    daemon.restart()
    assert [peer("01", "02", SECRETS[i]).is_served(uri) for i in (0, 2)] == [False, True]
