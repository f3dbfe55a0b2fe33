/* SPDX-License-Identifier: BSD-2-Clause */
/* UTF-8; see utf8.h. */
#include "base/utf8.h"

bool utf8_is_valid(struct span text)
{
        size_t i = 0;

        while (i < text.n) {
                uint8_t first = text.p[i++];
                unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc2 ? 1 : 0;
                uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
                uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;

                if (first > 0xf4 || (first >= 0x80 && more == 0) || text.n - i < more)
                        return false;
                for (; more; more--, i++, low = 0x80, high = 0xbf)
                        if (text.p[i] < low || text.p[i] > high)
                                return false;
        }
        return true;
}

bool utf8_is_printable(struct span text)
{
        for (size_t i = 0; i < text.n; i++) {
                uint8_t c = text.p[i];

                if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < text.n && text.p[i + 1] < 0xa0))
                        return false;
        }
        return utf8_is_valid(text);
}
