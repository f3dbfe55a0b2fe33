/* SPDX-License-Identifier: BSD-2-Clause */
/* Representations; see representation.h. */
#include "resources/representation.h"

#include "base/util.h"

enum { ETAG_SIZE = 8 };

/*
 * FNV-1a of 64 bits: an ETag names a state among the states of one resource, it is no signature. Format and
 * length go in too, so that "1" as text and as CBOR differ.
 */
struct etag etag_of(struct span body, int content_format)
{
        uint64_t hash = 0xcbf29ce484222325U ^ (uint64_t)(unsigned)content_format ^ (uint64_t)body.n << 20;
        struct etag etag = { .n = ETAG_SIZE };

        for (size_t i = 0; i < body.n; i++)
                hash = (hash ^ body.p[i]) * 0x100000001b3U;
        hash ^= hash >> 32;
        for (int i = 0; i < ETAG_SIZE; i++)
                etag.b[i] = (uint8_t)(hash >> (56 - 8 * i));
        return etag;
}

static void destroy_copied(struct representation *rep)
{
        free(rep);
}

struct representation *representation_new_tagged(struct span body, int content_format,
                                                 const struct etag *etag)
{
        struct representation *rep = malloc(sizeof *rep + body.n);

        if (!rep)
                return NULL;
        *rep = (struct representation){
                .refs = 1,
                .content_format = content_format,
                .etag = *etag,
                .size = body.n,
                .data = (const uint8_t *)(rep + 1),
                .destroy = destroy_copied,
        };
        if (body.n)
                memcpy(rep + 1, body.p, body.n);
        return rep;
}

struct representation *representation_new(struct span body, int content_format)
{
        struct etag etag = etag_of(body, content_format);

        return representation_new_tagged(body, content_format, &etag);
}

struct representation *representation_ref(struct representation *rep)
{
        if (rep)
                rep->refs++;
        return rep;
}

void representation_unref(struct representation *rep)
{
        if (rep && --rep->refs == 0)
                rep->destroy(rep);
}

void representation_unrefp(struct representation **rep)
{
        representation_unref(*rep);
}
