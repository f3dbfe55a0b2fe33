/* SPDX-License-Identifier: BSD-2-Clause */
/* The subjects that rules name, in one hash table: that it is asked costs the same however many there are. */
#ifndef COAPD_SECURITY_SUBJECT_KEYS_H
#define COAPD_SECURITY_SUBJECT_KEYS_H

#include <stdbool.h>

#include "base/span.h"

enum subject_kind { SUBJECT_PSK, SUBJECT_CERT, SUBJECT_RPK, SUBJECT_OSCORE, SUBJECT_NET };

struct subject_key;

struct subject_keys {
        struct subject_key *keys;
        size_t n;
        uint32_t *table;   /* open addressing; index into keys + 1, 0 is free */
        size_t table_size; /* a power of two */
};

void subject_keys_deinit(struct subject_keys *keys);

/* Copies the bytes; once is enough. `prefix`: the bits of a SUBJECT_NET, else 0. 0 or -ENOMEM. */
int subject_keys_add(struct subject_keys *keys, uint32_t rule, enum subject_kind kind, uint8_t prefix,
                     struct span bytes);

bool subject_keys_have(const struct subject_keys *keys, uint32_t rule, enum subject_kind kind, uint8_t prefix,
                       struct span bytes);

#endif
