/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A map from addresses to numbers, for things of a library that has no room in them for ours: open addressing
 * with linear probing, at most three quarters full, 16 bytes for each slot.
 */
#ifndef COAPD_BASE_PTRMAP_H
#define COAPD_BASE_PTRMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ptrmap {
        struct ptrmap_slot *slots;
        size_t n;
        size_t cap; /* a power of two, or 0 */
};

void ptrmap_deinit(struct ptrmap *map);

/* Adds or replaces. 0 or -ENOMEM. */
int ptrmap_put(struct ptrmap *map, const void *key, int64_t value);

bool ptrmap_get(const struct ptrmap *map, const void *key, int64_t *ret_value);

/* Gives the value that it removes. */
bool ptrmap_take(struct ptrmap *map, const void *key, int64_t *ret_value);

#endif
