# SPDX-License-Identifier: BSD-2-Clause
"""TD_COAP_LINK: discovery, RFC 6690."""

import re

import coap
from peers import by

EVERYONE = by("raw", "aiocoap", "coap-client", "node-coap", "tcp", "websocket", "aiocoap-tcp")
LISTED = ["/query", "/seg1/seg2/seg3", "/separate", "/multi-format", "/large-post", "/large",
          "/obs", "/obs-non", "/link1", "/link2", "/link3", "/link4", "/path"]
UNSIZED = ["/separate", "/large-post", "/obs", "/obs-non"]


def discover(ask, query=()):
    """The paths of the links that come back."""
    answer = ask("get", ".well-known/core", query=query)
    assert (answer.code, answer.content_format) == ("2.05", coap.LINK_FORMAT)
    return re.findall(r"<([^>]*)>", answer.payload.decode())


@EVERYONE
def test_TD_COAP_LINK_01(ask):
    assert discover(ask) == LISTED


@EVERYONE
def test_TD_COAP_LINK_02(ask):
    assert discover(ask, "rt=Type1") == ["/link1", "/link3"]


@EVERYONE
def test_TD_COAP_LINK_03(ask):
    assert discover(ask, "rt=*") == ["/obs", "/obs-non", "/link1", "/link2", "/link3"]


@EVERYONE
def test_TD_COAP_LINK_04(ask):
    assert discover(ask, "rt=Type2") == ["/link1", "/link2"]


@EVERYONE
def test_TD_COAP_LINK_05(ask):
    assert discover(ask, "if=If*") == ["/link1", "/link2"]


@EVERYONE
def test_TD_COAP_LINK_06(ask):
    assert discover(ask, "sz=*") == [path for path in LISTED if path not in UNSIZED]


@EVERYONE
def test_TD_COAP_LINK_07(ask):
    assert discover(ask, "href=/link1") == ["/link1"]


@EVERYONE
def test_TD_COAP_LINK_08(ask):
    assert discover(ask, "href=/link*") == ["/link1", "/link2", "/link3", "/link4"]


@EVERYONE
def test_TD_COAP_LINK_09(ask):
    assert discover(ask, "ct=40") == ["/path"]
    below = ask("get", "path")
    assert (below.code, below.content_format) == ("2.05", coap.LINK_FORMAT)
    paths = re.findall(r"<([^>]*)>", below.payload.decode())
    assert paths == ["/path/sub1", "/path/sub2", "/path/sub3"]
    for path in paths:
        assert ask("get", path.strip("/")).payload == path.encode()
