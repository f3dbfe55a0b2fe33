/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that belong to somebody else. Everything from the wire travels as a span, never as a C string:
 * a path segment or a token may hold a NUL.
 */
#ifndef COAPD_BASE_SPAN_H
#define COAPD_BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
        const uint8_t *p;
        size_t n;
};

#define SPAN_LITERAL(text) ((struct span){ (const uint8_t *)(text), sizeof(text) - 1 })

static inline struct span span_of(const void *p, size_t n)
{
        return (struct span){ p, n };
}

/* NULL gives the empty span. */
static inline struct span span_of_string(const char *s)
{
        return (struct span){ (const uint8_t *)s, s ? strlen(s) : 0 };
}

static inline bool span_equal(struct span a, struct span b)
{
        return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool span_equal_string(struct span a, const char *s)
{
        return span_equal(a, span_of_string(s));
}

static inline bool span_starts_with(struct span a, struct span prefix)
{
        return a.n >= prefix.n && (prefix.n == 0 || memcmp(a.p, prefix.p, prefix.n) == 0);
}

/* What is left of `a` behind its first `n` bytes; empty when there are fewer. */
static inline struct span span_skip(struct span a, size_t n)
{
        return n >= a.n ? (struct span){ NULL, 0 } : (struct span){ a.p + n, a.n - n };
}

/* What is in front of the first `c`, or all there is; `rest` is then what follows that `c`. */
static inline struct span span_cut(struct span *rest, uint8_t c)
{
        const uint8_t *end = rest->n > 0 ? memchr(rest->p, c, rest->n) : NULL;
        struct span front = { rest->p, end ? (size_t)(end - rest->p) : rest->n };

        *rest = end ? span_skip(*rest, front.n + 1) : (struct span){ NULL, 0 };
        return front;
}

#endif
