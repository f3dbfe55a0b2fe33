/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/percent.h"

int hex_digit(uint8_t c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c |= 0x20;
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t percent_decode(struct span in, uint8_t *out, size_t max)
{
        size_t n = 0;

        while (in.n > 0) {
                int high = in.p[0] == '%' && in.n > 2 ? hex_digit(in.p[1]) : -1;
                int low = high >= 0 ? hex_digit(in.p[2]) : -1;
                uint8_t byte = low >= 0 ? (uint8_t)(high << 4 | low) : in.p[0];

                if (n < max)
                        out[n] = byte;
                n++;
                in = span_skip(in, low >= 0 ? 3 : 1);
        }
        return n;
}
