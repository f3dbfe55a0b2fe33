/* SPDX-License-Identifier: BSD-2-Clause */
/* A map from byte strings to numbers; see spanmap.h. */
#include "base/spanmap.h"

#include <errno.h>
#include <stdlib.h>

#include "base/checksum.h"

struct spanmap_slot {
        uint8_t *key; /* NULL: free */
        size_t n;
        uint64_t hash;
        int64_t value;
};

enum { SPANMAP_FIRST = 64 };

/* The key's slot, or the free one where it would go. There always is a free one. */
static size_t find(const struct spanmap *map, struct span key, uint64_t hash)
{
        size_t i = hash & (map->cap - 1);

        while (map->slots[i].key &&
               (map->slots[i].hash != hash || !span_equal(key, span_of(map->slots[i].key, map->slots[i].n))))
                i = (i + 1) & (map->cap - 1);
        return i;
}

void spanmap_deinit(struct spanmap *map)
{
        for (size_t i = 0; i < map->cap; i++)
                free(map->slots[i].key);
        free(map->slots);
        *map = (struct spanmap){ 0 };
}

static int grow(struct spanmap *map)
{
        struct spanmap bigger = { .cap = map->cap ? map->cap * 2 : SPANMAP_FIRST, .n = map->n };

        bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
        if (!bigger.slots)
                return -ENOMEM;
        for (size_t i = 0; i < map->cap; i++) {
                const struct spanmap_slot *slot = &map->slots[i];

                if (slot->key)
                        bigger.slots[find(&bigger, span_of(slot->key, slot->n), slot->hash)] = *slot;
        }
        free(map->slots);
        *map = bigger;
        return 0;
}

int spanmap_put(struct spanmap *map, struct span key, int64_t value)
{
        uint64_t hash = checksum_span(0, key);
        struct spanmap_slot *slot;
        uint8_t *copy;
        int r;

        if ((map->n + 1) * 4 > map->cap * 3) {
                r = grow(map);
                if (r < 0)
                        return r;
        }
        slot = &map->slots[find(map, key, hash)];
        if (slot->key) {
                slot->value = value;
                return 0;
        }
        copy = malloc(key.n + 1);
        if (!copy)
                return -ENOMEM;
        if (key.n)
                memcpy(copy, key.p, key.n);
        *slot = (struct spanmap_slot){ copy, key.n, hash, value };
        map->n++;
        return 0;
}

bool spanmap_get(const struct spanmap *map, struct span key, int64_t *ret_value)
{
        size_t i = map->cap ? find(map, key, checksum_span(0, key)) : 0;

        if (!map->cap || !map->slots[i].key)
                return false;
        *ret_value = map->slots[i].value;
        return true;
}

bool spanmap_take(struct spanmap *map, struct span key, int64_t *ret_value)
{
        size_t hole, i;

        if (!spanmap_get(map, key, ret_value))
                return false;
        hole = i = find(map, key, checksum_span(0, key));
        free(map->slots[hole].key);
        /* Closes the gap: whoever behind it could not be found across the hole moves into it. */
        for (;;) {
                i = (i + 1) & (map->cap - 1);
                if (!map->slots[i].key)
                        break;
                if (((i - map->slots[i].hash) & (map->cap - 1)) >= ((i - hole) & (map->cap - 1))) {
                        map->slots[hole] = map->slots[i];
                        hole = i;
                }
        }
        map->slots[hole] = (struct spanmap_slot){ 0 };
        map->n--;
        return true;
}

bool spanmap_next(const struct spanmap *map, size_t *position, struct span *ret_key, int64_t *ret_value)
{
        for (; *position < map->cap; ++*position) {
                const struct spanmap_slot *slot = &map->slots[*position];

                if (!slot->key)
                        continue;
                *ret_key = span_of(slot->key, slot->n);
                *ret_value = slot->value;
                ++*position;
                return true;
        }
        return false;
}
