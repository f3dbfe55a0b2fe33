/* SPDX-License-Identifier: BSD-2-Clause */
/* What libcoap reads of a handshake. */
#include "websocket_wire.h"

#include <stdio.h>

#include "endpoints/websocket_handshake.h"

static void lines_become_what_libcoap_reads(void **state)
{
        static const struct {
                const char *line, *expected;
        } cases[] = {
                { "Host: example.org:80", "Host: example.org:80\r\n" },
                { "host:x", "Host: x\r\n" },
                { "HOST:\t x \t", "Host: x\r\n" },
                { "Host:", "Host: \r\n" },
                { "Upgrade: WebSocket", "Upgrade: websocket\r\n" },
                { "Upgrade: h2c, websocket", "Upgrade: websocket\r\n" },
                { "Upgrade: h2c", "Upgrade: h2c\r\n" },
                { "Upgrade: websockets", "Upgrade: websockets\r\n" },
                { "Connection: keep-alive, Upgrade", "Connection: Upgrade\r\n" },
                { "Connection: upgrade,keep-alive", "Connection: Upgrade\r\n" },
                { "Connection: , ,", "Connection: , ,\r\n" },
                { "Connection: close", "Connection: close\r\n" },
                { "Sec-WebSocket-Protocol: mqtt, coap", "Sec-WebSocket-Protocol: coap\r\n" },
                { "Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: mqtt\r\n" },
                { "sec-websocket-key:AAAAAAAAAAAAAAAAAAAAAA==",
                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n" },
                { "Sec-WebSocket-Version:  13", "Sec-WebSocket-Version: 13\r\n" },
                { "Origin: https://example.org", "" },
                { "Hos: x", "" },
                { "Hosts: x", "" },
                { ": x", "" },
                { "", "\r\n" },
                { "no colon", "?\r\n" },
                { "\r", "?\r\n" },
        };
        uint8_t got[HANDSHAKE_LINE_MOST];

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                size_t n = handshake_line(span_of_string(cases[i].line), false, NULL, got);

                assert_int_equal(n, strlen(cases[i].expected));
                assert_memory_equal(got, cases[i].expected, n);
        }
}

static void no_line_is_too_long_for_libcoap(void **state)
{
        uint8_t line[1000], got[HANDSHAKE_LINE_MOST];

        (void)state;
        memset(line, 'x', sizeof line);
        assert_int_equal(handshake_line(span_of(line, sizeof line), true, NULL, got), HANDSHAKE_LINE_MOST);
        assert_memory_equal(got + HANDSHAKE_LINE_MOST - 3, "x\r\n", 3);
        memcpy(line, "Host:", 5);
        assert_int_equal(handshake_line(span_of(line, sizeof line), false, NULL, got), HANDSHAKE_LINE_MOST);
        assert_memory_equal(got, "Host: xx", 8);
        assert_memory_equal(got + HANDSHAKE_LINE_MOST - 3, "x\r\n", 3);
}

/* A zero ends a line for libcoap: one that begins with it would be the empty one. */
static void zeros_are_no_end(void **state)
{
        uint8_t got[HANDSHAKE_LINE_MOST];

        (void)state;
        for (int is_first = 0; is_first < 2; is_first++) {
                assert_int_equal(handshake_line(span_of("\0Host: x", 8), is_first, NULL, got), 3);
                assert_memory_equal(got, "?\r\n", 3);
                assert_int_equal(handshake_line(span_of("Host: \0", 7), is_first, NULL, got), 3);
        }
}

static void assert_handshake(bool ahead, const char *sent, const char *expected, size_t pause)
{
        static char got[4000];
        struct wire wire = { .p = (const uint8_t *)sent, .n = strlen(sent), .piece = 10000, .pause = pause };
        struct websocket *ws = websocket_new(ahead, NULL);
        size_t n = read_handshake(ws, &wire, got);

        if (pause)
                n += read_handshake(ws, &wire, got + n);
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(got, expected, n);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, 14), AGAIN);
        websocket_free(ws);
}

static void lines_end_as_they_do_for_libcoap(void **state)
{
        bool ahead = *(bool *)*state;

        assert_handshake(ahead, "GET\nHost: x\n\n", "GET\r\nHost: x\r\n\r\n", 0);
        assert_handshake(ahead, "GET\r\nHost: x\n\r\n", "GET\r\nHost: x\r\n\r\n", 0);
        assert_handshake(ahead, "GET\nHost: x\r\n\n", "GET\r\nHost: x\r\n\r\n", 0);
        assert_handshake(ahead, "GET\r\n\r\r\nA: b\r\n", "GET\r\n?\r\n", 0);
        assert_handshake(ahead, "GET\r\n\rHost: x\r\n", "GET\r\n", 0);
}

/* Behind a bare LF there are frames, too: libcoap never sees half of one. */
static void frames_begin_behind_any_end(void **state)
{
        bool ahead = *(bool *)*state;
        static const char bytes[] = "GET\nHost: x\n\n\x82\x81";
        struct wire wire = { .p = (const uint8_t *)bytes, .n = sizeof bytes - 1, .piece = 100 };
        struct websocket *ws = websocket_new(ahead, NULL);
        char got[100];

        read_handshake(ws, &wire, got);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, 14), AGAIN);
        assert_int_equal(wire.at, wire.n);
        websocket_free(ws);
}

static void lines_are_torn_anywhere(void **state)
{
        bool ahead = *(bool *)*state;
        static const char sent[] = "GET /x HTTP/1.1\r\nUser-Agent: M\r\nHost: x\r\nCookie: a\r\n\r\n";

        for (size_t tear = 1; tear < sizeof sent - 1; tear++)
                assert_handshake(ahead, sent, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", tear);
}

/* Longer than the buffer, and such that the buffer ends within another line. */
static void long_lines_are_passed_over(void **state)
{
        bool ahead = *(bool *)*state;
        static char sent[20000];

        for (size_t n = 2900; n < 3000; n++) {
                size_t at = (size_t)sprintf(sent, "GET /x HTTP/1.1\r\nCookie: ");

                memset(sent + at, 'c', n);
                strcpy(sent + at + n, "\r\nHost: x\r\nA: b\r\nConnection: Upgrade\r\n\r\n");
                assert_handshake(ahead, sent, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n\r\n", 0);
        }
        memset(sent + 40, 'c', 10000);
        strcpy(sent + 10040, "\r\nHost: x\r\n\r\n");
        assert_handshake(ahead, sent, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n", 0);
}

static void one_without_end_ends(void **state)
{
        bool ahead = *(bool *)*state;
        static char sent[20000];
        struct wire wire = { .p = (const uint8_t *)sent, .piece = 10000 };
        struct websocket *ws = websocket_new(ahead, NULL);
        char got[100];

        wire.n = (size_t)sprintf(sent, "GET /x HTTP/1.1\r\n");
        while (wire.n < sizeof sent - 10)
                wire.n += (size_t)sprintf(sent + wire.n, "A: b\r\n");
        read_handshake(ws, &wire, got);
        assert_int_equal(websocket_read(ws, wire_read, &wire, got, 14), 0);
        assert_true(wire.at < 6000);
        websocket_free(ws);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_become_what_libcoap_reads),
                cmocka_unit_test(no_line_is_too_long_for_libcoap),
                cmocka_unit_test(zeros_are_no_end),
                EITHER_WAY(lines_end_as_they_do_for_libcoap),
                EITHER_WAY(frames_begin_behind_any_end),
                EITHER_WAY(lines_are_torn_anywhere),
                EITHER_WAY(long_lines_are_passed_over),
                EITHER_WAY(one_without_end_ends),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
