/* SPDX-License-Identifier: BSD-2-Clause */
/* Endpoint addresses; see uri.h. */
#include "config/uri.h"

#include <ctype.h>
#include <string.h>

#include "base/util.h"
#include "config/syntax.h"

static const struct {
        const char *prefix;
        uint16_t port;
} schemes[] = {
        [TRANSPORT_UDP] = { "coap://", 5683 },     [TRANSPORT_DTLS] = { "coaps://", 5684 },
        [TRANSPORT_TCP] = { "coap+tcp://", 5683 }, [TRANSPORT_TLS] = { "coaps+tcp://", 5684 },
        [TRANSPORT_WS] = { "coap+ws://", 80 },     [TRANSPORT_WSS] = { "coaps+ws://", 443 },
};

bool transport_is_secure(enum transport transport)
{
        return transport == TRANSPORT_DTLS || transport == TRANSPORT_TLS || transport == TRANSPORT_WSS;
}

bool transport_is_datagram(enum transport transport)
{
        return transport == TRANSPORT_UDP || transport == TRANSPORT_DTLS;
}

static const char *parse_port(const char *text, uint16_t *ret_port)
{
        static const char expected[] = "a port from 1 to 65535";
        unsigned port = 0;

        if (*text == '\0')
                return expected;
        for (; *text; text++) {
                if (!isdigit((unsigned char)*text))
                        return expected;
                port = port * 10 + (unsigned)(*text - '0');
                if (port > UINT16_MAX)
                        return expected;
        }
        if (port == 0)
                return expected;
        *ret_port = (uint16_t)port;
        return NULL;
}

/* RFC 1123, 2.1. What is made of digits and dots alone must be an address. */
static bool valid_name(const char *host)
{
        size_t label = 0;
        bool letters = false;

        for (const char *p = host; *p; p++) {
                if (*p == '.') {
                        if (label == 0)
                                return false;
                        label = 0;
                        continue;
                }
                if (!isalnum((unsigned char)*p) && (*p != '-' || label == 0))
                        return false;
                letters |= !isdigit((unsigned char)*p);
                if (++label > 63)
                        return false;
        }
        return letters && label > 0;
}

static bool valid_host(const char *host, bool bracketed)
{
        struct address address;
        bool good = address_parse(host, &address);

        if (bracketed)
                return good && address.family == AF_INET6;
        return (good && address.family == AF_INET && !address.scope[0]) || valid_name(host);
}

static const char *parse_authority(const char *text, struct uri *uri)
{
        bool bracketed = *text == '[';
        const char *host = text + bracketed;
        const char *end = bracketed ? strchr(host, ']') : host + strcspn(host, ":");
        size_t n;

        if (!bracketed && strchr(end, ':') != strrchr(end, ':'))
                return "an IPv6 address in brackets: coap://[::1]:5683";
        if (!end)
                return "a ] behind the IPv6 address";
        n = (size_t)(end - host);
        if (n == 0 || n >= sizeof(uri->host))
                return "a host: an address such as 127.0.0.1, [::] or [fe80::1%eth0], or a name";
        memcpy(uri->host, host, n);
        uri->host[n] = '\0';
        if (!valid_host(uri->host, bracketed))
                return "a host: an address such as 127.0.0.1, [::] or [fe80::1%eth0], or a name";
        end += bracketed;
        if (*end == '\0')
                return NULL;
        return *end == ':' ? parse_port(end + 1, &uri->port) : "nothing but :PORT behind the host";
}

const char *uri_parse(const char *text, struct uri *ret_uri)
{
        struct uri uri = { 0 };
        const char *expected =
                "a scheme of coap://, coaps://, coap+tcp://, coaps+tcp://, coap+ws:// or coaps+ws://";

        for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
                size_t n = strlen(schemes[i].prefix);

                if (strncmp(text, schemes[i].prefix, n) != 0)
                        continue;
                text += n;
                if (strpbrk(text, "/?#@"))
                        return "an address only, without a user, a path or a query";
                uri.transport = (enum transport)i;
                uri.port = schemes[i].port;
                expected = parse_authority(text, &uri);
                break;
        }
        if (!expected)
                *ret_uri = uri;
        return expected;
}
