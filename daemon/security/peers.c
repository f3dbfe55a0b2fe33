/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two lists, of handshakes on their way and of sessions that are up, and a hash table by address.
 */
#include "security/peers.h"

#include "base/util.h"

#define PEER_EXTENSION 65283 /* of the numbers for private use; only ever the key of the pointer */
#define COUNTERS 1024

static struct peer **bucket_of(const struct peers *peers, const struct peer_address *at)
{
        uint64_t words[2], h = (uint64_t)at->remote_port << 16 | at->local_port;

        memcpy(words, at->remote, sizeof(words));
        h = (h ^ peers->seed) * 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 32 ^ words[0]) * 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 32 ^ words[1]) * 0x9e3779b97f4a7c15u;
        return (struct peer **)&peers->buckets[h >> 52];
}

struct peer *peer_of(gnutls_session_t gnutls)
{
        gnutls_ext_priv_data_t data;

        return gnutls_ext_get_data(gnutls, PEER_EXTENSION, &data) < 0 ? NULL : data;
}

static void link_peer(struct peer *peer, bool half_open)
{
        struct peers *peers = peer->peers;
        struct peer **list = half_open ? &peers->half_open : &peers->up;

        peer->half_open = half_open;
        peer->previous = NULL;
        peer->next = *list;
        if (peer->next)
                peer->next->previous = peer;
        else if (half_open)
                peers->oldest_half_open = peer;
        *list = peer;
        peers->n_half_open += half_open;
}

static void unlink_peer(struct peer *peer)
{
        struct peers *peers = peer->peers;

        if (peer->previous)
                peer->previous->next = peer->next;
        else if (peer->half_open)
                peers->half_open = peer->next;
        else
                peers->up = peer->next;
        if (peer->next)
                peer->next->previous = peer->previous;
        else if (peer->half_open)
                peers->oldest_half_open = peer->previous;
        peers->n_half_open -= peer->half_open;
}

static void peer_gone(gnutls_ext_priv_data_t data)
{
        struct peer *peer = data;
        struct peer **link = bucket_of(peer->peers, &peer->at);

        while (*link && *link != peer)
                link = &(*link)->same_bucket;
        if (*link)
                *link = peer->same_bucket;
        unlink_peer(peer);
        peer->peers->n_stale -= peer->stale;
        keys_unref(peer->keys);
        if (peer->names)
                names_deinit(peer->names);
        free(peer->names);
        free(peer->server_name);
        free(peer);
}

static int ignore_extension(gnutls_session_t gnutls, const unsigned char *data, size_t n)
{
        (void)gnutls;
        (void)data;
        (void)n;
        return 0;
}

static int send_no_extension(gnutls_session_t gnutls, gnutls_buffer_t buffer)
{
        (void)gnutls;
        (void)buffer;
        return 0;
}

struct peer_address peer_address_of(const struct identity *remote, uint16_t remote_port, uint16_t local_port)
{
        struct peer_address at = { .remote_port = remote_port, .local_port = local_port };

        if (remote->has_address)
                memcpy(at.remote, remote->address, sizeof(at.remote));
        return at;
}

static struct peer_address address_of(const coap_session_t *session)
{
        const coap_address_t *remote = coap_session_get_addr_remote(session);
        struct identity who = { .kind = IDENTITY_NONE };

        identity_set_address(&who, &remote->addr.sa);
        return peer_address_of(&who, coap_address_get_port(remote),
                               coap_address_get_port(coap_session_get_addr_local(session)));
}

struct peer *peer_new(struct peers *peers, struct keys *keys, gnutls_session_t gnutls,
                      coap_session_t *session)
{
        struct peer *peer = calloc(1, sizeof(*peer));
        struct peer **bucket;

        if (!peer)
                return NULL;
        *peer = (struct peer){ .peers = peers, .gnutls = gnutls, .session = session };
        peer->keys = keys_ref(keys);
        peer->set = keys_for(keys, NULL);
        peer->at = address_of(session);
        bucket = bucket_of(peers, &peer->at);
        peer->same_bucket = *bucket;
        *bucket = peer;
        link_peer(peer, true);
        if (gnutls_session_ext_register(gnutls, "coapd peer", PEER_EXTENSION, GNUTLS_EXT_TLS,
                                        ignore_extension, send_no_extension, peer_gone, NULL, NULL, 0) < 0) {
                peer_gone(peer);
                return NULL;
        }
        gnutls_ext_set_data(gnutls, PEER_EXTENSION, peer);
        return peer;
}

struct peer *peers_find(const struct peers *peers, const struct peer_address *at)
{
        struct peer *peer = *bucket_of(peers, at);

        while (peer && (memcmp(&peer->at, at, sizeof(*at)) != 0 ||
                        coap_session_get_proto(peer->session) != COAP_PROTO_DTLS))
                peer = peer->same_bucket;
        return peer;
}

bool peer_is_up(struct peer *peer)
{
        coap_session_state_t state = coap_session_get_state(peer->session);

        if (state != COAP_SESSION_STATE_ESTABLISHED && state != COAP_SESSION_STATE_CSM)
                return false;
        if (peer->half_open) {
                unlink_peer(peer);
                link_peer(peer, false);
        }
        return true;
}

static size_t counter_of(const struct peers *peers, const struct peer *peer)
{
        uint64_t words[2], h;

        memcpy(words, peer->at.remote, sizeof(words));
        h = (words[0] ^ peers->seed) * 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 32 ^ words[1]) * 0x9e3779b97f4a7c15u;
        return (size_t)(h ^ h >> 32) % COUNTERS;
}

void peers_end_stale(struct peers *peers)
{
        for (struct peer *peer = peers->n_stale ? peers->up : NULL, *next; peer; peer = next) {
                next = peer->next;
                if (peer->stale)
                        coap_session_disconnected(peer->session, COAP_NACK_TLS_FAILED); /* frees the peer */
        }
}

size_t peers_make_room(struct peers *peers, size_t most)
{
        size_t counts[COUNTERS] = { 0 }, addresses = 0, share, ended = 0;

        if (peers->n_half_open <= most)
                return 0;
        for (struct peer *peer = peers->half_open, *next; peer; peer = next) {
                next = peer->next;
                if (!peer_is_up(peer))
                        addresses += counts[counter_of(peers, peer)]++ == 0;
        }
        share = addresses ? most / addresses : 0;
        for (struct peer *peer = peers->oldest_half_open, *next; peer && peers->n_half_open > most;
             peer = next) {
                next = peer->previous;
                if (counts[counter_of(peers, peer)] <= share)
                        continue;
                counts[counter_of(peers, peer)]--;
                coap_session_disconnected(peer->session, COAP_NACK_TLS_FAILED); /* frees the peer */
                ended++;
        }
        return ended;
}
