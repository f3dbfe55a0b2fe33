# SPDX-License-Identifier: BSD-2-Clause
"""Simple registration (RFC 9176, 5.1): the directory asks the endpoint for its /.well-known/core."""

import re
import socket
import subprocess
import time

import aiocoap.resource
import coap
import oscore
import oscore_peers
import pytest
from clients import aiocoap_run, tls_psk_context
from coap_stream import StreamClient
from coap_target import Target, reply
from daemon import SLOW, free_port
from test_kind_rd import EP, RES, look, register

WELL_KNOWN = ".well-known/rd"
LINKS = b'</temp>;rt="temperature-c",</light>;if=sensor'


def address_of(host, port):
    return socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4]


class Endpoint(Target):
    """A server that registers from the socket that it answers at. `links`: what its /.well-known/core is; or a function
    like that of Target."""

    acknowledges = True

    def __init__(self, links=LINKS, max_age=60, **more):
        def answer(m):
            return reply(m, "2.05", self.links,
                         [(coap.CONTENT_FORMAT, coap.uint(coap.LINK_FORMAT)), (coap.MAX_AGE, coap.uint(max_age))])
        self.links, self.sent = links, 0
        super().__init__(links if callable(links) else answer, **more)

    def ask(self, daemon, *query, path=WELL_KNOWN, host="127.0.0.1", method=coap.POST, payload=b"", extra=()):
        """Sends the POST, and no more. Returns its token."""
        self.sent += 1
        token = b"p%d" % self.sent
        message = coap.Message(method, mid=self.sent, token=token, payload=payload,
                               options=coap.request_options(path, list(query), extra=list(extra)))
        self.last = message.encode(), address_of(host, daemon.port)
        self.socket.sendto(*self.last)
        return token

    def answer_to(self, token):
        return self.await_seen(lambda m: m.token == token and m.code >> 5 >= 2)

    def post(self, daemon, *query, **more):
        return self.answer_to(self.ask(daemon, *query, **more))


@pytest.fixture
def rd(coapd):
    """rd(KEYS...) runs a directory with simple registration."""
    return lambda more=None, **groups: coapd(
        resources=[{"path": "rd", "kind": "rd", "simple_registration": True, **(more or {})}], **groups)


@pytest.fixture
def silent():
    with Endpoint(lambda m: None) as endpoint:
        yield endpoint


def find(daemon, which=EP, *query):
    with daemon.client() as client:
        return look(client, which, *query)


# --- registration ---


def test_registration(rd):
    daemon = rd()
    with Endpoint() as endpoint:
        answer = endpoint.post(daemon, "ep=node1", "lt=6000", "d=floor", "et=lamp")
        assert (answer.text, answer.location, answer.payload) == ("2.04", "", b"")
        base = f"coap://127.0.0.1:{endpoint.port}"
        assert find(daemon, RES) == [f'<{base}/temp>;rt="temperature-c";anchor="{base}"',
                                     f'<{base}/light>;if=sensor;anchor="{base}"']
        [shown] = find(daemon)
        assert f'ep="node1";d="floor";base="{base}"' in shown and 'et="lamp"' in shown
        [seen] = endpoint.requests
        assert (seen.code, seen.all(coap.URI_PATH)) == (coap.GET, [b".well-known", b"core"])
        assert seen.uint(coap.ACCEPT) == coap.LINK_FORMAT and seen.all(coap.URI_QUERY) == []


def test_one_that_comes_twice_is_asked_once(rd):
    """A datagram that comes again, before its answer and after."""
    daemon = rd()
    with Endpoint(lambda m: None) as endpoint:
        token = endpoint.ask(daemon, "ep=a")
        endpoint.await_seen(lambda m: m.code == 0 and m.mid == 1)
        get = endpoint.await_seen(lambda m: m.code == coap.GET)
        endpoint.socket.sendto(*endpoint.last)
        endpoint.send(reply(get, "2.05", LINKS), get.peer)
        assert endpoint.answer_to(token).text == "2.04"
        endpoint.socket.sendto(*endpoint.last)
        with daemon.client() as client:
            client.ping()
        assert len({m.mid for m in endpoint.requests}) == 1
        assert len(find(daemon)) == 1


def test_links_in_blocks(rd):
    links = b",".join(b'</sensors/%03d>;rt="temperature-c"' % i for i in range(100))

    def answer(m):
        block = m.block(coap.BLOCK2)
        num = block.num if block else 0
        piece = links[num * 64:(num + 1) * 64]
        return reply(m, "2.05", piece, [(coap.ETAG, b"e"), (coap.CONTENT_FORMAT, coap.uint(coap.LINK_FORMAT)), (
            coap.BLOCK2, coap.Block(num, (num + 1) * 64 < len(links), 2).encode())])

    daemon = rd()
    with Endpoint(answer) as endpoint:
        assert endpoint.post(daemon, "ep=a").text == "2.04"
        assert len(endpoint.requests) == (len(links) + 63) // 64
    found = find(daemon, RES)
    assert [re.search("/sensors/([0-9]*)", one)[1] for one in found] == [f"{i:03}" for i in range(100)]


def test_aiocoap_as_an_endpoint(rd):
    """Its server context asks and answers at one port."""
    class Sensor(aiocoap.resource.Resource):
        rt = "temperature-c"

        async def render_get(self, request):
            return aiocoap.Message(payload=b"21.5")

    daemon, port = rd(), free_port()

    async def body(client):
        site = aiocoap.resource.Site()
        site.add_resource([".well-known", "core"], aiocoap.resource.WKCResource(site.get_resources_as_linkheader))
        site.add_resource(["temp"], Sensor())
        server = await aiocoap.Context.create_server_context(site, bind=("::1", port))
        try:
            request = aiocoap.Message(code=aiocoap.POST,
                                      uri=daemon.uri(f"{WELL_KNOWN}?ep=aiocoap&lt=120", host="::1"))
            return (await server.request(request).response).code
        finally:
            await server.shutdown()

    assert aiocoap_run(body) == aiocoap.CHANGED
    assert f'<coap://[::1]:{port}/temp>' in find(daemon, RES, "rt=temperature-c")[0]


def test_fresh_links_are_not_asked_for_again(rd):
    """And what the new POST says counts."""
    daemon = rd()
    with Endpoint() as endpoint:
        assert endpoint.post(daemon, "ep=a", "et=one").text == "2.04"
        endpoint.links = b"</other>"
        assert endpoint.post(daemon, "ep=a", "et=two").text == "2.04"
        assert len(endpoint.requests) == 1
        assert 'et="two"' in find(daemon)[0] and "/temp" in find(daemon, RES)[0]


def test_links_that_are_not_fresh_are_asked_for_again(rd):
    daemon = rd()
    with Endpoint(max_age=0) as endpoint:
        assert endpoint.post(daemon, "ep=a").text == "2.04"
        [first] = re.findall("</(rd/[^>]*)>", find(daemon)[0])
        endpoint.links = b"</other>"
        assert endpoint.post(daemon, "ep=a").text == "2.04"
        assert len(endpoint.requests) == 2
        assert len(find(daemon, RES)) == 1 and "/other" in find(daemon, RES)[0]
        assert re.findall("</(rd/[^>]*)>", find(daemon)[0]) == [first]


def test_another_address_is_asked_anew(rd):
    """What was fetched from one is not given out as the other's."""
    daemon = rd()
    with Endpoint() as one, Endpoint(b"</mine>") as other:
        assert one.post(daemon, "ep=a").text == "2.04"
        assert other.post(daemon, "ep=a").text == "2.04"
        [link] = find(daemon, RES)
        assert f"<coap://127.0.0.1:{other.port}/mine>" in link


# --- what goes wrong ---


def test_endpoint_that_does_not_answer(rd, silent):
    daemon = rd({"fetch_timeout": 1})
    answer = silent.post(daemon, "ep=a")
    assert answer.text == "5.04" and b"/.well-known/core" in answer.payload
    assert find(daemon) == []
    silent.answer = lambda m: reply(m, "2.05", LINKS)
    assert silent.post(daemon, "ep=a").text == "2.04"


RUBBISH = {
    "text": (b"no links here", ()),
    "half a link": (b"</temp", ()),
    "bytes": (bytes(range(256)), ()),
    "another content format": (b"[]", [(coap.CONTENT_FORMAT, coap.uint(50))]),
    "a block of nothing": (b"", [(coap.BLOCK2, coap.Block(0, True, 2).encode())]),
    "a later block": (b"x" * 64, [(coap.BLOCK2, coap.Block(7, True, 2).encode())]),
    "too large": (b"</" + b"x" * 200 + b">", ()),
}


@pytest.mark.parametrize("what", RUBBISH)
def test_rubbish(rd, what):
    payload, options = RUBBISH[what]
    daemon = rd({"max_size": 100} if what == "too large" else {})
    with Endpoint(lambda m: reply(m, "2.05", payload, options)) as endpoint:
        answer = endpoint.post(daemon, "ep=a")
        assert answer.text == "5.02" and b"/.well-known/core" in answer.payload
    assert find(daemon) == []


@pytest.mark.parametrize("code", ["4.04", "5.00", "2.04", "2.31"])
def test_other_answers(rd, code):
    daemon = rd()
    with Endpoint(lambda m: reply(m, code, LINKS)) as endpoint:
        assert endpoint.post(daemon, "ep=a").text == "5.02"
    assert find(daemon) == []


def test_endpoint_that_rejects(rd):
    daemon = rd()
    with Endpoint(lambda m: coap.Message(0, type=coap.RST, mid=m.mid)) as endpoint:
        assert endpoint.post(daemon, "ep=a").text == "5.02"
    assert find(daemon) == []


def test_what_is_no_simple_registration(rd):
    daemon = rd()
    with Endpoint() as endpoint:
        for query in ([], ["ep="], ["ep=a", "ep=b"], ["ep=a", "base=coap://other"], ["ep=a", "base"], ["ep=a", "lt=0"]):
            assert endpoint.post(daemon, *query).text == "4.00", query
        for payload in (LINKS, b"<"):
            assert endpoint.post(daemon, "ep=a", payload=payload).text == "4.00"
        for method in (coap.GET, coap.PUT, coap.DELETE):
            assert endpoint.post(daemon, "ep=a", method=method).text == "4.05"
        for path in (".well-known/rd/x", ".well-known", "rd/.well-known/rd"):
            assert endpoint.post(daemon, "ep=a", path=path).text == "4.04", path
        assert endpoint.requests == []
    assert find(daemon) == []


def test_only_over_udp(rd):
    """RFC 9176, 5.1: the base would have to be told."""
    daemon = rd(endpoints=["coap://127.0.0.1:{port}", "coap+tcp://127.0.0.1:{port}"])
    with StreamClient(daemon.port) as client:
        answer = client.request(coap.POST, WELL_KNOWN, query=["ep=a"])
        assert answer.text == "5.01" and b"/rd" in answer.payload


def test_only_without_keys(rd):
    """Nobody could tell that the links are of whom the registration would belong to."""
    secret = bytes(range(16))
    daemon = rd(security={"oscore": [oscore_peers.context("01", "02", secret.hex())]})
    keys = oscore.Context(b"\2", b"\1", secret, b"")
    with oscore.Client(keys, daemon.port) as client:
        assert client.ask(coap.POST, WELL_KNOWN, query=["ep=a"]).text == "5.01"
    assert find(daemon) == []


# --- who may, and how much ---


def test_off_by_default(coapd):
    daemon = coapd(resources=[{"path": "rd", "kind": "rd"}])
    with Endpoint() as endpoint:
        assert endpoint.post(daemon, "ep=a").text == "4.04"
        assert endpoint.requests == []


def test_access_rules(rd):
    """They are asked for the path that the request has; the rule for the directory itself does not count."""
    rules = [{"path": "/rd/**", "methods": ["GET", "POST", "CREATE"], "allow": ["anyone"]}]
    daemon = rd(access=rules)
    with Endpoint() as endpoint:
        for methods in ([], ["POST"], ["CREATE"]):
            daemon.write_config(access=rules + [{"path": "/.well-known/rd", "methods": [m], "allow": ["anyone"]}
                                                for m in methods])
            daemon.reload()
            assert endpoint.post(daemon, "ep=a").text in ("4.01", "4.03")
        assert endpoint.requests == []
        daemon.write_config(access=rules + [{"path": "/.well-known/rd", "methods": ["POST", "CREATE"], "allow": ["anyone"]}])
        daemon.reload()
        assert endpoint.post(daemon, "ep=a").text == "2.04"


def test_name_of_somebody_else(rd):
    key = "a long random text"
    daemon = rd(endpoints=["coap://127.0.0.1:{port}", "coaps+tcp://127.0.0.1:{port}"],
                security={"psk": {"identities": [{"identity": "node", "key": key}]}})
    with Endpoint() as endpoint:
        with StreamClient(daemon.port, tls=tls_psk_context("node", key)) as client:
            assert client.request(coap.POST, "rd", query=["ep=a", "base=coap://node.example"]).text == "2.01"
        answer = endpoint.post(daemon, "ep=a")
        assert answer.text == "4.03" and endpoint.requests == []
        assert endpoint.post(daemon, "ep=b").text == "2.04"


def test_how_many_of_one_address(rd, silent):
    daemon = rd({"fetch_timeout": 2})
    tokens = [silent.ask(daemon, f"ep={i}") for i in range(4)]
    silent.await_seen(lambda m: len(silent.requests) >= 4)
    more = silent.post(daemon, "ep=more")
    assert (more.text, more.max_age) == ("4.29", 5)
    assert {silent.answer_to(token).text for token in tokens} == {"5.04"}
    silent.answer = lambda m: reply(m, "2.05", LINKS)
    assert silent.post(daemon, "ep=more").text == "2.04"


def test_how_many_at_a_time(rd, silent):
    daemon = rd({"max_fetches": 1})
    silent.ask(daemon, "ep=a")
    silent.await_seen(lambda m: m.code == coap.GET)
    with Endpoint() as endpoint:
        answer = endpoint.post(daemon, "ep=b")
        assert (answer.text, answer.max_age, endpoint.requests) == ("5.03", 5, [])
        daemon.write_config(resources=[{"path": "rd", "kind": "rd", "simple_registration": True, "max_fetches": 2}])
        daemon.reload()
        assert endpoint.post(daemon, "ep=b").text == "2.04"


def test_one_that_asks_again_meanwhile(rd, silent):
    """RFC 9176, 5.1: it may, and has its answer at once when the links are there."""
    daemon = rd()
    token = silent.ask(daemon, "ep=a")
    get = silent.await_seen(lambda m: m.code == coap.GET)
    assert silent.post(daemon, "ep=a").text == "5.03"
    silent.send(reply(get, "2.05", LINKS), get.peer)
    assert silent.answer_to(token).text == "2.04"
    assert silent.post(daemon, "ep=a").text == "2.04"
    assert len({m.mid for m in silent.requests}) == 1


def test_too_many_that_wait(rd, silent):
    """There is nobody to be answered then, and nobody is asked."""
    daemon = rd(limits={"waiting": 1})
    silent.ask(daemon, "ep=a")
    silent.await_seen(lambda m: m.code == coap.GET)
    with Endpoint() as endpoint:
        assert endpoint.post(daemon, "ep=b").text == "5.03"
        with daemon.client() as client:
            client.ping()
        assert endpoint.requests == []


def test_full_directory_asks_nobody(rd):
    daemon = rd({"max_registrations": 1})
    with Endpoint(max_age=0) as endpoint:
        assert endpoint.post(daemon, "ep=a").text == "2.04"
        assert endpoint.post(daemon, "ep=b").text == "5.03"
        assert len(endpoint.requests) == 1
        assert endpoint.post(daemon, "ep=a").text == "2.04"


def test_no_room_for_what_was_fetched(rd):
    daemon = rd({"max_total_size": 100})
    with Endpoint(b"</" + b"x" * 60 + b">", max_age=0) as endpoint:
        assert endpoint.post(daemon, "ep=a").text == "2.04"
        assert endpoint.post(daemon, "ep=b").text == "5.03"
        assert len(endpoint.requests) == 2 and len(find(daemon)) == 1


# --- addresses that have proved nothing ---

HOST = "10.9.8.1"


@pytest.fixture
def far(coapd, network):
    """far() runs a directory in a network of its own, as loopback proves an address."""
    def run(host=HOST, **limits):
        daemon = coapd(start=False, prefix=network.prefix(), limits=limits,
                       resources=[{"path": "rd", "kind": "rd", "simple_registration": True}])
        daemon.write_config(endpoints=[f"coap://{host}:{{port}}"])
        return daemon.start()
    return run


@pytest.mark.parametrize("unproven", ["blocks", "echo"])
def test_address_is_proved_first(far, network, unproven):
    """RFC 9176, 5.1; RFC 9175, 2.4: who does not send the Echo back is asked for nothing."""
    daemon = far(unproven=unproven)
    with network.inside():
        endpoint, victim = Endpoint(host=HOST), Endpoint(host=HOST)
        with endpoint, victim:
            refused = endpoint.post(daemon, "ep=a", host=HOST)
            echo = refused.option(coap.ECHO)
            assert (refused.text, len(refused.encode()) < 3 * len(endpoint.last[0])) == ("4.01", True)
            assert echo and endpoint.requests == []
            assert victim.post(daemon, "ep=a", host=HOST, extra=[(coap.ECHO, echo)]).text == "4.01"
            assert endpoint.post(daemon, "ep=a", host=HOST, extra=[(coap.ECHO, echo)]).text == "2.04"
            assert endpoint.post(daemon, "ep=b", host=HOST).text == "2.04"
            assert victim.requests == []


def test_proof_switched_off(far, network):
    daemon = far(unproven="serve")
    with network.inside(), Endpoint(host=HOST) as endpoint:
        assert endpoint.post(daemon, "ep=a", host=HOST).text == "2.04"


def test_link_local(far, network):
    """It is asked on the link that it is on."""
    with network.inside():
        shown = subprocess.run(["ip", "-6", "-o", "addr", "show", "dev", "net0", "scope", "link"], capture_output=True,
                               text=True, check=True).stdout
        host = re.search("fe80:[^/]*", shown)[0] + "%net0"
        daemon = far("[::]", unproven="serve")
        with Endpoint(host=host) as endpoint:
            assert endpoint.post(daemon, "ep=a", host=host).text == "2.04"
            base = f"coap://[{host.partition('%')[0]}]:{endpoint.port}"
            assert base in endpoint.post(daemon, path=EP, host=host, method=coap.GET).payload.decode()
            with daemon.client() as elsewhere:
                assert look(elsewhere, EP) == [], "the address means nothing there"
                query = ["ep=b", "base=coap://node.example"]
                assert endpoint.post(daemon, *query, path="rd", host=host).text == "2.01"
                assert 'base="coap://node.example"' in look(elsewhere, EP)[0], "but this one does everywhere"


# --- over time ---


def test_kept_over_a_restart(rd):
    """Even one that is killed; and it is as simple as before: gone when its lifetime is over."""
    daemon = rd()
    with Endpoint() as endpoint:
        assert endpoint.post(daemon, "ep=long").text == "2.04"
        assert endpoint.post(daemon, "ep=short", "lt=4").text == "2.04"
        before = find(daemon, RES)
        [short] = re.findall("</(rd/[^>]*)>", find(daemon, EP, "ep=short")[0])
        daemon.restart("kill")
        assert find(daemon, RES) == before and len(before) == 4
        with daemon.client() as client:
            end = time.monotonic() + 20 * SLOW
            while client.get(short).text == "2.05" and time.monotonic() < end:
                time.sleep(0.2)
            assert client.get(short).text == "4.04"
        assert len(find(daemon, RES)) == 2


def test_after_its_lifetime(rd):
    """RFC 9176, 5.1: it is deleted, while a regular one can be refreshed for a while."""
    daemon = rd()
    with Endpoint() as endpoint, daemon.client() as client:
        regular = register(client, "ep=regular", "lt=1")
        assert endpoint.post(daemon, "ep=simple", "lt=1").text == "2.04"
        [simple] = re.findall("</(rd/[^>]*)>", find(daemon, EP, "ep=simple")[0])
        end = time.monotonic() + 20 * SLOW
        while (find(daemon) or client.get(simple).text == "2.05") and time.monotonic() < end:
            time.sleep(0.1)
        assert client.get(simple).text == "4.04"
        assert client.post(regular).text == "2.04"


def test_stopped_while_it_asks(rd, silent):
    daemon = rd()
    silent.ask(daemon, "ep=a")
    silent.await_seen(lambda m: m.code == coap.GET)
    daemon.stop()


def test_reload_switches_it(coapd):
    daemon = coapd(resources=[{"path": "rd", "kind": "rd"}])
    with Endpoint() as endpoint:
        for on in (True, False):
            daemon.write_config(resources=[{"path": "rd", "kind": "rd", "simple_registration": on}])
            daemon.reload()
            assert endpoint.post(daemon, "ep=a").text == ("2.04" if on else "4.04")
        assert len(find(daemon)) == 1


def test_reload_takes_the_directory_away(rd, silent):
    daemon = rd()
    token = silent.ask(daemon, "ep=a")
    silent.await_seen(lambda m: m.code == coap.GET)
    daemon.write_config(resources=[])
    daemon.reload()
    assert silent.answer_to(token).text == "5.03"


# --- the config ---


def test_virtual_hosts(coapd):
    """A directory each."""
    def directory(host):
        return {"path": "rd", "kind": "rd", "simple_registration": True, "host": host}

    daemon = coapd(resources=[directory("a.example"), directory("b.example")])

    def at(host):
        return [(coap.URI_HOST, host)]

    with Endpoint() as endpoint, daemon.client() as client:
        assert endpoint.post(daemon, "ep=x", extra=at(b"b.example")).text == "2.04"
        assert endpoint.post(daemon, "ep=x").text == "4.04"
        assert client.get(EP, extra=at(b"a.example")).payload == b""
        assert b'ep="x"' in client.get(EP, extra=at(b"b.example")).payload


def test_one_of_a_host(coapd):
    directory = {"kind": "rd", "simple_registration": True}
    for other in ({**directory, "path": "rd2"}, {"kind": "static", "path": WELL_KNOWN, "content": "x"}):
        daemon = coapd(start=False, resources=[{**directory, "path": "rd"}, other])
        done = subprocess.run(daemon.command("--check"), capture_output=True, text=True)
        assert done.returncode == 1
        assert re.search(r'coapd.conf:\d+: resources\[1\]\.\S+: "\.well-known/rd" is taken', done.stderr), done.stderr
