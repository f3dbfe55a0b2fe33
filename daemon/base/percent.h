/* SPDX-License-Identifier: BSD-2-Clause */
/* Hex digits, and bytes spelled by them as in a URI (RFC 3986, 2.1). */
#ifndef COAPD_BASE_PERCENT_H
#define COAPD_BASE_PERCENT_H

#include "base/span.h"

/* -1: it is none. */
int hex_digit(uint8_t c);

/*
 * Writes the bytes that `in` stands for to `out`, of which there are never more than in.n, and at most `max` of them.
 * What begins like an encoded byte and is none stays as it is. `out` may be in.p. Returns how many there are, also
 * beyond `max`.
 */
size_t percent_decode(struct span in, uint8_t *out, size_t max);

#endif
