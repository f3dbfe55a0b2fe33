/* SPDX-License-Identifier: BSD-2-Clause */
/* One WebSocket frame; see websocket_frame.h. */
#include "endpoints/websocket_frame.h"

#include "base/utf8.h"

uint64_t frame_long_payload_size(const uint8_t *frame)
{
        size_t bytes = frame_length_bytes(frame);
        uint64_t n = 0;

        for (size_t i = 0; i < bytes; i++)
                n = n << 8 | frame[FRAME_HEADER_LEAST + i];
        return n;
}

unsigned frame_refusal(const uint8_t *frame, bool joining)
{
        if (frame[0] & FRAME_RSV || !(frame[1] & FRAME_MASKED))
                return CLOSE_PROTOCOL_ERROR;
        switch (frame_opcode(frame)) {
        case FRAME_BINARY:
                return joining ? CLOSE_PROTOCOL_ERROR : 0;
        case FRAME_CONTINUATION:
                return joining ? 0 : CLOSE_PROTOCOL_ERROR;
        case FRAME_TEXT:
                return joining ? CLOSE_PROTOCOL_ERROR : CLOSE_UNSUPPORTED_DATA;
        case FRAME_CLOSE:
        case FRAME_PING:
        case FRAME_PONG:
                return frame[0] & FRAME_FIN && (frame[1] & FRAME_LENGTH) <= FRAME_CONTROL_MOST
                               ? 0
                               : CLOSE_PROTOCOL_ERROR;
        default:
                return CLOSE_PROTOCOL_ERROR;
        }
}

size_t frame_unmask(const uint8_t *frame, uint8_t *to)
{
        const uint8_t *payload = frame + frame_header_size(frame);
        size_t n = (size_t)frame_payload_size(frame);
        uint8_t mask[FRAME_MASK];

        memcpy(mask, payload - FRAME_MASK, FRAME_MASK); /* `to` may be where it stands */
        for (size_t i = 0; i < n; i++)
                to[i] = payload[i] ^ mask[i % FRAME_MASK];
        return n;
}

/* Those that a frame may have (7.4.2), and 1012 to 1014, which were registered later. */
static bool is_close_code(unsigned code)
{
        return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
               (code >= 3000 && code <= 4999);
}

unsigned frame_close_answer(struct span payload)
{
        unsigned code;

        if (payload.n == 0)
                return CLOSE_NORMAL;
        if (payload.n < sizeof(uint16_t))
                return CLOSE_PROTOCOL_ERROR;
        code = (unsigned)payload.p[0] << 8 | payload.p[1];
        if (!is_close_code(code))
                return CLOSE_PROTOCOL_ERROR;
        return utf8_is_valid(span_skip(payload, sizeof(uint16_t))) ? code : CLOSE_INVALID_DATA;
}
