# SPDX-License-Identifier: BSD-2-Clause
"""TD_COAP_OBS: observations, RFC 7641.

/obs notifies confirmably every second, as the cases want it. Where they change or delete what is observed, it is a
resource that a client made, whose notifications are all confirmable, too, by dynamic.confirmable."""

import coap
import pytest
from clients import CoapClient, aiocoap_run, node

OBSERVERS = pytest.mark.parametrize("peer", ["raw", "aiocoap", "coap-client", "node-coap"])


def seconds_seen(daemon, peer, path, count=3):
    """What a client of that implementation sees of /path?secs."""
    uri = daemon.uri(f"{path}?secs")
    if peer == "coap-client":
        with CoapClient(uri) as client:
            return [int(client.line()) for _ in range(count)]
    if peer == "node-coap":
        return [int(note["payload"]) for note in node("client.js", "get", uri, '{"observe": %d}' % count)]
    if peer == "raw":
        with daemon.client() as client:
            watch = client.observe(path, query="secs")
            return [int(watch.first.payload)] + [int(watch.fresh().payload) for _ in range(count - 1)]

    import aiocoap

    async def body(context):
        request = context.request(aiocoap.Message(code=aiocoap.GET, uri=uri, observe=0))
        seen = [int((await request.response).payload)]
        async for note in request.observation:
            seen.append(int(note.payload))
            if len(seen) == count:
                request.observation.cancel()
                return seen

    return aiocoap_run(body)


@OBSERVERS
def test_TD_COAP_OBS_01(plugtest, raw, peer):
    seen = seconds_seen(plugtest, peer, "obs")
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    if peer == "raw":
        watch = raw.observe("obs")
        assert (watch.first.type, watch.first.text, watch.first.content_format) == (coap.ACK, "2.05", coap.TEXT)
        for _ in range(2):
            note = watch.fresh()
            assert (note.type, note.text, note.content_format) == (coap.CON, "2.05", coap.TEXT)


@OBSERVERS
def test_TD_COAP_OBS_02(plugtest, raw, peer):
    seen = seconds_seen(plugtest, peer, "obs-non")
    assert seen == list(range(seen[0], seen[0] + len(seen)))
    if peer == "raw":
        watch = raw.observe("obs-non", type=coap.NON)
        assert watch.first.type == coap.NON
        for _ in range(2):
            note = watch.fresh()
            assert (note.type, note.text, note.content_format) == (coap.NON, "2.05", coap.TEXT)


def test_TD_COAP_OBS_04(plugtest, raw):
    """The server loses its state; the client, after Max-Age, registers again with the same token."""
    watch = raw.observe("obs", token=b"mine")
    assert watch.first.max_age == 1
    watch.fresh()
    plugtest.kill()
    for file in plugtest.folder.glob("obs*"):
        file.unlink()
    plugtest.start()
    raw.inbox.clear()
    assert raw.nothing(1.5)
    again = raw.observe("obs", token=b"mine")
    assert again.first.observe is not None
    note = again.fresh()
    assert (note.type, note.token) == (coap.CON, b"mine")


@pytest.mark.xfail(strict=True, reason="libcoap sends the same notification again, with its old Observe number")
def test_TD_COAP_OBS_05(plugtest):
    with plugtest.client() as client:
        client.acknowledge = False
        watch = client.observe("obs")
        first = watch.next()
        client.seen.clear()
        again = watch.next(6)
        assert (first.type, again.type) == (coap.CON, coap.CON)
        assert coap.newer(first.observe, again.observe)


def test_TD_COAP_OBS_06(plugtest):
    with plugtest.client() as client:
        client.acknowledge = False
        watch = client.observe("obs")
        note = watch.next()
        client.send(coap.Message(0, type=coap.RST, mid=note.mid))
        assert client.nothing(2.5)


def watch_value(raw, plugtest):
    raw.put("value", b"one", content_format=coap.TEXT)
    watch = raw.observe("value")
    assert (watch.first.text, watch.first.content_format) == ("2.05", coap.TEXT)
    raw.put("value", b"two", content_format=coap.TEXT)
    note = watch.fresh()
    assert (note.type, note.payload) == (coap.CON, b"two")
    raw.get("value")  # behind the acknowledgement
    return watch


def test_TD_COAP_OBS_07(plugtest, raw):
    watch = watch_value(raw, plugtest)
    with plugtest.client() as other:
        assert other.delete("value").text == "2.02"
    note = watch.next()
    assert (note.type, note.text, note.token, note.observe) == (coap.CON, "4.04", watch.token, None)
    assert raw.nothing(0.5)


def test_TD_COAP_OBS_08(plugtest, raw):
    watch = watch_value(raw, plugtest)
    with plugtest.client() as other:
        assert other.put("value", b"{}", content_format=coap.JSON).text == "2.04"
        note = watch.next()
        assert (note.type, note.text, note.token, note.observe) == (coap.CON, "4.06", watch.token, None)
        other.put("value", b"[]", content_format=coap.JSON)
    assert raw.nothing(0.5)


def test_TD_COAP_OBS_09(plugtest, raw):
    watch = watch_value(raw, plugtest)
    with plugtest.client() as other:
        for value in (b"three", b"four"):
            assert other.put("value", value, content_format=coap.TEXT).text == "2.04"
            note = watch.fresh()
            assert (note.type, note.text, note.content_format, note.payload) == (coap.CON, "2.05", coap.TEXT, value)


def test_TD_COAP_OBS_10(raw):
    watch = raw.observe("obs")
    watch.fresh()
    plain = raw.get("obs", token=b"unrelated")
    assert (plain.type, plain.text, plain.token, plain.observe) == (coap.ACK, "2.05", b"unrelated", None)
    for _ in range(2):
        assert watch.fresh().type == coap.CON


def test_TD_COAP_OBS_11(plugtest):
    """Never two notifications under way at once, however slow the acknowledgement."""
    with plugtest.client() as client:
        client.acknowledge = False
        watch = client.observe("obs")
        for _ in range(2):
            note = watch.next()
            assert note.type == coap.CON
            assert client.nothing(1.5), "a second one before the first was acknowledged"
            client.send(coap.Message(0, type=coap.ACK, mid=note.mid))


def test_TD_COAP_OBS_12(raw):
    watch = raw.observe("obs")
    watch.fresh()
    answer = watch.cancel()
    assert (answer.type, answer.text, answer.observe) == (coap.ACK, "2.05", None)
    assert raw.nothing(2.2)
