/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look at a protected message before libcoap gets it: which context it is for.
 */
#include "security/oscore_internal.h"

enum {
        FLAG_ID_CONTEXT = 0x10,
        FLAG_ID = 0x08,
        FLAGS_RESERVED = 0xe0,
        PARTIAL_IV_MOST = 5,
};

/* RFC 8613, 6.1. */
bool oscore_option_read(struct span value, struct oscore_option *ret_option)
{
        struct oscore_option option = { 0 };
        uint8_t flags = value.n ? value.p[0] : 0;
        size_t n = flags & 7;
        struct span rest = span_skip(value, 1);

        if (flags & FLAGS_RESERVED || n > PARTIAL_IV_MOST || n > rest.n)
                return false;
        option.partial_iv = span_of(rest.p, n);
        rest = span_skip(rest, n);
        if (flags & FLAG_ID_CONTEXT) {
                n = rest.n ? rest.p[0] : 0;
                if (rest.n == 0 || n > rest.n - 1)
                        return false;
                option.id_context = span_of(rest.p + 1, n);
                rest = span_skip(rest, 1 + n);
        }
        if (flags & FLAG_ID)
                option.id = rest;
        *ret_option = option;
        return true;
}

size_t oscore_home(const struct oscore *oscore, struct span value)
{
        struct oscore_option option;

        return oscore_option_read(value, &option) ? oscore_home_of(oscore, option.id, option.id_context) : 0;
}
