# SPDX-License-Identifier: BSD-2-Clause
"""The resource directory (RFC 9176): the kind `rd`."""

import asyncio
import re
import time

import coap
import pytest
from clients import aiocoap_run, tls_psk_context
from coap_stream import StreamClient
from test_disk import disk, put_until_refused, put_until_taken, start_on  # noqa: F401

RD = {"path": "rd", "kind": "rd"}
RES, EP = "rd/lookup/res", "rd/lookup/ep"
LINKS = b'</sensors/temp>;rt="temperature-c";if="sensor",<http://www.example.com/sensors/temp>;anchor="/sensors/temp";rel="describedby"'
HOST = "base=coap://node.example"


@pytest.fixture
def rd(coapd):
    """rd(KEYS...) runs a directory."""
    return lambda more=None, **groups: coapd(resources=[{**RD, **(more or {})}], **groups)


def register(client, *query, links=LINKS, path="rd", code="2.01", content_format=coap.LINK_FORMAT, **more):
    answer = client.post(path, links, query=list(query), content_format=content_format, **more)
    assert answer.text == code, answer
    return answer.location


def look(client, which, *query, **more):
    """The links that are found, one by one."""
    answer = client.get_blocks(which, 1024, query=list(query), **more)
    assert (answer.text, answer.content_format) == ("2.05", coap.LINK_FORMAT)
    return re.split(",(?=<)", answer.payload.decode()) if answer.payload else []


def names(client, *query):
    return re.findall('ep="([^"]*)"', ",".join(look(client, EP, *query)))


# --- where it is ---


def test_discovery(rd):
    """RFC 9176, 4.3."""
    with rd().client() as client:
        got = {}
        for link in client.get_blocks(".well-known/core", 1024).payload.decode().split(","):
            path, *attributes = link.split(";")
            got[path] = set(attributes)
        assert got["</rd>"] == {'rt="core.rd"', "ct=40"}
        assert got["</rd/lookup/res>"] == {'rt="core.rd-lookup-res"', "ct=40", "obs"}
        assert got["</rd/lookup/ep>"] == {'rt="core.rd-lookup-ep"', "ct=40", "obs"}
        assert len(client.get_blocks(".well-known/core", 1024, query="rt=core.rd*").payload.split(b",")) == 3
        assert client.get(".well-known/core", query="rt=core.rd").payload == b'</rd>;rt="core.rd";ct=40'


def test_access_rules(rd):
    """Who may look up may not register; and the links show what a client may use."""
    rules = [{"path": "/rd/lookup/**", "methods": ["GET", "OBSERVE"], "allow": ["anyone"]},
             {"path": "/.well-known/core", "methods": ["GET"], "allow": ["anyone"]}]
    with rd(access=rules).client() as client:
        assert register(client, "ep=a", code="4.01") == ""
        assert look(client, EP) == []
        links = client.get(".well-known/core").payload
        assert b"</rd/lookup/ep>" in links and b"</rd>" not in links


def test_without_any_rule_nobody_registers(rd):
    with rd(access=None).client() as client:
        assert client.post("rd", b"", query=["ep=a"]).code >> 5 == 4


def test_methods(rd):
    with rd().client() as client:
        location = register(client, "ep=a", HOST)
        for path, methods in (("rd", (coap.GET, coap.PUT, coap.DELETE)), (RES, (coap.POST, coap.PUT, coap.DELETE)),
                              (EP, (coap.POST, coap.DELETE)), (location, (coap.PUT, coap.PATCH))):
            for method in methods:
                assert client.request(method, path).text == "4.05", (path, method)
        for path in ("rd/nothing", "rd/lookup", "rd/lookup/gp", location + "/x"):
            for method in (coap.GET, coap.POST, coap.DELETE):
                assert client.request(method, path).text == "4.04", (path, method)


# --- registration ---


def test_registration(rd):
    """The examples of RFC 9176, 5 and 5.3.1."""
    with rd().client() as client:
        location = register(client, "ep=endpoint1", "lt=500", "base=coap://local-proxy-old.example.com:5683")
        assert re.fullmatch("rd/[a-z0-9]{8}", location)
        assert look(client, RES, "ep=endpoint1") == [
            '<coap://local-proxy-old.example.com:5683/sensors/temp>;rt="temperature-c";if="sensor"'
            ';anchor="coap://local-proxy-old.example.com:5683"',
            '<http://www.example.com/sensors/temp>;rel="describedby"'
            ';anchor="coap://local-proxy-old.example.com:5683/sensors/temp"',
        ]
        assert client.post(location, query=["base=coaps://new.example.com:5684"]).text == "2.04"
        assert look(client, RES, "rel=describedby") == [
            '<http://www.example.com/sensors/temp>;rel="describedby";anchor="coaps://new.example.com:5684/sensors/temp"'
        ]
        assert client.get(location).payload == LINKS
        assert client.delete(location).text == "2.02"
        assert look(client, RES) == look(client, EP) == []
        assert [client.request(m, location).text for m in (coap.GET, coap.POST, coap.DELETE)] == ["4.04"] * 3


def test_registering_again_replaces(rd):
    """The same ep and d: the same place, other content; parameters that are not there again are gone."""
    with rd().client() as client:
        first = register(client, "ep=a", "et=x", HOST)
        assert register(client, "ep=a", "base=coap://other", links=b"</b>") == first
        assert look(client, RES) == ['<coap://other/b>;anchor="coap://other"']
        assert "et=" not in look(client, EP)[0]
        second = register(client, "ep=a", "d=floor", HOST)
        assert second != first
        assert len(look(client, EP)) == 2 and len(look(client, EP, "d=floor")) == 1


def test_endpoints(rd):
    """RFC 9176, 6.4: everything but the lifetime."""
    with rd().client() as client:
        location = register(client, "ep=node5", "et=tag:example.com,2020:platform", "ct=40", "flag", "d=floor-3", "lt=99", HOST)
        assert look(client, EP) == [
            f'</{location}>;ep="node5";d="floor-3";base="coap://node.example";et="tag:example.com,2020:platform"'
            ';ct="40";flag;rt="core.rd-ep"'
        ]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_base_from_the_source(rd, host):
    """RFC 9176, 5: without base it is where the request came from; an update from elsewhere moves it."""
    daemon = rd()
    name = f"[{host}]" if ":" in host else host
    with daemon.client(host) as one, daemon.client(host) as two:
        location = register(one, "ep=a", links=b"</a>")
        assert look(one, RES) == [f'<coap://{name}:{one.port}/a>;anchor="coap://{name}:{one.port}"']
        assert two.post(location).text == "2.04"
        assert look(one, RES) == [f'<coap://{name}:{two.port}/a>;anchor="coap://{name}:{two.port}"']
        # One that was given stays.
        assert two.post(location, query=[HOST]).text == "2.04"
        assert one.post(location).text == "2.04"
        assert look(one, RES) == ['<coap://node.example/a>;anchor="coap://node.example"']


def test_update_of_parameters(rd):
    """An update overrides what has the same name, and leaves the rest."""
    with rd().client() as client:
        location = register(client, "ep=a", "et=x", "et=y", "v=1", HOST)
        assert client.post(location, query=["et=z"]).text == "2.04"
        assert ';base="coap://node.example";v="1";et="z";' in look(client, EP)[0]
        for query in ("ep=b", "d=x", "lt=0", "base=nothing", "base=/x"):
            assert client.post(location, query=[query]).text == "4.00", query
            assert client.post(location, query=[query, "et=w", "lt=1"]).text == "4.00", query
        assert client.post(location, b"</x>", content_format=coap.LINK_FORMAT).text == "4.00"
        assert ';v="1";et="z";' in look(client, EP)[0]


@pytest.mark.parametrize(
    "query",
    [
        [], ["ep="], ["ep"], ["ep=a", "ep=b"], ["ep=" + "x" * 64], ["ep=a\n"], ["ep=a\x7f"], [b"ep=\xff"], ["ep=a", "d="],
        ["ep=\u0085"], ["ep=a", "d=x", "d=x"], ["ep=a", "d=" + "x" * 64], ["ep=a", "lt=0"], ["ep=a", "lt=4294967296"],
        ["ep=a", "lt=-1"], ["ep=a", "lt="], ["ep=a", "lt=1x"], ["ep=a", "lt=1", "lt=1"], ["ep=a", "base="],
        ["ep=a", "base=/x"], ["ep=a", "base=coap:"], ["ep=a", "base=a b"], ["ep=a", HOST, HOST], ["ep=a", "=x"],
        ["ep=a", "x y=z"], ["ep=a", b"x=\xc0\x80"], ["ep=a", "x=a\nb"], ["ep=a", "href=/x"], ["ep=a", "page=1"],
        ["ep=a", "base=coap://[fe80::1%25eth0]"],
    ],
)
def test_bad_parameters(rd, query):
    with rd().client() as client:
        register(client, *query, code="4.00")
        assert look(client, EP) == []


@pytest.mark.parametrize(
    "links", [b"hello", b"</a>,", b"</a>;rt=", b"</a>, </b>", b"<a b>", b'</a>;anchor="%"', b"\xff", b"</a>;rt=\0", b"<\xc3\xa4>"]
)
def test_bad_links(rd, links):
    with rd().client() as client:
        register(client, "ep=a", links=links, code="4.00")
        assert look(client, EP) == []


def test_content_formats(rd):
    with rd().client() as client:
        register(client, "ep=a", content_format=coap.JSON, code="4.15")
        register(client, "ep=a", content_format=None)
        register(client, "ep=b", links=b"")
        assert names(client) == ["a", "b"]
        assert client.get(EP, accept=coap.JSON).text == "4.06"
        assert client.get(EP, accept=coap.LINK_FORMAT).text == "2.05"


def test_lengths_that_go(rd):
    with rd().client() as client:
        register(client, "ep=" + "\u00e4" * 31 + "x", "d=" + "d" * 63, "lt=4294967295", HOST)
        assert names(client) == ["\u00e4" * 31 + "x"]


# --- lookup ---


@pytest.fixture
def filled(rd):
    """Three endpoints with what the RFC's examples have."""
    daemon = rd()
    with daemon.client() as client:
        for i, et in ((1, "platform"), (2, "platform"), (3, "other")):
            register(
                client, f"ep=sensor{i}", f"et={et}", f"base=coap://sensor{i}.example.com", "d=lab" if i == 3 else "x=y",
                links=b'</sensors>;ct=40;title="Sensor Index",</sensors/temp>;rt="temperature-c raw";if="sensor",'
                b'</sensors/light>;rt="light-lux";if=core.s;ct="0 50",<http://www.example.com/t123>;anchor="/sensors/temp"'
                b';rel="describedby",</t>;anchor="/sensors/temp";rel="alternate";title="a \\"b\\""',
            )
        yield client


@pytest.mark.parametrize(
    "query, links, endpoints",
    [
        ([], 15, "123"),
        (["ep=sensor1"], 5, "1"),
        (["ep=sensor*"], 15, "123"),
        (["ep=sensor"], 0, ""),
        (["et=platform"], 10, "12"),
        (["et=platform", "rt=light-lux"], 2, "12"),
        (["rt=temperature-c"], 3, "123"),
        (["rt=raw"], 3, "123"),
        (["rt=ra*"], 3, "123"),
        (["rt=temperature-c raw"], 3, "123"),
        (["rt=temp", "ep=sensor1"], 0, ""),
        (["ct=50"], 3, "123"),
        (["if=core.*"], 3, "123"),
        (["d=lab"], 5, "3"),
        (["d"], 5, "3"),
        (["d=lab", "et=platform"], 0, ""),
        (["title=Sensor Index"], 3, "123"),
        (["title=Sensor"], 0, ""),
        (['title=a "b"'], 3, "123"),
        (["rel=alternate"], 3, "123"),
        (["href=coap://sensor2.example.com/t"], 1, "2"),
        (["href=coap://sensor2.example.com/sensors*"], 3, "2"),
        (["href=/t"], 0, ""),
        (["href=http://www.example.com/t123"], 3, "123"),
        (["anchor=coap://sensor1.example.com/sensors/temp"], 2, "1"),
        (["anchor=coap://sensor1.example.com"], 3, "1"),
        (["base=coap://sensor1.example.com"], 5, "1"),
        (["rt=core.rd-ep"], 15, "123"),
        (["nothing=x"], 0, ""),
        (["rt="], 0, ""),
        (["rt=light-lux", "title=Sensor Index"], 0, "123"),
    ],
)
def test_filters(filled, query, links, endpoints):
    """RFC 9176, 6.2: each criterion by the link or its endpoint; an endpoint by any of its links."""
    assert len(look(filled, RES, *query)) == links
    assert names(filled, *query) == [f"sensor{i}" for i in endpoints]


def test_registration_as_href(filled):
    place = look(filled, EP, "ep=sensor2")[0].split(">")[0][1:]
    assert names(filled, f"href={place}") == ["sensor2"]
    assert len(look(filled, RES, f"href={place}")) == 5


def test_pages(filled):
    whole = look(filled, RES)
    for count in (1, 4, 15, 20):
        pages = [look(filled, RES, f"page={page}", f"count={count}") for page in range(20)]
        assert [link for page in pages for link in page] == whole
        assert all(len(page) <= count for page in pages)
    assert look(filled, RES, "count=3") == whole[:3]
    assert look(filled, RES, "count=0") == []
    assert names(filled, "count=1", "page=1", "et=platform") == ["sensor2"]
    for query in (["page=1"], ["count=x"], ["count=-1"], ["count="], ["count=1", "count=1"], ["count=1", "page=1x"]):
        assert filled.get(RES, query=query).text == "4.00", query


# --- observation ---


def test_observed(rd):
    """RFC 9176, 6.2: what changes is told, also zero links; a mere refresh is not."""
    daemon = rd()
    with daemon.client() as client, daemon.client() as reader:
        res, ep = reader.observe(RES, query=["rt=light"]), reader.observe(EP)
        assert (res.first.payload, ep.first.payload) == (b"", b"")
        assert res.number is not None and ep.number is not None
        location = register(client, "ep=a", HOST, links=b"</west>;rt=light")
        assert res.fresh().payload == b'<coap://node.example/west>;rt=light;anchor="coap://node.example"'
        assert b'ep="a"' in ep.fresh().payload
        assert client.post(location).text == "2.04"
        assert client.post(location, query=["lt=77"]).text == "2.04"
        register(client, "ep=a", HOST, links=b"</west>;rt=light")
        assert reader.nothing(0.3)
        assert client.delete(location).text == "2.02"
        assert res.fresh().payload == ep.fresh().payload == b""
        # A registration itself cannot be observed.
        assert client.get(register(client, "ep=b", HOST), observe=0).observe is None


def test_observed_right_behind_a_change(rd):
    """That nobody observes a lookup when it changes does not get in the way of who is about to."""
    daemon = rd()
    with daemon.client() as client, daemon.client() as reader:
        for i in range(50):
            change = coap.Message(coap.POST, mid=client.next_mid(), token=b"x", payload=b"</%d>" % i,
                                  options=coap.request_options("rd", query=["ep=a", HOST], content_format=40))
            client.send(change)
            watch = reader.observe(EP)
            assert watch.number is not None, i
            client.receive(wanted=lambda m, mid=change.mid: m.mid == mid)
            watch.cancel()


def test_lifetime(rd):
    """When it is over, lookups do not show it; its endpoint may refresh it all the same (RFC 9176, 5.3)."""
    daemon = rd()
    with daemon.client() as client, daemon.client() as reader:
        other = register(client, "ep=long", HOST)
        location = register(client, "ep=short", "lt=2", HOST)
        watch = reader.observe(EP, query=["ep=short"])
        assert b"short" in watch.first.payload
        assert client.post(other).text == "2.04", "that one ends later, which is no reason to come later"
        told = watch.fresh(15)
        if told.payload == watch.first.payload:  # of the registration before it, in a round that came late
            told = watch.fresh(15)
        assert told.payload == b""
        assert names(client) == ["long"]
        assert client.post(location, query=["lt=1000"]).text == "2.04"
        assert b"short" in watch.fresh().payload
        assert names(client) == ["long", "short"]


def test_nothing_to_complain_of(rd):
    """Registrations come and go, and nobody is to be told."""
    daemon = rd()
    with daemon.client() as client:
        for name in ("a", "b"):
            location = register(client, f"ep={name}", HOST)
            assert client.post(location).text == "2.04"
            assert client.delete(location).text == "2.02"
    daemon.stop()
    assert "resource directory" not in daemon.stderr


def test_no_wake_ups(rd):
    """One timer, for the registration that ends first."""
    daemon = rd()
    daemon.write_config(persist=daemon.persist(sync_interval=50))
    daemon.restart()
    with daemon.client() as client:
        for i in range(20):
            register(client, f"ep={i}", HOST)
        assert client.nothing(0.5)  # whatever follows is over
        before = daemon.wakeups()
        assert client.nothing(1.0)
        assert daemon.wakeups() - before <= 1


# --- over a restart ---


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_kept(rd, how):
    daemon = rd(more={"max_registrations": 5})
    with daemon.client() as client:
        places = [register(client, "ep=a", "d=x", "et=1", "et=2", "flag", HOST), register(client, "ep=b", links=b"</b>"),
                  register(client, "ep=gone", HOST), register(client, "ep=c", "lt=2", HOST)]
        assert client.post(places[0], query=["base=coap://new.example"]).text == "2.04"
        assert client.delete(places[2]).text == "2.02"
        client.put("beside", b"x")
        before = look(client, RES), look(client, EP)
        began = time.monotonic()
        watch = client.observe(EP, query=["ep=c"])
        daemon.restart(how)
        if time.monotonic() - began < 1.5:
            assert before == (look(client, RES), look(client, EP))
        assert client.get(places[0]).payload == LINKS
        # The lifetime went on, by the clock.
        while watch.fresh(20).payload:
            pass
        assert names(client) == ["a", "b"]
        # They are themselves still, and no dynamic resources.
        assert register(client, "ep=a", "d=x", HOST) == places[0]
        assert client.post(places[1], query=["lt=50"]).text == "2.04"
        assert client.get("beside").payload == b"x"
        assert client.delete(places[1]).text == "2.02"
        daemon.restart(how)
        assert names(client) == ["a"]
        links = client.get_blocks(".well-known/core", 1024).payload
        assert places[0].encode() not in links and b"#" not in links


def test_kept_for_a_config_that_has_it_again(rd):
    daemon = rd()
    with daemon.client() as client:
        register(client, "ep=a", HOST)
        resources = daemon.groups["resources"]
        daemon.write_config(resources=[{"path": "motd", "kind": "static", "content": "x"}])
        daemon.restart()
        assert "it is kept in the store" in daemon.stderr
        assert client.get(EP).text == "4.04"
        daemon.write_config(resources=resources)
        daemon.restart()
        assert names(client) == ["a"]


def test_reload(rd):
    """The registrations stay, with their observers; limits change."""
    daemon = rd()
    with daemon.client() as client, daemon.client() as reader:
        location = register(client, "ep=a", HOST)
        watch = reader.observe(EP)
        while not reader.nothing(0.3):  # the registration may be told to who came right behind it
            pass
        daemon.write_config(resources=[{**RD, "max_registrations": 1, "title": "Directory"}])
        daemon.reload()
        assert reader.nothing(0.3)
        register(client, "ep=b", HOST, code="5.03")
        assert register(client, "ep=a", HOST, "et=x") == location
        assert b'et="x"' in watch.fresh().payload


# --- limits ---


def test_number_of_registrations(rd):
    with rd(more={"max_registrations": 3}).client() as client:
        places = [register(client, f"ep={i}", HOST) for i in range(3)]
        assert client.post("rd", LINKS, query=["ep=3", HOST], content_format=coap.LINK_FORMAT).max_age == 60
        assert register(client, "ep=1", HOST) == places[1]
        client.delete(places[0])
        register(client, "ep=3", HOST)
        assert names(client) == ["1", "2", "3"]


def test_those_that_are_over_make_room(rd):
    daemon = rd(more={"max_registrations": 2})
    with daemon.client() as client, daemon.client() as reader:
        register(client, "ep=a", HOST)
        register(client, "ep=b", "lt=1", HOST)
        watch = reader.observe(EP)
        while b"ep=\"b\"" in watch.fresh(15).payload:
            pass
        register(client, "ep=c", HOST)
        assert names(client) == ["a", "c"]
        daemon.restart()
        assert names(client) == ["a", "c"]


def test_size(rd):
    links = b",".join(b"</%d>" % i for i in range(300))
    with rd(more={"max_size": len(links), "max_total_size": 2 * len(links) + 10}).client() as client:
        def put(name, body):
            return client.put_blocks("rd", body, 512, method=coap.POST, query=[f"ep={name}", HOST], content_format=40)

        assert put("a", links + b",</>").text == "4.13"
        assert [put(name, links).text for name in "abc"] == ["2.01", "2.01", "5.03"]
        assert put("a", links[:100].rsplit(b",", 1)[0]).text == "2.01"
        assert put("b", links).text == "2.01"
        assert put("c", b"</x>").text == "2.01"
        assert len(look(client, RES, "ep=b")) == 300


def test_blocks_while_it_changes(rd):
    """The blocks of a lookup are of one state, though the directory changes meanwhile."""
    daemon = rd()
    with daemon.client() as client, daemon.client() as other:
        for i in range(20):
            register(client, f"ep=old{i}", HOST, links=b"")
        first = client.get(EP, block2=coap.Block.of_size(0, False, 64))
        body, num = first.payload, 1
        while True:
            register(other, f"ep=new{num}", HOST, links=b"")
            block = client.get(EP, block2=coap.Block.of_size(num, False, 64))
            assert block.etag == first.etag
            body += block.payload
            num += 1
            if not block.block(coap.BLOCK2).more:
                break
        assert body.count(b"ep=\"old") == 20 and b"new" not in body
        assert len(names(client)) == 20 + num - 1


# --- whose it is ---


def test_first_come_first_remembered(coapd):
    """RFC 9176, 7.5: a name belongs to the identity that registered it."""
    keys = {"one": "key-of-one", "two": "key-of-two"}
    daemon = coapd(
        resources=[RD], endpoints=["coap://127.0.0.1:{port}", "coaps+tcp://127.0.0.1:{port}"],
        security={"psk": {"identities": [{"identity": name, "key": key} for name, key in keys.items()]}},
    )

    class Client(StreamClient):
        def post(self, path, payload=b"", **more):
            return self.request(coap.POST, path, payload=payload, **more)

        def delete(self, path):
            return self.request(coap.DELETE, path)

    def as_(name):
        return Client(daemon.port, tls=tls_psk_context(name, keys[name]))

    with as_("one") as one, as_("two") as two, daemon.client() as stranger:
        mine = register(one, "ep=mine", HOST)
        anybodys = register(stranger, "ep=anybodys", HOST)
        for _ in range(2):
            for other in (two, stranger):
                register(other, "ep=mine", HOST, code="4.03")
                assert other.post(mine).text == other.delete(mine).text == "4.03"
            assert register(stranger, "ep=anybodys", HOST) == anybodys
            daemon.restart("kill")
            one, two = as_("one"), as_("two")
            assert one.post(mine).text == "2.04"
            assert register(one, "ep=mine", HOST) == mine
        # Who proves something may take what nobody in particular has.
        assert register(two, "ep=anybodys", HOST) == anybodys
        register(stranger, "ep=anybodys", HOST, code="4.03")
        assert one.delete(mine).text == "2.02"
        register(two, "ep=mine", HOST)
        one.close()
        two.close()


# --- a store that refuses ---


def test_store_that_is_full(coapd, disk):
    """Nothing is shown that a restart would not bring back."""
    daemon = start_on(coapd, disk, resources=[RD])
    with daemon.client() as client:
        kept = register(client, "ep=kept", HOST)
        shown = look(client, EP)
        disk.fill()
        put_until_refused(client, "filler")
        answer = client.post("rd", b"</a>" + b",</a>" * 200, query=["ep=new", HOST], content_format=coap.LINK_FORMAT)
        assert answer.code >> 5 == 5 and answer.payload and not answer.location
        assert client.post(kept, query=["x=y"]).code >> 5 == 5
        assert client.delete(kept).code >> 5 == 5
        assert look(client, EP) == shown
        disk.free()
        put_until_taken(client, "filler", b"")
        register(client, "ep=new", HOST)
        assert "new" in names(client)


# --- others ---


def test_aiocoap(rd):
    """aiocoap's own client of directories: finds it, registers, and is found."""
    daemon = rd()

    async def body(context):
        import aiocoap.resource
        from aiocoap.resourcedirectory.client.register import Registerer

        site = aiocoap.resource.Site()
        site.add_resource([".well-known", "core"], aiocoap.resource.WKCResource(site.get_resources_as_linkheader))

        class Temperature(aiocoap.resource.Resource):
            rt = "temperature-c"

            async def render_get(self, request):
                return aiocoap.Message(payload=b"21")

        site.add_resource(["temp"], Temperature())
        context.serversite = site
        registerer = Registerer(context, rd=f"coap://127.0.0.1:{daemon.port}", lt=90,
                                registration_parameters={"ep": "python", "base": "coap://python.example"})
        for _ in range(200):
            found = await context.request(
                aiocoap.Message(code=aiocoap.GET, uri=f"coap://127.0.0.1:{daemon.port}/{RES}?rt=temperature-c")
            ).response
            if found.payload:
                break
            await asyncio.sleep(0.05)
        await registerer.shutdown()
        return found.payload

    payload = aiocoap_run(body)
    assert b"<coap://python.example/temp>" in payload and b'anchor="coap://python.example"' in payload
