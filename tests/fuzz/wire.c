/* SPDX-License-Identifier: BSD-2-Clause */
/* See wire.h. */
#include "wire.h"

#include <stdlib.h>

enum { OBSERVE = 6, URI_PATH = 11, CONTENT_FORMAT = 12, BLOCK2 = 23, ECHO_OPTION = 252, MARKER = 0xff };

void wire_begin(struct buf *out, const struct wire_head *head)
{
        buf_append_byte(out, (uint8_t)(0x40 | head->type << 4 | head->token.n));
        buf_append_byte(out, head->code);
        buf_append_byte(out, (uint8_t)(head->mid >> 8));
        buf_append_byte(out, (uint8_t)head->mid);
        buf_append_span(out, head->token);
}

/* A delta or a length: its nibble, and what the nibble has no room for behind it. */
static uint8_t nibble(size_t n, struct buf *more)
{
        if (n < 13)
                return (uint8_t)n;
        if (n < 269) {
                buf_append_byte(more, (uint8_t)(n - 13));
                return 13;
        }
        buf_append_byte(more, (uint8_t)((n - 269) >> 8));
        buf_append_byte(more, (uint8_t)(n - 269));
        return 14;
}

void wire_option(struct buf *out, unsigned *last, unsigned number, struct span value)
{
        CLEANUP(buf_deinit) struct buf more = { 0 };
        uint8_t delta = nibble(number - *last, &more);
        uint8_t length = nibble(value.n, &more);

        buf_append_byte(out, (uint8_t)(delta << 4 | length));
        buf_append_span(out, buf_span(&more));
        buf_append_span(out, value);
        *last = number;
}

void wire_uint(struct buf *out, unsigned *last, unsigned number, uint64_t value)
{
        uint8_t bytes[8];
        size_t n = 0;

        for (int shift = 56; shift >= 0; shift -= 8)
                if (n || value >> shift)
                        bytes[n++] = (uint8_t)(value >> shift);
        wire_option(out, last, number, span_of(bytes, n));
}

static void unescape(struct span segment, struct buf *out)
{
        for (size_t i = 0; i < segment.n; i++) {
                char digits[3] = { 0 };

                if (segment.p[i] != '%' || i + 2 >= segment.n) {
                        buf_append_byte(out, segment.p[i]);
                        continue;
                }
                memcpy(digits, segment.p + i + 1, 2);
                buf_append_byte(out, (uint8_t)strtoul(digits, NULL, 16));
                i += 2;
        }
}

void wire_path(struct buf *out, unsigned *last, struct span path)
{
        if (path.n == 0)
                return;
        for (;;) {
                CLEANUP(buf_deinit) struct buf plain = { 0 };
                const uint8_t *slash = memchr(path.p, '/', path.n);
                size_t n = slash ? (size_t)(slash - path.p) : path.n;

                unescape(span_of(path.p, n), &plain);
                wire_option(out, last, URI_PATH, buf_span(&plain));
                if (!slash)
                        return;
                path = span_of(path.p + n + 1, path.n - n - 1);
        }
}

void wire_payload(struct buf *out, struct span payload)
{
        if (payload.n == 0)
                return;
        buf_append_byte(out, MARKER);
        buf_append_span(out, payload);
}

uint8_t take_byte(struct span *input)
{
        return take_bytes(input, 1).n ? input->p[-1] : 0;
}

uint16_t take_two(struct span *input)
{
        uint8_t low = take_byte(input);

        return (uint16_t)(low | take_byte(input) << 8);
}

struct span take_bytes(struct span *input, size_t n)
{
        struct span taken = span_of(input->p, MIN(n, input->n));

        *input = span_of(input->p + taken.n, input->n - taken.n);
        return taken;
}

static bool extended(struct span *in, unsigned nibble_value, size_t *ret)
{
        if (nibble_value == 15 || in->n < (nibble_value == 14 ? 2u : nibble_value == 13))
                return false;
        *ret = nibble_value;
        if (nibble_value == 13)
                *ret = 13u + take_byte(in);
        if (nibble_value == 14) {
                *ret = 269u + ((unsigned)take_byte(in) << 8);
                *ret += take_byte(in);
        }
        return true;
}

static unsigned number_of(struct span value)
{
        unsigned number = 0;

        for (size_t i = 0; i < value.n; i++)
                number = number << 8 | value.p[i];
        return number;
}

static void note_option(struct wire_reply *reply, size_t number, struct span value)
{
        if (number == CONTENT_FORMAT) {
                reply->has_format = true;
                reply->format = number_of(value);
        } else if (number == BLOCK2) {
                reply->has_block2 = true;
                reply->block2 = number_of(value);
        } else if (number == ECHO_OPTION) {
                reply->has_echo = true;
                reply->echo = value;
        }
}

bool wire_read(struct span in, struct wire_reply *ret)
{
        size_t number = 0;

        if (in.n < 4 || in.p[0] >> 6 != 1 || (in.p[0] & 15) > 8 || in.n < 4u + (in.p[0] & 15))
                return false;
        *ret = (struct wire_reply){
                .type = in.p[0] >> 4 & 3,
                .code = in.p[1],
                .mid = (uint16_t)(in.p[2] << 8 | in.p[3]),
                .token = span_of(in.p + 4, in.p[0] & 15),
        };
        in = span_of(in.p + 4 + ret->token.n, in.n - 4 - ret->token.n);
        while (in.n && in.p[0] != MARKER) {
                uint8_t first = take_byte(&in);
                size_t delta, length;

                if (!extended(&in, first >> 4, &delta) || !extended(&in, first & 15, &length) ||
                    length > in.n)
                        return false;
                number += delta;
                note_option(ret, number, take_bytes(&in, length));
        }
        if (in.n == 1)
                return false; /* a marker and no payload (RFC 7252, 3) */
        ret->payload = span_of(in.p + 1, in.n ? in.n - 1 : 0);
        return true;
}
