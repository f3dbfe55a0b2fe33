# SPDX-License-Identifier: BSD-2-Clause
"""Writes docs/conformance.md out of the tests: which case, which clients, and what comes out.

    python3 tests/conformance/table.py >docs/conformance.md

A case is the test of its name; its clients are what the test is parametrized with; and it passes unless it is marked
as expected to fail, with the reason. test_table.py sees to it that the file in docs/ is what this writes."""

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

CASES = {
    "CoAP core (RFC 7252)": {
        "TD_COAP_CORE_01": "GET (CON)",
        "TD_COAP_CORE_02": "DELETE (CON)",
        "TD_COAP_CORE_03": "PUT (CON)",
        "TD_COAP_CORE_04": "POST (CON)",
        "TD_COAP_CORE_05": "GET (NON)",
        "TD_COAP_CORE_06": "DELETE (NON)",
        "TD_COAP_CORE_07": "PUT (NON)",
        "TD_COAP_CORE_08": "POST (NON)",
        "TD_COAP_CORE_09": "GET with a separate response",
        "TD_COAP_CORE_10": "GET with a token",
        "TD_COAP_CORE_11": "GET with a token and a separate response",
        "TD_COAP_CORE_12": "GET with an empty token",
        "TD_COAP_CORE_13": "GET with several Uri-Path options",
        "TD_COAP_CORE_14": "GET with several Uri-Query options",
        "TD_COAP_CORE_15": "GET where datagrams are lost",
        "TD_COAP_CORE_16": "GET with a separate response where datagrams are lost",
        "TD_COAP_CORE_17": "GET with a separate response (NON)",
        "TD_COAP_CORE_18": "POST answered with several Location-Path options",
        "TD_COAP_CORE_19": "POST answered with several Location-Query options",
        "TD_COAP_CORE_20": "GET with Accept",
        "TD_COAP_CORE_21": "GET with ETag",
        "TD_COAP_CORE_22": "PUT with If-Match",
        "TD_COAP_CORE_23": "PUT with If-None-Match",
        "TD_COAP_CORE_31": "Ping",
    },
    "Block-wise transfer (RFC 7959)": {
        "TD_COAP_BLOCK_01": "GET, early negotiation",
        "TD_COAP_BLOCK_02": "GET, late negotiation",
        "TD_COAP_BLOCK_03": "PUT",
        "TD_COAP_BLOCK_04": "POST that creates",
        "TD_COAP_BLOCK_05": "POST, both ways",
        "TD_COAP_BLOCK_06": "GET, blocks of 16 bytes",
    },
    "Discovery (RFC 6690)": {
        "TD_COAP_LINK_01": "/.well-known/core",
        "TD_COAP_LINK_02": "filtered by rt",
        "TD_COAP_LINK_03": "filtered by any rt",
        "TD_COAP_LINK_04": "filtered by one of several rt",
        "TD_COAP_LINK_05": "filtered by a prefix of if",
        "TD_COAP_LINK_06": "filtered by any sz",
        "TD_COAP_LINK_07": "filtered by href",
        "TD_COAP_LINK_08": "filtered by a prefix of href",
        "TD_COAP_LINK_09": "hierarchical descriptions",
    },
    "Observe (RFC 7641)": {
        "TD_COAP_OBS_01": "confirmable notifications",
        "TD_COAP_OBS_02": "non-confirmable notifications",
        "TD_COAP_OBS_04": "the client finds the server's state gone, by Max-Age",
        "TD_COAP_OBS_05": "the server finds the client off",
        "TD_COAP_OBS_06": "the client's RST ends it",
        "TD_COAP_OBS_07": "DELETE ends it with 4.04",
        "TD_COAP_OBS_08": "another content format ends it with 4.06",
        "TD_COAP_OBS_09": "an update is told",
        "TD_COAP_OBS_10": "a GET does not end it",
        "TD_COAP_OBS_11": "where acknowledgements are late",
        "TD_COAP_OBS_12": "Observe 1 ends it",
    },
    "OSCORE (RFC 8613)": {
        "OSCORE_TEST_0": "without protection",
        "OSCORE_TEST_1": "GET",
        "OSCORE_TEST_2": "GET with an id context",
        "OSCORE_TEST_3": "GET with Uri-Query and ETag",
        "OSCORE_TEST_4": "GET with Accept and Max-Age",
        "OSCORE_TEST_5": "GET with Observe, answered without",
        "OSCORE_TEST_6": "Observe",
        "OSCORE_TEST_7": "Observe, registration and cancellation",
        "OSCORE_TEST_8": "POST",
        "OSCORE_TEST_9": "PUT with If-Match",
        "OSCORE_TEST_10": "PUT with If-None-Match",
        "OSCORE_TEST_11": "DELETE",
        "OSCORE_TEST_12": "a sender id that is not known",
        "OSCORE_TEST_13": "another key",
        "OSCORE_TEST_15": "a replayed request",
        "OSCORE_TEST_16": "a server without OSCORE",
        "OSCORE_TEST_17": "an unprotected request where protection is needed",
    },
}

NOTES = {
    "TD_COAP_CORE_18": "with a member's name of coapd's choice in the last segment",
    "TD_COAP_BLOCK_04": "on the collection `/large-create/`",
    "OSCORE_TEST_3": "with an ETag of coapd's choice",
    "OSCORE_TEST_8": "the 2.04 has no payload; a GET shows the value",
}

HEAD = """\
<!-- Written by tests/conformance/table.py out of the tests of that folder; do not edit. -->

# Conformance

The test descriptions of the ETSI CoAP plugtests (CoAP#4) and of the OSCORE interoperability tests, run by
`./dev test conformance` against coapd with `conf/examples/plugtest.conf` and `conf/examples/plugtest-oscore.conf`.
Each test has the name of its case.

The clients: **raw** is the tests' own, which looks at every byte, and **tcp** and **websocket** are the same over
`coap+tcp` and `coap+ws`; **aiocoap** (Python), also over TCP; **coap-client** of libcoap; **node-coap**
(JavaScript). Over UDP a case that speaks of message types is looked at by the raw client beside the others.

CoAP#4 has no TD_COAP_OBS_03. OSCORE_TEST_14 is about the client alone.
"""


TAIL = """
## Where libcoap goes another way

Found beside the cases; each is pinned by a test, so that an upgrade of libcoap tells (4.3.4 and 4.3.5 are alike).

| what | by the RFC | with libcoap |
| --- | --- | --- |
| an empty Uri-Query | is one like any other (RFC 7252, 5.10) | RST |
| an elective option of a bad length | is passed over (RFC 7252, 5.4.3) | RST |
| an elective option too many | is passed over (RFC 7252, 5.4.5) | 4.02 |
| Hop-Limit 1 to the server itself | is not counted down by it (RFC 8768, 3) | 5.08 |
| pings | draw a RST each (RFC 7252, 4.3) | at most four a second and peer |
| a confirmable notification sent again | has the newest state and number (RFC 7641, 4.5.2) | is the old one, byte for byte: nothing public takes a message out of the queue, or begins one with a later attempt. By its number a client knows it for an older one, and when it is acknowledged the newest state comes at once |
| a Proxy-Uri that is none | 4.02 (RFC 7252, 5.10.2 and 5.4.1) | 5.05 where it has no known scheme or no host |
| a request in the clear after a protected one, in one session | is answered in the clear (RFC 8613, 8.4, protects answers to protected requests) | has no answer, and `OSCORE: PDU could not be encrypted` is logged. Over UDP coapd keeps the two apart, each in a session of its own, unless `server.shards` is 1; over DTLS, TCP and WebSocket a client connects for each, and a Ping (RFC 8323, 5.4) has no Pong, either |
| WebSocket messages over 1472 bytes | are for the receiver to limit (RFC 8323, 5.3.1) | are closed with 1009, in one frame or in several; the CSM promises `limits.message_size` |

## Left out

| what | why |
| --- | --- |
| `pmin`, `pmax` and the other conditional attributes (draft-ietf-core-conditional-attributes) | libcoap tells all observers of a resource in one round, and has no call to tell or to spare one of them; `notify_interval` of a resource repeats for all |
| silence for observers whose view of a change is the same, by their query or by their virtual host | the same: they are told the state that they know, under a new Observe number |
| simple registration (RFC 9176, 5.1) over DTLS or with OSCORE | the directory asks back over plain UDP, which nobody with keys should rely on: 5.01, such endpoints post their links. Over TCP the RFC rules it out |
| JSON and CBOR links from a resource directory | drafts that were given up |
| Q-Block (RFC 9177) | with `server.q_block` there is, over plain UDP: coapd takes the options out of a request before libcoap sees it, which has them only together with its own way of putting bodies together, that takes memory by what a client announces and knows no limit. Without the key, with OSCORE and under DTLS they are answered 4.02, upon which a client goes back to Block1 and Block2. Notifications, answers that are waited for (from a proxy or a program), and answers to other methods than GET and FETCH go by Block2. The next set of Q-Block2 is sent when the client asks for it, never by a timer; the blocks behind the first are non-confirmable, and to an address that has proved nothing there are none |
| a forward proxy for any target (RFC 7252, 5.7.2) | the kind `proxy` asks the targets that the config names, and none else: 5.05. Other schemes than coap, coaps, coap+tcp and coaps+tcp are answered 5.05, too |
"""


def functions():
    found = {}
    for name in ("test_core", "test_block", "test_link", "test_observe", "test_oscore"):
        module = importlib.import_module(name)
        found.update({key[5:]: value for key, value in vars(module).items() if key.startswith("test_")})
    return found


def clients(function):
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "parametrize" and mark.args[0] == "peer":
            return ", ".join(mark.args[1])
    return "raw"


def result(case, function):
    for mark in getattr(function, "pytestmark", []):
        if mark.name == "xfail":
            return f"**gap**: {mark.kwargs['reason']}"
    return "pass" + (f"; {NOTES[case]}" if case in NOTES else "")


def text():
    tests = functions()
    out = HEAD
    for title, cases in CASES.items():
        out += f"\n## {title}\n\n| case | what | clients | result |\n| --- | --- | --- | --- |\n"
        for case, what in cases.items():
            out += f"| {case} | {what} | {clients(tests[case])} | {result(case, tests[case])} |\n"
    return out + TAIL


if __name__ == "__main__":
    sys.stdout.write(text())
