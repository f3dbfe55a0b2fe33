/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A representation: the bytes that a GET returns, with content format and ETag. It is made once per change
 * and shared by every response and notification until the last reference goes; it never changes.
 */
#ifndef COAPD_RESOURCES_REPRESENTATION_H
#define COAPD_RESOURCES_REPRESENTATION_H

#include <stdint.h>
#include <sys/types.h>

#include "base/span.h"

/* RFC 7252, 5.10.6: an ETag is 1 to 8 bytes. */
enum { ETAG_MAX = 8 };

struct etag {
        uint8_t n; /* 0: none */
        uint8_t b[ETAG_MAX];
};

struct representation {
        unsigned refs;
        int content_format; /* -1: none */
        struct etag etag;
        uint64_t size;
        /* The whole body; NULL where it is read piece by piece. */
        const uint8_t *data;
        /* Reads `n` bytes at `offset` for a body without `data`. Returns what was read, or -errno;
         * -EAGAIN: it changed meanwhile, a new request will find what it is now. */
        ssize_t (*read)(const struct representation *rep, uint64_t offset, uint8_t *to, size_t n);
        void (*destroy)(struct representation *rep);
        void *source; /* the reader's own */
};

/* Copies `body`. The ETag is derived from format and body, so that equal content gets an equal ETag over any
 * restart. NULL: no memory. */
struct representation *representation_new(struct span body, int content_format);

/* Copies `body`; the ETag is given. */
struct representation *representation_new_tagged(struct span body, int content_format,
                                                 const struct etag *etag);

struct representation *representation_ref(struct representation *rep);
void representation_unref(struct representation *rep);
void representation_unrefp(struct representation **rep);

static inline bool etag_equal(const struct etag *a, const struct etag *b)
{
        return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

static inline struct span etag_span(const struct etag *etag)
{
        return (struct span){ etag->b, etag->n };
}

struct etag etag_of(struct span body, int content_format);

#endif
