/* SPDX-License-Identifier: BSD-2-Clause */
/* A growing byte buffer; see buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_FIRST = 128 };

void buf_deinit(struct buf *b)
{
        free(b->p);
        *b = (struct buf){ 0 };
}

void buf_reset(struct buf *b)
{
        b->n = 0;
        b->failed = false;
}

uint8_t *buf_reserve(struct buf *b, size_t n)
{
        if (b->failed)
                return NULL;
        if (n > SIZE_MAX / 2 - b->n) {
                b->failed = true;
                return NULL;
        }
        if (b->n + n > b->cap) {
                size_t cap = MAX(MAX(b->cap * 2, b->n + n), (size_t)BUF_FIRST);
                uint8_t *p = realloc(b->p, cap);

                if (!p) {
                        b->failed = true;
                        return NULL;
                }
                b->p = p;
                b->cap = cap;
        }
        return b->p + b->n;
}

void buf_append(struct buf *b, const void *p, size_t n)
{
        uint8_t *to = n ? buf_reserve(b, n) : NULL;

        if (!to)
                return;
        memcpy(to, p, n);
        b->n += n;
}

void buf_append_span(struct buf *b, struct span s)
{
        buf_append(b, s.p, s.n);
}

void buf_append_string(struct buf *b, const char *s)
{
        buf_append(b, s, strlen(s));
}

void buf_append_byte(struct buf *b, uint8_t byte)
{
        buf_append(b, &byte, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
        va_list ap;
        char *to;
        int n;

        va_start(ap, fmt);
        n = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        if (n < 0) {
                b->failed = true;
                return;
        }
        to = (char *)buf_reserve(b, (size_t)n + 1);
        if (!to)
                return;
        va_start(ap, fmt);
        vsnprintf(to, (size_t)n + 1, fmt, ap);
        va_end(ap);
        b->n += (size_t)n;
}

const char *buf_string(struct buf *b)
{
        uint8_t *end = buf_reserve(b, 1);

        if (!end)
                return "";
        *end = '\0';
        return (const char *)b->p;
}
