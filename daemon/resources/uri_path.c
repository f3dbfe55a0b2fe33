/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths as libcoap spells them; see uri_path.h. */
#include "resources/uri_path.h"

#include <sys/random.h>

static bool stands_for_itself(uint8_t c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("-._~!$'()*+,;=:@&", c));
}

static void encode(struct span plain, bool keep_slash, struct buf *out)
{
        static const char hex[] = "0123456789ABCDEF";

        for (size_t i = 0; i < plain.n; i++) {
                uint8_t c = plain.p[i];

                if (stands_for_itself(c) || (keep_slash && c == '/')) {
                        buf_append_byte(out, c);
                } else {
                        uint8_t escaped[] = { '%', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15] };

                        buf_append(out, escaped, sizeof escaped);
                }
        }
}

void uri_path_encode(struct span plain, struct buf *out)
{
        encode(plain, true, out);
}

void uri_path_encode_segment(struct span segment, struct buf *out)
{
        encode(segment, false, out);
}

bool uri_path_below(struct span path, struct span prefix)
{
        return prefix.n == 0 ||
               (span_starts_with(path, prefix) && (path.n == prefix.n || path.p[prefix.n] == '/'));
}

bool uri_path_chance(char *name, size_t n)
{
        static const char digits[] = "abcdefghijkmnpqrstuvwxyz23456789";

        if (getrandom(name, n, 0) != (ssize_t)n)
                return false;
        for (size_t i = 0; i < n; i++)
                name[i] = digits[(uint8_t)name[i] % (sizeof digits - 1)];
        name[n] = '\0';
        return true;
}
