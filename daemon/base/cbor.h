/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes CBOR (RFC 8949) into a buffer, in the shortest form (4.2.1): what coapd says of itself is a map of numbers
 * and words, for which a library would be more code to call than there is here.
 */
#ifndef COAPD_BASE_CBOR_H
#define COAPD_BASE_CBOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

void cbor_uint(struct buf *out, uint64_t value);
/* UTF-8, as it is. */
void cbor_text(struct buf *out, struct span text);
void cbor_bool(struct buf *out, bool value);
/* A map of `n` pairs, which follow: key, value, key, value. */
void cbor_map(struct buf *out, size_t n);

#endif
