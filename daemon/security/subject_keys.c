/* SPDX-License-Identifier: BSD-2-Clause */
/* Subjects of rules by rule, kind and name; see subject_keys.h. */
#include "security/subject_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct subject_key {
        uint32_t rule;
        enum subject_kind kind;
        uint8_t prefix;
        struct span bytes;
};

void subject_keys_deinit(struct subject_keys *keys)
{
        for (size_t i = 0; i < keys->n; i++)
                free((void *)keys->keys[i].bytes.p);
        free(keys->keys);
        free(keys->table);
        *keys = (struct subject_keys){ 0 };
}

/* FNV-1a. The operator alone chooses what is in the table, so nobody can aim at a bucket. */
static size_t hash_key(const struct subject_key *key)
{
        uint64_t h = 0xcbf29ce484222325u;
        uint32_t head[3] = { key->rule, (uint32_t)key->kind, key->prefix };

        for (size_t i = 0; i < sizeof(head); i++)
                h = (h ^ ((const uint8_t *)head)[i]) * 0x100000001b3u;
        for (size_t i = 0; i < key->bytes.n; i++)
                h = (h ^ key->bytes.p[i]) * 0x100000001b3u;
        return (size_t)(h ^ h >> 32);
}

static bool keys_equal(const struct subject_key *a, const struct subject_key *b)
{
        return a->rule == b->rule && a->kind == b->kind && a->prefix == b->prefix &&
               span_equal(a->bytes, b->bytes);
}

/* The slot of the key, or the free one where it belongs. The table is never full. */
static size_t find_slot(const struct subject_keys *keys, const struct subject_key *key)
{
        size_t slot = hash_key(key) & (keys->table_size - 1);

        while (keys->table[slot] && !keys_equal(&keys->keys[keys->table[slot] - 1], key))
                slot = (slot + 1) & (keys->table_size - 1);
        return slot;
}

bool subject_keys_have(const struct subject_keys *keys, uint32_t rule, enum subject_kind kind, uint8_t prefix,
                       struct span bytes)
{
        struct subject_key key = { rule, kind, prefix, bytes };

        return keys->table_size && keys->table[find_slot(keys, &key)];
}

static int grow_table(struct subject_keys *keys)
{
        enum { LEAST = 64 };
        size_t size = keys->table_size ? 2 * keys->table_size : LEAST;
        uint32_t *table;

        if (keys->n + 1 <= keys->table_size / 2)
                return 0;
        table = calloc(size, sizeof(*table));
        if (!table)
                return -ENOMEM;
        free(keys->table);
        keys->table = table;
        keys->table_size = size;
        for (size_t i = 0; i < keys->n; i++)
                table[find_slot(keys, &keys->keys[i])] = (uint32_t)i + 1;
        return 0;
}

static int copy_span(struct span in, struct span *ret_copy)
{
        uint8_t *copy = malloc(in.n ? in.n : 1);

        if (!copy)
                return -ENOMEM;
        if (in.n)
                memcpy(copy, in.p, in.n);
        *ret_copy = span_of(copy, in.n);
        return 0;
}

int subject_keys_add(struct subject_keys *keys, uint32_t rule, enum subject_kind kind, uint8_t prefix,
                     struct span bytes)
{
        struct subject_key key = { rule, kind, prefix, bytes };
        struct subject_key *grown;
        size_t slot;
        int r = grow_table(keys);

        if (r < 0)
                return r;
        slot = find_slot(keys, &key);
        if (keys->table[slot])
                return 0;
        grown = reallocarray(keys->keys, keys->n + 1, sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        keys->keys = grown;
        r = copy_span(bytes, &key.bytes);
        if (r < 0)
                return r;
        grown[keys->n++] = key;
        keys->table[slot] = (uint32_t)keys->n;
        return 0;
}
