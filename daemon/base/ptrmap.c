/* SPDX-License-Identifier: BSD-2-Clause */
/* A map from addresses to numbers; see ptrmap.h. */
#include "base/ptrmap.h"

#include <errno.h>
#include <stdlib.h>

struct ptrmap_slot {
        const void *key; /* NULL: free */
        int64_t value;
};

enum { PTRMAP_FIRST = 64 };

/* Addresses differ in their middle bits: a multiplication brings them to the top. */
static size_t home_of(const struct ptrmap *map, const void *key)
{
        uint64_t h = (uint64_t)(uintptr_t)key * 0x9e3779b97f4a7c15U;

        return (size_t)(h >> 32) & (map->cap - 1);
}

/* The key's slot, or the free one where it would go. There always is a free one. */
static size_t find(const struct ptrmap *map, const void *key)
{
        size_t i = home_of(map, key);

        while (map->slots[i].key && map->slots[i].key != key)
                i = (i + 1) & (map->cap - 1);
        return i;
}

void ptrmap_deinit(struct ptrmap *map)
{
        free(map->slots);
        *map = (struct ptrmap){ 0 };
}

static int grow(struct ptrmap *map)
{
        struct ptrmap bigger = { .cap = map->cap ? map->cap * 2 : PTRMAP_FIRST, .n = map->n };

        bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
        if (!bigger.slots)
                return -ENOMEM;
        for (size_t i = 0; i < map->cap; i++)
                if (map->slots[i].key)
                        bigger.slots[find(&bigger, map->slots[i].key)] = map->slots[i];
        free(map->slots);
        *map = bigger;
        return 0;
}

int ptrmap_put(struct ptrmap *map, const void *key, int64_t value)
{
        struct ptrmap_slot *slot;
        int r;

        if ((map->n + 1) * 4 > map->cap * 3) {
                r = grow(map);
                if (r < 0)
                        return r;
        }
        slot = &map->slots[find(map, key)];
        if (!slot->key)
                map->n++;
        *slot = (struct ptrmap_slot){ key, value };
        return 0;
}

bool ptrmap_get(const struct ptrmap *map, const void *key, int64_t *ret_value)
{
        size_t i = map->cap ? find(map, key) : 0;

        if (!map->cap || !map->slots[i].key)
                return false;
        *ret_value = map->slots[i].value;
        return true;
}

bool ptrmap_take(struct ptrmap *map, const void *key, int64_t *ret_value)
{
        size_t hole, i;

        if (!ptrmap_get(map, key, ret_value))
                return false;
        hole = i = find(map, key);
        /* Closes the gap: whoever behind it could not be found across the hole moves into it. */
        for (;;) {
                i = (i + 1) & (map->cap - 1);
                if (!map->slots[i].key)
                        break;
                if (((i - home_of(map, map->slots[i].key)) & (map->cap - 1)) >=
                    ((i - hole) & (map->cap - 1))) {
                        map->slots[hole] = map->slots[i];
                        hole = i;
                }
        }
        map->slots[hole] = (struct ptrmap_slot){ 0 };
        map->n--;
        return true;
}
