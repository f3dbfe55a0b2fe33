# SPDX-License-Identifier: BSD-2-Clause
"""OSCORE clients by libcoap's coap-client, each with its keys and its numbers for its whole life."""

import re
import select

from clients import CoapClient, coap_client
from daemon import SLOW

CLOCK = re.compile(r"\w{3} \d\d \d\d:\d\d:\d\d")
SECRETS = [bytes([i] * 16).hex() for i in range(1, 5)]
ANYONE, PEERS = ([{"path": "/**", "methods": ["GET", "OBSERVE"], "allow": [who]}] for who in ("anyone", "oscore:*"))


def context(sender, recipients, secret):
    return {"sender_id": sender, "recipient_ids": recipients.split(), "master_secret": secret}


class Peer:
    """A client of coapd's, with one file of keys and of numbers for its whole life, as a device has."""

    def __init__(self, folder, sender, recipient, secret, *credentials):
        self.credentials = credentials  # of DTLS or TLS below
        self.files = f"{folder}/{sender}-{recipient}-{secret[:4]}"
        with open(self.files, "w", encoding="ascii") as out:
            out.write(f'master_secret,hex,"{secret}"\nsender_id,hex,"{recipient}"\nrecipient_id,hex,"{sender}"\n')

    def arguments(self, uri):
        return *self.credentials, "-v", "0", "-E", f"{self.files},{self.files}-sequence", uri

    def get(self, uri):
        """What comes of a GET: "served", or the code of the refusal."""
        result = coap_client(*self.arguments(uri), wait=5 * SLOW)
        return "served" if CLOCK.fullmatch(result.stdout.strip()) else result.stderr[:4]

    def is_served(self, uri):
        """Another key than the one in use gets 4.00, or 4.01 where libcoap takes it for a replay first."""
        answer = self.get(uri)
        assert answer in ("served", "4.00", "4.01"), answer
        return answer == "served"

    def observe(self, uri):
        return CoapClient(*self.arguments(uri), duration=300)

    def ask_on(self, uri):
        """A GET each second, all on one session."""
        return CoapClient(*self.arguments(uri), duration=255, observe=False)


def lines_until(client, pattern):
    """What the client prints until one line matches; fails when nothing more comes."""
    seen = []
    while not seen or not re.search(pattern, seen[-1]):
        assert select.select([client.process.stdout], [], [], 20 * SLOW)[0], f"no {pattern} after {seen}"
        seen.append(client.line())
        assert seen[-1], f"the client has ended after {seen}"
    return seen
