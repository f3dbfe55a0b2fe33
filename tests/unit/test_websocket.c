/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole frames out of whatever pieces come in. */
#include "websocket_wire.h"

/* Writes a masked frame of `n` times `fill`; returns its size. */
static size_t frame(uint8_t *to, uint8_t fill, size_t n)
{
        size_t head = 2;

        to[0] = 0x82;
        if (n < 126) {
                to[1] = (uint8_t)(0x80 | n);
        } else if (n < 0x10000) {
                to[1] = 0x80 | 126;
                to[head++] = (uint8_t)(n >> 8);
                to[head++] = (uint8_t)n;
        } else {
                to[1] = 0x80 | 127;
                for (int i = 7; i >= 0; i--)
                        to[head++] = (uint8_t)((uint64_t)n >> (8 * i));
        }
        memset(to + head, 0x11, 4);
        head += 4;
        memset(to + head, fill, n);
        return head + n;
}

static void handshake_ends_where_frames_begin(void **state)
{
        bool ahead = *(bool *)*state;
        uint8_t bytes[200], got[200];
        size_t head = sizeof handshake - 1;
        struct wire wire = { .p = bytes, .piece = sizeof bytes };
        struct websocket *ws = websocket_new(ahead, NULL);

        memcpy(bytes, handshake, head);
        wire.n = head + frame(bytes + head, 'a', 10);
        assert_int_equal(read_handshake(ws, &wire, (char *)got), head);
        assert_int_equal(wire.at, ahead ? wire.n : head);
        assert_int_equal(websocket_has_more(ws, 0), ahead);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), wire.n - head);
        assert_memory_equal(got, bytes + head, wire.n - head);
        websocket_free(ws);
}

/* Every size and every place where a frame can be torn apart: nothing is given before all is there. */
static void frames_are_whole(void **state)
{
        bool ahead = *(bool *)*state;
        static const size_t sizes[] = { 1, 8, 9, 125, 126, 300, WEBSOCKET_PAYLOAD_MOST };
        static uint8_t bytes[2000], got[2000];

        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
                size_t n = frame(bytes, 'x', sizes[k]);

                for (size_t tear = 1; tear < n; tear++) {
                        struct wire wire = { .p = bytes, .n = n, .piece = sizeof bytes, .pause = tear };
                        struct websocket *ws = opened(ahead);
                        ssize_t r = websocket_read(ws, wire_read, &wire, got, 14);

                        while (r == AGAIN)
                                r = websocket_read(ws, wire_read, &wire, got, 14);
                        assert_int_equal(r, MIN(n, (size_t)14));
                        assert_int_equal(wire.at, n);
                        if (n > 14)
                                assert_int_equal(websocket_read(ws, wire_read, &wire, got + 14, n), n - 14);
                        assert_memory_equal(got, bytes, n);
                        websocket_free(ws);
                }
        }
}

static void frames_do_not_run_together(void **state)
{
        bool ahead = *(bool *)*state;
        uint8_t bytes[100], got[100];
        size_t first = frame(bytes, 'a', 5), second = frame(bytes + first, 'b', 3);
        struct wire wire = { .p = bytes, .n = first + second, .piece = ahead ? 100 : 3 };
        struct websocket *ws = opened(ahead);

        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), first);
        assert_int_equal(wire.at, ahead ? wire.n : first);
        assert_int_equal(websocket_has_more(ws, 0), ahead);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), second);
        assert_memory_equal(got, bytes + first, second);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        websocket_free(ws);
}

static void too_long_a_frame_ends_it(void **state)
{
        bool ahead = *(bool *)*state;
        static const size_t sizes[] = { WEBSOCKET_PAYLOAD_MOST + 1, 65535, 65536 };
        static uint8_t bytes[70000];

        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
                struct wire wire = { .p = bytes, .n = frame(bytes, 'x', sizes[k]), .piece = 1 };
                struct websocket *ws = opened(ahead);

                assert_ends(ws, &wire, 1009);
                assert_true(wire.at <= 14);
                websocket_free(ws);
        }
}

static void the_longest_length_ends_it(void **state)
{
        bool ahead = *(bool *)*state;
        uint8_t bytes[300];
        struct wire wire = { .p = bytes, .n = sizeof bytes, .piece = sizeof bytes };
        struct websocket *ws = opened(ahead);

        memset(bytes, 0xff, sizeof bytes);
        bytes[0] = 0x82;
        assert_ends(ws, &wire, 1009);
        websocket_free(ws);
}

/* What the caller has to come back for, of which nothing below tells. */
static void tells_what_was_read_ahead(void **state)
{
        static uint8_t bytes[4000];
        uint8_t got[2000];
        size_t first = frame(bytes, 'a', 20);
        size_t second = frame(bytes + first, 'b', 20);
        size_t third = frame(bytes + first + second, 'c', WEBSOCKET_PAYLOAD_MOST + 1);
        struct wire wire = { .p = bytes, .n = first + second - 1, .piece = sizeof bytes };
        struct websocket *ws = opened(true);

        (void)state;
        assert_false(websocket_has_more(ws, 0));
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, 14), 14);
        assert_false(websocket_has_more(ws, 1)); /* who reads this frame does so to its end */
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), first - 14);
        assert_false(websocket_has_more(ws, 0)); /* one byte is missing, and will come */
        assert_true(websocket_has_more(ws, 1));  /* or is there already */
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        wire.n = first + second + third; /* all of what is too long, which then may be the last that comes */
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), second);
        assert_true(websocket_has_more(ws, 0));
        assert_ends(ws, &wire, 1009);
        websocket_free(ws);
}

/* Many frames through the buffer, many times its size, in pieces that end anywhere. */
static void order_is_kept_for_long(void **state)
{
        static uint8_t bytes[100 * 1300];
        struct wire wire = { .p = bytes, .piece = 1000 };
        struct websocket *ws = opened(true);
        uint8_t got[2000], expected[2000];
        size_t sizes[100];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                sizes[i] = frame(bytes + wire.n, (uint8_t)i, 3 + i * 7919 % 1197);
                wire.n += sizes[i];
        }
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                assert_int_equal(frame(expected, (uint8_t)i, 3 + i * 7919 % 1197), sizes[i]);
                assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), sizes[i]);
                assert_memory_equal(got, expected, sizes[i]);
        }
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        websocket_free(ws);
}

/* libcoap would ask for its payload, and be at it for ever. */
static void an_empty_message_ends_it(void **state)
{
        bool ahead = *(bool *)*state;
        uint8_t bytes[14];
        struct wire wire = { .p = bytes, .n = frame(bytes, 0, 0), .piece = sizeof bytes };
        struct websocket *ws = opened(ahead);

        assert_ends(ws, &wire, 1002);
        websocket_free(ws);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                EITHER_WAY(handshake_ends_where_frames_begin), EITHER_WAY(frames_are_whole),
                EITHER_WAY(frames_do_not_run_together),        EITHER_WAY(too_long_a_frame_ends_it),
                EITHER_WAY(the_longest_length_ends_it),        EITHER_WAY(an_empty_message_ends_it),
                cmocka_unit_test(tells_what_was_read_ahead),   cmocka_unit_test(order_is_kept_for_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
