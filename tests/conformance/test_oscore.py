# SPDX-License-Identifier: BSD-2-Clause
"""The server's cases of the OSCORE interoperability tests (RFC 8613), their numbers those of the test specification."""

import json
import sys
from unittest.mock import MagicMock

import coap
import pytest
from clients import aiocoap_run, coap_client
from conftest import TESTS
from peers import CoapClient
from relay import Relay

# aiocoap wants this for EDHOC, which is not in play here, and Debian does not have it.
sys.modules.setdefault("lakers", MagicMock())

EXAMPLE = TESTS.parent / "conf/examples/plugtest-oscore.conf"
SECRET, SALT, ID_CONTEXT = "0102030405060708090a0b0c0d0e0f10", "9e7ca92223786340", "37cbf3210017a2d3"
BOTH = pytest.mark.parametrize("peer", ["aiocoap", "coap-client"])


@pytest.fixture
def server(coapd):
    daemon = coapd(start=False)
    text = EXAMPLE.read_text().replace(":5683\"", f":{daemon.port}\"")
    daemon.file.write_text(text.replace("/var/lib/coapd", str(daemon.folder)))
    return daemon.start()


class Protected:
    """Asks by one client with one security context; A of the specification, unless told otherwise."""

    def __init__(self, server, folder, peer, **context):
        self.server, self.peer, self.folder = server, peer, folder / f"context-{peer}-{len(list(folder.iterdir()))}"
        self.folder.mkdir()
        material = {"sender": "", "recipient": "01", "secret": SECRET, "salt": SALT, "id_context": None, **context}
        if peer == "aiocoap":
            settings = {"sender-id_hex": material["sender"], "recipient-id_hex": material["recipient"],
                        "secret_hex": material["secret"], "salt_hex": material["salt"]}
            if material["id_context"]:
                settings["id-context_hex"] = material["id_context"]
            (self.folder / "settings.json").write_text(json.dumps(settings))
        else:
            lines = [("master_secret", "secret"), ("master_salt", "salt"), ("sender_id", "sender"),
                     ("recipient_id", "recipient"), ("id_context", "id_context")]
            (self.folder / "conf").write_text(
                "".join(f'{key},hex,"{material[name]}"\n' for key, name in lines if material[name] is not None)
            )

    def ask(self, method, path, payload=b"", **options):
        """code, payload, content format, etag, max-age"""
        if self.peer == "aiocoap":
            return self.run(lambda context: self.by_aiocoap(context, method, path, payload, options))
        return self.by_coap_client(method, path, payload, options)

    def run(self, body):
        """In an aiocoap context that holds the security context, and gives it back for the next."""

        async def trusting(context):
            context.client_credentials.load_from_dict(
                {f"{self.server.uri()}*": {"oscore": {"basedir": f"{self.folder}/"}}}
            )
            try:
                return await body(context)
            finally:
                for credentials in context.client_credentials.values():
                    credentials._destroy()

        return aiocoap_run(trusting, transports=["oscore", "udp6"])

    def message(self, method, path, payload, options):
        import aiocoap

        message = aiocoap.Message(code=getattr(aiocoap, method.upper()), uri=self.server.uri(path), payload=payload)
        for name, value in options.items():
            setattr(message.opt, name, value)
        return message

    async def by_aiocoap(self, context, method, path, payload, options):
        response = await context.request(self.message(method, path, payload, options)).response
        formatted = response.opt.content_format
        return (response.code.dotted, response.payload, None if formatted is None else int(formatted), response.opt.etag,
                response.opt.max_age)

    def by_coap_client(self, method, path, payload, options):
        names = {"content_format": ["-t"], "accept": ["-A"], "if_none_match": ["-O", "5,"]}
        more = []
        for name, value in options.items():
            if name == "if_match":
                more += ["-O", f"1,0x{value[0].hex()}"]
            elif name == "etags":
                more += ["-O", f"4,0x{value[0].hex()}"]
            elif name == "if_none_match":
                more += names[name]
            elif name == "observe":
                more += ["-s", 1]
            else:
                more += [*names[name], value]
        result = coap_client("-v", "7", "-m", method, "-o", self.folder / "out", *(["-e", payload.decode()] if payload else []),
                             "-E", f"{self.folder}/conf,{self.folder}/sequence", *more, self.server.uri(path))
        # The response as it is within the protection.
        lines = result.stdout.splitlines()
        shown = [after for line, after in zip(lines, lines[1:]) if line.endswith("Decrypted PDU")]
        assert shown, result
        code = shown[-1].split(" c:")[1].split()[0]
        options_text = shown[-1].split("[", 1)[1].rsplit("]", 1)[0]
        found = dict(option.strip().split(":", 1) for option in options_text.split(",") if ":" in option)
        out = self.folder / "out"
        return (code, out.read_bytes() if out.exists() else b"", CoapClient.FORMATS.get(found.get("Content-Format")),
                bytes.fromhex(found.get("ETag", "").removeprefix("0x")) or None,
                int(found["Max-Age"]) if "Max-Age" in found else None)


@pytest.fixture
def protected(server, tmp_path, peer):
    folder = tmp_path / "contexts"
    folder.mkdir()
    return lambda **context: Protected(server, folder, peer, **context)


def test_OSCORE_TEST_0(server):
    """Without protection."""
    with server.client() as client:
        answer = client.get("oscore/hello/coap")
    assert (answer.text, answer.content_format, answer.payload) == ("2.05", coap.TEXT, b"Hello World!")


@BOTH
def test_OSCORE_TEST_1(protected):
    assert protected().ask("get", "oscore/hello/1")[:3] == ("2.05", b"Hello World!", coap.TEXT)


@BOTH
def test_OSCORE_TEST_2(protected):
    assert protected(id_context=ID_CONTEXT).ask("get", "oscore/hello/1")[:3] == ("2.05", b"Hello World!", coap.TEXT)


@BOTH
def test_OSCORE_TEST_3(protected):
    code, payload, content_format, etag, _ = protected().ask("get", "oscore/hello/2?first=1")
    assert (code, payload, content_format) == ("2.05", b"Hello World!", coap.TEXT)
    assert etag  # of coapd's own choice


@BOTH
def test_OSCORE_TEST_4(protected):
    code, payload, content_format, _, max_age = protected().ask("get", "oscore/hello/3", accept=0)
    assert (code, payload, content_format, max_age) == ("2.05", b"Hello World!", coap.TEXT, 5)


@BOTH
def test_OSCORE_TEST_5(protected):
    """Observe is asked for where it is not to be had: the answer has none."""
    assert protected().ask("get", "oscore/hello/1", observe=0)[:3] == ("2.05", b"Hello World!", coap.TEXT)


def observe(server, one, path, values, cancel):
    """What aiocoap sees: the first state, and one notification for each value that is put."""

    async def body(context):
        request = context.request(one.message("get", path, b"", {"observe": 0}))
        response = await request.response
        assert response.opt.observe is not None
        seen = [response.payload]
        put = iter(values)
        await context.request(one.message("put", path, next(put), {"content_format": 0})).response
        async for note in request.observation:
            seen.append(note.payload)
            value = next(put, None)
            if value is None:
                break
            await context.request(one.message("put", path, value, {"content_format": 0})).response
        if cancel:
            request.observation.cancel()
            response = await context.request(one.message("get", path, b"", {"observe": 1})).response
            assert response.code.dotted == "2.05" and response.opt.observe is None
        return seen

    return one.run(body)


@pytest.mark.parametrize("peer", ["aiocoap"])
def test_OSCORE_TEST_6(server, protected):
    one = protected()
    one.ask("put", "oscore/observe1", b"one", content_format=0)
    assert observe(server, one, "oscore/observe1", [b"two"], False) == [b"one", b"two"]


@pytest.mark.parametrize("peer", ["aiocoap"])
def test_OSCORE_TEST_7(server, protected):
    one = protected()
    one.ask("put", "oscore/observe2", b"one", content_format=0)
    assert observe(server, one, "oscore/observe2", [b"two", b"three"], True) == [b"one", b"two", b"three"]


@BOTH
def test_OSCORE_TEST_8(protected):
    one = protected()
    one.ask("put", "oscore/hello/6", b"before", content_format=0)
    assert one.ask("post", "oscore/hello/6", b"J", content_format=0)[0] == "2.04"
    assert one.ask("get", "oscore/hello/6")[:3] == ("2.05", b"J", coap.TEXT)


@BOTH
def test_OSCORE_TEST_9(protected):
    one = protected()
    one.ask("put", "oscore/hello/7", b"{", content_format=0)
    etag = one.ask("get", "oscore/hello/7")[3]
    assert one.ask("put", "oscore/hello/7", b"z", content_format=0, if_match=[etag])[0] == "2.04"
    assert one.ask("put", "oscore/hello/7", b"y", content_format=0, if_match=[etag])[0] == "4.12"
    assert one.ask("get", "oscore/hello/7")[1] == b"z"


@BOTH
def test_OSCORE_TEST_10(protected):
    one = protected()
    one.ask("put", "oscore/hello/7", b"{", content_format=0)
    assert one.ask("put", "oscore/hello/7", b"x", content_format=0, if_none_match=True)[0] == "4.12"
    assert one.ask("get", "oscore/hello/7")[1] == b"{"


@BOTH
def test_OSCORE_TEST_11(protected):
    one = protected()
    one.ask("put", "oscore/test", b"x", content_format=0)
    assert one.ask("delete", "oscore/test")[0] == "2.02"
    assert one.ask("get", "oscore/test")[0] == "4.04"


def refusal(server, one):
    """The unprotected answer to a protected GET of /oscore/hello/1, by coap-client's account."""
    result = coap_client("-v", "7", "-E", f"{one.folder}/conf,{one.folder}/sequence", server.uri("oscore/hello/1"), wait=3)
    shown = [line for line in result.stdout.splitlines() if line.startswith("v:1 t:ACK")]
    assert shown, result
    assert "Hello World!" not in result.stdout
    return shown[-1].split(" c:")[1].split()[0]


@pytest.mark.parametrize("peer", ["coap-client"])
def test_OSCORE_TEST_12(server, protected):
    """A sender id that the server does not know."""
    assert refusal(server, protected(sender="07")) == "4.01"


@pytest.mark.parametrize("peer", ["coap-client"])
def test_OSCORE_TEST_13(server, protected):
    """Another key than the server's for this id."""
    assert refusal(server, protected(secret=SECRET[::-1])) == "4.00"


def replayed(server, one, times=2):
    """The datagram of a protected GET, taken on its way, sent again and again: the answers' codes."""
    with coap.Client(server.port) as client:
        async def body(context):
                return await context.request(one.message("get", "oscore/hello/1", b"", {})).response

        with Relay(server.port) as relay:
            port, server.port = server.port, relay.port
            try:
                one.run(body)
            finally:
                server.port = port
        taken = [data for data in relay.sent if data[1]]
        codes = []
        for i in range(times):
            again = coap.Message.decode(taken[-1])
            again.mid, again.token = 1000 + i, b"again"
            codes.append(client.exchange(again).text)
        return codes


@pytest.mark.parametrize("peer", ["aiocoap"])
def test_OSCORE_TEST_15(server, protected):
    """The same protected request again, in a new message."""
    assert replayed(server, protected()) == ["4.01", "4.01"]


@pytest.mark.parametrize("peer", ["coap-client"])
def test_OSCORE_TEST_16(plugtest, tmp_path, peer):
    """A server that knows nothing of OSCORE: its option is critical."""
    folder = tmp_path / "contexts"
    folder.mkdir()
    one = Protected(plugtest, folder, peer)
    result = coap_client("-v", "7", "-E", f"{one.folder}/conf,{one.folder}/sequence", plugtest.uri("query"), wait=3)
    assert " c:4.02 " in result.stdout, result


def test_OSCORE_TEST_17(server):
    """Unprotected, where only the protected may."""
    with server.client() as client:
        assert client.get("oscore/hello/1").text == "4.01"
