/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The libcoap contexts of the daemon, one for each shard of its peers. libcoap walks lists for much of what it does:
 * all sessions of a context at the end of each turn, all observers of a resource for each registration. With the
 * peers divided among contexts each list has a part of them.
 *
 * Only UDP is divided. The first context has its shard, and all else: DTLS and streams. What is protected by OSCORE
 * over UDP goes to the context that its security context was given to (security/oscore.h): one that were there twice
 * would use its nonces twice. Those are contexts of their own: once libcoap has opened a protected request, the
 * session protects all that it sends, and what it cannot it drops; the same peer may ask in the clear, too. After a
 * reload that libcoap cannot bring to OSCORE contexts once given, new sessions of DTLS and streams begin in the
 * context that follows; those that stand go on where they are.
 */
#ifndef COAPD_BASE_SHARDS_H
#define COAPD_BASE_SHARDS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <coap3/coap.h>

#include "base/util.h"

enum { SHARDS_MOST = 1024 };

struct shards {
        coap_context_t *const *v; /* borrowed */
        size_t n;                 /* at least 1 */
        uint64_t seed;            /* so that nobody can choose addresses that fall into the same shard */
        size_t n_protected; /* of them, the last: for OSCORE over UDP, and no peer's shard; fewer than n */
};

/*
 * How many of the first contexts may come to have sessions of DTLS and streams. No more of them where shards_choose()
 * finds more for observers: those come later.
 */
static inline size_t shards_for_streams(size_t n)
{
        enum { ONE_OF = 8, MOST = 16 };

        return 1 + (n / ONE_OF < MOST ? n / ONE_OF : MOST);
}

/*
 * How many of `n` are set aside for so many security contexts of OSCORE and some that reloads may add; none of those
 * for streams. 0 where there is one context only, or nothing to protect.
 */
static inline size_t shards_for_oscore(size_t n, size_t security_contexts)
{
        enum { TO_COME = 16 };
        size_t wanted = security_contexts + n / TO_COME;

        return security_contexts == 0 ? 0 : MIN(wanted, n / 2);
}

/* All there is. `context` must outlive the result. */
static inline struct shards shards_of_one(coap_context_t *const *context)
{
        return (struct shards){ .v = context, .n = 1 };
}

/* Whose context it is; the first, where it is none of them. */
size_t shards_of_context(const struct shards *shards, const coap_context_t *context);

/* What is known when their number is chosen. */
struct shards_need {
        size_t configured;    /* 0: it is to be chosen */
        uint64_t observers;   /* that are about to be restored */
        uint64_t sessions;    /* the most there may be, of all */
        uint64_t descriptors; /* that the process may have open; each shard takes two */
};

/*
 * As many as are configured, or so many that each restores about 128 observers, but no fewer than 256, for what may
 * register from now on, and none that would take descriptors from everything else. In any case no more than leave
 * each a few sessions.
 */
size_t shards_choose(const struct shards_need *need);

/* A number that is the same for the same address and port; IPv4 within IPv6 is IPv4. `peer` may lie unaligned. */
uint64_t shards_hash(uint64_t seed, const struct sockaddr *peer);

/* Where the datagrams of a peer go, by its address and port. */
size_t shards_find(const struct shards *shards, const struct sockaddr *peer);

#endif
