/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which context a datagram is for: that of its peer's shard, but the one that has the security context where it is
 * protected by OSCORE, the first one where its method is none, and where it acknowledges or resets what another one has
 * sent, that one.
 */
#ifndef COAPD_ENDPOINTS_ROUTE_H
#define COAPD_ENDPOINTS_ROUTE_H

#include <stdbool.h>

#include "base/shards.h"
#include "base/span.h"

/* The context for what is protected as an OSCORE option's value says. To be called anywhere, also within libcoap. */
typedef size_t (*route_oscore)(void *userdata, struct span option);

struct router {
        struct shards shards;
        route_oscore oscore; /* NULL: all of it is for the first context */
        void *userdata;
        uint64_t *sent; /* messages to peers of other shards than the sender's; NULL: none yet */
};

void router_init(struct router *router, struct shards shards);
void router_deinit(struct router *router);

/* In *ret_observes whether it is a request that registers an observation, in the clear or on its outside. */
size_t router_find(struct router *router, const struct sockaddr *peer, struct span datagram,
                   bool *ret_observes);

/* The context of `shard` sends to `peer`. */
void router_note_sent(struct router *router, size_t shard, const struct sockaddr *peer, struct span datagram);

#endif
