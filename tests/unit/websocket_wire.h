/* SPDX-License-Identifier: BSD-2-Clause */
/* A transport for the tests of WebSockets, and one that has been opened. */
#ifndef COAPD_TESTS_WEBSOCKET_WIRE_H
#define COAPD_TESTS_WEBSOCKET_WIRE_H

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

enum { AGAIN = WEBSOCKET_AGAIN };

/* A test twice: `*state` points to whether it reads ahead. */
static bool not_ahead = false, ahead_too = true;
#define EITHER_WAY(name)                                                                                     \
        { #name, name, NULL, NULL, &not_ahead },                                                             \
        {                                                                                                    \
                #name " (ahead)", name, NULL, NULL, &ahead_too                                               \
        }

/* A transport: bytes, of which up to `piece` come at once, and a pause behind each `pause` of them. */
struct wire {
        const uint8_t *p;
        size_t n, at, piece, pause;
        bool ends;
};

static inline ssize_t wire_read(void *below, void *to, size_t n)
{
        struct wire *wire = below;

        if (wire->at == wire->n)
                return wire->ends ? 0 : AGAIN;
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

/* All of it as libcoap reads it, up to the empty line; its size. */
static inline size_t read_handshake(struct websocket *ws, struct wire *wire, char *to)
{
        size_t n = 0;
        ssize_t r;

        do {
                r = websocket_read(ws, wire_read, wire, to + n, 14);
                n += r > 0 ? (size_t)r : 0;
        } while (r > 0 && (n < 4 || memcmp(to + n - 4, "\r\n\r\n", 4) != 0));
        return n;
}

static inline struct websocket *opened(bool ahead)
{
        struct websocket *ws = websocket_new(ahead, NULL);
        struct wire wire = { .p = (const uint8_t *)handshake, .n = sizeof handshake - 1, .piece = 100 };
        char got[100];

        assert_non_null(ws);
        assert_int_equal(read_handshake(ws, &wire, got), sizeof handshake - 1);
        assert_memory_equal(got, handshake, sizeof handshake - 1);
        return ws;
}

/* What libcoap reads where the connection is to end, and what becomes of the Close frame that it then writes. */
static inline void assert_ends(struct websocket *ws, struct wire *wire, unsigned reason)
{
        static const uint8_t libcoaps[] = { 0x88, 0x02, 1000 >> 8, 1000 & 0xff };
        struct span written;
        uint8_t got[20];

        assert_int_equal(websocket_read(ws, wire_read, wire, got, 14), 6);
        assert_memory_equal(got, "\x88\x80\0\0\0\0", 6);
        assert_int_equal(websocket_read(ws, wire_read, wire, got, 14), 0);
        assert_int_equal(websocket_read(ws, wire_read, wire, got, 14), 0);
        assert_false(websocket_has_more(ws, 1));
        assert_int_equal(websocket_pong(ws).n, 0);
        written = websocket_written(ws, span_of(libcoaps, sizeof libcoaps));
        assert_int_equal(written.n, 4);
        assert_memory_equal(written.p, libcoaps, 2);
        assert_int_equal(written.p[2] << 8 | written.p[3], reason);
}

#endif
