/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor of CoAP over WebSocket (RFC 8323, 8): of echo_tcp.c's connections, each frame unmasked and sent back with
 * the code 2.05. The handshake is answered by a constant, which is right for the key that load_stream.c has.
 */
#include "echo.h"

#include <string.h>

enum { CLASS_SIGNAL = 7, LENGTH_16 = 126, LENGTH_BITS = 0x7f, MASK = 4 };

struct frame {
        size_t head, n; /* without the mask; of what is behind it */
};

/* False: not all of it is there. */
static bool measure(const uint8_t *p, size_t n, struct frame *ret)
{
        struct frame frame = { .head = 2 };

        if (n < 4)
                return false;
        frame.n = p[1] & LENGTH_BITS;
        if (frame.n == LENGTH_16) {
                frame.n = (size_t)p[2] << 8 | p[3];
                frame.head = 4;
        }
        *ret = frame;
        return frame.head + MASK + frame.n <= n;
}

/* To `out`, which is in front of it or the same. Returns its length; 0: it is of signalling. */
static size_t answer(const uint8_t *p, const struct frame *frame, uint8_t *out)
{
        const uint8_t *payload = p + frame->head + MASK;
        uint8_t mask[MASK], code;

        memcpy(mask, payload - MASK, MASK);
        code = frame->n > 1 ? payload[1] ^ mask[1] : 0;
        if (frame->n < 2 || code >> 5 == CLASS_SIGNAL)
                return 0;
        memmove(out, p, frame->head);
        out[1] &= LENGTH_BITS;
        for (size_t i = 0; i < frame->n; i++)
                out[frame->head + i] = payload[i] ^ mask[i % MASK];
        out[frame->head + 1] = CODE_CONTENT;
        return frame->head + frame->n;
}

static size_t shake_hands(uint8_t *bytes, size_t n, size_t *ret_taken)
{
        static const char accepted[] =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: "
                "Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                "Sec-WebSocket-Protocol: coap\r\n\r\n";
        const uint8_t *end = memmem(bytes, n, "\r\n\r\n", 4);

        if (!end || (size_t)(end - bytes) < sizeof(accepted))
                return *ret_taken = 0;
        *ret_taken = (size_t)(end - bytes) + 4;
        memcpy(bytes, accepted, sizeof(accepted) - 1);
        return sizeof(accepted) - 1;
}

size_t echo_answer_ws(uint8_t *bytes, size_t n, size_t *ret_taken)
{
        size_t at = 0, kept = 0;
        struct frame frame;

        if (n > 0 && bytes[0] == 'G')
                return shake_hands(bytes, n, ret_taken);
        while (measure(bytes + at, n - at, &frame)) {
                kept += answer(bytes + at, &frame, bytes + kept);
                at += frame.head + MASK + frame.n;
        }
        *ret_taken = at;
        return kept;
}
