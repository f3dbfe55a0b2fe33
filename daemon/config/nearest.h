/* SPDX-License-Identifier: BSD-2-Clause */
/* The known word that a mistyped one was probably meant to be. */
#ifndef COAPD_CONFIG_NEAREST_H
#define COAPD_CONFIG_NEAREST_H

#include <stddef.h>

/* Keeps the best of all words offered. */
struct nearest {
        const char *to;
        const char *best; /* NULL: none is near */
        size_t distance;
};

void nearest_init(struct nearest *nearest, const char *to);
void nearest_offer(struct nearest *nearest, const char *word);

#endif
