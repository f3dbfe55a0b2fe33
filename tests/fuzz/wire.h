/* SPDX-License-Identifier: BSD-2-Clause */
/* CoAP messages as the fuzz targets write and read them (RFC 7252, 3), and inputs taken apart piece by piece. */
#ifndef TESTS_FUZZ_WIRE_H
#define TESTS_FUZZ_WIRE_H

#include <stdint.h>

#include "base/buf.h"

/* What each target is: called by libFuzzer, or by replay.c. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { WIRE_CON, WIRE_NON, WIRE_ACK, WIRE_RST };

struct wire_head {
        uint8_t type, code;
        uint16_t mid;
        struct span token; /* at most 8 bytes */
};

/* A message begins; options follow in rising order, then the payload. */
void wire_begin(struct buf *out, const struct wire_head *head);
/* `last` is the number of the option before, 0 at first, and is moved on. */
void wire_option(struct buf *out, unsigned *last, unsigned number, struct span value);
/* A number in as few bytes as it takes. */
void wire_uint(struct buf *out, unsigned *last, unsigned number, uint64_t value);
/* A path as libcoap spells it, percent-encoded: one option for each segment. */
void wire_path(struct buf *out, unsigned *last, struct span path);
void wire_payload(struct buf *out, struct span payload);

/* Points into what was read. */
struct wire_reply {
        uint8_t type, code;
        uint16_t mid;
        struct span token;
        struct span payload;
        bool has_format, has_block2, has_echo;
        unsigned format;
        unsigned block2;
        struct span echo;
};

/* False: it is no well-formed message. */
bool wire_read(struct span datagram, struct wire_reply *ret);

/* --- inputs --- */

/* Takes a byte off the front; 0 when there is none. */
uint8_t take_byte(struct span *input);
/* Little-endian. */
uint16_t take_two(struct span *input);
/* At most `n` bytes. */
struct span take_bytes(struct span *input, size_t n);

#endif
