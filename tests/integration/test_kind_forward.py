# SPDX-License-Identifier: BSD-2-Clause
"""`proxy` with targets: a forward proxy for Proxy-Uri and Proxy-Scheme (RFC 7252, 5.7.2 and 5.10.2)."""

import asyncio
import os
import subprocess

import aiocoap
import coap
import pytest
from clients import coap_client
from coap_stream import StreamClient
from coap_target import Target, reply
from daemon import SLOW, free_port
from test_kind_proxy import KEY, Observed

BIG = os.urandom(30000)


@pytest.fixture
def forward(coapd):
    """forward(target URIs) is a forward proxy for them."""

    def make(*targets, front=None, **more):
        return coapd(resources=[{"path": "forward", "kind": "proxy", "targets": list(targets), **more}],
                     **(front or {}))

    return make


def by_uri(uri):
    return {"extra": [(coap.PROXY_URI, uri.encode())]}


def by_scheme(host, port, scheme="coap"):
    return {"extra": [(coap.PROXY_SCHEME, scheme.encode()), (coap.URI_HOST, host.encode()),
                      (coap.URI_PORT, coap.uint(port))]}


def use(client, uri, patience=10 * SLOW):
    assert client.put("", b"one", timeout=patience, **by_uri(uri)).text == "2.01"
    answer = client.get("", timeout=patience, **by_uri(uri))
    assert (answer.text, answer.payload) == ("2.05", b"one")
    assert client.put("", b"two", timeout=patience, **by_uri(uri)).text == "2.04"
    assert client.get("", timeout=patience, **by_uri(uri)).payload == b"two"
    assert client.delete("", timeout=patience, **by_uri(uri)).text == "2.02"
    assert client.get("", timeout=patience, **by_uri(uri)).text == "4.04"


# --- requests ---


def test_proxy_uri(coapd, forward):
    origin = coapd()
    with forward(origin.uri()).client() as client:
        use(client, origin.uri("a/b"))


def test_proxy_scheme(coapd, forward):
    origin = coapd()
    with forward(origin.uri()).client() as client:
        there = by_scheme("127.0.0.1", origin.port)
        assert client.put("a/b", b"one", **there).text == "2.01"
        assert client.get("a/b", **there).payload == b"one"
        assert client.get("", **by_uri(origin.uri("a/b"))).payload == b"one"


@pytest.mark.parametrize("scheme", ["coap+tcp", "coaps", "coaps+tcp"])
def test_transports(coapd, forward, scheme):
    keys = {"identity": "gateway", "key": KEY} if "coaps" in scheme else {}
    security = {"psk": {"identities": [{"identity": "gateway", "key": KEY}]}}
    origin = coapd(endpoints=[f"{scheme}://127.0.0.1:{{port}}"], security=security)
    with forward(origin.uri(scheme=scheme), **keys).client() as client:
        use(client, origin.uri("x", scheme=scheme))


def test_client_over_a_stream(coapd, forward):
    origin = coapd()
    front = forward(origin.uri(), front={"endpoints": ["coap+tcp://127.0.0.1:{port}", "coap://127.0.0.1:{port}"]})
    with StreamClient(front.port) as client:
        there = by_uri(origin.uri("x"))
        assert client.request(coap.PUT, "", payload=b"one", **there).text == "2.01"
        answer = client.request(coap.GET, "", observe=0, **there)
        assert (answer.text, answer.payload) == ("2.05", b"one") and answer.observe is not None
        assert client.request(coap.PUT, "", payload=b"two", **there).text == "2.04"
        assert client.receive(10 * SLOW, lambda m: m.token == answer.token).payload == b"two"


def test_body_in_blocks(coapd, forward):
    origin = coapd()
    with forward(origin.uri()).client() as client:
        there = by_uri(origin.uri("big"))
        assert client.put_blocks("", BIG, size=1024, timeout=10 * SLOW, **there).text == "2.01"
        assert client.get_blocks("", size=512, timeout=10 * SLOW, **there).payload == BIG


def test_what_the_target_sees(forward):
    """RFC 7252, 5.7.2: the path and the query of the URI, and its name where it has one."""
    with Target(lambda m: reply(m, "2.01", b"", [(coap.LOCATION_PATH, b"a"), (coap.LOCATION_PATH, b"1")])) as target:
        front = forward(f"coap://LOCALHOST:{target.port}")
        with front.client() as client:
            uri = f"coap://localhost:{target.port}/a/b%2Fc/./d?q=1&z=%26"
            answer = client.post("ignored", b"x", timeout=20 * SLOW, **by_uri(uri))
            assert (answer.text, answer.location) == ("2.01", "a/1")
        seen = target.requests[0]
        assert seen.all(coap.URI_PATH) == [b"a", b"b/c", b"d"]
        assert seen.all(coap.URI_QUERY) == [b"q=1", b"z=&"]
        assert seen.all(coap.URI_HOST) == [b"localhost"]
        assert seen.uint(coap.HOP_LIMIT) == 16
        assert seen.all(coap.PROXY_URI) == [] and seen.payload == b"x"


def test_several_targets(forward):
    """What one answers is not given for the other."""
    def ask(target):
        return by_uri(f"coap://127.0.0.1:{target.port}/x")

    with Target(lambda m: reply(m, "2.05", b"1")) as one, Target(lambda m: reply(m, "2.05", b"2")) as two:
        with forward(*(f"coap://127.0.0.1:{t.port}" for t in (one, two))).client() as client:
            for _ in range(2):
                assert client.get("", **ask(one)).payload == b"1"
                assert client.get("", **ask(two)).payload == b"2"
        assert len(one.requests) == len(two.requests) == 1


def test_several_resources(coapd):
    """Each is asked for the targets that it names, the first where both do, and none for others."""
    with Target(lambda m: reply(m, "2.05", b"1")) as one, Target(lambda m: reply(m, "2.05", b"2")) as two:
        def uri(target):
            return f"coap://127.0.0.1:{target.port}"

        def resource(path, *targets):
            return {"path": path, "kind": "proxy", "targets": list(targets)}

        front = coapd(resources=[resource("a", uri(one) + "/sensors", uri(two) + "/both"), resource("b", uri(two))])
        with front.client() as client:
            def get(target, path):
                return client.get("", timeout=20 * SLOW, **by_uri(f"{uri(target)}/{path}"))

            assert get(one, "sensors/1").payload == b"1"
            assert get(two, "x").payload == b"2"
            assert client.get("y", **by_scheme("127.0.0.1", two.port)).payload == b"2"
            assert get(two, "both").payload == b"2"
            assert get(one, "x").text == "5.05"
            # What one has is there by its path, too: so it is told who was asked.
            before = len(two.requests)
            assert client.get(f"b/coap/127.0.0.1:{two.port}/x").payload == b"2"
            assert client.get(f"a/coap/127.0.0.1:{two.port}/both").payload == b"2"
            assert len(two.requests) == before
            front.write_config(resources=[resource("b", uri(two)), resource("c", uri(one))])
            front.reload()
            assert get(one, "x").payload == b"1"


def test_observe_at_the_second_resource(coapd):
    origin = coapd()
    front = coapd(resources=[{"path": path, "kind": "proxy", "targets": [uri]}
                             for path, uri in (("a", f"coap://127.0.0.1:{free_port()}"), ("b", origin.uri()))])
    with front.client() as client:
        there = by_uri(origin.uri("x"))
        assert client.put("", b"1", timeout=20 * SLOW, **there).text == "2.01"
        observation = client.observe("", timeout=20 * SLOW, **there)
        assert client.put("", b"2", timeout=20 * SLOW, **there).text == "2.04"
        assert observation.fresh(20 * SLOW).payload == b"2"


# --- what is refused ---


def test_targets_that_are_not_named(forward):
    with Target(lambda m: reply(m, "2.05", b"x")) as target, Target(lambda m: reply(m, "2.05", b"x")) as other:
        allowed = f"coap://127.0.0.1:{target.port}/sensors"
        with forward(allowed).client() as client:
            assert client.get("", **by_uri(f"{allowed}/1")).text == "2.05"
            for uri in (f"coap://127.0.0.1:{other.port}/sensors/1", f"coap://127.0.0.1:{target.port}/",
                        f"{allowed}2", f"coap://localhost:{target.port}/sensors",
                        f"coap+tcp://127.0.0.1:{target.port}/sensors", "http://127.0.0.1/sensors"):
                answer = client.get("", **by_uri(uri))
                assert (uri, answer.text) == (uri, "5.05")
            assert client.get("sensors", **by_scheme("127.0.0.1", other.port)).text == "5.05"
            for path in ("/../secret", "/%2e%2E/secret", "/..", "/a/.%2e?q"):
                assert client.get("", **by_uri(allowed + path)).text == "4.02"
            assert client.get(["sensors", "..", "x"], **by_scheme("127.0.0.1", target.port)).text == "5.05"
            assert client.get(f"forward/coap/127.0.0.1:{target.port}/sensors/../x").text == "5.05"
            assert client.get("forward/coap/127.0.0.1:1/sensors").text == "5.05"
        assert len(target.requests) == 1 and other.requests == []


def test_malformed(coapd, forward):
    origin = coapd()
    with forward(origin.uri()).client() as client:
        host = [(coap.URI_HOST, b"127.0.0.1"), (coap.URI_PORT, coap.uint(origin.port))]
        assert client.get("time", extra=[(coap.PROXY_SCHEME, b"coap"), (coap.URI_HOST, b"a/b")]).text == "4.02"
        assert client.get("time", extra=[(coap.PROXY_SCHEME, b"coap")]).text == "4.02"  # libcoap's
        assert client.get("", **by_uri(origin.uri("a%zz"))).text == "4.02"
        assert client.get("", **by_uri("no uri")).text == "5.05"  # libcoap's
        assert client.get("time", extra=[(coap.PROXY_SCHEME, b"coap"), *host]).text == "2.05"


def test_access_rules(forward):
    with Target(lambda m: reply(m, "2.05", b"x")) as target:
        path = f"/forward/coap/127.0.0.1:{target.port}/open/**"
        rules = [{"path": path, "methods": ["GET"], "allow": ["anyone"]}]
        with forward(f"coap://127.0.0.1:{target.port}", front={"access": rules}).client() as client:
            assert client.get("", **by_uri(f"coap://127.0.0.1:{target.port}/open/1")).text == "2.05"
            assert client.get("", **by_uri(f"coap://127.0.0.1:{target.port}/other")).text in ("4.01", "4.03")
            assert client.put("", b"1", **by_uri(f"coap://127.0.0.1:{target.port}/open/1")).text in ("4.01", "4.03")
        assert len(target.requests) == 1


def test_nobody_there(forward):
    uri = f"coap://127.0.0.1:{free_port()}"
    with forward(uri).client() as client:
        for method in (coap.GET, coap.PUT):
            assert client.request(method, "", timeout=20 * SLOW, **by_uri(uri)).text == "5.02"


def test_loop(coapd):
    """RFC 8768: it asks itself for a path that goes back to it."""
    front = coapd(start=False)
    front.write_config(resources=[
        {"path": "forward", "kind": "proxy", "targets": [front.uri()], "parallel": 255, "timeout": 5},
        {"path": "up", "kind": "proxy", "target": front.uri("up"), "parallel": 255, "timeout": 5}])
    front.start()
    with front.client() as client:
        assert client.get("", timeout=30 * SLOW, **by_uri(front.uri("up/x"))).text == "5.08"


# --- observations ---


def test_observation(forward):
    with Observed() as target:
        uri = f"coap://127.0.0.1:{target.port}"
        with forward(uri, confirmable=True).client() as one:
            first = one.observe("", timeout=10 * SLOW, **by_uri(f"{uri}/x"))
            assert first.number is not None and first.first.payload == b"0"
            target.change(b"1")
            assert first.fresh(10 * SLOW).payload == b"1"
            first.cancel()
            target.await_seen(lambda m: m.observe == 1 and m.token == target.token, 60)


def test_one_observation_for_all(forward):
    """The second has its first answer from what the first one got; by Proxy-Scheme, and it is the same."""
    with Observed() as target:
        uri = f"coap://127.0.0.1:{target.port}"
        front = forward(uri, confirmable=True)
        with front.client() as one, front.client() as two:
            first = one.observe("", timeout=10 * SLOW, **by_uri(f"{uri}/x"))
            second = two.observe("x", timeout=10 * SLOW, **by_scheme("127.0.0.1", target.port))
            assert first.number is not None and second.number is not None
            for value in (b"1", b"2"):
                target.change(value)
                assert first.fresh(10 * SLOW).payload == value
                assert second.fresh(10 * SLOW).payload == value
            assert len(target.requests) == 1


def test_restart_keeps_observations(forward):
    with Observed() as target:
        uri = f"coap://127.0.0.1:{target.port}"
        front = forward(uri, confirmable=True)
        with front.client() as client:
            observation = client.observe("", timeout=10 * SLOW, **by_uri(f"{uri}/x"))
            assert observation.number is not None
            front.restart("kill")
            target.await_seen(lambda m: len(target.registrations()) >= 2, 20 * SLOW)
            target.change(b"after")
            assert client.receive(20 * SLOW, lambda m: m.payload == b"after").token == observation.token


# --- reload ---


def test_reload(coapd, forward):
    with Target(lambda m: reply(m, "2.05", b"x")) as target:
        uri = f"coap://127.0.0.1:{target.port}"
        front = coapd(resources=[])
        with front.client() as client:
            assert client.get("", **by_uri(uri)).text == "5.05"
            for resources, text in (
                ([{"path": "forward", "kind": "proxy", "targets": [uri]}], "2.05"),
                ([{"path": "forward", "kind": "proxy", "targets": ["coap://127.0.0.1:9"]}], "5.05"),
                ([{"path": "forward", "kind": "proxy", "targets": ["coap://127.0.0.1:9", uri]}], "2.05"),
                ([{"path": "forward", "kind": "proxy", "target": uri}], "5.05"),
                ([], "5.05"),
            ):
                front.write_config(resources=resources)
                front.reload()
                assert client.get("", **by_uri(uri)).text == text


# --- the others ---


def test_coap_client(coapd, forward):
    origin = coapd()
    front = forward(origin.uri())
    proxy = ["-P", front.uri().rstrip("/")]
    assert coap_client(origin.uri("time"), *proxy).stdout.strip()
    coap_client(origin.uri("x"), "-m", "put", "-e", "by libcoap", *proxy)
    assert coap_client(origin.uri("x"), *proxy).stdout.strip() == "by libcoap"


def test_aiocoap(coapd, forward):
    origin = coapd()
    front = forward(origin.uri())

    async def run():
        from aiocoap.proxy.client import ProxyForwarder

        context = await aiocoap.Context.create_client_context()
        proxy = ProxyForwarder(front.uri().rstrip("/"), context)
        put = aiocoap.Message(code=aiocoap.PUT, uri=origin.uri("y"), payload=b"by aiocoap")
        assert (await proxy.request(put).response).code == aiocoap.CREATED
        got = await proxy.request(aiocoap.Message(code=aiocoap.GET, uri=origin.uri("y"))).response
        await context.shutdown()
        return got.payload

    assert asyncio.run(run()) == b"by aiocoap"


def test_coap_server_as_target(forward):
    port = free_port()
    server = subprocess.Popen(["coap-server-gnutls", "-A", "127.0.0.1", "-p", str(port)],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        uri = f"coap://127.0.0.1:{port}"
        with forward(uri).client() as client:
            while client.get("", timeout=20 * SLOW, **by_uri(f"{uri}/time")).text != "2.05":
                pass
            observation = client.observe("", timeout=20 * SLOW, **by_uri(f"{uri}/time"))
            assert observation.fresh(20 * SLOW).payload != observation.first.payload
    finally:
        server.kill()
        server.wait()
