/* SPDX-License-Identifier: BSD-2-Clause */
/* Who the peer of a session is, read from its handshake, and whether the keys of now let it in; see peers.h. */
#include <stdlib.h>
#include <string.h>

#include "security/peers.h"

static void learn_raw_key(struct peer *peer, const gnutls_datum_t *spki)
{
        char name[64];

        if (raw_key_name(span_of(spki->data, spki->size), name) < 0)
                return;
        memcpy(peer->name, name, sizeof(name));
        peer->name_n = sizeof(name);
        peer->kind = IDENTITY_RPK;
}

static void learn_certificate(struct peer *peer)
{
        unsigned n = 0;
        const gnutls_datum_t *chain = gnutls_certificate_get_peers(peer->gnutls, &n);

        if (n == 0)
                return;
        if (gnutls_certificate_type_get2(peer->gnutls, GNUTLS_CTYPE_CLIENT) == GNUTLS_CRT_RAWPK) {
                learn_raw_key(peer, &chain[0]);
                return;
        }
        peer->names = calloc(1, sizeof(*peer->names));
        if (peer->names && names_of_certificate(&chain[0], peer->names) == 0)
                peer->kind = IDENTITY_CERT;
}

static void learn_psk(struct peer *peer)
{
        gnutls_datum_t username;

        if (gnutls_psk_server_get_username2(peer->gnutls, &username) < 0 ||
            username.size > sizeof(peer->name))
                return;
        memcpy(peer->name, username.data, username.size);
        peer->name_n = username.size;
        peer->kind = IDENTITY_PSK;
}

/* Reads who it is from the finished handshake, and lets go of the keys that began it. */
static void learn(struct peer *peer)
{
        if (gnutls_auth_client_get_type(peer->gnutls) == GNUTLS_CRD_PSK)
                learn_psk(peer);
        else
                learn_certificate(peer);
        peer->judged = peer->keys;
        peer->known = true;
}

bool peer_would_be_let_in(const struct peer *peer, const struct keys *now)
{
        const struct key_set *set = keys_for(now, peer->server_name);
        struct span name = span_of(peer->name, peer->name_n);
        gnutls_alert_description_t alert;
        const gnutls_datum_t *chain;
        unsigned n = 0;

        if (peer->kind == IDENTITY_PSK) {
                const struct secret *before = psk_find(peer->set->psk, name),
                                    *after = psk_find(set->psk, name);

                return before && after && secrets_equal(before, after);
        }
        if (!set->pki)
                return false;
        if (peer->kind == IDENTITY_NONE)
                return pki_request(set->pki) != GNUTLS_CERT_REQUIRE;
        chain = gnutls_certificate_get_peers(peer->gnutls, &n);
        return !pki_judge(set->pki, gnutls_certificate_type_get2(peer->gnutls, GNUTLS_CTYPE_CLIENT), chain, n,
                          &alert);
}

bool peer_settle(struct peer *peer, const struct keys *now)
{
        if (!peer->known)
                learn(peer);
        if (peer->judged == now)
                return true;
        if (!peer_would_be_let_in(peer, now))
                return false;
        peer->judged = now;
        return true;
}
