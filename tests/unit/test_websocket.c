/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole frames out of whatever pieces come in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/util.h"
#include "endpoints/websocket.h"

enum { AGAIN = -11 };

/* A transport: bytes, of which up to `piece` come at once, and a pause behind each `pause` of them. */
struct wire {
        const uint8_t *p;
        size_t n, at, piece, pause;
};

static ssize_t wire_read(void *below, void *to, size_t n)
{
        struct wire *wire = below;

        if (wire->at == wire->n)
                return AGAIN;
        n = MIN(n, MIN(wire->piece, wire->n - wire->at));
        if (wire->pause && wire->at / wire->pause != (wire->at + n) / wire->pause) {
                wire->pause = 0;
                return AGAIN;
        }
        memcpy(to, wire->p + wire->at, n);
        wire->at += n;
        return (ssize_t)n;
}

static const char handshake[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

static struct websocket *opened(void)
{
        struct websocket *ws = websocket_new();
        struct wire wire = { .p = (const uint8_t *)handshake, .n = sizeof handshake - 1, .piece = 100 };
        char got[100];

        assert_non_null(ws);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), sizeof handshake - 1);
        assert_memory_equal(got, handshake, sizeof handshake - 1);
        return ws;
}

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
        uint8_t bytes[200], got[200];
        size_t head = sizeof handshake - 1;
        struct wire wire = { .p = bytes, .piece = sizeof bytes };
        struct websocket *ws = websocket_new();

        (void)state;
        memcpy(bytes, handshake, head);
        wire.n = head + frame(bytes + head, 'a', 10);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), head);
        assert_int_equal(wire.at, head);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), wire.n - head);
        assert_memory_equal(got, bytes + head, wire.n - head);
        websocket_free(ws);
}

static void an_almost_end_is_none(void **state)
{
        static const char bytes[] = "a\r\n\rb\r\r\n\r\n";
        struct wire wire = { .p = (const uint8_t *)bytes, .n = sizeof bytes - 1, .piece = 100 };
        struct websocket *ws = websocket_new();
        char got[100];

        (void)state;
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), sizeof bytes - 1);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        websocket_free(ws);
}

/* Every size and every place where a frame can be torn apart: nothing is given before all is there. */
static void frames_are_whole(void **state)
{
        static const size_t sizes[] = { 0, 1, 8, 9, 125, 126, 300, WEBSOCKET_PAYLOAD_MOST };
        static uint8_t bytes[2000], got[2000];

        (void)state;
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
                size_t n = frame(bytes, 'x', sizes[k]);

                for (size_t tear = 1; tear < n; tear++) {
                        struct wire wire = { .p = bytes, .n = n, .piece = sizeof bytes, .pause = tear };
                        struct websocket *ws = opened();
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
        uint8_t bytes[100], got[100];
        size_t first = frame(bytes, 'a', 5), second = frame(bytes + first, 'b', 3);
        struct wire wire = { .p = bytes, .n = first + second, .piece = 3 };
        struct websocket *ws = opened();

        (void)state;
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), first);
        assert_int_equal(wire.at, first);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), second);
        assert_memory_equal(got, bytes + first, second);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        websocket_free(ws);
}

static void too_long_a_frame_cuts(void **state)
{
        static const size_t sizes[] = { WEBSOCKET_PAYLOAD_MOST + 1, 65535, 65536 };
        static uint8_t bytes[70000];
        uint8_t got[2000];

        (void)state;
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
                struct wire wire = { .p = bytes, .n = frame(bytes, 'x', sizes[k]), .piece = 1 };
                struct websocket *ws = opened();

                assert_int_equal(websocket_read(ws, wire_read, &wire, got, 14), WEBSOCKET_CUT);
                assert_int_equal(websocket_read(ws, wire_read, &wire, got, 14), WEBSOCKET_CUT);
                assert_true(wire.at <= 14);
                websocket_free(ws);
        }
}

static void the_longest_length_cuts(void **state)
{
        uint8_t bytes[300], got[20];
        struct wire wire = { .p = bytes, .n = sizeof bytes, .piece = sizeof bytes };
        struct websocket *ws = opened();

        (void)state;
        memset(bytes, 0xff, sizeof bytes);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, 14), WEBSOCKET_CUT);
        websocket_free(ws);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(handshake_ends_where_frames_begin),
                cmocka_unit_test(an_almost_end_is_none),
                cmocka_unit_test(frames_are_whole),
                cmocka_unit_test(frames_do_not_run_together),
                cmocka_unit_test(too_long_a_frame_cuts),
                cmocka_unit_test(the_longest_length_cuts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
