/* SPDX-License-Identifier: BSD-2-Clause */
/* Options read from the wire; see coap_options.h. */
#include "base/coap_options.h"

enum { PAYLOAD_MARKER = 0xff };

static bool take_bytes(struct span *rest, unsigned nibble, unsigned *ret_number)
{
        size_t n = nibble == 14 ? 2 : 1;

        if (nibble == 15 || rest->n < n)
                return false;
        *ret_number = n == 2 ? 269U + (unsigned)(rest->p[0] << 8 | rest->p[1]) : 13U + rest->p[0];
        *rest = span_skip(*rest, n);
        return true;
}

/* A number of RFC 7252, 3.1 in `nibble` and what follows it. False when it is cut off or reserved. */
static inline bool take_extended(struct span *rest, unsigned nibble, unsigned *ret_number)
{
        if (nibble >= 13)
                return take_bytes(rest, nibble, ret_number);
        *ret_number = nibble; /* nearly always */
        return true;
}

bool coap_options_begin(struct span datagram, struct coap_options *ret_options)
{
        struct span rest = span_skip(datagram, COAP_HEADER_SIZE);
        unsigned token;

        if (datagram.n < COAP_HEADER_SIZE || !take_extended(&rest, datagram.p[0] & 15, &token) ||
            token > rest.n)
                return false;
        *ret_options = (struct coap_options){ .rest = span_skip(rest, token) };
        return true;
}

bool coap_options_next(struct coap_options *options, struct span *ret_value)
{
        struct span rest = options->rest;
        unsigned delta, length;
        uint8_t head;

        if (rest.n == 0 || rest.p[0] == PAYLOAD_MARKER)
                return false;
        head = rest.p[0];
        rest = span_skip(rest, 1);
        if (!take_extended(&rest, head >> 4, &delta) || !take_extended(&rest, head & 15, &length) ||
            length > rest.n)
                return false;
        options->number += delta;
        options->rest = span_skip(rest, length);
        *ret_value = span_of(rest.p, length);
        return true;
}

bool coap_options_at_marker(const struct coap_options *options)
{
        return options->rest.n > 0 && options->rest.p[0] == PAYLOAD_MARKER;
}
