/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * URIs of tokens, and the PIN that goes with one.
 */
#include "security/token.h"

#include <errno.h>
#include <string.h>

#include "base/percent.h"
#include "base/util.h"

bool token_is_uri(const char *name)
{
        return strncmp(name, "pkcs11:", 7) == 0;
}

/* Percent-encoding undone, and file: or file:// taken off, in place. */
static char *plain_path(char *path)
{
        size_t n = strlen(path);

        path[percent_decode(span_of(path, n), (uint8_t *)path, n)] = '\0';
        if (strncmp(path, "file:", 5) == 0)
                path += 5;
        return strncmp(path, "//", 2) == 0 ? path + 2 : path;
}

int token_split(const char *uri, struct key_errors *errors, struct conf_origin at, const char *key,
                char **ret_uri, struct secret *ret_pin)
{
        static const char attribute[] = "pin-source=";
        CLEANUP(freep) char *rest = strdup(uri), *path = NULL;
        CLEANUP(secret_deinit) struct secret pin = { 0 };
        char *query = rest ? strchr(rest, '?') : NULL, *source = query ? strstr(query, attribute) : NULL;
        size_t n;
        int r;

        if (!rest)
                return -ENOMEM;
        if (source && (source[-1] == '?' || source[-1] == '&')) {
                n = strcspn(source, "&");
                path = strndup(source + strlen(attribute), n - strlen(attribute));
                if (!path)
                        return -ENOMEM;
                memmove(source, source + n + (source[n] == '&'), strlen(source + n + (source[n] == '&')) + 1);
                if (!*source)
                        source[-1] = '\0'; /* what was in front of it: ? or & */
                r = secret_read_file(plain_path(path), true, errors, at, key, &pin);
                if (r < 0)
                        return r;
                while (pin.n && (pin.p[pin.n - 1] == '\n' || pin.p[pin.n - 1] == '\r'))
                        pin.p[--pin.n] = '\0';
        }
        *ret_uri = TAKE(rest);
        *ret_pin = pin;
        pin.p = NULL;
        return 0;
}
