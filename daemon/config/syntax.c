/* SPDX-License-Identifier: BSD-2-Clause */
/* Forms of values; see syntax.h. */
#include "base/utf8.h"
#include "config/syntax.h"

#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "base/span.h"
#include "base/util.h"
#include "config/uri.h"

enum {
        SEGMENT_MAX = 255,   /* RFC 7252, 5.10: bytes of one Uri-Path option */
        OSCORE_ID_MAX = 7,   /* RFC 8613, 3.3, with the default algorithm's 13-byte nonce */
        ID_CONTEXT_MAX = 32, /* libcoap derives keys in a buffer that ends at 63 */
};

static_assert(sizeof(((struct address *)NULL)->scope) == IF_NAMESIZE, "interface names fit");

const char *syntax_uri(const char *value)
{
        struct uri uri;

        return uri_parse(value, &uri);
}

bool address_parse(const char *text, struct address *ret_address)
{
        struct address address = { 0 };
        char host[INET6_ADDRSTRLEN] = { 0 };
        const char *percent = strchr(text, '%');
        size_t n = percent ? (size_t)(percent - text) : strlen(text);

        if (n >= sizeof(host))
                return false;
        snprintf(host, sizeof(host), "%.*s", (int)n, text);
        if (percent) {
                if (percent[1] == '\0' || strlen(percent + 1) >= sizeof(address.scope))
                        return false;
                snprintf(address.scope, sizeof(address.scope), "%s", percent + 1);
        }
        address.family = strchr(host, ':') ? AF_INET6 : AF_INET;
        if (inet_pton(address.family, host, address.bytes) != 1)
                return false;
        *ret_address = address;
        return true;
}

bool address_is_multicast(const struct address *address)
{
        return address->family == AF_INET6 ? address->bytes[0] == 0xff : (address->bytes[0] & 0xf0) == 0xe0;
}

const char *syntax_multicast(const char *value)
{
        struct address address;

        if (address_parse(value, &address) && address_is_multicast(&address))
                return NULL;
        return "a multicast address such as 224.0.1.187 or ff02::fd%eth0";
}

/* libcoap and clients take paths for UTF-8. */
static bool valid_text(const char *value)
{
        for (const char *p = value; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        return false;
        return utf8_is_valid(span_of_string(value));
}

static bool percent_encoded(const char *p)
{
        return p[0] == '%' && isxdigit((unsigned char)p[1]) && isxdigit((unsigned char)p[2]);
}

const char *syntax_path(const char *value)
{
        size_t segment;

        for (const char *p = value; *p; p++)
                if (percent_encoded(p))
                        return "the character itself instead of its percent-encoding";
        if (!valid_text(value))
                return "UTF-8 text without control characters";
        for (const char *p = value;; p += segment + 1) {
                segment = strcspn(p, "/");
                if (segment == 0 || (segment <= 2 && strspn(p, ".") >= segment))
                        return "a path such as sensors/1, without a slash at either end, empty segments, . "
                               "and ..";
                if (segment > SEGMENT_MAX)
                        return "segments of at most 255 bytes";
                if (p[segment] == '\0')
                        return NULL;
        }
}

const char *syntax_prefix(const char *value)
{
        return *value ? syntax_path(value) : NULL;
}

const char *syntax_title(const char *value)
{
        return valid_text(value) && !strpbrk(value, "\"\\")
                       ? NULL
                       : "UTF-8 text without control characters, double quotes and backslashes";
}

/* RFC 6690, 2: what may stand between the blanks of rt="a b". */
const char *syntax_link_value(const char *value)
{
        for (const char *p = value; *p; p++)
                if (!isgraph((unsigned char)*p) || strchr("\"\\", *p))
                        return "a word of printable ASCII without blanks, double quotes and backslashes";
        return NULL;
}

static bool hex_digits(const char *value, size_t max_bytes)
{
        size_t n = strlen(value);

        return n % 2 == 0 && n / 2 <= max_bytes && strspn(value, "0123456789abcdefABCDEF") == n;
}

const char *syntax_server_name(const char *value)
{
        static const char expected[] = "a host name such as coap.example.org or *.example.org";
        size_t label = 0;

        if (strncmp(value, "*.", 2) == 0)
                value += 2;
        for (const char *p = value; *p; p++) {
                if (*p == '.' ? label == 0 : !isalnum((unsigned char)*p) && *p != '-' && *p != '_')
                        return expected;
                label = *p == '.' ? 0 : label + 1;
        }
        return label == 0 ? expected : NULL;
}

/* The port of an IPv6 address stands behind its bracket. */
const char *syntax_host(const char *value)
{
        static const char expected[] = "a host such as a.example.org, with or without :PORT";
        const char *closed = strchr(value, ']');
        const char *colon = strchr(closed ? closed : value, ':');
        size_t n = colon ? (size_t)(colon - value) : strlen(value);

        for (size_t i = 0; i < n; i++)
                if (!isalnum((unsigned char)value[i]) && !strchr(closed ? "[]:." : "-._~", value[i]))
                        return expected;
        if (n == 0 || n > 255 || (closed && (value[0] != '[' || closed != value + n - 1)))
                return expected;
        if (!colon)
                return NULL;
        for (const char *p = colon + 1; *p; p++)
                if (!isdigit((unsigned char)*p))
                        return expected;
        return colon[1] != '0' && strlen(colon + 1) <= 5 && atoi(colon + 1) > 0 &&
                               atoi(colon + 1) <= UINT16_MAX
                       ? NULL
                       : expected;
}

const char *syntax_origin(const char *value)
{
        const char *host = strstr(value, "://");

        if (strcmp(value, "*") == 0 || strcmp(value, "null") == 0)
                return NULL;
        /* A browser writes no slash at the end. */
        return host && host > value && host[3] && !strpbrk(host + 3, "/?#@* ")
                       ? NULL
                       : "an origin such as https://panel.example.org, without a path, or \"*\"";
}

const char *syntax_oscore_id(const char *value)
{
        return hex_digits(value, OSCORE_ID_MAX) ? NULL : "0 to 7 bytes as pairs of hex digits";
}

const char *syntax_id_context(const char *value)
{
        return hex_digits(value, ID_CONTEXT_MAX) ? NULL : "1 to 32 bytes as pairs of hex digits";
}

const char *syntax_hex(const char *value)
{
        return hex_digits(value, SIZE_MAX) ? NULL : "pairs of hex digits";
}
