/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys of messages; see duplicate_key.h. */
#include "resources/duplicate_key.h"

#include <netinet/in.h>
#include <string.h>

#include "base/checksum.h"
#include "resources/clients.h"
#include "resources/kind.h"

/* `peer` need not be aligned. */
static bool set_peer(struct duplicate_key *key, const void *peer)
{
        struct sockaddr_in6 six;
        struct sockaddr_in four;

        memcpy(&key->family, (const uint8_t *)peer + offsetof(struct sockaddr, sa_family),
               sizeof key->family);
        if (key->family == AF_INET) {
                memcpy(&four, peer, sizeof four);
                memcpy(key->address, &four.sin_addr, sizeof four.sin_addr);
                key->port = four.sin_port;
        } else if (key->family == AF_INET6) {
                memcpy(&six, peer, sizeof six);
                memcpy(key->address, &six.sin6_addr, sizeof six.sin6_addr);
                key->port = six.sin6_port;
                key->scope = six.sin6_scope_id;
        } else {
                return false;
        }
        return true;
}

static void set_token(struct duplicate_key *key, struct span token)
{
        uint64_t hash;

        key->token_length = (uint16_t)token.n;
        if (token.n <= DUPLICATE_TOKEN) {
                if (token.n)
                        memcpy(key->token, token.p, token.n);
                return;
        }
        hash = checksum_span(0, token);
        memcpy(key->token, &hash, sizeof hash);
}

bool duplicate_key_of(const coap_session_t *session, uint64_t sender, const coap_pdu_t *request,
                      struct duplicate_key *key)
{
        const struct client *client = client_of(session);
        const coap_address_t *peer = coap_session_get_addr_remote(session);
        coap_bin_const_t token = coap_pdu_get_token(request);

        memset(key, 0, sizeof *key);
        if (!peer || COAP_PROTO_RELIABLE(coap_session_get_proto(session)) || !set_peer(key, &peer->addr))
                return false;
        key->sender = sender;
        if (coap_session_get_proto(session) == COAP_PROTO_DTLS && client)
                key->session = client->serial;
        key->mid = (uint16_t)coap_pdu_get_mid(request);
        key->type = (uint8_t)coap_pdu_get_type(request);
        key->proto = (uint8_t)coap_session_get_proto(session);
        set_token(key, span_of(token.s, token.length));
        return true;
}

/* RFC 7252, 3 and RFC 8974, 2.1. False: it is not whole. */
static bool read_token(struct span datagram, struct span *ret_token)
{
        enum { HEAD = 4, ONE_BYTE = 13, TWO_BYTES = 14, TWO_BYTES_FROM = 269 };
        size_t n = datagram.p[0] & 15, at = HEAD + (n == ONE_BYTE ? 1U : n == TWO_BYTES ? 2U : 0U);

        if (n > TWO_BYTES || datagram.n < at)
                return false;
        if (n == ONE_BYTE)
                n += datagram.p[HEAD];
        else if (n == TWO_BYTES)
                n = TWO_BYTES_FROM + ((size_t)datagram.p[HEAD] << 8 | datagram.p[HEAD + 1]);
        *ret_token = span_of(datagram.p + at, n);
        return datagram.n - at >= n;
}

bool duplicate_key_of_datagram(const struct msghdr *message, struct span datagram, struct duplicate_key *key)
{
        enum { HEAD = 4 };
        const uint8_t *p = datagram.p;
        struct span token;

        /* Version 1, and of the methods those that are remembered. */
        if (datagram.n < HEAD || p[0] >> 6 != 1 || p[1] < METHOD_POST || p[1] > METHOD_IPATCH ||
            p[1] == METHOD_FETCH || !read_token(datagram, &token))
                return false;
        memset(key, 0, sizeof *key);
        if (!set_peer(key, message->msg_name))
                return false;
        key->mid = (uint16_t)(p[2] << 8 | p[3]);
        key->type = p[0] >> 4 & 3;
        key->proto = COAP_PROTO_UDP;
        set_token(key, token);
        return true;
}
