/* SPDX-License-Identifier: BSD-2-Clause */
/* Handles by shard; see twins.h. */
#include "resources/twins.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The place of the first one that is not of a lower shard. */
static size_t find_place(const struct twins *twins, size_t shard)
{
        size_t from = 0, to = twins->n;

        while (from < to) {
                size_t middle = (from + to) / 2;

                if (twins->v[middle].shard < shard)
                        from = middle + 1;
                else
                        to = middle;
        }
        return from;
}

coap_resource_t *twins_find(const struct twins *twins, size_t shard)
{
        size_t i = find_place(twins, shard);

        return i < twins->n && twins->v[i].shard == shard ? twins->v[i].handle : NULL;
}

/* It grows at powers of two. */
int twins_reserve(struct twins *twins)
{
        struct twin *grown;

        if (twins->n & (twins->n - 1) || (!twins->n && twins->v))
                return 0;
        grown = reallocarray(twins->v, twins->n ? 2 * twins->n : 1, sizeof *grown);
        if (!grown)
                return -ENOMEM;
        twins->v = grown;
        return 0;
}

void twins_put(struct twins *twins, size_t shard, coap_resource_t *handle)
{
        size_t i = find_place(twins, shard);

        memmove(&twins->v[i + 1], &twins->v[i], (twins->n - i) * sizeof *twins->v);
        twins->v[i] = (struct twin){ shard, handle };
        twins->n++;
}

void twins_remove(struct twins *twins, size_t i)
{
        twins->n--;
        memmove(&twins->v[i], &twins->v[i + 1], (twins->n - i) * sizeof *twins->v);
}

void twins_deinit(struct twins *twins)
{
        free(twins->v);
        *twins = (struct twins){ NULL, 0 };
}
