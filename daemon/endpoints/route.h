/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which context a datagram is for: that of its peer's shard, but the first one where it is protected by OSCORE, where
 * its method is none, and where it acknowledges or resets what the first one has sent.
 */
#ifndef COAPD_ENDPOINTS_ROUTE_H
#define COAPD_ENDPOINTS_ROUTE_H

#include <stdbool.h>

#include "base/shards.h"
#include "base/span.h"

struct router {
        struct shards shards;
        uint64_t *sent; /* messages of the first context to peers of other shards; NULL: none yet */
};

void router_init(struct router *router, struct shards shards);
void router_deinit(struct router *router);

/* In *ret_observes whether it is a request that registers an observation, in the clear. */
size_t router_find(struct router *router, const struct sockaddr *peer, struct span datagram,
                   bool *ret_observes);

/* The first context sends to `peer`. */
void router_note_sent(struct router *router, const struct sockaddr *peer, struct span datagram);

#endif
