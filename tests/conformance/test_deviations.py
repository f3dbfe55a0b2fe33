# SPDX-License-Identifier: BSD-2-Clause
"""Where libcoap keeps coapd from what the RFCs say, pinned so that an upgrade tells. They stand in
docs/conformance.md, too: see table.py."""

import coap


def test_an_empty_uri_query_is_rejected(raw):
    """RFC 7252, 5.10: Uri-Query has 0 to 255 bytes."""
    assert raw.get("query", extra=[(coap.URI_QUERY, b"")]).type == coap.RST


def test_an_elective_option_of_a_bad_length_rejects_the_message(raw):
    """RFC 7252, 5.4.3: it is to be passed over."""
    assert raw.get("query", extra=[(coap.ETAG, b"123456789")]).type == coap.RST


def test_an_elective_option_too_many_is_an_error(raw):
    """RFC 7252, 5.4.5: it is to be passed over."""
    assert raw.put("x", b"", extra=[(coap.CONTENT_FORMAT, b""), (coap.CONTENT_FORMAT, b"\x32")]).text == "4.02"


def test_hop_limit_counts_for_the_last_hop(raw):
    """RFC 8768, 3: only a proxy counts."""
    assert raw.get("query", extra=[(coap.HOP_LIMIT, b"\1")]).text == "5.08"


def test_pings_are_answered_four_times_a_second(raw):
    """RFC 7252, 4.2: an empty CON draws a RST. A client's retransmission does, so this costs it two seconds."""
    raw.ping()
    message = raw.send(coap.Message(0, type=coap.CON, mid=raw.next_mid()))
    assert raw.nothing(0.2, lambda m: m.mid == message.mid)


def test_q_block_is_refused(raw):
    """RFC 9177, 3.1: 4.02 sends a client back to Block1 and Block2, and a part is not taken for the whole."""
    assert raw.put("q-block", b"a" * 16, extra=[(coap.Q_BLOCK1, b"\x08")]).text == "4.02"
    assert raw.get("q-block").text == "4.04"
    assert raw.get("query", extra=[(coap.Q_BLOCK2, b"\x08")]).text == "4.02"


def test_a_confirmable_notification_is_sent_again_as_it_was(plugtest):
    """RFC 7641, 4.5.2: when it times out and there is a newer state, that would go out instead, as one more attempt."""
    with plugtest.client() as client, plugtest.client() as other:
        other.put("late", b"0", content_format=coap.TEXT)
        watch = client.observe("late")
        client.acknowledge = False
        for value in (b"1", b"2", b"3"):
            other.put("late", value, content_format=coap.TEXT)
        first = watch.next()
        assert (first.type, first.payload) == (coap.CON, b"1")
        for timeout in (4, 7):  # 2 to 3 seconds, and twice as long
            client.seen.clear()
            assert watch.next(timeout).encode() == first.encode()
        # What is in between is skipped, and the newest is told as soon as it may be.
        client.send(coap.Message(0, type=coap.ACK, mid=first.mid))
        newest = watch.next()
        assert (newest.type, newest.payload, newest.mid != first.mid) == (coap.CON, b"3", True)
        assert coap.newer(first.observe, newest.observe)
        client.send(coap.Message(0, type=coap.ACK, mid=newest.mid))
        client.ping()
