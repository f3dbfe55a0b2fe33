/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole WebSocket frames; see websocket.h. */
#include "endpoints/websocket.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum { HEADER_LEAST = 2, HEADER_MOST = 14, MASKED = 0x80, LENGTH = 0x7f, LENGTH_16 = 126, LENGTH_64 = 127 };

struct websocket {
        bool open; /* the handshake's last line was read */
        bool cut;
        unsigned line_ends; /* of the "\r\n\r\n" that ends the handshake, how many came last */
        size_t have;        /* bytes of the frame */
        size_t given;       /* of these to libcoap */
        uint8_t frame[HEADER_MOST + WEBSOCKET_PAYLOAD_MOST];
};

struct websocket *websocket_new(void)
{
        return calloc(1, sizeof(struct websocket));
}

void websocket_free(struct websocket *ws)
{
        free(ws);
}

/* Byte by byte: what comes behind the handshake belongs to a frame, and can not be put back. */
static ssize_t read_handshake(struct websocket *ws, websocket_below *read, void *below, uint8_t *to, size_t n)
{
        static const char end[] = "\r\n\r\n";
        size_t got = 0;

        while (got < n && !ws->open) {
                ssize_t r = read(below, &to[got], 1);

                if (r <= 0)
                        return got > 0 ? (ssize_t)got : r;
                if (to[got] == (uint8_t)end[ws->line_ends])
                        ws->line_ends++;
                else
                        ws->line_ends = to[got] == '\r';
                ws->open = ws->line_ends == sizeof end - 1;
                got++;
        }
        return (ssize_t)got;
}

static size_t header_size(const struct websocket *ws)
{
        size_t n = HEADER_LEAST;

        if ((ws->frame[1] & LENGTH) == LENGTH_16)
                n += sizeof(uint16_t);
        if ((ws->frame[1] & LENGTH) == LENGTH_64)
                n += sizeof(uint64_t);
        return ws->frame[1] & MASKED ? n + sizeof(uint32_t) : n;
}

static uint64_t payload_size(const struct websocket *ws)
{
        size_t length = ws->frame[1] & LENGTH;
        size_t bytes = length == LENGTH_16 ? sizeof(uint16_t) : length == LENGTH_64 ? sizeof(uint64_t) : 0;
        uint64_t n = 0;

        for (size_t i = 0; i < bytes; i++)
                n = n << 8 | ws->frame[HEADER_LEAST + i];
        return bytes ? n : length;
}

/* How many bytes of the frame there must be before more can be said; all of them, in the end. */
static size_t frame_needs(struct websocket *ws)
{
        if (ws->have < HEADER_LEAST)
                return HEADER_LEAST;
        if (ws->have < header_size(ws))
                return header_size(ws);
        if (payload_size(ws) > WEBSOCKET_PAYLOAD_MOST) {
                ws->cut = true;
                return 0;
        }
        return header_size(ws) + (size_t)payload_size(ws);
}

/* 1: the frame is whole; else as websocket_read(). */
static ssize_t fill_frame(struct websocket *ws, websocket_below *read, void *below)
{
        size_t need = frame_needs(ws);

        while (ws->have < need) {
                ssize_t r = read(below, &ws->frame[ws->have], need - ws->have);

                if (r <= 0)
                        return r;
                ws->have += (size_t)r;
                need = frame_needs(ws);
        }
        return ws->cut ? WEBSOCKET_CUT : 1;
}

ssize_t websocket_read(struct websocket *ws, websocket_below *read, void *below, void *to, size_t n)
{
        ssize_t r;

        if (ws->cut)
                return WEBSOCKET_CUT;
        if (!ws->open)
                return read_handshake(ws, read, below, to, n);
        if (ws->given == 0) {
                r = fill_frame(ws, read, below);
                if (r <= 0)
                        return r;
        }
        n = MIN(n, ws->have - ws->given);
        memcpy(to, &ws->frame[ws->given], n);
        ws->given += n;
        if (ws->given == ws->have)
                ws->have = ws->given = 0;
        return (ssize_t)n;
}
