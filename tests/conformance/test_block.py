# SPDX-License-Identifier: BSD-2-Clause
"""TD_COAP_BLOCK: block-wise transfers, RFC 7959."""

import coap
import pytest
from peers import by

CLIENTS = by("raw", "aiocoap", "coap-client", "node-coap")
BODY = "".join(f"{i:04} a line of a large body\n" for i in range(100)).encode()  # 2800 bytes


def large(raw):
    return raw.get_blocks("large", 1024).payload


def fetch_and_check(raw, size):
    """Every block of the size that was asked for, M on all but the last, and no more than it says in the last."""
    body, num = b"", 0
    while True:
        answer = raw.get("large", block2=coap.Block.of_size(num, False, size))
        block = answer.block(coap.BLOCK2)
        assert (answer.text, block.num, block.size) == ("2.05", num, size)
        assert len(answer.payload) == size if block.more else 0 < len(answer.payload) <= size
        body, num = body + answer.payload, num + 1
        if not block.more:
            return body


@CLIENTS
def test_TD_COAP_BLOCK_01(ask, raw):
    for size in (64, 512):
        assert ask("get", "large", block=size).payload == large(raw)
        assert fetch_and_check(raw, size) == large(raw)


@by("raw", "aiocoap", "coap-client", "node-coap", "tcp", "aiocoap-tcp")
def test_TD_COAP_BLOCK_02(ask, raw):
    assert ask("get", "large").payload == large(raw)
    first = raw.get("large")
    assert first.block(coap.BLOCK2) == coap.Block(0, True, 6) and len(first.payload) == 1024
    # With a smaller size from here on.
    second = raw.get("large", block2=coap.Block.of_size(4, False, 256))
    assert second.block(coap.BLOCK2) == coap.Block.of_size(4, True, 256)
    assert second.payload == large(raw)[1024:1280]


@CLIENTS
def test_TD_COAP_BLOCK_03(ask, raw):
    raw.put("large-update", b"small as yet")
    assert ask("put", "large-update", BODY, block=64, content_format=coap.TEXT).code == "2.04"
    assert raw.get_blocks("large-update", 1024).payload == BODY
    for num in (0, 1):
        answer = raw.put("large-update", b"x" * 64, block1=coap.Block.of_size(num, True, 64))
        assert (answer.text, answer.block(coap.BLOCK1)) == ("2.31", coap.Block.of_size(num, True, 64))
    assert raw.get_blocks("large-update", 1024).payload == BODY


@by("raw", "aiocoap", "coap-client")
def test_TD_COAP_BLOCK_04(ask, raw):
    """The new resource is a member of the collection /large-create/."""
    answer = ask("post", ["large-create", ""], BODY, block=64, content_format=coap.TEXT)
    assert answer.code == "2.01" and answer.location[0] == "large-create" and len(answer.location) == 2
    assert raw.get_blocks(answer.location, 1024).payload == BODY


@by("raw", "aiocoap", "coap-client")
def test_TD_COAP_BLOCK_05(ask, raw):
    """What comes back is what was sent, in capitals."""
    answer = ask("post", "large-post", BODY, block=64, content_format=coap.TEXT)
    assert (answer.code, answer.payload) == ("2.04", BODY.upper())
    first = raw.put_blocks("large-post", BODY, 64, method=coap.POST)
    assert first.block(coap.BLOCK2) == coap.Block(0, True, 6) and first.block(coap.BLOCK1).num == len(BODY) // 64
    assert first.payload == BODY.upper()[:1024]


@CLIENTS
def test_TD_COAP_BLOCK_06(ask, raw):
    assert ask("get", "large", block=16).payload == large(raw)
    assert fetch_and_check(raw, 16) == large(raw)
