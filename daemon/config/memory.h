/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loader remembers beside the values: where each one stands in the file and how its key is spelled
 * in full, so that an error found late can still name both.
 */
#ifndef COAPD_CONFIG_MEMORY_H
#define COAPD_CONFIG_MEMORY_H

#include "config/config.h"

struct place {
        const char *begin; /* of the member, or of a whole group */
        size_t size;
        unsigned order; /* the line in the text with all includes */
        struct conf_origin at;
        char *key;                  /* "security.psk.identities[3].key" */
        const struct conf_row *row; /* NULL: of a whole group */
};

struct conf_memory {
        struct conf_vocabulary vocabulary;
        struct conf_strings files; /* the names that origins point to */
        struct place *places;      /* sorted by memory_sort() */
        size_t n_places, cap_places;
};

/* Takes `key` over. 0 or -ENOMEM. */
int memory_add(struct conf_memory *memory, struct place place);
void memory_sort(struct conf_memory *memory);

/* The place of a member, or of the innermost group around one that the file does not give; NULL: none. */
const struct place *memory_find(const struct conf_memory *memory, const void *member);

/*
 * sandbox_hint() of the files, the folder or the program that is the value of a key: where the unit keeps it from us,
 * that is what is wrong with it.
 */
const char *place_hint(const struct place *place);

void memory_free(struct conf_memory *memory);

#endif
