/* SPDX-License-Identifier: BSD-2-Clause */
/* Control frames, fragments, and what ends a connection (RFC 6455, 5.4, 5.5 and 7.4). */
#include "websocket_wire.h"

enum { FIN = 0x80, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

struct script {
        uint8_t bytes[8000];
        size_t n;
};

static uint8_t next_mask = 0x11;

/* A frame of up to 65535 bytes, with a mask of its own. */
static void add(struct script *s, unsigned first, const void *payload, size_t n)
{
        uint8_t *at = s->bytes + s->n, mask[4];

        assert_true(s->n + n + 8 <= sizeof s->bytes);
        at[0] = (uint8_t)first;
        at[1] = (uint8_t)(0x80 | (n < 126 ? n : 126));
        at += 2;
        if (n >= 126) {
                *at++ = (uint8_t)(n >> 8);
                *at++ = (uint8_t)n;
        }
        for (int i = 0; i < 4; i++)
                *at++ = mask[i] = (uint8_t)(next_mask += 37);
        for (size_t i = 0; i < n; i++)
                *at++ = ((const uint8_t *)payload)[i] ^ mask[i % 4];
        s->n = (size_t)(at - s->bytes);
}

static struct wire wire_of(const struct script *s)
{
        return (struct wire){ .p = s->bytes, .n = s->n, .piece = sizeof s->bytes };
}

/* Reads one frame as libcoap does, also what comes in between; its payload without the mask. Less than 0: none. */
static ssize_t read_message(struct websocket *ws, struct wire *wire, uint8_t *to)
{
        static uint8_t got[2000];
        ssize_t r = websocket_read(ws, wire_read, wire, got, 14), more;
        size_t head, n;

        while (r == AGAIN && (wire->at < wire->n || websocket_has_more(ws, 0)))
                r = websocket_read(ws, wire_read, wire, got, 14);
        if (r <= 0)
                return r == AGAIN ? AGAIN : -1;
        assert_true(got[0] == 0x82 && got[1] & 0x80);
        head = (got[1] & 0x7f) == 126 ? 8 : 6;
        n = head == 8 ? (size_t)got[2] << 8 | got[3] : got[1] & 0x7f;
        if (head + n > 14) {
                more = websocket_read(ws, wire_read, wire, got + 14, n + head - 14);
                assert_int_equal(more, n + head - 14);
        } else {
                assert_int_equal(r, head + n);
        }
        for (size_t i = 0; i < n; i++)
                to[i] = got[head + i] ^ got[head - 4 + i % 4];
        return (ssize_t)n;
}

static void assert_message(struct websocket *ws, struct wire *wire, const void *expected, size_t n)
{
        static uint8_t got[2000];

        assert_int_equal(read_message(ws, wire, got), n);
        assert_memory_equal(got, expected, n);
}

static void assert_alive(struct websocket *ws, struct wire *wire)
{
        assert_message(ws, wire, "\x01\xe3\x00", 3);
}

static void assert_pong(struct websocket *ws, const void *expected, size_t n)
{
        struct span pong = websocket_pong(ws);

        assert_int_equal(pong.n, 2 + n);
        assert_int_equal(pong.p[0], 0x8a);
        assert_int_equal(pong.p[1], n);
        assert_memory_equal(pong.p + 2, expected, n);
        websocket_pong_is_sent(ws);
        assert_int_equal(websocket_pong(ws).n, 0);
}

/* All in its place, wherever it is torn apart. */
static void fragments_are_joined(void **state)
{
        bool ahead = *(bool *)*state;
        static uint8_t body[WEBSOCKET_PAYLOAD_MOST];
        static const size_t cuts[][4] = {
                /* where the second, the third and the fourth fragment begin; the end */
                { 1, 2, 3, 4 },
                { 0, 0, 0, 5 },
                { 5, 5, 5, 5 },
                { 3, 100, 103, 130 },
                { 125, 126, 252, 400 },
                { 1, 1471, 1472, 1472 },
                { 1472, 1472, 1472, 1472 },
                { 0, 0, 1, 1472 },
        };

        for (size_t i = 0; i < sizeof body; i++)
                body[i] = (uint8_t)(i * 31 + 1);
        for (size_t k = 0; k < ARRAY_LEN(cuts); k++) {
                static struct script s;
                const size_t *cut = cuts[k];

                s.n = 0;
                add(&s, BINARY, body, cut[0]);
                add(&s, 0, body + cut[0], cut[1] - cut[0]);
                add(&s, FIN | PING, body, 125);
                add(&s, 0, body + cut[1], cut[2] - cut[1]);
                add(&s, FIN | PONG, NULL, 0);
                add(&s, FIN, body + cut[2], cut[3] - cut[2]);
                add(&s, FIN | BINARY, "next", 4);
                for (size_t tear = 0; tear < s.n; tear += s.n < 600 ? 1 : 7) {
                        struct wire wire = wire_of(&s);
                        struct websocket *ws = opened(ahead);
                        static uint8_t got[2000];
                        ssize_t r;

                        wire.pause = tear;
                        do {
                                r = read_message(ws, &wire, got);
                        } while (r == 3 && memcmp(got, "\x01\xe3\x00", 3) == 0);
                        assert_int_equal(r, cut[3]);
                        assert_memory_equal(got, body, cut[3]);
                        assert_pong(ws, body, 125);
                        assert_message(ws, &wire, "next", 4);
                        assert_int_equal(read_message(ws, &wire, got), AGAIN);
                        websocket_free(ws);
                }
        }
}

static void too_long_a_message_ends_it(void **state)
{
        bool ahead = *(bool *)*state;
        static const uint8_t body[WEBSOCKET_PAYLOAD_MOST];
        static struct script s;
        struct websocket *ws = opened(ahead);
        struct wire wire;

        s.n = 0;
        add(&s, BINARY, body, 1000);
        add(&s, 0, body, 472);
        add(&s, FIN | PING, body, 125); /* is no part of it */
        add(&s, 0, body, 0);
        add(&s, FIN, body, 1);
        wire = wire_of(&s);
        wire.n -= 7;
        assert_alive(ws, &wire);
        assert_pong(ws, body, 125);
        wire.n += 6; /* the head says it already */
        assert_ends(ws, &wire, 1009);
        websocket_free(ws);
}

static void broken_rules_end_it(void **state)
{
        bool ahead = *(bool *)*state;
        static const struct {
                unsigned reason;
                uint8_t bytes[40];
        } cases[] = {
                { 1002, { 0x82, 0x05, 'p', 'l', 'a', 'i', 'n' } },
                { 1002, { 0x89, 0x00 } },
                { 1002, { 0xc2, 0x81 } },
                { 1002, { 0xa2, 0x81 } },
                { 1002, { 0x92, 0x81 } },
                { 1002, { 0xc9, 0x80 } },
                { 1002, { 0x83, 0x81 } },
                { 1002, { 0x87, 0x81 } },
                { 1002, { 0x8b, 0x81 } },
                { 1002, { 0x8f, 0x81 } },
                { 1003, { 0x81, 0x81 } },
                { 1003, { 0x01, 0x81 } },
                { 1002, { 0x09, 0x80 } }, /* control frames in fragments */
                { 1002, { 0x0a, 0x80 } },
                { 1002, { 0x08, 0x80 } },
                { 1002, { 0x89, 0xfe } }, /* and longer than 125 bytes */
                { 1002, { 0x8a, 0xfe } },
                { 1002, { 0x88, 0xff } },
                { 1002, { 0x80, 0x81 } }, /* a continuation of nothing */
                { 1002, { 0x00, 0x81 } },
                { 1002, { 0x02, 0x81, 0, 0, 0, 0, 'x', 0x82, 0x81 } }, /* a message within a message */
                { 1002, { 0x02, 0x80, 0, 0, 0, 0, 0x02, 0x81 } },
                { 1002, { 0x02, 0x81, 0, 0, 0, 0, 'x', 0x81, 0x81 } },
                { 1002, { 0x02, 0x80, 0, 0, 0, 0, 0x80, 0x80, 0, 0, 0, 0 } }, /* nothing, in fragments */
                { 1002,
                  { 0x02, 0x81, 0, 0, 0, 0, 'x', 0x80, 0x80, 0, 0, 0, 0, 0x80, 0x81 } }, /* one too many */
        };

        for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
                struct wire wire = { .p = cases[k].bytes, .n = sizeof cases[k].bytes, .piece = 1 };
                struct websocket *ws = opened(ahead);

                if (k == ARRAY_LEN(cases) - 1)
                        assert_message(ws, &wire, "x", 1);
                assert_ends(ws, &wire, cases[k].reason);
                websocket_free(ws);
        }
}

static void close_is_answered(void **state)
{
        bool ahead = *(bool *)*state;
        static const struct {
                unsigned reason;
                struct span payload;
        } cases[] = {
                { 1000, { NULL, 0 } },
                { 1000, { (const uint8_t *)"\x03\xe8", 2 } },
                { 1001, { (const uint8_t *)"\x03\xe9gone", 6 } },
                { 1007, { (const uint8_t *)"\x03\xe8\xff", 3 } },
                { 1002, { (const uint8_t *)"\x0f", 1 } },     /* with any second one it would be one */
                { 1002, { (const uint8_t *)"\x03\xe7", 2 } }, /* 999 */
                { 1002, { (const uint8_t *)"\x03\xec", 2 } }, /* 1004 */
                { 1002, { (const uint8_t *)"\x03\xee", 2 } }, /* 1006, which is for no frame */
                { 1014, { (const uint8_t *)"\x03\xf6", 2 } },
                { 1002, { (const uint8_t *)"\x03\xf7", 2 } }, /* 1015 */
                { 1002, { (const uint8_t *)"\x0b\xb7", 2 } }, /* 2999 */
                { 3000, { (const uint8_t *)"\x0b\xb8", 2 } },
                { 4999, { (const uint8_t *)"\x13\x87", 2 } },
                { 1002, { (const uint8_t *)"\x13\x88", 2 } },
        };

        for (size_t k = 0; k < ARRAY_LEN(cases); k++) {
                static struct script s;
                struct websocket *ws = opened(ahead);
                struct wire wire;

                s.n = 0;
                add(&s, BINARY, "half", 4);
                add(&s, FIN | PING, "before", 6);
                add(&s, FIN | CLOSE, cases[k].payload.p, cases[k].payload.n);
                add(&s, FIN | PING, "behind", 6);
                wire = wire_of(&s);
                assert_ends(ws, &wire, cases[k].reason);
                websocket_free(ws);
        }
}

/* One Pong for many Pings, the last; libcoap is told little of it, and others are not kept waiting. */
static void a_flood_of_pings_leaves_one_pong(void **state)
{
        static struct script s;
        struct websocket *ws = opened(true);
        unsigned reads = 0, told = 0;
        struct wire wire;
        uint8_t got[14], i;

        (void)state;
        s.n = 0;
        for (i = 0; i < 200; i++)
                add(&s, FIN | PING, &i, 1);
        add(&s, FIN | BINARY, "request", 7);
        wire = wire_of(&s);
        for (;;) {
                ssize_t r = websocket_read(ws, wire_read, &wire, got, sizeof got);

                assert_true(r > 0);
                reads++;
                if (r == 13)
                        break;
                assert_int_equal(r, 9);
                told++;
                assert_true(websocket_pong(ws).n > 0);
                assert_true(websocket_has_more(ws, 0));
        }
        assert_in_range(reads, 200 / 20, 200 / 10);
        assert_int_equal(told, reads - 1);
        i = 199;
        assert_pong(ws, &i, 1);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        websocket_free(ws);
}

static void pings_keep_a_session_alive(void **state)
{
        bool ahead = *(bool *)*state;
        static struct script s;
        struct websocket *ws = opened(ahead);
        struct wire wire;
        uint8_t got[14];

        s.n = 0;
        add(&s, FIN | PING, "", 0);
        wire = wire_of(&s);
        assert_alive(ws, &wire);
        assert_pong(ws, "", 0);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        s.n = 0;
        add(&s, FIN | PONG, "unasked", 7);
        wire = wire_of(&s);
        assert_alive(ws, &wire);
        assert_int_equal(websocket_pong(ws).n, 0);
        s.n = 0;
        add(&s, FIN | PING, "", 0);
        add(&s, FIN | BINARY, "a message tells as much", 23);
        wire = wire_of(&s);
        assert_message(ws, &wire, "a message tells as much", 23);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), AGAIN);
        websocket_free(ws);
}

/* Of the end the transport may tell once only: it is not put off. */
static void the_end_comes_behind_a_ping(void **state)
{
        bool ahead = *(bool *)*state;
        static struct script s;
        struct websocket *ws = opened(ahead);
        struct wire wire;
        uint8_t got[14];

        s.n = 0;
        add(&s, FIN | PING, "last", 4);
        wire = wire_of(&s);
        wire.ends = true;
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, sizeof got), 0);
        websocket_free(ws);
}

static void signals_are_long_enough_for_libcoap(void **state)
{
        bool ahead = *(bool *)*state;
        static struct script s;
        struct websocket *ws = opened(ahead);
        struct wire wire;

        s.n = 0;
        add(&s, FIN | BINARY, "\x00\xe1", 2);
        add(&s, BINARY, "\x00", 1);
        add(&s, FIN, "\xe2", 1);
        add(&s, FIN | BINARY, "\x00\xe1\x40", 3);
        add(&s, FIN | BINARY, "\x00\x01", 2); /* GET */
        add(&s, FIN | BINARY, "\x01\xe1", 2);
        add(&s, FIN | BINARY, "\x00", 1);
        wire = wire_of(&s);
        assert_message(ws, &wire, "\x00\xe1\x80", 3);
        assert_message(ws, &wire, "\x00\xe2\x80", 3);
        assert_message(ws, &wire, "\x00\xe1\x40", 3);
        assert_message(ws, &wire, "\x00\x01", 2);
        assert_message(ws, &wire, "\x01\xe1", 2);
        assert_message(ws, &wire, "\x00", 1);
        websocket_free(ws);
}

static void only_a_close_frame_is_changed(void **state)
{
        static const uint8_t close[] = { 0x88, 0x02, 3, 0xe8, 0 };
        struct websocket *ws = opened(true);
        struct wire wire = { .p = (const uint8_t *)"\x81\x80", .n = 2, .piece = 2 };

        (void)state;
        assert_ptr_equal(websocket_written(ws, span_of(close, 4)).p, close); /* libcoap's own decision */
        assert_ends(ws, &wire, 1003);
        assert_ptr_equal(websocket_written(ws, span_of(close, 5)).p, close);
        assert_memory_equal(websocket_written(ws, span_of("\x82\x02xy", 4)).p, "\x82\x02xy", 4);
        websocket_free(ws);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                EITHER_WAY(fragments_are_joined),
                EITHER_WAY(too_long_a_message_ends_it),
                EITHER_WAY(broken_rules_end_it),
                EITHER_WAY(close_is_answered),
                EITHER_WAY(pings_keep_a_session_alive),
                EITHER_WAY(signals_are_long_enough_for_libcoap),
                EITHER_WAY(the_end_comes_behind_a_ping),
                cmocka_unit_test(a_flood_of_pings_leaves_one_pong),
                cmocka_unit_test(only_a_close_frame_is_changed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
