/* SPDX-License-Identifier: BSD-2-Clause */
/* Places of values; see memory.h. */
#include "config/memory.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/sandbox.h"
#include "base/util.h"

int memory_add(struct conf_memory *memory, struct place place)
{
        if (memory->n_places == memory->cap_places) {
                size_t cap = MAX(memory->cap_places * 2, (size_t)64);
                struct place *places = reallocarray(memory->places, cap, sizeof(*places));

                if (!places) {
                        free(place.key);
                        return -ENOMEM;
                }
                memory->places = places;
                memory->cap_places = cap;
        }
        memory->places[memory->n_places++] = place;
        return 0;
}

/* A group comes before what it contains. */
static int by_address(const void *a, const void *b)
{
        const struct place *x = a, *y = b;

        if (x->begin != y->begin)
                return (uintptr_t)x->begin < (uintptr_t)y->begin ? -1 : 1;
        return x->size > y->size ? -1 : x->size < y->size;
}

void memory_sort(struct conf_memory *memory)
{
        if (memory->n_places)
                qsort(memory->places, memory->n_places, sizeof(*memory->places), by_address);
}

const struct place *memory_find(const struct conf_memory *memory, const void *member)
{
        uintptr_t at = (uintptr_t)member;
        size_t low = 0, high = memory->n_places;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if ((uintptr_t)memory->places[middle].begin <= at)
                        low = middle + 1;
                else
                        high = middle;
        }
        while (low--) {
                const struct place *place = &memory->places[low];

                if (at - (uintptr_t)place->begin < place->size)
                        return place;
        }
        return NULL;
}

const char *place_hint(const struct place *place)
{
        const void *value = place && place->row ? place->begin : NULL;
        const struct conf_strings *strings = value;
        char *const *string = value;
        const char *hint = "";

        if (value && place->row->type == CONF_STRING && *string)
                return sandbox_hint(*string, ENOENT);
        if (value && place->row->type == CONF_STRINGS)
                for (size_t i = 0; i < strings->n && *hint == '\0'; i++)
                        hint = sandbox_hint(strings->v[i], ENOENT);
        return hint;
}

void memory_free(struct conf_memory *memory)
{
        if (!memory)
                return;
        for (size_t i = 0; i < memory->n_places; i++)
                free(memory->places[i].key);
        for (size_t i = 0; i < memory->files.n; i++)
                free(memory->files.v[i]);
        free(memory->places);
        free(memory->files.v);
        free(memory);
}
