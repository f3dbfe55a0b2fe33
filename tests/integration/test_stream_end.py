# SPDX-License-Identifier: BSD-2-Clause
"""What was sent over a stream arrives, whatever the peer has sent that nobody reads any more."""

import contextlib
import socket

import coap
import pytest
from certificates import PSK_IDENTITY, PSK_KEY
from clients import tls_psk_context
from coap_stream import RELEASE, Closed, StreamClient, WebSocketClient

N = 100
BODY = "0123456789" * 100
CLOSE = 8


@pytest.mark.parametrize("transport", ["tcp", "tls", "ws", "wss"])
def test_last_answers_arrive(coapd, certificates, transport):
    """A close() with bytes unread would reset the connection, and what the peer had not got yet would be lost."""
    scheme = {"tcp": "coap+tcp", "tls": "coaps+tcp", "ws": "coap+ws", "wss": "coaps+ws"}[transport]
    secure, client = transport in ("tls", "wss"), WebSocketClient if transport in ("ws", "wss") else StreamClient
    daemon = coapd(endpoints=[f"{scheme}://127.0.0.1:{{port}}"],
                   resources=[{"path": "long", "kind": "static", "content": BODY}],
                   security={"psk": certificates.psk()} if secure else None)
    with client(daemon.port, tls=tls_psk_context(PSK_IDENTITY, PSK_KEY) if secure else None) as one:
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        get = [coap.Message(coap.GET, token=bytes([i, 1]), options=coap.request_options("long")) for i in range(N)]
        one.send_raw(b"".join(map(one.encoded, get)))
        one.receive(wanted=lambda m: m.token == get[0].token)
        end = one.frame(b"\x0f\xa0", CLOSE) if client is WebSocketClient else one.encoded(coap.Message(RELEASE))
        with contextlib.suppress(OSError):  # it may have been refused before all of it was written
            one.send_raw(end + b"z" * 100000)
        for message in get[1:]:
            assert one.receive(wanted=lambda m, token=message.token: m.token == token).payload == BODY.encode()
        with pytest.raises(Closed) as closed:
            one.receive()
        if client is WebSocketClient:
            assert closed.value.code == 4000
        else:
            assert not isinstance(closed.value.__cause__, ConnectionResetError)
