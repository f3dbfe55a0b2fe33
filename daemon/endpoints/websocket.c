/* SPDX-License-Identifier: BSD-2-Clause */
/* Whole WebSocket messages; see websocket.h. */
#include "endpoints/websocket.h"

#include <stdlib.h>

#include "base/util.h"
#include "endpoints/websocket_frame.h"
#include "endpoints/websocket_handshake.h"

enum {
        LINES_MOST = 200, /* of a handshake */
        FRAMES_MOST = 16, /* that are handled before libcoap has its turn, and others */
        JOINED_HEAD = 8,  /* the header of a message that was joined */
        SHORT = 2,        /* of a message, its header without an option or a token */
        CLOSE_SIZE = 4,   /* of a Close frame of libcoap's, with the reason and no more */
        /* A message under way, a control frame between its fragments, and room to read ahead. */
        BUFFER = JOINED_HEAD + 2 * (FRAME_HEADER_MOST + WEBSOCKET_PAYLOAD_MOST),
};

/*
 * In `bytes` there are, from the front: the header that a message gets when its last fragment is there, what there is
 * of that message, what libcoap has taken, and what was read and not looked at.
 */
struct websocket {
        struct websocket_origins *origins;
        bool ahead;
        bool open;    /* the handshake's last line was given */
        bool over;    /* the last frame was given, a Close frame */
        bool joining; /* of a message, more fragments are to come */
        bool heard;   /* of control frames only, and libcoap was not told */
        bool in_line; /* of the handshake, of which the front has been taken */
        unsigned lines;
        unsigned reason;   /* of the Close frame that libcoap is to write */
        size_t joined;     /* bytes of the message under way */
        size_t from, to;   /* what was read and not given; a frame begins at `from` */
        size_t whole;      /* the size of that frame, where it was seen to be all there; 0: not known */
        struct span given; /* what is left of the frame that libcoap reads */
        size_t pong_n;
        uint8_t pong[FRAME_HEADER_LEAST + FRAME_CONTROL_MOST];
        uint8_t close[CLOSE_SIZE];
        uint8_t line[HANDSHAKE_LINE_MOST];
        uint8_t bytes[BUFFER];
};

struct websocket *websocket_new(bool ahead, struct websocket_origins *origins)
{
        struct websocket *ws = malloc(sizeof *ws);

        if (!ws)
                return NULL;
        memset(ws, 0, offsetof(struct websocket, bytes));
        ws->ahead = ahead;
        ws->origins = origins;
        ws->from = ws->to = JOINED_HEAD;
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
        size_t front = JOINED_HEAD + ws->joined;
        ssize_t r;

        memmove(ws->bytes + front, ws->bytes + ws->from, have(ws));
        ws->to = front + have(ws);
        ws->from = front;
        r = read(below, ws->bytes + ws->to, ws->ahead ? BUFFER - ws->to : need - have(ws));
        if (r > 0)
                ws->to += (size_t)r;
        return r;
}

/* ---------------------------------------------------------------- the handshake */

/* Of one that is longer than the buffer the front is taken for all of it. */
static bool take_line(struct websocket *ws)
{
        const uint8_t *line = ws->bytes + ws->from;
        const uint8_t *end = memchr(line, '\n', have(ws));
        size_t n = end ? (size_t)(end - line) : have(ws);

        if (!end && n < BUFFER - JOINED_HEAD)
                return false;
        ws->from += end ? n + 1 : n;
        if (n > 0 && line[n - 1] == '\r')
                n--;
        if (!ws->in_line)
                ws->given = span_of(ws->line,
                                    handshake_line(span_of(line, n), ws->lines == 0, ws->origins, ws->line));
        if (!ws->in_line && n == 0)
                ws->open = true;
        ws->in_line = !end;
        ws->lines++;
        return true;
}

/* As next_frame(). libcoap reads all lines that there are, and would go on with a peer that never ends. */
static ssize_t next_line(struct websocket *ws, websocket_below *read, void *below)
{
        while (ws->given.n == 0) {
                ssize_t r;

                if (ws->lines > LINES_MOST)
                        return 0;
                if (take_line(ws))
                        continue;
                r = read_below(ws, read, below, have(ws) + 1);
                if (r <= 0)
                        return r;
        }
        return 1;
}

/* ---------------------------------------------------------------- frames */

static size_t payload_most(const struct websocket *ws, const uint8_t *frame)
{
        return frame_is_control(frame) ? FRAME_CONTROL_MOST : WEBSOCKET_PAYLOAD_MOST - ws->joined;
}

/* How many bytes of the frame there must be before more can be said; all of them, in the end. 0: it is refused. */
static size_t frame_needs(const struct websocket *ws)
{
        const uint8_t *frame = ws->bytes + ws->from;
        size_t n = have(ws), header;
        uint64_t payload;

        if (n < FRAME_HEADER_LEAST)
                return FRAME_HEADER_LEAST;
        if (frame_refusal(frame, ws->joining))
                return 0;
        header = frame_header_size(frame);
        if (n < header)
                return header;
        payload = frame_payload_size(frame);
        return payload > payload_most(ws, frame) ? 0 : header + (size_t)payload;
}

/* 1: the frame is whole, or refused; else as websocket_read(). */
static ssize_t fill_frame(struct websocket *ws, websocket_below *read, void *below, size_t *ret_size)
{
        size_t need = ws->whole ? ws->whole : frame_needs(ws);

        while (have(ws) < need) {
                ssize_t r = read_below(ws, read, below, need);

                if (r <= 0)
                        return r;
                need = frame_needs(ws);
        }
        *ret_size = need;
        return 1;
}

/* ---------------------------------------------------------------- what becomes of a frame */

/* To libcoap the peer closes. */
static void end(struct websocket *ws, unsigned reason)
{
        static const uint8_t close[] = { FRAME_FIN | FRAME_CLOSE, FRAME_MASKED, 0, 0, 0, 0 };

        ws->over = true;
        ws->reason = reason;
        ws->given = span_of(close, sizeof close);
        ws->pong_n = 0;
}

static void end_as_asked(struct websocket *ws, const uint8_t *frame)
{
        uint8_t payload[FRAME_CONTROL_MOST];

        end(ws, frame_close_answer(span_of(payload, frame_unmask(frame, payload))));
}

static void owe_pong(struct websocket *ws, const uint8_t *ping)
{
        size_t n = frame_unmask(ping, ws->pong + FRAME_HEADER_LEAST);

        ws->pong[0] = FRAME_FIN | FRAME_PONG;
        ws->pong[1] = (uint8_t)n;
        ws->pong_n = FRAME_HEADER_LEAST + n;
}

/*
 * libcoap takes no notice of a message of two bytes. With an empty CSM (RFC 8323, 5.3) it would wait for one for ever,
 * and answer nothing. Option 8 is elective and none of any signal's.
 */
static size_t lengthen_signal(uint8_t *message, size_t n)
{
        static const uint8_t class_of_signals = 7;

        if (n != SHORT || message[0] != 0 || message[1] >> 5 != class_of_signals)
                return n;
        message[n] = 8 << 4;
        return n + 1;
}

/* Over the frame itself: it is gone then. */
static void join(struct websocket *ws, const uint8_t *frame, bool is_last)
{
        size_t n;

        ws->joined += frame_unmask(frame, ws->bytes + JOINED_HEAD + ws->joined);
        ws->joining = !is_last;
        if (!is_last)
                return;
        n = lengthen_signal(ws->bytes + JOINED_HEAD, ws->joined);
        ws->joined = 0;
        /* One frame with a mask of zeros. */
        memcpy(ws->bytes,
               (uint8_t[JOINED_HEAD]){ FRAME_FIN | FRAME_BINARY, FRAME_MASKED | 126, (uint8_t)(n >> 8),
                                       (uint8_t)n },
               JOINED_HEAD);
        ws->given = span_of(ws->bytes, JOINED_HEAD + n);
}

/* A message without a byte is none of CoAP's. libcoap would ask for its payload, and be at it for ever. */
static void take_data(struct websocket *ws, const uint8_t *frame, size_t size)
{
        bool is_last = frame[0] & FRAME_FIN;
        size_t payload = size - frame_header_size(frame);

        if (is_last && ws->joined + payload == 0)
                end(ws, CLOSE_PROTOCOL_ERROR);
        else if (is_last && !ws->joining && payload != SHORT)
                ws->given = span_of(frame, size);
        else
                join(ws, frame, is_last);
}

/* `size`: of it, all there; 0: it is refused. */
static void take_frame(struct websocket *ws, size_t size)
{
        const uint8_t *frame = ws->bytes + ws->from;
        unsigned refusal = size == 0 ? frame_refusal(frame, ws->joining) : 0;

        ws->from += size;
        ws->whole = 0;
        if (size == 0)
                end(ws, refusal ? refusal : CLOSE_TOO_BIG);
        else if (!frame_is_control(frame))
                take_data(ws, frame, size);
        else if (frame_opcode(frame) == FRAME_CLOSE)
                end_as_asked(ws, frame);
        else if (frame_opcode(frame) == FRAME_PING)
                owe_pong(ws, frame);
        ws->heard |= size > 0 && frame_is_control(frame);
}

/*
 * For libcoap a session is idle, and ends some time, when only control frames come. The peer keeps it alive with them:
 * a Pong of CoAP's (RFC 8323, 5.4) that nobody waits for does it. Not for each, since each costs a message.
 */
static ssize_t tell_heard(struct websocket *ws, ssize_t r)
{
        static const uint8_t pong[] = {
                FRAME_FIN | FRAME_BINARY, FRAME_MASKED | 3, 0, 0, 0, 0, 0x01, 0xe3, 0x00
        };

        if (r != WEBSOCKET_AGAIN || !ws->heard)
                return r;
        ws->heard = false;
        ws->given = span_of(pong, sizeof pong);
        return 1;
}

/* 1: there is one to be given; else as websocket_read(). */
static ssize_t next_frame(struct websocket *ws, websocket_below *read, void *below)
{
        for (int i = 0; i < FRAMES_MOST; i++) {
                size_t size;
                ssize_t r = fill_frame(ws, read, below, &size);

                if (r <= 0)
                        return tell_heard(ws, r);
                take_frame(ws, size);
                if (ws->given.n == 0)
                        continue;
                ws->heard = false;
                return 1;
        }
        return tell_heard(ws, WEBSOCKET_AGAIN);
}

ssize_t websocket_read(struct websocket *ws, websocket_below *read, void *below, void *to, size_t n)
{
        ssize_t r;

        if (n == 0 || (ws->over && ws->given.n == 0))
                return 0;
        if (ws->given.n == 0) {
                r = ws->open ? next_frame(ws, read, below) : next_line(ws, read, below);
                if (r <= 0)
                        return r;
        }
        n = MIN(n, ws->given.n);
        memcpy(to, ws->given.p, n);
        ws->given = span_skip(ws->given, n);
        return (ssize_t)n;
}

bool websocket_has_more(struct websocket *ws, size_t kept)
{
        size_t need;

        if (!ws->open || ws->over || ws->given.n > 0)
                return false;
        if (kept > 0)
                return true;
        need = frame_needs(ws);
        if (have(ws) < need)
                return false;
        ws->whole = need;
        return true;
}

/* ---------------------------------------------------------------- what is written */

struct span websocket_pong(const struct websocket *ws)
{
        return span_of(ws->pong, ws->pong_n);
}

void websocket_pong_is_sent(struct websocket *ws)
{
        ws->pong_n = 0;
}

struct span websocket_written(struct websocket *ws, struct span bytes)
{
        if (!ws->over || bytes.n != CLOSE_SIZE || bytes.p[0] != (FRAME_FIN | FRAME_CLOSE))
                return bytes;
        memcpy(ws->close, bytes.p, CLOSE_SIZE);
        ws->close[2] = (uint8_t)(ws->reason >> 8);
        ws->close[3] = (uint8_t)ws->reason;
        return span_of(ws->close, CLOSE_SIZE);
}
