/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Identities, made readable.
 */
#include "security/identity.h"

#include <netinet/in.h>
#include <stdio.h>

#include "base/log.h"

void identity_set_address(struct identity *who, const struct sockaddr *address)
{
        static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

        who->has_address = false;
        if (address->sa_family == AF_INET) {
                struct sockaddr_in in;

                memcpy(&in, address, sizeof(in));
                memcpy(who->address, mapped, sizeof(mapped));
                memcpy(who->address + 12, &in.sin_addr, 4);
                who->has_address = true;
        } else if (address->sa_family == AF_INET6) {
                struct sockaddr_in6 in6;

                memcpy(&in6, address, sizeof(in6));
                memcpy(who->address, &in6.sin6_addr, 16);
                who->has_address = true;
        }
}

static const char *const prefixes[] = {
        [IDENTITY_NONE] = "anyone", [IDENTITY_PSK] = "psk:",       [IDENTITY_CERT] = "cert:",
        [IDENTITY_RPK] = "rpk:",    [IDENTITY_OSCORE] = "oscore:",
};

enum identity_kind identity_kind_of(const char *text, const char **ret_name)
{
        for (int kind = IDENTITY_PSK; kind <= IDENTITY_OSCORE; kind++) {
                size_t n = strlen(prefixes[kind]);

                if (strncmp(text, prefixes[kind], n) == 0) {
                        *ret_name = text + n;
                        return (enum identity_kind)kind;
                }
        }
        return IDENTITY_NONE;
}

const char *identity_describe(const struct identity *who, char *out, size_t size)
{
        int n = snprintf(out, size, "%s", prefixes[who->kind]);

        if (who->kind != IDENTITY_NONE && n >= 0 && (size_t)n + 1 < size)
                log_escape(who->name, out + n, size - (size_t)n);
        return out;
}

void identity_hex(const uint8_t *p, size_t n, char *out)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < n; i++) {
                out[2 * i] = digits[p[i] >> 4];
                out[2 * i + 1] = digits[p[i] & 15];
        }
}
