# SPDX-License-Identifier: BSD-2-Clause
"""An OSCORE client (RFC 8613) as bare as it gets: protects requests, opens responses, and shows their Partial IV."""

import os

import cbor2
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import coap
import coap_stream

AES_CCM_16_64_128 = 10
KEY_SIZE, NONCE_SIZE, TAG_SIZE = 16, 13, 8


class Context:
    def __init__(self, sender, recipient, secret, salt):
        self.sender, self.recipient = sender, recipient
        self.number = 0

        def derive(identity, kind, length):
            info = cbor2.dumps([identity, None, AES_CCM_16_64_128, kind, length])
            return HKDF(SHA256(), length, salt, info).derive(secret)

        self.sealer = AESCCM(derive(sender, "Key", KEY_SIZE), TAG_SIZE)
        self.opener = AESCCM(derive(recipient, "Key", KEY_SIZE), TAG_SIZE)
        self.iv = derive(b"", "IV", NONCE_SIZE)

    def _nonce(self, identity, piv):
        plain = bytes([len(identity)]) + identity.rjust(NONCE_SIZE - 6, b"\0") + piv.rjust(5, b"\0")
        return bytes(a ^ b for a, b in zip(plain, self.iv))

    def _aad(self, piv):
        external = cbor2.dumps([1, [AES_CCM_16_64_128], self.sender, piv, b""])
        return cbor2.dumps(["Encrypt0", b"", external])

    def protect(self, message):
        """The message that travels, and the Partial IV by which its response is opened."""
        piv = coap.uint(self.number) or b"\0"
        self.number += 1
        plain = bytes([message.code]) + coap.encode_options(message.options, message.payload)
        outer = [(coap.OSCORE, bytes([8 | len(piv)]) + piv + self.sender)]
        if message.observe is not None:
            outer.append((coap.OBSERVE, message.option(coap.OBSERVE)))
        return coap.Message(
            coap.POST if message.observe is None else coap.FETCH,
            type=message.type,
            mid=message.mid,
            token=message.token,
            options=outer,
            payload=self.sealer.encrypt(self._nonce(self.sender, piv), plain, self._aad(piv)),
        ), piv

    def open(self, message, request_piv):
        """What is inside of the response to the request with this Partial IV."""
        piv = partial_iv(message)
        nonce = self._nonce(self.sender, request_piv) if piv is None else self._nonce(self.recipient, piv)
        plain = self.opener.decrypt(nonce, message.payload, self._aad(request_piv))
        options, payload = coap.decode_options(plain[1:])
        return coap.Message(plain[0], type=message.type, mid=message.mid, token=message.token, options=options, payload=payload)


def partial_iv(message):
    """The bytes, or None where the response uses the request's, or is not protected."""
    value = message.option(coap.OSCORE)
    length = value[0] & 7 if value else 0
    return value[1 : 1 + length] if length else None


class Client(coap.Client):
    """Requests are protected. `numbers` are the Partial IVs of all that came, in their order."""

    def __init__(self, context, port, host="127.0.0.1"):
        super().__init__(port, host)
        self.context, self.numbers = context, []

    def take(self):
        before = len(self.inbox)
        super().take()
        for message in self.inbox[before:]:
            piv = partial_iv(message)
            if piv is not None:
                self.numbers.append(int.from_bytes(piv, "big"))

    def ask(self, method, path, timeout=20, echo=(), **options):
        """One exchange, or two: after a start the server wants to see that the request is fresh (RFC 8613, B.1.2)."""
        more = dict(options, extra=[*options.get("extra", ()), *((coap.ECHO, value) for value in echo)])
        token = more.pop("token", None) or self.new_token()
        payload = more.pop("payload", b"")
        plain = coap.Message(method, type=coap.CON, mid=self.next_mid(), token=token,
                             options=coap.request_options(path, **more), payload=payload)
        protected, piv = self.context.protect(plain)
        answer = self.exchange(protected, timeout)
        if answer.option(coap.OSCORE) is None:
            return answer
        answer = self.context.open(answer, piv)
        if answer.text == "4.01" and answer.option(coap.ECHO) and not echo:
            return self.ask(method, path, timeout, (answer.option(coap.ECHO),), **options)
        return answer


class Stream(coap_stream.StreamClient):
    """The same over TCP: a request has its answer, and an observation what came of it."""

    def __init__(self, context, port, **more):
        self.context, self.numbers, self.asked = context, [], {}
        super().__init__(port, **more)

    def take(self):
        message = super().take()
        piv = partial_iv(message) if message else None
        if piv is not None:
            self.numbers.append(int.from_bytes(piv, "big"))
        return message

    def send_request(self, method, path, token, **options):
        plain = coap.Message(method, token=token, options=coap.request_options(path, **options))
        protected, self.asked[token] = self.context.protect(plain)
        self.send(protected)

    def answer(self, token, timeout=20):
        """The next one; what is not protected comes as it is."""
        message = self.receive(timeout, lambda m: m.token == token)
        return self.context.open(message, self.asked[token]) if message.option(coap.OSCORE) is not None else message

    def ask(self, method, path, token=None, **options):
        token = token or os.urandom(6)
        self.send_request(method, path, token, **options)
        answer = self.answer(token)
        if answer.text != "4.01" or not answer.option(coap.ECHO):
            return answer
        self.send_request(method, path, token, extra=[(coap.ECHO, answer.option(coap.ECHO))], **options)
        return self.answer(token)
