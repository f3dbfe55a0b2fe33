/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole WebSocket frames; see websocket.h. */
#include "endpoints/websocket.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum {
        HEADER_LEAST = 2,
        HEADER_MOST = 14,
        MASKED = 0x80,
        LENGTH = 0x7f,
        LENGTH_16 = 126,
        LENGTH_64 = 127,
        BUFFER = 2 * (HEADER_MOST + WEBSOCKET_PAYLOAD_MOST),
};

struct websocket {
        bool ahead;
        bool open; /* the handshake's last line was given */
        bool cut;
        unsigned line_ends; /* of the "\r\n\r\n" that ends the handshake, how many came last */
        size_t from, to;    /* what was read and not given; a frame begins at `from` */
        size_t given;       /* bytes of that frame to libcoap already */
        uint8_t bytes[BUFFER];
};

struct websocket *websocket_new(bool ahead)
{
        struct websocket *ws = malloc(sizeof *ws);

        if (!ws)
                return NULL;
        memset(ws, 0, offsetof(struct websocket, bytes));
        ws->ahead = ahead;
        return ws;
}

void websocket_free(struct websocket *ws)
{
        free(ws);
}

static size_t have(const struct websocket *ws)
{
        return ws->to - ws->from;
}

/* Up to `need` bytes in all, or what else is there. As the transport has it. */
static ssize_t read_below(struct websocket *ws, websocket_below *read, void *below, size_t need)
{
        ssize_t r;

        memmove(ws->bytes, ws->bytes + ws->from, have(ws));
        ws->to = have(ws);
        ws->from = 0;
        r = read(below, ws->bytes + ws->to, (ws->ahead ? BUFFER : need) - ws->to);
        if (r > 0)
                ws->to += (size_t)r;
        return r;
}

/* Not beyond its end: what comes behind it belongs to a frame, and libcoap could not put it back. */
static ssize_t read_handshake(struct websocket *ws, websocket_below *read, void *below, uint8_t *to, size_t n)
{
        static const char end[] = "\r\n\r\n";
        size_t got = 0;

        while (got < n && !ws->open) {
                ssize_t r = have(ws) > 0 ? 1 : read_below(ws, read, below, 1);

                if (r <= 0)
                        return got > 0 ? (ssize_t)got : r;
                to[got] = ws->bytes[ws->from++];
                if (to[got] == (uint8_t)end[ws->line_ends])
                        ws->line_ends++;
                else
                        ws->line_ends = to[got] == '\r';
                ws->open = ws->line_ends == sizeof end - 1;
                got++;
        }
        return (ssize_t)got;
}

static size_t header_size(const uint8_t *frame)
{
        size_t n = HEADER_LEAST;

        if ((frame[1] & LENGTH) == LENGTH_16)
                n += sizeof(uint16_t);
        if ((frame[1] & LENGTH) == LENGTH_64)
                n += sizeof(uint64_t);
        return frame[1] & MASKED ? n + sizeof(uint32_t) : n;
}

static uint64_t payload_size(const uint8_t *frame)
{
        size_t length = frame[1] & LENGTH;
        size_t bytes = length == LENGTH_16 ? sizeof(uint16_t) : length == LENGTH_64 ? sizeof(uint64_t) : 0;
        uint64_t n = 0;

        for (size_t i = 0; i < bytes; i++)
                n = n << 8 | frame[HEADER_LEAST + i];
        return bytes ? n : length;
}

/* How many bytes of the frame there must be before more can be said; all of them, in the end. 0: too many. */
static size_t frame_needs(const struct websocket *ws)
{
        const uint8_t *frame = ws->bytes + ws->from;

        if (have(ws) < HEADER_LEAST)
                return HEADER_LEAST;
        if (have(ws) < header_size(frame))
                return header_size(frame);
        if (payload_size(frame) > WEBSOCKET_PAYLOAD_MOST)
                return 0;
        return header_size(frame) + (size_t)payload_size(frame);
}

/* 1: the frame is whole; else as websocket_read(). */
static ssize_t fill_frame(struct websocket *ws, websocket_below *read, void *below)
{
        size_t need = frame_needs(ws);

        while (have(ws) < need) {
                ssize_t r = read_below(ws, read, below, need);

                if (r <= 0)
                        return r;
                need = frame_needs(ws);
        }
        ws->cut = need == 0;
        return ws->cut ? WEBSOCKET_CUT : 1;
}

ssize_t websocket_read(struct websocket *ws, websocket_below *read, void *below, void *to, size_t n)
{
        size_t size;
        ssize_t r;

        if (ws->cut)
                return WEBSOCKET_CUT;
        if (!ws->open)
                return read_handshake(ws, read, below, to, n);
        if (n == 0)
                return 0;
        if (ws->given == 0) {
                r = fill_frame(ws, read, below);
                if (r <= 0)
                        return r;
        }
        size = frame_needs(ws);
        n = MIN(n, size - ws->given);
        memcpy(to, ws->bytes + ws->from + ws->given, n);
        ws->given += n;
        if (ws->given == size) {
                ws->from += size;
                ws->given = 0;
        }
        return (ssize_t)n;
}

bool websocket_has_more(const struct websocket *ws, size_t kept)
{
        return ws->open && !ws->cut && ws->given == 0 && (kept > 0 || have(ws) >= frame_needs(ws));
}
