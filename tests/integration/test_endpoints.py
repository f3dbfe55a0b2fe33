# SPDX-License-Identifier: BSD-2-Clause
"""Every scheme over IPv4 and IPv6, multicast, and addresses that cannot be had."""

import contextlib
import re
import socket
import struct

import coap
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import aiocoap_request, coap_client, dtls_psk_exchange, tls_psk_context
from coap_stream import StreamClient, WebSocketClient
from daemon import free_port

PLAIN = ("coap", "coap+tcp", "coap+ws")
SECURE = ("coaps", "coaps+tcp", "coaps+ws")
HOSTS = ("127.0.0.1", "::1")
CLOCK = re.compile(r"\w{3} \d\d \d\d:\d\d:\d\d")


GREETING = {"path": "motd", "kind": "static", "content": "good morning"}


def everywhere(scheme):
    return [f"{scheme}://127.0.0.1:{{port}}", f"{scheme}://[::1]:{{port}}"]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scheme", PLAIN)
def test_plain(coapd, scheme, host):
    daemon = coapd(endpoints=everywhere(scheme))
    result = coap_client(daemon.uri("time", scheme, host))
    assert CLOCK.fullmatch(result.stdout.strip()), result


@pytest.mark.parametrize("scheme", SECURE)
def test_psk(coapd, certificates, scheme):
    daemon = coapd(endpoints=everywhere(scheme), resources=[GREETING], security={"psk": certificates.psk()})
    result = coap_client(*certificates.psk_arguments(), daemon.uri("motd", scheme))
    assert result.stdout == "good morning\n", result
    wrong = coap_client("-u", PSK_IDENTITY, "-k", "a wrong key", daemon.uri("motd", scheme), wait=2)
    assert "good morning" not in wrong.stdout, wrong


def test_psk_dtls_ipv6(coapd, certificates):
    daemon = coapd(endpoints=everywhere("coaps"), resources=[GREETING], security={"psk": certificates.psk()})
    request = coap.Message(coap.GET, token=b"t", options=coap.request_options("motd")).encode()
    answer = dtls_psk_exchange("::1", daemon.port, PSK_IDENTITY, PSK_KEY, request)
    assert coap.Message.decode(answer).payload == b"good morning"


@pytest.mark.parametrize("scheme, client", [("coaps+tcp", StreamClient), ("coaps+ws", WebSocketClient)])
def test_psk_streams_ipv6(coapd, certificates, scheme, client):
    daemon = coapd(endpoints=everywhere(scheme), resources=[GREETING], security={"psk": certificates.psk()})
    with client(daemon.port, "::1", tls=tls_psk_context(PSK_IDENTITY, PSK_KEY)) as one:
        assert one.get("motd").payload == b"good morning"


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scheme", SECURE)
def test_certificate(coapd, certificates, scheme, host):
    daemon = coapd(
        endpoints=everywhere(scheme),
        resources=[GREETING],
        security={"pki": certificates.pki(require_client_certificate=True)},
    )
    result = coap_client(*certificates.pki_arguments(), daemon.uri("motd", scheme, host))
    assert result.stdout == "good morning\n", result
    stranger = coap_client(*certificates.pki_arguments("other-client"), daemon.uri("motd", scheme, host), wait=2)
    assert "good morning" not in stranger.stdout, stranger


@pytest.mark.parametrize("scheme", PLAIN)
def test_aiocoap(coapd, scheme):
    daemon = coapd(endpoints=everywhere(scheme))
    for host in HOSTS:
        response = aiocoap_request(daemon.uri("time", scheme, host))
        assert CLOCK.fullmatch(response.payload.decode())


def test_all_at_once(coapd, certificates):
    """One daemon with every scheme; UDP and TCP share a port number."""
    ports = {scheme: free_port() for scheme in PLAIN + SECURE}
    ports["coap+tcp"] = ports["coap"]
    daemon = coapd(
        endpoints=[f"{scheme}://127.0.0.1:{port}" for scheme, port in ports.items()],
        security={"psk": certificates.psk()},
    )
    for scheme, port in ports.items():
        result = coap_client(*certificates.psk_arguments(), daemon.uri("time", scheme, port=port))
        assert CLOCK.fullmatch(result.stdout.strip()), (scheme, result)


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp", "coap+ws"])
def test_wildcard(coapd, scheme):
    """[::] takes IPv4 as well."""
    daemon = coapd(endpoints=[f"{scheme}://[::]:{{port}}"])
    for host in HOSTS:
        assert CLOCK.fullmatch(coap_client(daemon.uri("time", scheme, host)).stdout.strip())


def test_two_wildcards(coapd):
    """0.0.0.0 and [::] on one port do not get in each other's way."""
    daemon = coapd(endpoints=["coap://0.0.0.0:{port}", "coap://[::]:{port}"])
    for host in HOSTS:
        with daemon.client(host) as client:
            assert client.get("time").text == "2.05"


def test_streams_on_the_wire(coapd):
    """The same request over TCP and WebSocket, with a client that hides nothing."""
    ports = {"coap+tcp": free_port(), "coap+ws": free_port()}
    daemon = coapd(endpoints=[f"{scheme}://127.0.0.1:{port}" for scheme, port in ports.items()])
    for kind, scheme in ((StreamClient, "coap+tcp"), (WebSocketClient, "coap+ws")):
        with kind(ports[scheme]) as client:
            response = client.get("time")
            assert (response.text, response.content_format) == ("2.05", coap.TEXT)
            put = client.request(coap.PUT, "made", payload=b"x" * 1400, content_format=coap.OCTETS)
            assert put.text in ("2.01", "2.04")
            assert client.get("made").payload == b"x" * 1400
    assert daemon.running


@pytest.mark.parametrize("secure", [False, True])
def test_websocket_frame_in_pieces(coapd, certificates, secure):
    """With what others send between the pieces: libcoap itself would mix the two."""
    security = {"psk": certificates.psk()} if secure else None
    daemon = coapd(endpoints=[f"coap{'s' if secure else ''}+ws://127.0.0.1:{{port}}"], security=security)
    context = tls_psk_context(PSK_IDENTITY, PSK_KEY) if secure else None
    with WebSocketClient(daemon.port, tls=context) as slow, WebSocketClient(daemon.port, tls=context) as other:
        for at in (1, 5, 13, 20, 700):
            body = bytes([at % 256]) * 1300
            put = coap.Message(coap.PUT, token=b"slow", options=coap.request_options("slow"), payload=body)
            frame = slow.frame(put.encode_websocket())
            slow.send_raw(frame[:at])
            assert other.request(coap.PUT, "other", payload=b"other" * 250).text in ("2.01", "2.04")
            slow.send_raw(frame[at:])
            assert slow.receive(wanted=lambda m: m.token == b"slow").text in ("2.01", "2.04")
            assert slow.get("slow").payload == body


def bare_requests(client, n):
    return b"".join(client.frame(coap.Message(coap.GET, token=i.to_bytes(2, "big"), options=coap.request_options("time"))
                                 .encode_websocket()) for i in range(n))


def tokens_of_answers(client, n):
    return [int.from_bytes(client.receive(wanted=lambda m: m.text == "2.05").token, "big") for _ in range(n)]


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("secure", [False, True])
def test_websocket_frames_at_once(coapd, certificates, secure, alone):
    """All of what comes in one segment, or one TLS record, is answered in its order: the kernel tells of it once."""
    daemon = coapd(
        endpoints=[f"coap{'s' if secure else ''}+ws://127.0.0.1:{{port}}"] +
        ([] if alone else [f"coap://127.0.0.1:{free_port()}"]),
        security={"psk": certificates.psk()} if secure else None)
    context = tls_psk_context(PSK_IDENTITY, PSK_KEY) if secure else None
    with WebSocketClient(daemon.port, tls=context) as one, WebSocketClient(daemon.port, tls=context) as other:
        for n in (2, 40, 300):  # as many as are read and handled at once; more than that; more than are read
            one.send_raw(bare_requests(one, n))
            other.send_raw(bare_requests(other, n))
            assert tokens_of_answers(one, n) == list(range(n))
            assert tokens_of_answers(other, n) == list(range(n))
        for n in (1, 14, 15, 16, 17, 40):  # with the end among them: a close frame, an empty message
            for end in ((b"\x03\xe8", 8), (b"", 2)):
                with WebSocketClient(daemon.port, tls=context) as leaving:
                    with contextlib.suppress(OSError):
                        leaving.send_raw(bare_requests(leaving, n) + leaving.frame(*end) + bare_requests(leaving, n))
                    leaving.wait_closed()
            assert one.get("time").text == other.get("time").text == "2.05"


def test_websocket_frames_with_the_handshake(coapd):
    """A client that does not wait for the answer to it, and whose whole conversation is one segment."""

    class Hasty(WebSocketClient):
        def __init__(self, port, n):
            self.n = n
            super().__init__(port, csm=False)

        def send_raw(self, data):
            frames = self.frame(self.capabilities.encode_websocket()) + bare_requests(self, self.n)
            self.socket.sendall(data + frames)

    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}"])
    for n in (1, 40):
        with Hasty(daemon.port, n) as client:
            assert tokens_of_answers(client, n) == list(range(n))


@pytest.mark.parametrize("size", [1473, 3000, 60000, 200000])
def test_websocket_frame_too_large(coapd, size):
    """libcoap takes frames of 1472 bytes; a larger one ends its connection and nothing else."""
    daemon = coapd(endpoints=["coap+ws://127.0.0.1:{port}", f"coap://127.0.0.1:{free_port()}"])
    with WebSocketClient(daemon.port) as bystander:
        for _ in range(3):
            with WebSocketClient(daemon.port) as client:
                with contextlib.suppress(OSError):
                    client.send_raw(client.frame(b"\x41" * size))
                client.wait_closed()
        assert bystander.get("time").text == "2.05"


def test_secure_websocket_frame_too_large(coapd, certificates):
    daemon = coapd(endpoints=["coaps+ws://127.0.0.1:{port}"], security={"psk": certificates.psk()})
    context = tls_psk_context(PSK_IDENTITY, PSK_KEY)
    with WebSocketClient(daemon.port, tls=context) as bystander:
        for size in (1473, 16000, 60000):
            with WebSocketClient(daemon.port, tls=context) as client:
                with contextlib.suppress(OSError):
                    client.send_raw(client.frame(b"\x41" * size))
                client.wait_closed()
        assert bystander.get("time").text == "2.05"


# --- multicast ---


def ask_group(network, group, port, path, token=b"all", **options):
    """A socket that has sent a NON GET to the group on net0."""
    six = ":" in group
    with network.inside():
        one = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM)
        index = socket.if_nametoindex("net0")
    one.settimeout(20)
    request = coap.Message(coap.GET, type=coap.NON, token=token, options=coap.request_options(path, **options))
    request = request.encode()
    if six:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    else:
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.9.8.1"))
    one.sendto(request, (group, port))
    return one


@pytest.mark.parametrize(
    "endpoint, group",
    [("coap://0.0.0.0:{port}", "224.0.1.187"), ("coap://[::]:{port}", "ff02::fd"), ("coap://[::]:{port}", "224.0.1.187")],
)
def test_multicast(coapd, network, endpoint, group):
    """A NON request to the group is answered from the server's own address, after a leisure."""
    daemon = coapd(endpoints=[{"uri": endpoint, "multicast": [f"{group}%net0"]}], prefix=network.prefix())
    with ask_group(network, group, daemon.port, ".well-known/core") as one:
        data, source = one.recvfrom(2048)
    answer = coap.Message.decode(data)
    assert (answer.text, answer.token, answer.type) == ("2.05", b"all", coap.NON)
    assert b"</time>" in answer.payload
    assert source[0] != group and source[1] == daemon.port


def test_multicast_errors_are_silent(coapd, network):
    """RFC 7252, 8.2.1: no 4.04 to a multicast request."""
    daemon = coapd(
        endpoints=[{"uri": "coap://0.0.0.0:{port}", "multicast": ["224.0.1.187%net0"]}], prefix=network.prefix()
    )
    with ask_group(network, "224.0.1.187", daemon.port, "nowhere", b"none") as one:
        # The leisure is at most 5 s (RFC 7252, 4.8).
        one.settimeout(6)
        with pytest.raises(TimeoutError):
            print(coap.Message.decode(one.recv(2048)))
    with ask_group(network, "224.0.1.187", daemon.port, ".well-known/core", b"some") as one:
        assert coap.Message.decode(one.recv(2048)).token == b"some"


@pytest.mark.parametrize("endpoint, group", [("coap://0.0.0.0:{port}", "224.0.1.187"), ("coap://[::]:{port}", "ff02::fd"),
                                             ("coap://[::]:{port}", "224.0.1.187")])
def test_multicast_draws_no_reset(coapd, network, endpoint, group):
    """RFC 7252, 8.1: not for an unknown critical option, nor for what is malformed."""
    daemon = coapd(endpoints=[{"uri": endpoint, "multicast": [f"{group}%net0"]}], prefix=network.prefix())
    with ask_group(network, group, daemon.port, "time", extra=[(9999, b"x")]) as one:
        one.sendto(b"\x51\x01\x00\x02t\xff", (group, daemon.port))
        one.sendto(coap.Message(coap.GET, type=coap.NON, token=b"good", options=coap.request_options("time")).encode(),
                   (group, daemon.port))
        assert coap.Message.decode(one.recv(2048)).token == b"good", "nothing came before the answer"
        with network.inside():
            near = coap.Client(daemon.port, "::1" if "[" in endpoint else "127.0.0.1")
        with near:
            near.ping()


def test_multicast_group_not_joined(coapd, network):
    daemon = coapd(
        endpoints=[{"uri": "coap://[::]:{port}", "multicast": ["ff02::fd%net0"]}], prefix=network.prefix()
    )
    with ask_group(network, "ff02::fe", daemon.port, ".well-known/core") as one:
        one.settimeout(1)
        with pytest.raises(TimeoutError):
            print(coap.Message.decode(one.recv(2048)))


def test_multicast_interface_unknown(coapd):
    daemon = coapd(start=False, endpoints=[{"uri": "coap://0.0.0.0:{port}", "multicast": ["224.0.1.187%nosuch0"]}])
    message = fails_to_start(daemon)
    assert "224.0.1.187%nosuch0" in message


# --- addresses that cannot be had ---


def fails_to_start(daemon):
    """Exit code 1, READY=1 never said; what it wrote."""
    daemon.start(wait=False)
    states = daemon._listener
    code = daemon.wait()
    assert code == 1, daemon.stderr
    assert "READY=1" not in states.states
    return daemon.stderr


@pytest.mark.parametrize("scheme", ["coap", "coap+tcp", "coap+ws"])
def test_address_in_use(coapd, scheme):
    daemon = coapd(start=False, endpoints=[f"{scheme}://127.0.0.1:{{port}}"])
    kind = socket.SOCK_DGRAM if scheme == "coap" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as squatter:
        squatter.bind(("127.0.0.1", daemon.port))
        if kind == socket.SOCK_STREAM:
            squatter.listen()
        message = fails_to_start(daemon)
    assert f"{scheme}://127.0.0.1:{daemon.port}" in message and "Address already in use" in message
    assert re.search(r"coapd\.conf:\d+: ", message)
    # Before anything else was touched.
    assert not [f for f in daemon.folder.iterdir() if f.name in ("observers", "observe-counters", "dynamic-resources")]
    daemon.start()


def test_second_daemon_on_the_same_address(coapd):
    """The first goes on undisturbed."""
    first = coapd()
    second = coapd(start=False, endpoints=[f"coap://127.0.0.1:{first.port}"])
    assert "Address already in use" in fails_to_start(second)
    first.alive()


def test_address_of_another_machine(coapd):
    daemon = coapd(start=False, endpoints=["coap://192.0.2.1:{port}"])
    message = fails_to_start(daemon)
    assert "coap://192.0.2.1" in message and "Cannot assign requested address" in message


def test_secure_endpoint_without_keys(coapd):
    daemon = coapd(start=False, endpoints=["coaps://127.0.0.1:{port}"])
    assert "coaps://127.0.0.1" in fails_to_start(daemon)


def test_uri_host(coapd):
    """Uri-Host and Uri-Port of any value are accepted (RFC 7252, 5.10.1)."""
    daemon = coapd()
    with daemon.client() as client:
        response = client.get("time", extra=[(coap.URI_HOST, b"example.org"), (coap.URI_PORT, struct.pack("!H", 1))])
        assert response.text == "2.05"


@pytest.mark.parametrize("scheme, client", [("coap+ws", WebSocketClient), ("coaps+ws", WebSocketClient),
                                            ("coap+tcp", StreamClient), ("coaps+tcp", StreamClient)])
def test_who_reads_late_gets_all_that_it_has_asked_for(coapd, certificates, scheme, client):
    """More than the kernel takes, and more than the daemon keeps: of a WebSocket libcoap would lose what is cut short."""
    body = "0123456789" * 2000
    daemon = coapd(endpoints=[f"{scheme}://127.0.0.1:{{port}}", "coap://127.0.0.1:{port}"],
                   resources=[{"path": "large", "kind": "static", "content": body}], security={"psk": certificates.psk()})
    context = tls_psk_context(PSK_IDENTITY, PSK_KEY) if scheme.startswith("coaps") else None
    with client(daemon.port, tls=context) as one, daemon.client() as other:
        assert one.get("large").payload == body.encode()
        tokens = [i.to_bytes(2, "big") for i in range(1250)]
        for token in tokens:
            one.send(coap.Message(coap.GET, token=token, options=coap.request_options("large")))
        for _ in range(10):
            assert other.get(".well-known/core").text == "2.05"
        for token in tokens:
            answer = one.receive(20)
            assert (answer.token, answer.text, answer.payload == body.encode()) == (token, "2.05", True)
        assert one.get("large").payload == body.encode()
