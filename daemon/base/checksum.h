/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 64-bit checksum against accidents (a flipped bit, a torn sector), not against attackers: every step is a
 * bijection of the state, so two inputs of one length that differ in a single word never agree. It serves tables, too:
 * where peers choose what goes in, the sum begins with a number that they do not know.
 */
#ifndef COAPD_BASE_CHECKSUM_H
#define COAPD_BASE_CHECKSUM_H

#include <stdint.h>
#include <string.h>

#include "base/span.h"

static inline uint64_t checksum_word(uint64_t sum, uint64_t word)
{
        sum = (sum ^ word) * 0x9fb21c651e98df25U;
        return sum ^ (sum >> 32);
}

/* Its length too, so that bytes which move from one field to the next show. */
static inline uint64_t checksum_span(uint64_t sum, struct span s)
{
        size_t whole = s.n / sizeof(uint64_t), tail = s.n % sizeof(uint64_t);
        uint64_t word;

        sum = checksum_word(sum, s.n);
        for (size_t i = 0; i < whole; i++) {
                memcpy(&word, s.p + i * sizeof word, sizeof word);
                sum = checksum_word(sum, word);
        }
        word = 0;
        if (tail > 0)
                memcpy(&word, s.p + whole * sizeof word, tail);
        return checksum_word(sum, word);
}

#endif
