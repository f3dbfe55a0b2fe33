/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The handles of one path in the contexts besides the first: by shard, and only for those where somebody observes or
 * did. There may be a thousand contexts, and as many paths with one observer each.
 */
#ifndef COAPD_RESOURCES_TWINS_H
#define COAPD_RESOURCES_TWINS_H

#include <coap3/coap.h>

struct twin {
        size_t shard;
        coap_resource_t *handle; /* libcoap's */
};

struct twins {
        struct twin *v; /* by ascending shard */
        size_t n;
};

/* NULL: none. */
coap_resource_t *twins_find(const struct twins *twins, size_t shard);

/* Room for one more, so that twins_put() cannot fail. 0 or -ENOMEM. */
int twins_reserve(struct twins *twins);

/* There must be none of this shard yet, and room. */
void twins_put(struct twins *twins, size_t shard, coap_resource_t *handle);

/* Forgets the one at `i`, and that is all. */
void twins_remove(struct twins *twins, size_t i);

void twins_deinit(struct twins *twins);

#endif
