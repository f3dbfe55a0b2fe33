# SPDX-License-Identifier: BSD-2-Clause
"""Q-Block1 and Q-Block2 (RFC 9177): libcoap's own client both ways, and a bare one that loses and mixes up blocks."""

import random
import time

import coap
import pytest
from clients import coap_client
from coap_target import Target, reply
from daemon import SANITIZED, free_port
from test_endpoints import ask_group

SIZE, SET = 64, 10
FORMAT_MISSING_BLOCKS = 272
BODY = random.Random(9177).randbytes(SIZE * 34 + 5)  # four sets of ten blocks, the last of them short
BLOCKS = (len(BODY) + SIZE - 1) // SIZE
Q_BLOCKS = 1 | 4  # COAP_BLOCK_USE_LIBCOAP, COAP_BLOCK_TRY_Q_BLOCK; see coap-client(5), -L
USE_M = 8


@pytest.fixture
def daemon(coapd):
    daemon = coapd(server={"q_block": True, "session_timeout": 60}, dynamic={"enable": True, "max_size": 200000},
                   resources=[{"path": "status", "kind": "status", "hidden": True},
                              {"path": "open", "kind": "static", "content": "x" * 300},
                              {"path": "rd", "kind": "rd"}])
    return daemon


@pytest.fixture
def client(daemon):
    with daemon.client() as client:
        yield client


def value(num, more, size=SIZE):
    return coap.Block.of_size(num, more, size).encode()


def put_block(client, num, *, path="q", body=BODY, size=SIZE, tag=b"\1", type=coap.NON, more=None, size1=None, extra=(),
              method=coap.PUT):
    """Sends one block, with a token of its own, and returns what was sent."""
    if more is None:
        more = (num + 1) * size < len(body)
    options = [(coap.Q_BLOCK1, value(num, more, size)), *extra]
    if tag is not None:
        options.append((coap.REQUEST_TAG, tag))
    if size1 != "none":
        options.append((coap.SIZE1, coap.uint(len(body) if size1 is None else size1)))
    return client.send(coap.Message(method, type=type, mid=client.next_mid(), token=client.new_token(),
                                    options=coap.request_options(path, extra=options),
                                    payload=body[num * size:(num + 1) * size]))


def answer_to(client, message, timeout=5.0):
    return client.receive(timeout, lambda m: m.token == message.token)


def quiet(client):
    """Nothing waits. What was sent before the ping has been answered before it."""
    client.ping()
    return not client.inbox


def missing(message):
    """The numbers of a 4.08 (RFC 9177, 5), of which those here fit in two bytes."""
    assert message.text == "4.08" and message.content_format == FORMAT_MISSING_BLOCKS, message
    numbers, at = [], 0
    while at < len(message.payload):
        first = message.payload[at]
        assert first <= 24
        numbers.append(message.payload[at + 1] if first == 24 else first)
        at += 2 if first == 24 else 1
    return numbers


def get(client, *blocks, path="q", size=SIZE, type=coap.NON, extra=(), method=coap.GET):
    options = [(coap.Q_BLOCK2, value(num, more, size)) for num, more in blocks]
    return client.send(coap.Message(method, type=type, mid=client.next_mid(), token=client.new_token(),
                                    options=coap.request_options(path, extra=[*options, *extra])))


def burst(client, request, n):
    return [answer_to(client, request) for _ in range(n)]


# --- Q-Block1 ---


def test_blocks_in_order(client):
    for num in range(BLOCKS - 1):
        sent = put_block(client, num)
        if (num + 1) % SET == 0:
            answer = answer_to(client, sent)
            assert (answer.text, answer.block(coap.Q_BLOCK1)) == ("2.31", coap.Block.of_size(num, True, SIZE))
    assert quiet(client), client.inbox
    last = put_block(client, BLOCKS - 1)
    answer = answer_to(client, last)
    assert (answer.text, answer.type, answer.option(coap.Q_BLOCK1)) == ("2.01", coap.NON, None)
    assert client.get_blocks("q", 1024).payload == BODY


def test_confirmable_blocks_are_acknowledged(client):
    for num in range(BLOCKS):
        sent = put_block(client, num, type=coap.CON)
        answer = client.receive(5, lambda m: m.mid == sent.mid)
        assert answer.type == coap.ACK
        assert answer.text == ("2.01" if num == BLOCKS - 1 else "0.00"), (num, answer)
    assert client.get_blocks("q", 1024).payload == BODY


def test_of_confirmable_blocks_none_is_named(client):
    """4.08 is for NON alone (RFC 9177, 4.3)."""
    for num, text in ((1, "0.00"), (0, "2.01")):
        sent = put_block(client, num, body=BODY[:SIZE * 2], type=coap.CON)
        assert client.receive(5, lambda m: m.mid == sent.mid).text == text


@pytest.mark.parametrize("seed", range(5))
def test_blocks_in_any_order_and_twice(client, seed):
    chance = random.Random(seed)
    order = [num for base in range(0, BLOCKS, SET)
             for num in chance.sample(range(base, min(base + SET, BLOCKS)), min(SET, BLOCKS - base))]
    for i in range(0, len(order) - 1, 7):
        order.insert(i, order[i])
    for num in order:
        sent = put_block(client, num)
    answers = []
    client.receive(5, lambda m: answers.append(m) or m.text == "2.01")
    assert sent and {m.text for m in answers} <= {"2.31", "4.08", "2.01"}
    assert client.get_blocks("q", 1024).payload == BODY


def test_what_is_missing_is_named(client):
    lost = {2, 7, 11, 33}
    for num in range(SET):
        if num not in lost:
            put_block(client, num)
    assert quiet(client)
    # The next set begins.
    assert missing(answer_to(client, put_block(client, 10))) == [2, 7]
    put_block(client, 7)
    assert answer_to(client, put_block(client, 2)).block(coap.Q_BLOCK1).num == 9
    for num in range(12, BLOCKS - 1):
        if num not in lost:
            sent = put_block(client, num)
            if num == 20:
                assert missing(answer_to(client, sent)) == [11]
            if num == 30:
                assert missing(answer_to(client, sent)) == [11]
    # Nobody knows that they are not just late, until NON_RECEIVE_TIMEOUT has passed.
    sent = put_block(client, BLOCKS - 1)
    assert quiet(client)
    assert missing(answer_to(client, sent, 12)) == [11, 33]
    assert answer_to(client, put_block(client, 11)).block(coap.Q_BLOCK1).num == 29
    assert answer_to(client, put_block(client, 33)).text == "2.01"
    assert client.get_blocks("q", 1024).payload == BODY


def test_of_its_own_set_none_is_missing_yet(client):
    for num in range(SET - 1):
        put_block(client, num)
    assert missing(answer_to(client, put_block(client, 12))) == [9]


def test_blocks_that_do_not_come_are_asked_for(client):
    """NON_RECEIVE_TIMEOUT (RFC 9177, 7.2): the last blocks are lost, of which nothing tells."""
    for num in range(5):
        sent = put_block(client, num, body=BODY[:SIZE * 7])
    # Who wants to hear of no error (RFC 7967) is not asked.
    put_block(client, 0, path="silent", extra=[(coap.NO_RESPONSE, b"\x08")])
    begun = time.monotonic()
    answer = answer_to(client, sent, 12)
    assert 4 <= time.monotonic() - begun < 8
    assert (answer.type, missing(answer)) == (coap.NON, [5, 6])
    assert missing(answer_to(client, sent, 20)) == [5, 6], "once more"
    assert 12 <= time.monotonic() - begun < 20
    assert not client.inbox
    put_block(client, 5, body=BODY[:SIZE * 7])
    assert answer_to(client, put_block(client, 6, body=BODY[:SIZE * 7])).text == "2.01"
    assert client.get_blocks("q", 1024).payload == BODY[:SIZE * 7]


def test_the_next_set_that_does_not_come_is_asked_for(client):
    for num in range(SET):
        sent = put_block(client, num, body=BODY[:SIZE * 12])
    assert answer_to(client, sent).text == "2.31"
    assert missing(answer_to(client, sent, 12)) == [10, 11]


def test_the_last_block_again_is_answered_again(client):
    for num in range(3):
        sent = put_block(client, num, body=BODY[:SIZE * 3], method=coap.POST)
    assert answer_to(client, sent).text == "2.01"
    again = put_block(client, 2, body=BODY[:SIZE * 3], method=coap.POST)
    assert answer_to(client, again).text == "2.01", "it was made once, and 2.04 would say it was made twice"
    put_block(client, 1, body=BODY[:SIZE * 3], method=coap.POST)
    assert quiet(client), "none but that and the one that completed it"


def test_the_block_that_completed_it_again(client):
    """With the Location-Path of what was made, though another message id hides that it came before."""
    body = b",".join([b"</a>"] * 30)
    for num in (0, 2, 1):
        sent = put_block(client, num, body=body, path="rd", method=coap.POST, extra=[(coap.URI_QUERY, b"ep=one"),
                                                                                    (coap.CONTENT_FORMAT, b"\x28")])
    first = answer_to(client, sent)
    assert first.text == "2.01" and first.location
    sent = put_block(client, 1, body=body, path="rd", method=coap.POST, extra=[(coap.URI_QUERY, b"ep=one"),
                                                                              (coap.CONTENT_FORMAT, b"\x28")])
    again = answer_to(client, sent)
    assert (again.text, again.location) == ("2.01", first.location)


def test_a_set_again_may_go_on_again(client):
    for num in range(SET):
        sent = put_block(client, num)
    assert answer_to(client, sent).text == "2.31"
    assert answer_to(client, put_block(client, SET - 1)).block(coap.Q_BLOCK1).num == SET - 1
    put_block(client, 3)
    assert quiet(client)


def test_fetch(coapd):
    """The body of what may be done twice is kept: who has not got the answer asks again by the last block."""
    question = BODY[:SIZE + 30]
    with Target(lambda m: reply(m, "2.05", m.payload[::-1])) as target:
        up = {"path": "up", "kind": "proxy", "target": f"coap://127.0.0.1:{target.port}"}
        with coapd(server={"q_block": True}, resources=[up]).client() as client:
            for num in (0, 1, 1):
                sent = put_block(client, num, path="up", body=question, method=coap.FETCH, extra=[(coap.CONTENT_FORMAT, b"\x2a")])
                if num == 1:
                    answer = answer_to(client, sent)
                    assert (answer.text, answer.payload) == ("2.05", question[::-1])
            # The list of those that are missing is no part of the answer, of which a block may be asked for.
            extra = [(coap.CONTENT_FORMAT, b"\x2a"), (coap.Q_BLOCK2, value(1, False))]
            for num in (0, 10):
                sent = put_block(client, num, path="up", tag=b"2", method=coap.FETCH, extra=extra)
            answer = answer_to(client, sent)
            assert missing(answer) == list(range(1, SET)) and answer.option(coap.Q_BLOCK2) is None
        assert {m.payload for m in target.seen} == {question}


def test_a_body_that_begins_again_is_another_one(client):
    """The Request-Tag is to be another one (RFC 9177, 4.3); who uses the same again gets no mixture."""
    put_block(client, 0)
    put_block(client, 1)
    other = bytes(reversed(BODY[:SIZE * 3]))
    for num in range(3):
        sent = put_block(client, num, body=other)
    assert answer_to(client, sent).text == "2.01"
    assert client.get_blocks("q", 1024).payload == other


def test_two_bodies_at_a_time(client):
    other = bytes(reversed(BODY))
    for num in range(BLOCKS):
        for tag, body, path in ((b"a", BODY, "q"), (b"b", other, "q2")):
            sent = put_block(client, num, tag=tag, body=body, path=path)
    assert client.receive(5, lambda m: m.text == "2.01") and answer_to(client, sent).text == "2.01"
    assert client.get_blocks("q", 1024).payload == BODY
    assert client.get_blocks("q2", 1024).payload == other


def test_another_query_is_another_operation(client):
    """RFC 9175, 3.3: blocks are put together when what they ask for is the same."""
    put_block(client, 0, body=BODY[:SIZE * 2], extra=[(coap.URI_QUERY, b"a")])
    assert missing(answer_to(client, put_block(client, 1, body=BODY[:SIZE * 2], extra=[(coap.URI_QUERY, b"b")]), 12)) == [0]
    assert client.get("q").text == "4.04"


def test_block1_is_another_transfer(client):
    put_block(client, 0, body=BODY[:SIZE * 2])
    answer = client.put("q", BODY[SIZE:SIZE * 2], block1=coap.Block.of_size(1, False, SIZE), extra=[(coap.REQUEST_TAG, b"\1")])
    assert answer.text == "4.08" and answer.content_format is None
    assert client.get("q").text == "4.04"


def test_what_is_out_of_bounds(client):
    def answer(*arguments, **more):
        return answer_to(client, put_block(client, *arguments, **more))

    assert answer(0, tag=None).text == "4.00", "no Request-Tag"
    assert answer(0, size1="none").text == "4.00", "no Size1"
    for body in (b"short", b""):
        assert answer(0, body=body, more=False, size1="none").text == "4.00", "nor where one block is all"
    assert answer(0, body=b"short", more=True, size1=100).text == "4.00", "it does not fill its block"
    assert answer(1, body=BODY[:SIZE], more=True, size1=1000).text == "4.00", "nor does nothing"
    for size1 in (SIZE * 2 - 1, SIZE * 2 + 1):
        assert answer(1, body=BODY[:SIZE * 2], size1=size1).text == "4.00", "the last one ends elsewhere"
    assert answer(1, size1=SIZE * 2).text == "4.00", "and there is no other behind it"
    too_large = answer(0, size1=200001)
    assert (too_large.text, too_large.uint(coap.SIZE1)) == ("4.13", 200000)
    # Of another body than those before: another size of blocks, another format, another length.
    put_block(client, 0)
    assert answer(2, size=32).text == "4.00"
    put_block(client, 0)
    assert answer(1, extra=[(coap.CONTENT_FORMAT, b"")]).text == "4.00"
    put_block(client, 0)
    assert answer(1, size1=len(BODY) - 1).text == "4.00"
    # Acknowledged, a block does not come again: where it cannot be kept it is refused.
    put_block(client, 0, type=coap.CON, tag=b"3", body=bytes(SIZE * 40))
    assert answer(34, type=coap.CON, tag=b"3", body=bytes(SIZE * 40)).text == "4.08"
    # Left as they are for libcoap: twice, with a size that there is not, too long.
    assert answer(0, type=coap.CON, extra=[(coap.Q_BLOCK1, value(1, True))]).text == "4.02"
    for bad in (b"\x0f", b"\0\0\0\0"):
        message = coap.Message(coap.PUT, mid=client.next_mid(), token=b"t", payload=b"x",
                               options=coap.request_options("q", extra=[(coap.Q_BLOCK1, bad), (coap.REQUEST_TAG, b"1")]))
        assert client.exchange(message).text == "4.02"
    assert client.get("q").text == "4.04", "and none of it was taken for the whole"


@pytest.mark.parametrize("type", [coap.CON, coap.NON])
def test_block_and_q_block_are_not_mixed(client, type):
    """RFC 9177, 4.1: 4.02, to both types of messages."""
    assert client.put("q", BODY[:200]).text == "2.01"
    for extra in ([(coap.BLOCK1, value(0, False))], [(coap.BLOCK2, value(0, False))]):
        sent = put_block(client, 0, body=b"x", type=type, extra=extra)
        assert answer_to(client, sent).text == "4.02"
        sent = get(client, (0, True), type=type, extra=extra)
        assert answer_to(client, sent).text == "4.02" and quiet(client)
    assert client.get("q").payload == BODY[:200]


def test_the_options_are_of_their_own_message(client):
    """libcoap drops a message behind whose back they were taken out: the next one is not to have them."""
    for _ in range(2):
        dropped = coap.Message(coap.PUT, type=coap.NON, mid=77, token=b"same", payload=BODY[:SIZE],
                               options=coap.request_options("q", extra=[(2049, b"critical"), (coap.Q_BLOCK1, value(0, True)),
                                                                        (coap.REQUEST_TAG, b"1"), (coap.SIZE1, b"\x7f")]))
        assert client.send(dropped) and client.receive(5).type == coap.RST
        whole = coap.Message(coap.PUT, type=coap.NON, mid=77, token=b"same", payload=BODY[:SIZE],
                             options=coap.request_options("q"))
        assert client.send(whole) and client.receive(5).text in ("2.01", "2.04")
        assert client.get("q").payload == BODY[:SIZE]


def test_an_endpoint_has_its_own(daemon):
    """The blocks of one client, from one port, to two endpoints."""
    other = free_port()
    daemon.write_config(endpoints=["coap://127.0.0.1:{port}", f"coap://127.0.0.1:{other}"])
    daemon.reload()
    with daemon.client() as client:
        put_block(client, 0, body=BODY[:SIZE * 2])
        assert quiet(client)
        client.server = ("127.0.0.1", other)
        sent = put_block(client, 1, body=BODY[:SIZE * 2])
        assert missing(answer_to(client, sent, 12)) == [0]
        assert client.get("q").text == "4.04"


def test_far_ahead_is_not_kept(client, daemon):
    """A block of sixteen bytes would else take as much memory as a body may have."""
    before = daemon.rss()
    body = bytes(190000)
    for i in range(200):
        put_block(client, 0, body=body, size=16, tag=bytes([i]))
        put_block(client, 11000, body=body, size=16, tag=bytes([i]))
    assert quiet(client) or {m.text for m in client.inbox} == {"4.08"}
    if not SANITIZED:
        assert daemon.rss() - before < 8 << 20


def test_a_session_has_its_own(daemon):
    with daemon.client() as one, daemon.client() as two:
        put_block(one, 0, body=BODY[:SIZE * 2])
        assert missing(answer_to(two, put_block(two, 1, body=BODY[:SIZE * 2]), 12)) == [0]
        assert answer_to(one, put_block(one, 1, body=BODY[:SIZE * 2])).text == "2.01"


def test_access_rules(coapd):
    daemon = coapd(server={"q_block": True}, access=[{"path": "/**", "methods": ["GET"], "allow": ["anyone"]}])
    with daemon.client() as client:
        assert answer_to(client, put_block(client, 0)).text == "4.01"
        assert answer_to(client, get(client, (0, True))).text == "4.04"


# --- Q-Block2 ---


@pytest.fixture
def stored(client):
    assert client.put_blocks("q", BODY, 1024).text == "2.01"
    return client


@pytest.mark.parametrize("type", [coap.CON, coap.NON])
def test_a_set_comes_at_once(stored, type):
    body = b""
    for base in range(0, BLOCKS, SET):
        request = get(stored, (base, True), type=type)
        n = min(SET, BLOCKS - base)
        answers = burst(stored, request, n)
        for i, answer in enumerate(answers):
            assert answer.block(coap.Q_BLOCK2) == coap.Block.of_size(base + i, base + i + 1 < BLOCKS, SIZE)
            assert (answer.text, answer.uint(coap.SIZE2)) == ("2.05", len(BODY))
            assert answer.etag == answers[0].etag is not None
            assert answer.type == (coap.ACK if type == coap.CON and i == 0 else coap.NON)
        assert len({answer.mid for answer in answers}) == n
        body += b"".join(answer.payload for answer in answers)
    assert body == BODY
    assert quiet(stored)


def test_the_end_of_its_set(stored):
    request = get(stored, (7, True))
    assert [answer.block(coap.Q_BLOCK2).num for answer in burst(stored, request, 3)] == [7, 8, 9]
    assert quiet(stored)


def test_those_that_are_missing(stored):
    request = get(stored, (3, False), (14, False), (BLOCKS - 1, False))
    answers = burst(stored, request, 3)
    assert [answer.block(coap.Q_BLOCK2).num for answer in answers] == [3, 14, BLOCKS - 1]
    for answer in answers:
        num = answer.block(coap.Q_BLOCK2).num
        assert answer.payload == BODY[num * SIZE:(num + 1) * SIZE]
    assert quiet(stored)
    # One alone, and what is not there.
    assert len(burst(stored, get(stored, (5, False)), 1)) == 1 and quiet(stored)
    assert answer_to(stored, get(stored, (BLOCKS, False))).text == "4.00"
    assert len(burst(stored, get(stored, (1, False), (BLOCKS, False)), 1)) == 1 and quiet(stored)


@pytest.mark.parametrize("asked, sent", [
    ([(num, False) for num in range(30)], range(SET)),
    ([(3, True), (14, True), (25, False)], [3, 4, 5, 6, 7, 8, 9, 14, 15, 16]),
    ([(3, False), (8, True), (30, True)], [3, 8, 9, 30, 31, 32, 33, 34]),
    ([(2, True), (5, False), (7, True), (10, False)], [2, 3, 4, 5, 6, 7, 8, 9, 10]),
])
def test_each_block_once_and_no_more_than_a_set(stored, asked, sent):
    """RFC 9177, 4.4: against amplification."""
    answers = burst(stored, get(stored, *asked), len(sent))
    assert [answer.block(coap.Q_BLOCK2).num for answer in answers] == list(sent)
    assert quiet(stored)


@pytest.mark.parametrize("asked", [[(3, False), (3, False)], [(3, False), (2, False)], [(3, True), (3, False)],
                                   [*((num, False) for num in range(20)), (5, False)]])
def test_blocks_are_asked_for_in_order(stored, asked):
    answer = answer_to(stored, get(stored, *asked))
    assert answer.text == "4.00" and quiet(stored)


def test_who_wants_no_answer_gets_none(stored):
    get(stored, (0, True), extra=[(coap.NO_RESPONSE, b"\2")])
    # What follows an answer leaves behind those to all that was read with its request, a ping too.
    assert quiet(stored)
    assert stored.get("open").text == "2.05" and not stored.inbox


def test_other_methods_are_not_done_again_for_a_block(stored):
    for blocks in ([(1, False)], [(0, False), (1, False)]):
        assert answer_to(stored, get(stored, *blocks, method=coap.POST)).text == "4.08"
    assert stored.get_blocks("q", 1024).payload == BODY


def test_a_change_shows(stored):
    first = burst(stored, get(stored, (0, True)), SET)[0]
    assert stored.put_blocks("q", bytes(reversed(BODY)), 1024).text == "2.04"
    assert burst(stored, get(stored, (SET, True)), SET)[0].etag != first.etag


def test_small_bodies_and_errors_have_the_option(client):
    """RFC 9177, 3.1: so a client knows that it is understood."""
    assert client.put("q", b"").text == "2.01"
    for path, text in (("q", "2.05"), ("nothing", "4.04"), ("", "4.04")):
        for more in (False, True):
            answer = answer_to(client, get(client, (0, more), path=path, size=16))
            assert (answer.text, answer.block(coap.Q_BLOCK2)) == (text, coap.Block(0, False, 0))
    etag = client.get("q").etag
    answer = answer_to(client, get(client, (0, True), extra=[(coap.ETAG, etag)]))
    assert answer.text == "2.03" and answer.option(coap.Q_BLOCK2) is not None


def test_an_observer(stored):
    request = get(stored, (0, True), extra=[(coap.OBSERVE, b"")])
    answers = burst(stored, request, SET)
    assert answers[0].observe is not None and {a.observe for a in answers} == {answers[0].observe}, "RFC 9177, 4.6"
    other = bytes(reversed(BODY))
    stored.put_blocks("q", other, 1024)
    notification = answer_to(stored, request)
    assert notification.block(coap.BLOCK2).more and notification.option(coap.Q_BLOCK2) is None
    assert notification.payload == other[:1024]


def test_other_options_stay_what_they_are(client):
    """The options before and behind those that are taken out, with the deltas that there may be."""
    assert client.put("a", b"1").text == "2.01"
    extra = [(coap.IF_NONE_MATCH, b"")]
    sent = put_block(client, 0, path="a", body=b"2", extra=extra)
    assert answer_to(client, sent).text == "4.12"
    sent = put_block(client, 0, path="b", body=b"2" * 16, size=16, extra=[(2048, b"x" * 300), (coap.CONTENT_FORMAT, b"\x32")])
    assert answer_to(client, sent).text == "2.01"
    got = client.get("b")
    assert (got.payload, got.content_format) == (b"2" * 16, coap.JSON)


# --- who may not ---


@pytest.mark.parametrize("on", [False, True])
def test_without_the_key_all_is_as_it_was(coapd, on):
    daemon = coapd(server={"q_block": False}, resources=[{"path": "open", "kind": "static", "content": "x" * 300}])
    with daemon.client() as client:
        def both():
            yield answer_to(client, get(client, (0, True), path="open", type=coap.CON))
            yield answer_to(client, put_block(client, 0, type=coap.CON))

        assert [answer.text for answer in both()] == ["4.02", "4.02"]
        if on:  # by a reload
            daemon.groups["server"] = {"q_block": True}
            daemon.write_config()
            daemon.reload()
            assert answer_to(client, get(client, (0, True), path="open")).text == "2.05"
            daemon.groups["server"] = {"q_block": False}
            daemon.write_config()
            daemon.reload()
            assert [answer.text for answer in both()] == ["4.02", "4.02"]


def test_to_a_group_there_is_no_answer(coapd, network):
    """RFC 9177, 4.4: ignored, also by who is to answer whatever it is (RFC 7967)."""
    daemon = coapd(server={"q_block": True}, prefix=network.prefix(),
                   endpoints=[{"uri": "coap://0.0.0.0:{port}", "multicast": ["224.0.1.187%net0"]}])

    def ask(token, *options):
        return ask_group(network, "224.0.1.187", daemon.port, ".well-known/core", token, extra=[(coap.NO_RESPONSE, b""), *options])

    with ask(b"q", (coap.Q_BLOCK2, value(0, True))) as one:
        one.settimeout(6)  # the leisure is at most 5 s (RFC 7252, 4.8)
        with pytest.raises(TimeoutError):
            print(coap.Message.decode(one.recv(2048)))
    with ask(b"all") as one:
        assert coap.Message.decode(one.recv(2048)).token == b"all"


HOST = "10.9.8.1"


@pytest.mark.parametrize("size", [16, 1024])
def test_to_an_unproven_address_no_burst(coapd, network, size):
    """As many bytes as ever (limits.unproven), over all that one request draws."""
    daemon = coapd(start=False, prefix=network.prefix(), server={"q_block": True},
                   resources=[{"path": "long", "kind": "static", "content": "0123456789" * 100},
                              {"path": "short", "kind": "static", "content": "0123456789" * 10}])
    daemon.write_config(endpoints=[f"coap://{HOST}:{{port}}"])
    daemon.start()
    with network.inside():
        client = coap.Client(daemon.port, HOST, source=HOST)
    with client:
        for path in ("long", "short"):
            request = get(client, (0, True), path=path, size=size)
            answer = answer_to(client, request)
            assert answer.text == "2.05" and len(answer.encode()) <= 160
            assert quiet(client)
        echo = answer_to(client, get(client, (0, True), path="long", size=64)).option(coap.ECHO)
        request = get(client, (0, True), path="long", size=64, extra=[(coap.ECHO, echo)])
        assert len(burst(client, request, SET)) == SET, "proved"
    daemon.groups["limits"] = {"unproven": "echo"}
    daemon.write_config()
    daemon.reload()
    with network.inside():
        client = coap.Client(daemon.port, HOST, source=HOST)
    with client:
        assert answer_to(client, get(client, (0, True), path="long", size=size)).text == "4.01"
        answer = answer_to(client, get(client, (0, True), path="short", size=size))
        assert answer.text == "2.05" and len(answer.encode()) <= 160, "not refused: it would do without blocks"
        assert quiet(client)


# --- libcoap's client ---


@pytest.mark.parametrize("non", [False, True])
@pytest.mark.parametrize("mode", [Q_BLOCKS, Q_BLOCKS | USE_M])
@pytest.mark.parametrize("size", [0, 1, 15, 102400])
def test_coap_client(daemon, tmp_path, size, mode, non):
    body = tmp_path / "body"
    body.write_bytes(random.Random(size).randbytes(size))
    got = tmp_path / "got"
    how = ["-L", str(mode), *(["-N"] if non else [])]
    result = coap_client(*how, "-v", "7", "-m", "put", "-f", str(body), daemon.uri("big"))
    assert "2.01" in result.stdout + result.stderr
    assert ("Q-Block1:" in result.stdout + result.stderr) == (size > 1024)
    result = coap_client(*how, "-v", "7", "-b", "0,1024", "-o", str(got), daemon.uri("big"))
    output = result.stdout + result.stderr
    assert "Q-Block2:" in output and "4.02" not in output and " Block2:" not in output
    assert (got.read_bytes() if size else b"") == body.read_bytes()


def test_coap_client_that_loses(daemon, tmp_path):
    """Blocks of several sets, and what is sent for them."""
    body = tmp_path / "body"
    body.write_bytes(BODY * 16)
    result = coap_client("-L", Q_BLOCKS, "-N", "-l", "3,7,12-14,24", "-v", "7", "-m", "put", "-f", body, daemon.uri("big"))
    output = result.stdout + result.stderr
    assert "2.01" in output and "4.08" in output
    with daemon.client() as client:
        assert client.get_blocks("big", 1024).payload == BODY * 16
