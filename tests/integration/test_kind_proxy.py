# SPDX-License-Identifier: BSD-2-Clause
"""`proxy`: a coapd before another server: coapd, coap-server, aiocoap, and one that does as the test says."""

import os
import subprocess
import sys
import textwrap

import coap
import pytest
from clients import CoapClient, aiocoap_request, coap_client
from coap_target import Target, reply
from daemon import SLOW, free_port

KEY = "correct horse battery staple"
BIG = os.urandom(40000)


@pytest.fixture
def pair(coapd):
    """pair() starts a target and a proxy before it, at `up`: the two of them."""

    def make(scheme="coap", base="", proxy=None, front=None, **target):
        target.setdefault("endpoints", [f"{scheme}://127.0.0.1:{{port}}"])
        origin = coapd(**target)
        one = {"path": "up", "kind": "proxy", "target": origin.uri(base, scheme=scheme), **(proxy or {})}
        return origin, coapd(resources=[one], **(front or {}))

    return make


@pytest.fixture
def before(coapd):
    """before(target) is a proxy before a Target."""

    def make(target, path="", **proxy):
        uri = f"coap://127.0.0.1:{target.port}/{path}"
        return coapd(resources=[{"path": "up", "kind": "proxy", "target": uri, **proxy}])

    return make


# --- requests ---


def use(front, patience=10 * SLOW):
    with front.client() as client:
        assert client.put("up/a/b", b"one", timeout=patience).text == "2.01"
        answer = client.get("up/a/b", timeout=patience)
        assert (answer.text, answer.payload) == ("2.05", b"one")
        assert client.put("up/a/b", b"two", timeout=patience).text == "2.04"
        assert client.get("up/a/b", timeout=patience).payload == b"two"
        assert client.delete("up/a/b", timeout=patience).text == "2.02"
        assert client.get("up/a/b", timeout=patience).text == "4.04"


def test_methods(pair):
    use(pair()[1])


def test_tcp(pair):
    use(pair("coap+tcp")[1])


@pytest.mark.parametrize("scheme", ["coaps", "coaps+tcp"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_pre_shared_key(pair, scheme, end, tmp_path):
    key = tmp_path / "key"
    key.write_text(KEY + end, newline="")
    key.chmod(0o600)
    security = {"psk": {"identities": [{"identity": "gateway", "key": KEY}]}}
    use(pair(scheme, proxy={"identity": "gateway", "key_file": key}, security=security)[1])


@pytest.mark.parametrize("key", ["", "\n", "\r\n", "x" * 65, "x" * 65 + "\r\n", "x" * 1000, "x" * 64 + "\n\n"])
def test_file_without_a_key(coapd, key, tmp_path):
    file = tmp_path / "key"
    file.write_text(key, newline="")
    file.chmod(0o600)
    one = {"path": "up", "kind": "proxy", "target": "coaps://127.0.0.1", "identity": "gateway", "key_file": file}
    daemon = coapd(start=False, resources=[one])
    checked = subprocess.run(daemon.command("--check"), capture_output=True, text=True, check=False)
    assert checked.returncode == 1 and ":3: resources[0].key_file: " in checked.stderr
    file.write_text("x" * 64 + "\r\n", newline="")
    daemon.start()


@pytest.mark.parametrize("scheme", ["coaps", "coaps+tcp"])
def test_wrong_key(pair, scheme):
    security = {"psk": {"identities": [{"identity": "gateway", "key": KEY}]}}
    proxy = {"identity": "gateway", "key": "another one", "timeout": 5}
    _, front = pair(scheme, proxy=proxy, security=security)
    with front.client() as client:
        assert client.get("up/time", timeout=20 * SLOW).text in ("5.02", "5.04")


@pytest.mark.parametrize("scheme", ["coaps", "coaps+tcp"])
def test_certificates(pair, certificates, scheme):
    pki = {"certificate": certificates["server.crt"], "private_key": certificates["server.key"],
           "ca": certificates["ca.crt"], "require_client_certificate": True}
    proxy = {"ca": certificates["ca.crt"], "certificate": certificates["client.crt"],
             "private_key": certificates["client.key"]}
    use(pair(scheme, proxy=proxy, security={"pki": pki})[1])


@pytest.mark.parametrize("scheme", ["coaps", "coaps+tcp"])
def test_certificate_of_the_target_alone(pair, certificates, scheme):
    """coapd shows none."""
    pki = {"certificate": certificates["server.crt"], "private_key": certificates["server.key"]}
    use(pair(scheme, proxy={"ca": certificates["ca.crt"]}, security={"pki": pki})[1])


@pytest.mark.parametrize("scheme", ["coaps", "coaps+tcp"])
@pytest.mark.parametrize("trusted", ["ca", "other-ca"])
def test_certificates_that_the_system_trusts(pair, certificates, trusted, scheme):
    """Without a ca of its own."""
    pki = {"certificate": certificates["server.crt"], "private_key": certificates["server.key"]}
    front = {"environment": {"SSL_CERT_FILE": str(certificates[f"{trusted}.crt"])}}
    _, front = pair(scheme, proxy={"timeout": 5}, front=front, security={"pki": pki})
    with front.client() as client:
        text = client.get("up/time", timeout=20 * SLOW).text
        assert text == "2.05" if trusted == "ca" else text in ("5.02", "5.04")


@pytest.mark.parametrize("trusted, named", [("other-ca", "server"), ("ca", "client")])
def test_certificate_of_another(pair, certificates, trusted, named):
    """It is signed by nobody we trust, or is somebody else's."""
    pki = {"certificate": certificates[f"{named}.crt"], "private_key": certificates[f"{named}.key"]}
    proxy = {"ca": certificates[f"{trusted}.crt"], "timeout": 5}
    _, front = pair("coaps", proxy=proxy, security={"pki": pki})
    with front.client() as client:
        assert client.get("up/time", timeout=20 * SLOW).text in ("5.02", "5.04")


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp"])
def test_big_bodies(pair, scheme):
    origin, front = pair(scheme, dynamic={"enable": True, "prefix": [""], "max_size": 100000})
    with front.client() as client:
        assert client.put_blocks("up/big", BIG, size=1024, timeout=10 * SLOW).text == "2.01"
        assert client.get_blocks("up/big", size=512, timeout=10 * SLOW).payload == BIG
    assert aiocoap_request(front.uri("up/big")).payload == BIG


def test_body_that_changes_in_the_middle(before):
    """RFC 7959, 2.4: it is fetched from its beginning again."""
    bodies, asked = (b"a" * 96, b"b" * 96), []

    def answer(m):
        block = m.block(coap.BLOCK2)
        num = block.num if block else 0
        asked.append(num)
        which = int(len(asked) > 1)
        return reply(m, "2.05", bodies[which][num * 32:(num + 1) * 32],
                     [(coap.ETAG, b"%d" % which), (coap.BLOCK2, coap.Block(num, num < 2, 1).encode())])

    with Target(answer) as target, before(target).client() as client:
        assert client.get("up/x", timeout=20 * SLOW).payload == bodies[1]
        assert asked == [0, 1, 0, 1, 2]


def test_target_that_wants_smaller_blocks(before):
    """RFC 7959, 2.3: from its first answer on."""
    got, sizes = bytearray(), []

    def answer(m):
        block = m.block(coap.BLOCK1)
        at = block.num << (block.szx + 4)
        got[at:] = m.payload
        sizes.append(len(m.payload))
        return reply(m, "2.31" if block.more else "2.04", b"",
                     [(coap.BLOCK1, coap.Block(block.num, block.more, min(block.szx, 4)).encode())])

    with Target(answer) as target, before(target).client() as client:
        body = BIG[:3000]
        assert client.put_blocks("up/x", body, size=1024, timeout=20 * SLOW).text == "2.04"
        assert bytes(got) == body and sizes[0] == 1024 and max(sizes[1:]) == 256


def test_body_over_the_limit(pair):
    _, front = pair(proxy={"max_size": 1000}, resources=[{"path": "big", "kind": "static", "content": "x" * 1001}])
    with front.client() as client:
        answer = client.get("up/big")
        assert (answer.text, answer.payload) == ("5.02", b"the target's answer is larger than max_size")
        answer = client.put("up/new", b"x" * 1001)
        assert (answer.text, answer.uint(coap.SIZE1)) == ("4.13", 1000)


def test_base_path_and_location(pair):
    """What is made below the target's path is told as what it is here."""
    _, front = pair(base="things", dynamic={"enable": True, "prefix": ["things"]})
    with front.client() as client:
        answer = client.post(["up", "list", ""], b"member", content_format=coap.TEXT)
        assert answer.text == "2.01" and answer.location.startswith("up/list/")
        assert client.get(answer.location).payload == b"member"


def test_conditions_are_the_targets(pair):
    _, front = pair()
    with front.client() as client:
        assert client.put("up/x", b"1").text == "2.01"
        etag = client.get("up/x").etag
        assert etag
        assert client.put("up/x", b"2", extra=[(coap.IF_MATCH, b"other")]).text == "4.12"
        assert client.put("up/x", b"2", extra=[(coap.IF_MATCH, etag)]).text == "2.04"
        assert client.put("up/x", b"3", extra=[(coap.IF_NONE_MATCH, b"")]).text == "4.12"
        assert client.get("up/x").payload == b"2"


def test_options_on_their_way(before):
    """RFC 7252, 5.4.2: what is safe goes through; 5.7: Uri-Host is the target's."""
    safe = 65000
    with Target(lambda m: reply(m, "2.05", b"ok", [(safe, b"back")])) as target:
        front = before(target, "base")
        extra = [(coap.URI_HOST, b"front.example"), (safe, b"1"), (coap.NO_RESPONSE, b"")]
        with front.client() as client:
            answer = client.get("up/a//b", query=["q=1", "z"], accept=0, extra=extra)
        assert answer.option(safe) == b"back"
        seen = target.requests[0]
        assert [v.decode() for v in seen.all(coap.URI_PATH)] == ["base", "a", "b"]
        assert seen.all(coap.URI_QUERY) == [b"q=1", b"z"]
        assert seen.all(coap.URI_HOST) == []
        assert seen.option(safe) == b"1"
        assert seen.uint(coap.ACCEPT) == 0 and seen.uint(coap.HOP_LIMIT) == 16
        assert seen.option(coap.NO_RESPONSE) is None


UNSAFE = 65002  # and elective


@pytest.mark.parametrize("method", [coap.GET, coap.PUT])
def test_unknown_option_that_is_unsafe(before, method):
    """RFC 7252, 5.7: whatever it means, a proxy that does not know would do wrong."""
    options = [(UNSAFE, b"?")]
    with Target(lambda m: reply(m, "2.05", b"ok", options)) as target, before(target).client() as client:
        assert client.request(method, "up/x", extra=options).text == "4.02"
        assert target.requests == []
        answer = client.request(method, "up/x")
        assert answer.text == "5.02" and b"option" in answer.payload
        options.clear()
        assert client.request(method, "up/x").payload == b"ok"


class Careful(Target):
    """Wants to see its Echo come back (RFC 9175, 2.3); a new one each time if it is never content."""

    def __init__(self, content=True):
        def answer(m):
            if m.option(coap.ECHO) != self.echo or not content:
                return reply(m, "4.01", options=[(coap.ECHO, self.echo if content else os.urandom(8))])
            block = m.block(coap.BLOCK1)
            observe = [(coap.OBSERVE, b"\5"), (coap.MAX_AGE, b"\1")] if m.observe == 0 else []
            if not block:
                return reply(m, "2.05", b"fresh", observe)
            self.body[block.num] = m.payload
            return reply(m, "2.31" if block.more else "2.04", options=[(coap.BLOCK1, block.encode())])

        self.body, self.echo = {}, b"echo"
        super().__init__(answer)


def test_target_that_wants_its_echo(before):
    with Careful() as target, before(target).client() as client:
        assert client.get("up/x").payload == b"fresh"
        assert client.put("up/x", b"new").payload == b"fresh"
        watch = client.observe("up/y")
        assert (watch.first.payload, watch.number is not None) == (b"fresh", True)
        assert [m.option(coap.ECHO) for m in target.requests] == [None, b"echo"] * 3
        assert [m.payload for m in target.requests[2:4]] == [b"new"] * 2
        assert client.put_blocks("up/z", BIG[:5000], size=1024).text == "2.04"
        assert b"".join(target.body[i] for i in sorted(target.body)) == BIG[:5000]


def test_target_that_wants_another_echo(before):
    """An observation is renewed with the Echo of before, until that is too old."""
    with Careful() as target, before(target).client() as client:
        assert client.observe("up/x").number is not None
        assert len(target.requests) == 2
        target.echo = b"later"
        target.await_seen(lambda m: m.observe == 0 and m.option(coap.ECHO) == b"later")
        assert [m.option(coap.ECHO) for m in target.requests[:4]] == [None, b"echo", b"echo", b"later"]


def test_target_that_is_never_content(before):
    """It is asked twice, and what it says then is the answer, but for the Echo, which is none of the client's."""
    with Careful(content=False) as target, before(target).client() as client:
        for n in (2, 4):
            answer = client.get("up/x")
            assert (answer.text, answer.option(coap.ECHO)) == ("4.01", None)
            assert len(target.requests) == n


@pytest.mark.parametrize("given", [255, 3, 2])
@pytest.mark.parametrize("observe", [None, 0])
def test_hop_limit_is_counted_once(coapd, given, observe):
    """RFC 8768, 3: a proxy takes one off, whether the answer is waited for or not."""
    def answer(m):
        return reply(m, "2.05", b"x", [] if m.observe is None else [(coap.OBSERVE, b"\1")])

    with Target(answer) as target:
        front = coapd(resources=[{"path": "up", "kind": "proxy", "target": f"coap://127.0.0.1:{target.port}"}])
        with front.client() as client:
            limit = [(coap.HOP_LIMIT, coap.uint(given))]
            assert client.get("up/a", observe=observe, extra=limit, timeout=20 * SLOW).text == "2.05"
            assert client.post("up/a", b"body", extra=limit, timeout=20 * SLOW).text == "2.05"
            assert client.get("up/a", extra=[(coap.HOP_LIMIT, coap.uint(1))]).text == "5.08"
        assert [m.uint(coap.HOP_LIMIT) for m in target.requests] == [given - 1] * 2


def test_name_of_the_target(coapd):
    """It is looked up, and the target sees by which name."""
    origin = coapd()
    front = coapd(resources=[{"path": "up", "kind": "proxy", "target": f"coap://localhost:{origin.port}"}])
    with front.client() as client:
        assert client.get("up/time", timeout=20 * SLOW).text == "2.05"


def test_unknown_name(coapd):
    front = coapd(resources=[{"path": "up", "kind": "proxy", "target": "coap://nobody.invalid", "timeout": 20}])
    with front.client() as client:
        assert client.get("up/time", timeout=60).text in ("5.02", "5.04")
        front.alive()


def test_errors_with_a_body(before):
    def answer(m):
        return reply(m, "4.22", b"\xa1\x21\x61x", [(coap.CONTENT_FORMAT, coap.uint(coap.PROBLEM_DETAILS))])

    with Target(answer) as target, before(target).client() as client:
        for method in (coap.GET, coap.POST):
            got = client.request(method, "up/x")
            assert (got.text, got.payload, got.content_format) == ("4.22", b"\xa1\x21\x61x", coap.PROBLEM_DETAILS)


def test_access_rules_are_asked_here(coapd):
    with Target(lambda m: reply(m, "2.05", b"ok")) as target:
        front = coapd(
            resources=[{"path": "up", "kind": "proxy", "target": f"coap://127.0.0.1:{target.port}"}],
            access=[{"path": "/up/open", "methods": ["GET"], "allow": ["anyone"]}],
        )
        with front.client() as client:
            assert client.get("up/open").text == "2.05"
            assert client.put("up/open", b"x").text in ("4.01", "4.03")
            assert client.get("up/closed").text in ("4.01", "4.03")
        assert len(target.requests) == 1


def test_no_way_out_of_the_targets_path(before):
    """Dots are no Uri-Path (RFC 7252, 5.10.1); a target may take them for a way up, past its path and the rules."""
    with Target(lambda m: reply(m, "2.05", b"ok")) as target, before(target, "base").client() as client:
        for path in (["up", ".."], ["up", "..", "secret"], ["up", "a", "..", "..", "secret"], ["up", ".", "a"], ["up", "a", "."]):
            for method in (coap.GET, coap.PUT):
                assert client.request(method, path).text == "4.02"
            assert client.request(coap.GET, path, observe=0).text == "4.02"
        assert not target.requests
        for path in (["up", "..."], ["up", "a..", ".b"], ["up", "%2e%2e"]):
            assert client.request(coap.GET, path).text == "2.05"
            assert target.requests[-1].all(coap.URI_PATH) == [b"base", *(s.encode() for s in path[1:])]


# --- targets that are not as they should be ---


def test_nobody_there(coapd):
    front = coapd(resources=[{"path": "up", "kind": "proxy", "target": f"coap://127.0.0.1:{free_port()}"}])
    with front.client() as client:
        for method in (coap.GET, coap.PUT):
            answer = client.request(method, "up/x", timeout=20 * SLOW)
            assert (answer.text, answer.payload) == ("5.02", b"the target cannot be reached")


@pytest.mark.parametrize("scheme", ["coap+tcp", "coaps", "coaps+tcp"])
def test_nobody_there_either(coapd, scheme):
    keys = {"identity": "gateway", "key": KEY} if "coaps" in scheme else {}
    target = f"{scheme}://127.0.0.1:{free_port()}"
    front = coapd(resources=[{"path": "up", "kind": "proxy", "target": target, "timeout": 5, **keys}])
    with front.client() as client:
        assert client.get("up/x", timeout=20 * SLOW).text in ("5.02", "5.04")


def test_silence(before):
    with Target(lambda m: None) as target, before(target, timeout=1).client() as client:
        answer = client.get("up/x", timeout=20 * SLOW)
        assert (answer.text, answer.payload) == ("5.04", b"the target does not answer")


def test_rejection(before):
    def reset(m):
        return coap.Message(0, type=coap.RST, mid=m.mid)

    with Target(reset) as target, before(target).client() as client:
        answer = client.get("up/x", timeout=20 * SLOW)
        assert (answer.text, answer.payload) == ("5.02", b"the target rejected the request")


def test_slow_target(before):
    """Its acknowledgement, ours, and the two answers."""
    with Target(lambda m: coap.Message(0, type=coap.ACK, mid=m.mid)) as target, before(target).client() as client:
        client.send(coap.Message(coap.GET, mid=7, token=b"t", options=coap.request_options("up/x")))
        empty = client.receive(10 * SLOW, lambda m: m.mid == 7)
        assert (empty.type, empty.code, empty.token) == (coap.ACK, 0, b"")
        asked = target.await_seen(lambda m: m.code == coap.GET)
        target.send(coap.Message(coap.code("2.05"), token=asked.token, payload=b"late"))
        answer = client.receive(10 * SLOW, lambda m: m.token == b"t")
        assert (answer.type, answer.text, answer.payload) == (coap.CON, "2.05", b"late")
        target.await_seen(lambda m: m.type == coap.ACK)


@pytest.mark.parametrize("scheme", ["coap+tcp", "coaps", "coaps+tcp"])
def test_client_waits_over(coapd, scheme):
    """The answer comes long after the request, by a client's own reckoning, over a stream and over DTLS."""
    with Target(lambda m: coap.Message(0, type=coap.ACK, mid=m.mid)) as target:
        front = coapd(
            endpoints=[f"{scheme}://127.0.0.1:{{port}}"],
            resources=[{"path": "up", "kind": "proxy", "target": f"coap://127.0.0.1:{target.port}"}],
            security={"psk": {"identities": [{"identity": "client", "key": KEY}]}},
        )
        keys = ["-u", "client", "-k", KEY] if "coaps" in scheme else []
        command = ["coap-client-gnutls", "-B", str(30 * SLOW), *keys, front.uri("up/x", scheme=scheme)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as client:
            asked = target.await_seen(lambda m: m.code == coap.GET, 20 * SLOW)
            target.send(coap.Message(coap.code("2.05"), token=asked.token, payload=b"late"))
            assert client.communicate(timeout=40 * SLOW)[0] == "late\n"


def test_loop(coapd):
    """RFC 8768: each turn counts one down, until somebody says 5.08."""
    front = coapd(start=False)
    front.write_config(resources=[{"path": "up", "kind": "proxy", "target": front.uri("up"), "parallel": 255, "timeout": 5}])
    front.start()
    with front.client() as client:
        assert client.get("up/x", timeout=30 * SLOW).text == "5.08"
        assert client.put("up/x", b"", timeout=30 * SLOW).text == "5.08"


def test_target_restarts(pair):
    origin, front = pair("coap+tcp", proxy={"timeout": 5})
    with front.client() as client:
        assert client.put("up/x", b"1").text == "2.01"
        origin.restart("kill")
        assert client.get("up/x", timeout=20 * SLOW).text in ("2.05", "5.02")
        answer = client.get("up/x", timeout=20 * SLOW)
        assert (answer.text, answer.payload) == ("2.05", b"1")


# --- the cache ---


def test_fresh_answers_are_kept(before):
    with Target(lambda m: reply(m, "2.05", b"x", [(coap.MAX_AGE, coap.uint(1000))])) as target:
        with before(target).client() as client:
            first = client.get("up/x")
            second = client.get("up/x")
            assert (first.payload, second.payload) == (b"x", b"x")
            assert 900 < second.max_age <= first.max_age <= 1000
            assert len(target.requests) == 1
            client.get("up/x", query="another")
            client.get("up/x", accept=0)
            assert len(target.requests) == 3
            assert client.put("up/x", b"new").text == "2.05"  # as this target answers all
            client.get("up/x")
            assert len(target.requests) == 5


def test_stale_answers_are_validated(before):
    def answer(m):
        if m.option(coap.ETAG) == b"tag":
            return reply(m, "2.03", options=[(coap.ETAG, b"tag"), (coap.MAX_AGE, coap.uint(1000))])
        return reply(m, "2.05", b"x" * 100, [(coap.ETAG, b"tag"), (coap.MAX_AGE, b"")])

    with Target(answer) as target, before(target).client() as client:
        for _ in range(3):
            got = client.get("up/x")
            assert (got.text, got.payload, got.etag) == ("2.05", b"x" * 100, b"tag")
        assert [m.option(coap.ETAG) for m in target.requests] == [None, b"tag"]
        assert client.get("up/x", extra=[(coap.ETAG, b"tag")]).text == "2.03"


def test_one_question_for_all_who_wait(before):
    with Target(lambda m: coap.Message(0, type=coap.ACK, mid=m.mid)) as target:
        front = before(target)
        clients = [front.client() for _ in range(5)]
        for client in clients:
            client.send(coap.Message(coap.GET, mid=7, token=b"t", options=coap.request_options("up/x")))
        for client in clients:
            client.receive(10 * SLOW, lambda m: m.type == coap.ACK)
        asked = target.await_seen(lambda m: m.code == coap.GET)
        target.send(coap.Message(coap.code("2.05"), token=asked.token, payload=b"all"))
        for client in clients:
            assert client.receive(10 * SLOW, lambda m: m.token == b"t").payload == b"all"
            client.close()
        assert len(target.requests) == 1


class Slow(Target):
    """Answers when it is told to."""

    def __init__(self):
        super().__init__(lambda m: coap.Message(0, type=coap.ACK, mid=m.mid))

    def answer_to(self, request, payload, *options):
        self.send(coap.Message(coap.code("2.05"), mid=request.mid, token=request.token, payload=payload,
                               options=list(options)))


def ask(client, token, **options):
    client.send(coap.Message(coap.GET, mid=client.next_mid(), token=token,
                             options=coap.request_options("up/x", **options)))
    client.receive(10 * SLOW, lambda m: m.type == coap.ACK and m.code == 0)


def test_observer_behind_one_who_waits(before):
    """What is asked already does not observe, so it is asked again, and both have the answer to that."""
    with Slow() as target, before(target).client() as client:
        ask(client, b"get")
        target.await_seen(lambda m: m.code == coap.GET)
        ask(client, b"watch", observe=0)
        asked = target.await_seen(lambda m: m.code == coap.GET and m.observe == 0)
        target.answer_to(asked, b"both", (coap.OBSERVE, b"\5"), (coap.MAX_AGE, coap.uint(1000)))
        first = client.receive(10 * SLOW, lambda m: m.token == b"watch")
        assert (first.payload, first.observe is not None) == (b"both", True)
        assert client.receive(10 * SLOW, lambda m: m.token == b"get").payload == b"both"


def test_what_is_stale_is_not_told_while_an_observer_waits(before):
    with Slow() as target, before(target).client() as client:
        ask(client, b"old")
        target.answer_to(target.await_seen(lambda m: m.code == coap.GET), b"old", (coap.MAX_AGE, b""))
        assert client.receive(10 * SLOW, lambda m: m.token == b"old").payload == b"old"
        ask(client, b"watch", observe=0)
        asked = target.await_seen(lambda m: m.code == coap.GET and m.observe == 0)
        ask(client, b"get")
        target.answer_to(asked, b"new", (coap.OBSERVE, b"\5"), (coap.MAX_AGE, coap.uint(1000)))
        assert client.receive(10 * SLOW, lambda m: m.token == b"get").payload == b"new"
        assert client.receive(10 * SLOW, lambda m: m.token == b"watch").payload == b"new"


def test_no_cache(before):
    with Target(lambda m: reply(m, "2.05", b"x")) as target, before(target, cache_entries=0).client() as client:
        client.get("up/x")
        client.get("up/x")
        assert len(target.requests) == 2


def test_cache_is_bounded(before):
    with Target(lambda m: reply(m, "2.05", b"x" * 500)) as target:
        with before(target, cache_entries=2).client() as client:
            for name in ("a", "b", "c", "a"):
                client.get(f"up/{name}")
            assert len(target.requests) == 4
            client.get("up/c")
            assert len(target.requests) == 4


# --- observations ---


class Observed(Target):
    """A target with one resource that can be observed."""

    def __init__(self, max_age=1000):
        self.value, self.number, self.max_age = b"0", 5, max_age
        self.token = None
        self.observable = True
        super().__init__(self._answer)

    def _options(self):
        return [(coap.OBSERVE, coap.uint(self.number)), (coap.MAX_AGE, coap.uint(self.max_age))]

    def _answer(self, m):
        if m.observe == 0 and self.observable:
            self.token = m.token
            return reply(m, "2.05", self.value, self._options())
        return reply(m, "2.05", self.value, [(coap.MAX_AGE, coap.uint(self.max_age))])

    def change(self, value):
        self.value = value
        self.number += 1
        message = coap.Message(coap.code("2.05"), token=self.token, options=self._options(), payload=value)
        self.send(message)
        return message

    def registrations(self):
        return [m for m in self.requests if m.observe == 0]


def test_one_observation_for_all(before):
    """Its notifications are confirmable: one that is lost on a busy machine comes again."""
    with Observed() as target:
        front = before(target, confirmable=True)
        with front.client() as one, front.client() as two:
            first, second = one.observe("up/x"), two.observe("up/x")
            assert first.first.payload == second.first.payload == b"0"
            assert first.number is not None and second.number is not None
            for value in (b"1", b"2"):
                target.change(value)
                assert first.fresh(10 * SLOW).payload == value
                assert second.fresh(10 * SLOW).payload == value
            assert one.get("up/x").payload == b"2"
            assert len(target.requests) == 1
            first.cancel()
            second.cancel()
            target.await_seen(lambda m: m.observe == 1 and m.token == target.token, 60)


def test_notification_of_nothing_new(before):
    """Who observes here is told of changes."""
    with Observed() as target, before(target).client() as client:
        observation = client.observe("up/x")
        same = target.change(b"0")
        target.await_seen(lambda m: m.type == coap.ACK and m.mid == same.mid)
        target.change(b"1")
        assert observation.next(10 * SLOW).payload == b"1"


def test_target_that_can_not_be_observed(before):
    with Observed() as target:
        target.observable = False
        with before(target).client() as client:
            assert client.observe("up/x").number is None


def test_observation_is_renewed(before):
    """The target forgets it, and what came last gets old."""
    with Observed(max_age=1) as target:
        front = before(target)
        with front.client() as client:
            observation = client.observe("up/x")
            token = target.token
            target.value = b"changed without a word"
            while (answer := observation.fresh(20 * SLOW)).payload == b"0":
                pass
            assert answer.payload == target.value
            assert {m.token for m in target.registrations()} == {token}


def test_older_notification_is_dropped(before):
    with Observed() as target, before(target).client() as client:
        observation = client.observe("up/x")
        target.number = 100
        target.change(b"new")
        assert observation.fresh(10 * SLOW).payload == b"new"
        target.number = 50
        old = target.change(b"old")
        target.await_seen(lambda m: m.type == coap.ACK and m.mid == old.mid)
        assert client.get("up/x").payload == b"new"
        target.number = 101
        target.change(b"newest")
        assert observation.fresh(10 * SLOW).payload == b"newest"


def test_observation_of_a_big_body(pair):
    origin, front = pair(dynamic={"enable": True, "prefix": [""], "max_size": 100000})
    with origin.client() as there, front.client() as here:
        assert there.put_blocks("big", BIG, size=1024).text == "2.01"
        observation = here.observe("up/big", timeout=20 * SLOW)
        assert observation.first.payload == BIG[:1024]
        changed = BIG[::-1]
        assert there.put_blocks("big", changed, size=1024).text == "2.04"
        assert observation.fresh(20 * SLOW).payload == changed[:1024]
        assert here.get_blocks("up/big", size=1024).payload == changed


def test_observed_target_goes(before):
    with Observed(max_age=1) as target:
        front = before(target, timeout=1)
        client = front.client()
        observation = client.observe("up/x")
        assert observation.number is not None
    while (answer := observation.next(60 * SLOW)).text == "2.05":
        pass
    assert answer.text in ("5.02", "5.04") and answer.observe is None
    client.close()


def test_observation_survives_a_restart_of_the_target(pair):
    origin, front = pair(resources=[])
    with origin.client() as there, front.client() as here:
        there.put("x", b"1")
        observation = here.observe("up/x")
        origin.restart()
        there.put("x", b"2")
        while (answer := observation.fresh(20 * SLOW)).payload != b"2":
            pass
        assert answer.text == "2.05"


# --- reload ---


def test_reload_keeps_observations_and_answers(before):
    with Observed() as target:
        front = before(target)
        with front.client() as client:
            observation = client.observe("up/x")
            front.groups["resources"][0]["timeout"] = 7
            front.write_config()
            front.reload()
            target.change(b"after")
            assert observation.fresh(10 * SLOW).payload == b"after"
            assert client.get("up/x").payload == b"after"
            assert len(target.requests) == 1


def test_reload_to_another_target(before):
    with Observed() as target, Target(lambda m: reply(m, "2.05", b"other")) as other:
        front = before(target)
        with front.client() as client:
            observation = client.observe("up/x")
            front.groups["resources"][0]["target"] = f"coap://127.0.0.1:{other.port}"
            front.write_config()
            front.reload()
            ended = observation.next(10 * SLOW)
            assert (ended.text, ended.observe) == ("5.03", None)
            assert client.get("up/x").payload == b"other"


def test_reload_while_somebody_waits(before):
    with Target(lambda m: coap.Message(0, type=coap.ACK, mid=m.mid)) as target:
        front = before(target)
        with front.client() as client:
            for token, method in ((b"1", coap.GET), (b"2", coap.PUT)):
                client.send(coap.Message(method, token=token, options=coap.request_options("up/x")))
                target.await_seen(lambda m, method=method: m.code == method)
            front.groups["resources"] = []
            front.write_config()
            front.reload()
            answers = {client.receive(10 * SLOW, lambda m, t=token: m.token == t).text for token in (b"1", b"2")}
            assert answers == {"5.03"}


def test_stop_while_somebody_waits(before):
    with Target(lambda m: coap.Message(0, type=coap.ACK, mid=m.mid)) as target:
        front = before(target)
        with front.client() as client:
            client.send(coap.Message(coap.GET, token=b"1", options=coap.request_options("up/x", observe=0)))
            client.send(coap.Message(coap.PUT, token=b"2", options=coap.request_options("up/x")))
            target.await_seen(lambda m: m.code == coap.PUT)
            front.stop()


@pytest.mark.parametrize("path", ["up/x", "up"])
def test_restart_keeps_observations(before, path):
    with Observed() as target:
        front = before(target)
        with front.client() as client:
            one, other = client.observe(path), client.observe(path, query="q")
            assert one.number is not None and other.number is not None
            before_restart = len(target.registrations())
            front.restart("kill")
            target.await_seen(lambda m: len(target.registrations()) >= before_restart + 2)
            assert (one.fresh(20 * SLOW).text, other.fresh(20 * SLOW).text) == ("2.05", "2.05")
            target.change(b"after")  # to the one that registered last
            assert client.receive(20 * SLOW, lambda m: m.payload == b"after").text == "2.05"


# --- the others ---


def test_coap_server_as_target(coapd):
    port = free_port()
    server = subprocess.Popen(["coap-server-gnutls", "-A", "127.0.0.1", "-p", str(port), "-d", "10"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        front = coapd(resources=[{"path": "up", "kind": "proxy", "target": f"coap://127.0.0.1:{port}"}])
        with front.client() as client:
            while client.get("up/time", timeout=20 * SLOW).text != "2.05":
                pass
            assert client.put("up/example_data", BIG[:500]).text in ("2.04", "2.01")
            assert client.get("up/example_data").payload == BIG[:500]
        with CoapClient(front.uri("up/time")) as observer:
            lines = {observer.line() for _ in range(3)}
            assert len(lines) > 1
        assert "5.04" not in coap_client(front.uri("up/async?1"), wait=20 * SLOW).stdout
    finally:
        server.kill()
        server.wait()


AIOCOAP_SERVER = textwrap.dedent("""
    import asyncio, sys, aiocoap, aiocoap.resource as resource

    class Store(resource.ObservableResource):
        content = b"x" * 5000
        async def render_get(self, request):
            return aiocoap.Message(payload=self.content)
        async def render_put(self, request):
            Store.content = request.payload
            self.updated_state()
            return aiocoap.Message(code=aiocoap.CHANGED)

    async def main():
        site = resource.Site()
        site.add_resource(["store"], Store())
        await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", int(sys.argv[1])))
        print("ready", flush=True)
        await asyncio.get_running_loop().create_future()

    asyncio.run(main())
""")


def test_aiocoap_as_target(coapd):
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", AIOCOAP_SERVER, str(port)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline() == "ready\n"
        front = coapd(resources=[{"path": "up", "kind": "proxy", "target": f"coap://127.0.0.1:{port}"}])
        with front.client() as client:
            assert client.get_blocks("up/store", size=256, timeout=20 * SLOW).payload == b"x" * 5000
            assert client.put_blocks("up/store", BIG[:3000], size=1024, timeout=20 * SLOW).text == "2.04"
            assert client.get_blocks("up/store", size=1024, timeout=20 * SLOW).payload == BIG[:3000]
            # aiocoap sends the content of an observed resource in one piece, too large for a datagram of libcoap's.
            assert client.put("up/store", b"small", timeout=20 * SLOW).text == "2.04"
            observation = client.observe("up/store", timeout=20 * SLOW)
            assert client.put("up/store", b"other", timeout=20 * SLOW).text == "2.04"
            assert observation.fresh(20 * SLOW).payload == b"other"
    finally:
        server.kill()
        server.communicate()
