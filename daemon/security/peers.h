/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One struct peer for each GnuTLS session of libcoap's. GnuTLS keeps the pointer to it as the data of a
 * private extension, whose destructor runs when libcoap frees the session: the one notice of that which every
 * session gives, also one that never got beyond its ClientHello. The extension itself is never sent.
 */
#ifndef COAPD_SECURITY_PEERS_H
#define COAPD_SECURITY_PEERS_H

#include <coap3/coap.h>
#include <gnutls/gnutls.h>

#include "security/identity.h"
#include "security/keys.h"
#include "security/names.h"

/* Where a session goes: what a datagram can be told to belong to. */
struct peer_address {
        uint8_t remote[16];
        uint16_t remote_port, local_port;
};

struct peer {
        struct peers *peers;
        struct keys *keys;         /* whose credentials the GnuTLS session began with */
        const struct key_set *set; /* of these: for the name that the client asked for */
        char *server_name;         /* that name, or NULL */
        const struct keys *judged; /* let in by these; NULL: not yet */
        gnutls_session_t gnutls;
        coap_session_t *session;
        struct peer_address at;
        struct peer *previous, *next; /* of the list that it is in, newest first */
        struct peer *same_bucket;
        bool half_open; /* in that list: no one has seen its handshake end */
        enum identity_kind kind;
        bool known;          /* the members around are set */
        bool stale;          /* its device has begun anew */
        struct names *names; /* of a certificate */
        uint8_t name[128];
        size_t name_n;
};

#define PEERS_BUCKETS 4096

struct peers {
        uint64_t seed; /* of chance: so that nobody can choose addresses that share a bucket, or a count */
        struct peer *half_open, *up;
        struct peer *oldest_half_open;
        size_t n_half_open, n_stale;
        struct peer *buckets[PEERS_BUCKETS];
};

/* NULL: out of memory. */
struct peer *peer_new(struct peers *peers, struct keys *keys, gnutls_session_t gnutls,
                      coap_session_t *session);

/* NULL: not a session of ours. */
struct peer *peer_of(gnutls_session_t gnutls);

/* The datagram session at an address; NULL: none. */
struct peer *peers_find(const struct peers *peers, const struct peer_address *at);
struct peer_address peer_address_of(const struct identity *remote, uint16_t remote_port, uint16_t local_port);

/* Whether the handshake is done. */
bool peer_is_up(struct peer *peer);

/* Ends the sessions that are stale. Not to be called from within libcoap. */
void peers_end_stale(struct peers *peers);

/*
 * With more than `most` handshakes on their way, ends old ones of the addresses that have more than their
 * share: so a flood from few addresses ends its own, and of one from many whoever comes new has the time of
 * `most` others to finish. Returns how many it ended. Not to be called from within libcoap.
 */
size_t peers_make_room(struct peers *peers, size_t most);

/* --- peer_identity.c --- */

/* Whether a peer whose identity is known would be let in by `now`. */
bool peer_would_be_let_in(const struct peer *peer, const struct keys *now);

/*
 * Reads who it is from the finished handshake, once. One that began with older keys may end after a reload: it is
 * judged again when it is first asked for, and is a stranger from then on (false) if it would not be let in now.
 */
bool peer_settle(struct peer *peer, const struct keys *now);

#endif
