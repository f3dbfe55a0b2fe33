/* SPDX-License-Identifier: BSD-2-Clause */
/* UTF-8; see utf8.h. */
#include "base/utf8.h"

size_t utf8_first(struct span text, uint32_t *ret_character)
{
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint8_t first = text.n ? text.p[0] : 0xff;
        size_t n = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
        uint32_t character = n > 1 ? first & (0xffU >> (n + 1)) : first;

        if (n == 0 || n > text.n)
                return 0;
        for (size_t i = 1; i < n; i++) {
                if (text.p[i] >> 6 != 2)
                        return 0;
                character = character << 6 | (text.p[i] & 0x3f);
        }
        if (character < least[n] || character > 0x10ffff || (character >= 0xd800 && character < 0xe000))
                return 0;
        *ret_character = character;
        return n;
}

bool utf8_is_valid(struct span text)
{
        uint32_t character;

        for (size_t n; text.n > 0; text = span_skip(text, n)) {
                n = utf8_first(text, &character);
                if (n == 0)
                        return false;
        }
        return true;
}

bool utf8_is_printable(struct span text)
{
        uint32_t character;

        for (size_t n; text.n > 0; text = span_skip(text, n)) {
                n = utf8_first(text, &character);
                if (n == 0 || character < 0x20 || (character >= 0x7f && character < 0xa0))
                        return false;
        }
        return true;
}
