# SPDX-License-Identifier: BSD-2-Clause
"""Observations (RFC 7641) of every kind of client, from registration to end."""

import contextlib
import os
import time

import coap
import pytest
from clients import CoapClient, aiocoap_run, node
from daemon import SLOW

LAMP = [{"path": "lamp", "kind": "static", "content": "off"}, {"path": "time", "kind": "time"}]


def switch(daemon, content):
    """A change of a static resource, by a reload."""
    daemon.write_config(resources=[{**LAMP[0], "content": content}, *LAMP[1:]])
    daemon.reload()


@pytest.mark.parametrize("kind", [coap.CON, coap.NON])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_registration(coapd, kind, host):
    daemon = coapd(resources=LAMP)
    with daemon.client(host) as client:
        watch = client.observe("lamp", type=kind)
        assert (watch.first.text, watch.first.payload) == ("2.05", b"off")
        assert watch.first.type == (coap.ACK if kind == coap.CON else coap.NON)
        assert watch.number is not None
        for content in ("on", "off", "on"):
            switch(daemon, content)
            assert watch.fresh().payload == content.encode()


def test_deregistration(coapd):
    """RFC 7641, 3.6: a GET with Observe 1 and the same token."""
    daemon = coapd(resources=LAMP)
    with daemon.client() as client:
        watch = client.observe("lamp")
        goodbye = watch.cancel()
        assert (goodbye.text, goodbye.observe) == ("2.05", None)
        switch(daemon, "on")
        assert client.nothing(0.3)


def test_reset_ends_it(coapd):
    """RFC 7641, 3.6: the RST of a client that has forgotten ends the observation, of CON and of NON."""
    daemon = coapd(resources=LAMP)
    with daemon.client() as client:
        client.acknowledge = False
        watch = client.observe("lamp")
        switch(daemon, "on")
        note = watch.next()
        client.send(coap.Message(0, type=coap.RST, mid=note.mid))
        client.ping()  # behind the RST
        switch(daemon, "off")
        assert client.nothing(0.3)
    assert "RST" not in daemon.stderr  # libcoap calls it an alert


def test_silence_ends_it(coapd):
    """A confirmable notification that nobody acknowledges ends the observation, if only after its retransmissions.

    Here that is seen as: the same message comes again."""
    daemon = coapd(resources=LAMP, server={"confirm_interval": 0})
    with daemon.client() as client:
        client.acknowledge = False
        watch = client.observe("lamp")
        for i in range(12):
            switch(daemon, str(i))
            note = watch.next()
            if note.type == coap.CON:
                break
        else:
            pytest.fail("twelve notifications and none confirmable")
        client.seen.clear()
        again = watch.next(6)
        assert (again.mid, again.type) == (note.mid, coap.CON)


def test_one_in_six_is_confirmable(coapd):
    """RFC 7641, 4.5: so that a client which is gone is found out."""
    daemon = coapd(server={"confirm_interval": 0})
    with daemon.client() as writer, daemon.client() as client:
        writer.put("value", b"0")
        watch = client.observe("value")
        kinds = []
        for i in range(1, 19):
            writer.put("value", b"%d" % i)
            kinds.append(watch.fresh().type)
        first = kinds.index(coap.CON)
        assert 5 <= first < 11
        assert kinds[first:] == [coap.NON if i % 6 else coap.CON for i in range(18 - first)]


def test_what_changes_fast_is_not_confirmed_as_often(coapd):
    """server.confirm_interval, however fast notifications come."""
    daemon = coapd(server={"confirm_interval": 2})
    with daemon.client() as writer, daemon.client() as client:
        writer.put("value", b"0")
        watch, confirmed = client.observe("value"), []
        for i in range(1, 100000):
            writer.put("value", b"%d" % i)
            if watch.fresh().type == coap.CON:
                confirmed.append(time.monotonic())
            if len(confirmed) == 3:
                break
        assert 1 < confirmed[1] - confirmed[0] and 3 < confirmed[2] - confirmed[0] < 5 * SLOW


def test_observers_take_turns(coapd):
    """So that their acknowledgements do not all come at once, also after they did."""
    daemon = coapd(server={"confirm_interval": 0})
    turns = [0] * 5 + [2] * 6
    with contextlib.ExitStack() as stack:
        writer, *clients = [stack.enter_context(daemon.client()) for _ in range(13)]
        writer.put("value", b"")
        watches = [client.observe("value") for client in clients]

        def confirmed(confirmable):
            daemon.write_config(dynamic={"enable": True, "prefix": [""], "confirmable": confirmable})
            daemon.reload()
            for _ in turns:
                writer.put("value", os.urandom(8))
                yield [watch.fresh().type for watch in watches].count(coap.CON)

        assert list(confirmed(["other"])) == turns
        assert next(confirmed([""])) == 12
        assert list(confirmed(["other"])) == turns


def test_what_comes_late_can_be_told(coapd):
    """The one that is confirmable is sent again, as it was, behind newer ones that are not: RFC 7641, 3.4."""
    daemon = coapd()
    with daemon.client() as client, daemon.client() as other:
        other.put("x", b"0")
        watch = client.observe("x")
        client.acknowledge = False
        told = []
        while not any(note.type == coap.CON for note in told):
            other.put("x", b"%d" % (len(told) + 1))
            told.append(watch.fresh())
        confirmable = told[-1]
        for _ in range(3):
            other.put("x", b"%d" % (len(told) + 1))
            told.append(watch.fresh())
        client.seen.clear()
        again = watch.next(5 * SLOW)
        assert again.encode() == confirmable.encode()
        assert not any(coap.newer(note.observe, again.observe) for note in told[told.index(confirmable):])
        client.send(coap.Message(0, type=coap.ACK, mid=again.mid))
        other.put("x", b"newest")
        assert watch.fresh().payload == b"newest"


def test_same_token_again(coapd):
    """RFC 7641, 3.3.1: registering again with the token refreshes, it does not double."""
    daemon = coapd(resources=LAMP)
    with daemon.client() as client:
        watch = client.observe("lamp", token=b"same")
        again = client.observe("lamp", token=b"same")
        assert again.first.observe is not None
        switch(daemon, "on")
        assert watch.fresh().payload == b"on"
        assert client.nothing(0.3)


def test_accept_is_kept(coapd):
    """Notifications are of the format that the registration accepted."""
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as client:
        writer.put("value", b"{}", content_format=coap.JSON)
        watch = client.observe("value", accept=coap.JSON)
        writer.put("value", b"[]", content_format=coap.JSON)
        assert watch.fresh().payload == b"[]"
        writer.put("value", b"text", content_format=coap.TEXT)
        # RFC 7641, 4.2: no representation of that format any more: 4.06 and the end.
        assert watch.next().text == "4.06"
        writer.put("value", b"{}", content_format=coap.JSON)
        assert client.nothing(0.3)


def test_content_format_changes(coapd):
    """RFC 7641, 4.2: what was registered for is there no more: 4.06 to all, and nobody observes."""
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as client:
        for _ in range(20):
            writer.put("value", b"text", content_format=coap.TEXT)
            watches = [client.observe("value"), client.observe("value", query="x"), client.observe("value", query="y", type=coap.NON)]
            assert all(watch.first.observe is not None for watch in watches)
            writer.put("value", b"{}", content_format=coap.JSON)
            # Who comes now is not one of them.
            late = writer.observe("value")
            assert (late.first.text, late.first.content_format) == ("2.05", coap.JSON)
            for watch in watches:
                told = watch.next()
                assert (told.text, told.observe) == ("4.06", None)
            writer.put("value", b"[]", content_format=coap.JSON)
            assert late.fresh().payload == b"[]"
            late.cancel()
        assert client.nothing(0.2)


def end_by_delete(daemon, writer):
    assert writer.delete("value").text == "2.02"
    return "4.04"


def end_by_format(daemon, writer):
    assert writer.put("value", b"{}", content_format=coap.JSON).text == "2.04"
    return "4.06"


def end_by_delete_and_creation(daemon, writer):
    """In one turn of the server's, if it can be: what is there then is what others observe."""
    token = [b"d", b"p"]
    writer.send(coap.Message(coap.DELETE, mid=1, token=token[0], options=[(coap.URI_PATH, b"value")]))
    writer.send(coap.Message(coap.PUT, mid=2, token=token[1], options=[(coap.URI_PATH, b"value")], payload=b"new"))
    for each, text in zip(token, ("2.02", "2.01")):
        assert writer.receive(wanted=lambda m, each=each: m.token == each).text == text
    return "4.04"


@pytest.mark.parametrize("end", [end_by_delete, end_by_format, end_by_delete_and_creation])
def test_the_end_arrives(coapd, end):
    """RFC 7641, 4.2: nothing comes after it, so it is sent again until it is acknowledged, whatever is there then."""
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as client, daemon.client() as other:
        writer.put("value", b"text", content_format=coap.TEXT)
        watch, also = client.observe("value"), other.observe("value")
        client.acknowledge = False
        code = end(daemon, writer)
        note = watch.next()
        assert (note.type, note.text, note.observe) == (coap.CON, code, None)
        assert also.next().text == code
        client.seen.clear()
        again = watch.next(6)
        assert (again.mid, again.type, again.text) == (note.mid, coap.CON, code)
        client.send(coap.Message(0, type=coap.ACK, mid=note.mid))
        writer.put("value", b"more")
        assert client.nothing(0.3) and other.nothing(0.1)


@pytest.mark.parametrize("end", [end_by_delete, end_by_format])
def test_the_end_is_told_to_who_owes_an_acknowledgement(coapd, end):
    """One message at a time may be under way (RFC 7252, 4.7), so this one needs no acknowledgement."""
    daemon = coapd(dynamic={"enable": True, "prefix": [""], "confirmable": [""]})
    with daemon.client() as writer, daemon.client() as client:
        writer.put("value", b"text", content_format=coap.TEXT)
        watch = client.observe("value")
        client.acknowledge = False
        writer.put("value", b"more", content_format=coap.TEXT)
        owed = watch.fresh()
        assert owed.type == coap.CON
        code = end(daemon, writer)
        note = watch.next()
        assert (note.type, note.text, note.observe) == (coap.NON, code, None)
        client.send(coap.Message(0, type=coap.ACK, mid=owed.mid))
        writer.put("value", b"{1}", content_format=coap.JSON)
        assert client.nothing(0.3)


def told_the_end(watches, code="4.04"):
    """Each of them, whatever else was under way."""
    for watch in watches:
        while (note := watch.next()).text != code:
            assert note.observe is not None, note
    return True


@pytest.mark.parametrize("changes", [4, 5, 6, 11])
@pytest.mark.parametrize("code", ["4.04", "4.06"])
def test_the_end_of_two_observations_of_one_client(coapd, code, changes):
    """One is under way when the other is to be told, which libcoap holds back when five were not acknowledged."""
    daemon = coapd()
    paths = ("one", "two")
    with daemon.client() as writer, daemon.client() as client:
        for path in paths:
            writer.put(path, b"text", content_format=coap.TEXT)
        watches = [client.observe(path) for path in paths]
        for i in range(changes):
            for path, watch in zip(paths, watches):
                writer.put(path, f"{i}".encode(), content_format=coap.TEXT)
                assert watch.fresh().payload == f"{i}".encode()
        client.acknowledge = False
        for path in paths:
            if code == "4.04":
                writer.delete(path)
            else:
                writer.put(path, b"[]", content_format=coap.JSON)
        assert told_the_end(watches, code)


@pytest.mark.parametrize("changes", [4, 5, 6, 11])
def test_the_end_of_two_by_the_operator(coapd, changes):
    def lamps(content):
        return [{**LAMP[0], "path": path, "content": content} for path in ("one", "two")]

    daemon = coapd(resources=lamps("0"))
    with daemon.client() as client:
        watches = [client.observe("one"), client.observe("two")]
        for i in range(changes):
            daemon.write_config(resources=lamps(f"{i + 1}"))
            daemon.reload()
            for watch in watches:
                assert watch.fresh().payload == f"{i + 1}".encode()
        client.acknowledge = False
        daemon.write_config(resources=[{"path": "time", "kind": "time"}])
        daemon.reload()
        assert told_the_end(watches)


def test_the_end_by_the_operator_arrives(coapd):
    """A reload removes one resource and changes the format of another."""
    daemon = coapd(resources=LAMP)
    with daemon.client() as client, daemon.client() as other:
        watch, also = client.observe("lamp"), other.observe("time")
        daemon.write_config(resources=[{**LAMP[0], "content_format": "application/json"}])
        daemon.reload()
        note, end = watch.next(), also.next()
        assert (note.type, note.text) == (coap.CON, "4.06")
        assert (end.type, end.text, end.observe) == (coap.CON, "4.04", None)
        assert other.get("time").text == "4.04"


def test_the_end_by_another_in_its_place(coapd):
    """The config takes the path of a resource that a client made, in one step: who observed that one is told."""
    daemon = coapd(resources=LAMP)
    with daemon.client() as client, daemon.client() as other:
        client.put("value", b"0")
        watch = client.observe("value")
        daemon.write_config(resources=[{**LAMP[0], "path": "value"}])
        daemon.reload()
        assert (watch.next().text, watch.client.get("value").payload) == ("4.04", b"off")
        late = other.observe("value")
        daemon.write_config(resources=[{**LAMP[0], "path": "value", "content": "on"}])
        daemon.reload()
        assert late.fresh().payload == b"on"
        assert client.nothing(0.3)
    assert "Duplicate" not in daemon.stderr


def test_confirmable_below_a_prefix(coapd):
    """dynamic.confirmable: of what clients create there, also after a restart, and as the config has it now."""
    some, all_ = {"enable": True, "prefix": [""], "confirmable": ["alarms", "ü x"]}, {"enable": True, "prefix": [""], "confirmable": [""]}
    daemon = coapd(dynamic=some)
    with daemon.client() as writer, daemon.client() as client:
        paths = ["alarms/1", ["ü x"], "alarmsnot", "value"]
        for path in paths:
            assert writer.put(path, b"0").text == "2.01"
        watches = [client.observe(path, token=b"%d" % i) for i, path in enumerate(paths)]

        def kinds(payload):
            kinds = []
            for path, watch in zip(paths, watches):
                assert writer.put(path, payload).text == "2.04"
                kinds.append(watch.fresh().type)
            return kinds

        mixed = [coap.CON, coap.CON, coap.NON, coap.NON]
        assert kinds(b"1") == mixed and kinds(b"2") == mixed
        daemon.restart()
        for watch in watches:
            assert watch.fresh().payload == b"2"
        assert kinds(b"3") == mixed
        daemon.write_config(dynamic=all_)
        daemon.reload()
        assert kinds(b"4") == [coap.CON] * 4


def test_content_format_changes_by_reload(coapd):
    daemon = coapd(resources=LAMP)
    with daemon.client() as client:
        watch = client.observe("lamp")
        daemon.write_config(resources=[{**LAMP[0], "content_format": "application/json"}, *LAMP[1:]])
        daemon.reload()
        assert watch.next().text == "4.06"
        switch(daemon, "on")
        assert client.nothing(0.2)


def test_confirmable(coapd):
    """The key: every notification is acknowledged, and a reload changes it."""
    daemon = coapd(resources=[{**LAMP[0], "confirmable": True}])
    with daemon.client() as client:
        watch = client.observe("lamp")
        for i in range(8):
            daemon.write_config(resources=[{**LAMP[0], "content": str(i), "confirmable": i < 4}])
            daemon.reload()
            assert watch.fresh().type == (coap.CON if i < 4 else coap.NON)


def test_refused_registration_is_a_plain_get(coapd):
    """RFC 7641, 4.1: the error or the answer comes without an Observe option."""
    daemon = coapd(resources=[{**LAMP[0], "observable": False}])
    with daemon.client() as client:
        assert client.observe("lamp").first.observe is None
        assert client.observe("nowhere").first.text == "4.04"
        assert client.observe("nowhere").first.observe is None
        assert client.observe(".well-known/core").first.observe is None


def test_max_age_covers_the_pause(coapd):
    daemon = coapd(resources=[{**LAMP[0], "max_age": 7}])
    with daemon.client() as client:
        watch = client.observe("lamp")
        assert watch.first.max_age == 7
        daemon.write_config(resources=[{**LAMP[0], "content": "on", "max_age": 9}])
        daemon.reload()
        assert watch.fresh().max_age == 9


def test_etags_of_a_registration(coapd):
    """RFC 7641, 3.3.2: with ETags in the registration, a notification may be 2.03."""
    daemon = coapd()
    with daemon.client() as writer, daemon.client() as client:
        writer.put("value", b"a")
        etag = client.get("value").etag
        watch = client.observe("value", extra=[(coap.ETAG, etag)])
        assert watch.first.text == "2.03" and watch.first.observe is not None
        writer.put("value", b"b")
        assert watch.fresh().payload == b"b"
        writer.put("value", b"a")
        back = watch.fresh()
        assert (back.text, back.payload, back.etag) == ("2.03", b"", etag)


def test_removal_by_reload(coapd):
    daemon = coapd(resources=LAMP)
    with daemon.client() as client:
        watch = client.observe("lamp")
        daemon.write_config(resources=LAMP[1:])
        daemon.reload()
        assert watch.next().text == "4.04"


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp", "coap+ws"])
def test_coap_client(coapd, scheme):
    daemon = coapd(endpoints=[scheme + "://127.0.0.1:{port}"])
    with CoapClient(daemon.uri("time?secs", scheme)) as client:
        seconds = [int(client.line()) for _ in range(3)]
    assert seconds == list(range(seconds[0], seconds[0] + 3))


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp"])
def test_aiocoap(coapd, scheme):
    import aiocoap

    daemon = coapd(endpoints=[scheme + "://127.0.0.1:{port}"])

    async def body(context):
        request = context.request(
            aiocoap.Message(code=aiocoap.GET, uri=daemon.uri("time?secs", scheme), observe=0)
        )
        seconds = [int((await request.response).payload)]
        async for note in request.observation:
            seconds.append(int(note.payload))
            if len(seconds) == 4:
                request.observation.cancel()
                return seconds

    seconds = aiocoap_run(body)
    assert seconds == list(range(seconds[0], seconds[0] + 4))


def test_node_coap(coapd):
    daemon = coapd()
    for host in ("127.0.0.1", "::1"):
        notes = node("client.js", "get", daemon.uri("time?secs", host=host), '{"observe": 3}')
        seconds = [int(note["payload"]) for note in notes]
        assert seconds == list(range(seconds[0], seconds[0] + 3))


# --- when observers are told ---


def test_reload_without_change(coapd):
    """Only what a reload changed is told; the others go on in silence."""
    daemon = coapd(resources=[*LAMP, {"path": "other", "kind": "static", "content": "x"}])
    with daemon.client() as client:
        lamp, other = client.observe("lamp"), client.observe("other")
        daemon.write_config(resources=[{**LAMP[0], "content": "on", "title": "Lamp"}, *daemon.groups["resources"][1:]])
        daemon.reload()
        assert lamp.fresh().payload == b"on"
        assert client.nothing(0.3)
        daemon.reload()
        assert client.nothing(0.3)
        assert other.number is not None


def test_reload_without_change_of_files(coapd, tmp_path):
    (tmp_path / "a").write_text("a")
    daemon = coapd(resources=[{"path": "f", "kind": "files", "root": tmp_path}])
    with daemon.client() as client:
        watch = client.observe("f/a")
        daemon.reload()
        assert client.nothing(0.3)
        (tmp_path / "a").write_text("b")
        assert watch.fresh().payload == b"b"


def test_notify_interval(coapd):
    """The present state again, though nothing changed; in silence once nobody observes."""
    daemon = coapd(resources=[{**LAMP[0], "notify_interval": 1}])
    with daemon.client() as client:
        watch = client.observe("lamp")
        for _ in range(2):
            assert watch.fresh().payload == b"off"
        daemon.write_config(resources=[{**LAMP[0], "notify_interval": 0}])
        daemon.reload()
        while not client.nothing(1.5, lambda m: m.token == watch.token):
            pass


def test_notify_interval_begins_with_a_reload(coapd):
    daemon = coapd(resources=LAMP)
    with daemon.client() as client:
        watch = client.observe("lamp")
        daemon.write_config(resources=[{**LAMP[0], "notify_interval": 1}])
        daemon.reload()
        assert watch.fresh().payload == b"off"
        assert watch.fresh().payload == b"off"


def test_confirmable_in_time(coapd):
    """RFC 7641, 4.5: a confirmable notification at least every so often, also where nothing changes."""
    daemon = coapd(resources=LAMP, server={"observer_check": 2})
    with daemon.client() as client:
        watch = client.observe("lamp")
        for _ in range(2):
            note = watch.fresh()
            assert (note.type, note.payload) == (coap.CON, b"off")


def test_confirmable_when_it_changes_at_last(coapd):
    """The change itself is told in a confirmable message, when none was for a while, and the next one is not."""
    daemon = coapd(server={"observer_check": 6})
    with daemon.client() as client, daemon.client() as writer:
        writer.put("value", b"0")
        watch = client.observe("value")
        assert watch.fresh(15).type == coap.CON  # nothing changed for three seconds, or six
        writer.put("value", b"1")
        assert watch.fresh().type == coap.NON


def test_one_who_is_gone_is_found_out(coapd):
    """Nobody there to acknowledge, and nobody to refuse: the observation ends with the retransmissions."""
    daemon = coapd(resources=LAMP, server={"observer_check": 2})
    client = daemon.client()
    client.observe("lamp")
    client.acknowledge = False
    client.receive(10, lambda m: m.type == coap.CON)
    client.close()  # from now on the kernel says that nobody is there
    with daemon.client() as other:
        assert other.observe("lamp").fresh(10).type == coap.CON
