/* SPDX-License-Identifier: BSD-2-Clause */
/* One WebSocket frame of a client's (RFC 6455, 5.2): its head, and what is wrong with it. */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_FRAME_H
#define COAPD_ENDPOINTS_WEBSOCKET_FRAME_H

#include "base/span.h"

enum {
        FRAME_FIN = 0x80,
        FRAME_RSV = 0x70,
        FRAME_OPCODE = 0x0f,
        FRAME_MASKED = 0x80,
        FRAME_LENGTH = 0x7f,
        FRAME_LENGTH_16 = 126, /* its length is in the two bytes that follow, */
        FRAME_LENGTH_64 = 127, /* or the eight */
        FRAME_MASK = 4,        /* bytes of the mask */

        FRAME_CONTINUATION = 0,
        FRAME_TEXT = 1,
        FRAME_BINARY = 2,
        FRAME_CLOSE = 8,
        FRAME_PING = 9,
        FRAME_PONG = 10,

        FRAME_HEADER_LEAST = 2,
        FRAME_HEADER_MOST = 14,
        FRAME_CONTROL_MOST = 125, /* the payload of a control frame */
};

/* Why a connection is closed (RFC 6455, 7.4.1). */
enum {
        CLOSE_NORMAL = 1000,
        CLOSE_PROTOCOL_ERROR = 1002,
        CLOSE_UNSUPPORTED_DATA = 1003,
        CLOSE_INVALID_DATA = 1007,
        CLOSE_TOO_BIG = 1009,
};

/* Of the first two bytes. */
static inline unsigned frame_opcode(const uint8_t *frame)
{
        return frame[0] & FRAME_OPCODE;
}

static inline bool frame_is_control(const uint8_t *frame)
{
        return frame[0] & 0x08;
}

static inline size_t frame_length_bytes(const uint8_t *frame)
{
        unsigned length = frame[1] & FRAME_LENGTH;

        return length == FRAME_LENGTH_16   ? sizeof(uint16_t)
               : length == FRAME_LENGTH_64 ? sizeof(uint64_t)
                                           : 0;
}

static inline size_t frame_header_size(const uint8_t *frame)
{
        return FRAME_HEADER_LEAST + frame_length_bytes(frame) + (frame[1] & FRAME_MASKED ? FRAME_MASK : 0);
}

uint64_t frame_long_payload_size(const uint8_t *frame);

/* Of the whole header. */
static inline uint64_t frame_payload_size(const uint8_t *frame)
{
        unsigned length = frame[1] & FRAME_LENGTH;

        return length < FRAME_LENGTH_16 ? length : frame_long_payload_size(frame);
}

/* 0, or why a frame that begins with these two bytes ends the connection. `joining`: of a message more is to come. */
unsigned frame_refusal(const uint8_t *frame, bool joining);

/* The payload of a whole frame, without its mask. `to` may be before it in the same memory. Returns its size. */
size_t frame_unmask(const uint8_t *frame, uint8_t *to);

/* Why a connection is closed when this is the payload, without its mask, of the peer's Close frame. */
unsigned frame_close_answer(struct span payload);

#endif
