/* SPDX-License-Identifier: BSD-2-Clause */
/* CBOR; see cbor.h. */
#include "base/cbor.h"

enum major { MAJOR_UINT = 0, MAJOR_TEXT = 3, MAJOR_MAP = 5, MAJOR_SIMPLE = 7 };
enum { SIMPLE_FALSE = 20 };

/* RFC 8949, 3: the argument in the head's low five bits, or in 1, 2, 4 or 8 bytes behind it. */
static void append_head(struct buf *out, enum major major, uint64_t argument)
{
        enum { ONE_BYTE = 24 };
        unsigned log_size = argument > UINT32_MAX ? 3 : argument > UINT16_MAX ? 2 : argument > UINT8_MAX;

        if (argument < ONE_BYTE) {
                buf_append_byte(out, (uint8_t)(major << 5 | argument));
                return;
        }
        buf_append_byte(out, (uint8_t)(major << 5 | (ONE_BYTE + log_size)));
        for (unsigned left = 1U << log_size; left > 0; left--)
                buf_append_byte(out, (uint8_t)(argument >> (8 * (left - 1))));
}

void cbor_uint(struct buf *out, uint64_t value)
{
        append_head(out, MAJOR_UINT, value);
}

void cbor_text(struct buf *out, struct span text)
{
        append_head(out, MAJOR_TEXT, text.n);
        buf_append_span(out, text);
}

void cbor_bool(struct buf *out, bool value)
{
        append_head(out, MAJOR_SIMPLE, SIMPLE_FALSE + value);
}

void cbor_map(struct buf *out, size_t n)
{
        append_head(out, MAJOR_MAP, n);
}
