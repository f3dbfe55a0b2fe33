/* SPDX-License-Identifier: BSD-2-Clause */
/* Paths as libcoap spells them; see uri_path.h. */
#include "resources/uri_path.h"

#include <sys/random.h>

#include "base/coap_options.h"

static bool stands_for_itself(uint8_t c)
{
        return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
               (c != '\0' && strchr("-._~!$'()*+,;=:@&", c));
}

static void encode(struct span plain, bool keep_slash, struct buf *out)
{
        static const char hex[] = "0123456789ABCDEF";

        while (plain.n > 0) {
                size_t n = 0;
                uint8_t c;

                while (n < plain.n && (stands_for_itself(plain.p[n]) || (keep_slash && plain.p[n] == '/')))
                        n++;
                buf_append(out, plain.p, n);
                plain = span_skip(plain, n);
                if (plain.n == 0)
                        return;
                c = plain.p[0];
                buf_append(out, (uint8_t[]){ '%', (uint8_t)hex[c >> 4], (uint8_t)hex[c & 15] }, 3);
                plain = span_skip(plain, 1);
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

static bool next_segment(struct coap_options *options, struct span *ret_segment)
{
        while (coap_options_next(options, ret_segment)) {
                if (options->number >= COAP_OPTION_URI_PATH)
                        return options->number == COAP_OPTION_URI_PATH;
        }
        return false;
}

bool uri_path_of(const coap_pdu_t *request, struct buf *out)
{
        coap_opt_iterator_t iterator;
        struct coap_options options = { 0 };
        struct span segment;
        bool any = false;

        buf_reserve(out, 1); /* so that an empty path is somewhere, too */
        if (coap_option_iterator_init(request, &iterator, COAP_OPT_ALL))
                options.rest = span_of(iterator.next_option, iterator.length);
        while (next_segment(&options, &segment)) {
                if (any)
                        buf_append_byte(out, '/');
                any = true;
                uri_path_encode_segment(segment, out);
        }
        return buf_ok(out);
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
