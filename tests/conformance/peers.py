# SPDX-License-Identifier: BSD-2-Clause
"""Four clients with one face: each sends a request as its implementation does, and says what came back."""

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import coap
import pytest
from clients import aiocoap_run, coap_client, node
from coap_stream import StreamClient, WebSocketClient


@dataclass
class Answer:
    code: str
    payload: bytes = b""
    content_format: int | None = None
    etag: bytes | None = None
    location: list = field(default_factory=list)


class Raw:
    """The client of coap.py; block by block where it is told to."""

    def __init__(self, daemon):
        self.client = daemon.client()

    def ask(self, method, path, payload=b"", *, con=True, query=(), block=None, etag=None, if_match=None,
            if_none_match=False, content_format=None, accept=None):
        extra = [(number, value) for number, value in ((coap.ETAG, etag), (coap.IF_MATCH, if_match)) if value is not None]
        extra += [(coap.IF_NONE_MATCH, b"")] if if_none_match else []
        options = {"type": coap.CON if con else coap.NON, "query": query, "content_format": content_format,
                   "accept": accept, "extra": extra}
        code = coap.METHODS[method]
        if block and payload:
            message = self.client.put_blocks(path, payload, block, method=code, **options)
            message = self.client.rest(message, code, path, **options)
        elif block or method == "get":
            message = self.client.get_blocks(path, block or 1024, method=code, **options)
        else:
            message = self.client.request(code, path, payload=payload, **options)
        return Answer(message.text, message.payload, message.content_format, message.etag,
                      [value.decode() for value in message.all(coap.LOCATION_PATH)])


class Stream(Raw):
    """The same over TCP."""

    kind, scheme = StreamClient, "tcp"

    def __init__(self, daemon):
        self.client = self.kind(daemon.port if self.scheme == "tcp" else daemon.ws_port)

    def ask(self, method, path, payload=b"", *, con=True, query=(), block=None, etag=None, if_match=None,
            if_none_match=False, content_format=None, accept=None):
        extra = [(number, value) for number, value in ((coap.ETAG, etag), (coap.IF_MATCH, if_match)) if value is not None]
        extra += [(coap.IF_NONE_MATCH, b"")] if if_none_match else []
        message = self.client.request(coap.METHODS[method], path, payload=payload, query=query, extra=extra,
                                      content_format=content_format, accept=accept)
        return Answer(message.text, message.payload, message.content_format, message.etag,
                      [value.decode() for value in message.all(coap.LOCATION_PATH)])


class WebSocket(Stream):
    kind, scheme = WebSocketClient, "ws"


class Aiocoap:
    scheme = "coap"

    def __init__(self, daemon):
        self.daemon = daemon

    def ask(self, method, path, payload=b"", *, con=True, query=(), block=None, etag=None, if_match=None,
            if_none_match=False, content_format=None, accept=None):
        import aiocoap

        async def body(context):
            kind = aiocoap.CON if con else aiocoap.NON
            message = aiocoap.Message(code=getattr(aiocoap, method.upper()), payload=payload,
                                      mtype=kind if self.scheme == "coap" else None,
                                      uri=self.daemon.uri(scheme=self.scheme))
            message.opt.uri_path = tuple(path if isinstance(path, list) else path.split("/"))
            message.opt.uri_query = (query,) if isinstance(query, str) else tuple(query)
            for name, value in (("content_format", content_format), ("accept", accept), ("if_none_match", if_none_match)):
                if value is not None and value is not False:
                    setattr(message.opt, name, value)
            if etag is not None:
                message.opt.etags = [etag]
            if if_match is not None:
                message.opt.if_match = [if_match]
            if block and not payload:
                message.opt.block2 = (0, False, block.bit_length() - 5)
            return await context.request(message).response

        response = aiocoap_run(body)
        formatted = response.opt.content_format
        return Answer(response.code.dotted, response.payload, None if formatted is None else int(formatted),
                      response.opt.etag, list(response.opt.location_path))


class AiocoapTcp(Aiocoap):
    scheme = "coap+tcp"


class CoapClient:
    """coap-client-gnutls of libcoap; what it received is read from its debug output."""

    RECEIVED = re.compile(r"netif: recv .*\nv:\w+ t:\w+ c:(\d\.\d\d) i:\w+ \{\w*\} \[ (.*?)\]")
    FORMATS = {"text/plain": 0, "application/link-format": 40, "application/xml": 41,
               "application/octet-stream": 42, "application/json": 50}

    def __init__(self, daemon):
        self.daemon = daemon

    def ask(self, method, path, payload=b"", *, con=True, query=(), block=None, etag=None, if_match=None,
            if_none_match=False, content_format=None, accept=None):
        queries = [query] if isinstance(query, str) else query
        segments = path if isinstance(path, list) else path.split("/")
        uri = self.daemon.uri("/".join(segments)) + ("?" + "&".join(queries) if queries else "")
        with tempfile.TemporaryDirectory() as folder:
            received, sent = Path(folder, "received"), Path(folder, "sent")
            sent.write_bytes(payload)
            arguments = ["-v", "7", "-m", method, "-o", received]
            arguments += ["-f", sent] if payload else []
            arguments += ["-b", block] if block else []
            arguments += [] if con else ["-N"]
            arguments += [] if content_format is None else ["-t", content_format]
            arguments += [] if accept is None else ["-A", accept]
            arguments += [] if etag is None else ["-O", f"4,0x{etag.hex()}"]
            arguments += [] if if_match is None else ["-O", f"1,0x{if_match.hex()}"]
            arguments += ["-O", "5,"] if if_none_match else []
            result = coap_client(*arguments, uri)
            seen = self.RECEIVED.findall(result.stdout)
            assert seen, result
            code, options = seen[-1]
            found = [option.split(":", 1) for option in options.strip().split(", ") if ":" in option]
            values = dict(found)
            tag = values.get("ETag", "").removeprefix("0x")
            formatted = values.get("Content-Format")
            return Answer(code, received.read_bytes() if received.exists() else b"",
                          self.FORMATS.get(formatted, formatted), bytes.fromhex(tag) or None,
                          [value for name, value in found if name == "Location-Path"])


class NodeCoap:
    FORMATS = {"text/plain": 0, "application/link-format": 40, "application/xml": 41,
               "application/octet-stream": 42, "application/json": 50}

    def __init__(self, daemon):
        self.daemon = daemon

    def ask(self, method, path, payload=b"", *, con=True, query=(), block=None, etag=None, if_match=None,
            if_none_match=False, content_format=None, accept=None):
        queries = [query] if isinstance(query, str) else query
        segments = path if isinstance(path, list) else path.split("/")
        uri = self.daemon.uri("/".join(segments)) + ("?" + "&".join(queries) if queries else "")
        names = {number: name for name, number in self.FORMATS.items()}
        options = [["ETag", list(etag)]] if etag is not None else []
        options += [["If-Match", list(if_match)]] if if_match is not None else []
        options += [["If-None-Match", []]] if if_none_match else []
        options += [["Content-Format", names[content_format]]] if content_format is not None else []
        options += [["Accept", names[accept]]] if accept is not None else []
        if block:
            options += [["Block1" if payload else "Block2", [block.bit_length() - 5]]]
        more = {"payload": payload.decode(), "options": options, "confirmable": con}
        answer = node("client.js", method, uri, json.dumps(more))[0]
        received = answer["options"]
        location = received.get("Location-Path", "")
        return Answer(answer["code"], answer["payload"].encode(),
                      self.FORMATS.get(received.get("Content-Format"), received.get("Content-Format")),
                      bytes.fromhex(received["ETag"]) if "ETag" in received else None,
                      [segment for segment in location.split("/") if segment])


PEERS = {"raw": Raw, "aiocoap": Aiocoap, "coap-client": CoapClient, "node-coap": NodeCoap, "tcp": Stream,
         "websocket": WebSocket, "aiocoap-tcp": AiocoapTcp}


def by(*names):
    """Parametrizes a test with `ask`, of each of these clients."""
    return pytest.mark.parametrize("peer", names)
