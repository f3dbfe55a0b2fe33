/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A growing byte buffer. Appending never fails loudly: an allocation failure is remembered and everything
 * after it is ignored, so that a writer of many pieces checks once, at the end, with buf_ok().
 */
#ifndef COAPD_BASE_BUF_H
#define COAPD_BASE_BUF_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "base/util.h"

struct buf {
        uint8_t *p;
        size_t n;
        size_t cap;
        bool failed;
};

void buf_deinit(struct buf *b);

/* Keeps the memory for the next use. */
void buf_reset(struct buf *b);

void buf_append(struct buf *b, const void *p, size_t n);
void buf_append_span(struct buf *b, struct span s);
void buf_append_string(struct buf *b, const char *s);
void buf_append_byte(struct buf *b, uint8_t byte);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Room for `n` more bytes; NULL when there is no memory. The caller adds what it wrote to `n`. */
uint8_t *buf_reserve(struct buf *b, size_t n);

static inline bool buf_ok(const struct buf *b)
{
        return !b->failed;
}

static inline struct span buf_span(const struct buf *b)
{
        return (struct span){ b->p, b->n };
}

/* The contents as a C string, owned by the buffer; "" when empty or out of memory. */
const char *buf_string(struct buf *b);

#endif
