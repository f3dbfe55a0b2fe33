/* SPDX-License-Identifier: BSD-2-Clause */
/* Who asks, for kinds that have to know: from where, and under which name. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "resources/internal.h"

static const struct {
        const char *scheme;
        unsigned port;
} protocols[] = {
        [COAP_PROTO_UDP] = { "coap", 5683 },     [COAP_PROTO_DTLS] = { "coaps", 5684 },
        [COAP_PROTO_TCP] = { "coap+tcp", 5683 }, [COAP_PROTO_TLS] = { "coaps+tcp", 5684 },
        [COAP_PROTO_WS] = { "coap+ws", 80 },     [COAP_PROTO_WSS] = { "coaps+ws", 443 },
};

static const coap_session_t *session_of(const struct request *request)
{
        return request->message ? request->message->session : NULL;
}

static const coap_address_t *address_of(const struct request *request)
{
        const coap_session_t *session = session_of(request);

        return session ? coap_session_get_addr_remote(session) : NULL;
}

static bool append_address(const coap_address_t *address, struct buf *out)
{
        const struct in6_addr *six = &address->addr.sin6.sin6_addr;
        char text[INET6_ADDRSTRLEN];

        if (address->addr.sa.sa_family == AF_INET) {
                buf_append_string(out, inet_ntop(AF_INET, &address->addr.sin.sin_addr, text, sizeof text));
        } else if (address->addr.sa.sa_family == AF_INET6) {
                if (IN6_IS_ADDR_V4MAPPED(six))
                        buf_append_string(out, inet_ntop(AF_INET, &six->s6_addr[12], text, sizeof text));
                else
                        buf_printf(out, "[%s]", inet_ntop(AF_INET6, six, text, sizeof text));
        } else {
                return false;
        }
        return true;
}

bool request_peer_uri(const struct request *request, struct buf *out)
{
        const coap_address_t *address = address_of(request);
        coap_proto_t proto = address ? coap_session_get_proto(session_of(request)) : COAP_PROTO_NONE;
        unsigned port;

        if (!address || proto >= ARRAY_LEN(protocols) || !protocols[proto].scheme)
                return false;
        buf_printf(out, "%s://", protocols[proto].scheme);
        if (!append_address(address, out))
                return false;
        port = coap_address_get_port(address);
        if (port != protocols[proto].port)
                buf_printf(out, ":%u", port);
        return true;
}

unsigned request_peer_link(const struct request *request)
{
        const coap_address_t *address = address_of(request);

        if (!address || address->addr.sa.sa_family != AF_INET6 ||
            !IN6_IS_ADDR_LINKLOCAL(&address->addr.sin6.sin6_addr))
                return 0;
        return address->addr.sin6.sin6_scope_id;
}

void resource_identify(const struct resource *resource, const struct request *request, struct buf *out)
{
        const struct registry_host *host = &resource->registry->host;
        const coap_session_t *session = session_of(request);

        if (session && host->identify)
                host->identify(host->user, session, out);
}
