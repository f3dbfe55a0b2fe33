/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A map from byte strings to numbers: open addressing with linear probing, at most three quarters full. It
 * keeps copies of its keys. Not for keys that a peer can choose freely in great number.
 */
#ifndef COAPD_BASE_SPANMAP_H
#define COAPD_BASE_SPANMAP_H

#include <stdbool.h>

#include "base/span.h"

struct spanmap {
        struct spanmap_slot *slots;
        size_t n;
        size_t cap; /* a power of two, or 0 */
};

void spanmap_deinit(struct spanmap *map);

/* Adds or replaces. 0 or -ENOMEM. */
int spanmap_put(struct spanmap *map, struct span key, int64_t value);

bool spanmap_get(const struct spanmap *map, struct span key, int64_t *ret_value);

/* Gives the value that it removes. */
bool spanmap_take(struct spanmap *map, struct span key, int64_t *ret_value);

/* Walks over all entries in no order: start with *position = 0. False at the end. */
bool spanmap_next(const struct spanmap *map, size_t *position, struct span *ret_key, int64_t *ret_value);

#endif
