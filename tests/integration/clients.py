# SPDX-License-Identifier: BSD-2-Clause
"""The other implementations: coap-client of libcoap, aiocoap, node-coap."""

import asyncio
import json
import logging
import os
import select
import ssl
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


def coap_client(*arguments, wait=10, **more):
    """Runs coap-client-gnutls: the result, with stdout and stderr as text. -B is always given."""
    command = ["coap-client-gnutls", "-B", str(wait), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=wait + 30, check=False, **more)


class CoapClient:
    """A coap-client-gnutls that observes, or asks again and again on its one session; what comes is lines."""

    def __init__(self, *arguments, duration=60, observe=True):
        how = ["-s", str(duration)] if observe else ["-G", str(min(duration, 255))]
        self.process = subprocess.Popen(
            ["coap-client-gnutls", "-w", *how, "-B", str(duration), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def line(self):
        """The next line; "" when it has ended."""
        return self.process.stdout.readline().rstrip("\n")


def aiocoap_run(body, timeout=60, **transports):
    """Runs `await body(context)` with an aiocoap client context."""
    import aiocoap

    async def run():
        context = await aiocoap.Context.create_client_context(**transports)
        try:
            return await asyncio.wait_for(body(context), timeout)
        finally:
            await context.shutdown()

    logging.getLogger("coap").setLevel(logging.CRITICAL)
    return asyncio.run(run())


def aiocoap_request(uri, method="GET", payload=b"", **options):
    """One request by aiocoap; options are set on the message (content_format, accept, if_match...)."""
    import aiocoap

    async def body(context):
        message = aiocoap.Message(code=getattr(aiocoap, method.upper()), uri=uri, payload=payload)
        for name, value in options.items():
            setattr(message.opt, name, value)
        return await context.request(message).response

    return aiocoap_run(body)


def node(script, *arguments, timeout=60):
    """Runs a script of this folder under node with node-coap; what it prints is JSON, one value a line."""
    result = subprocess.run(
        ["node", str(HERE / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=os.environ,
    )
    assert result.returncode == 0, f"{script}: exit code {result.returncode}\n{result.stdout}{result.stderr}"
    return [json.loads(line) for line in result.stdout.splitlines()]


def dtls_psk_exchange(host, port, identity, key, datagram, timeout=10, source=None):
    """One datagram to and one from a DTLS server by `openssl s_client`, which names no host: for libcoap's clients
    put an IPv6 address into the SNI with PSK, and GnuTLS refuses the handshake."""
    name = f"[{host}]" if ":" in host else host
    command = ["openssl", "s_client", "-dtls1_2", "-quiet", "-noservername", "-connect", f"{name}:{port}",
               "-psk_identity", identity, "-psk", key.encode().hex(), "-cipher", "PSK",
               *(("-bind", f"{name}:{source}") if source else ())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        process.stdin.write(datagram)
        process.stdin.flush()
        return os.read(process.stdout.fileno(), 2048) if select.select([process.stdout], [], [], timeout)[0] else b""
    finally:
        process.kill()
        process.communicate()


def tls_psk_context(identity, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("PSK")
    context.set_psk_client_callback(lambda hint: (identity, key.encode()))
    return context
