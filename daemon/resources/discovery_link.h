/* SPDX-License-Identifier: BSD-2-Clause */
/* One link of /.well-known/core (RFC 6690): what it says of a resource, and whether a filter lets it through. */
#ifndef COAPD_RESOURCES_DISCOVERY_LINK_H
#define COAPD_RESOURCES_DISCOVERY_LINK_H

#include "base/buf.h"
#include "resources/internal.h"

/* An attribute of a link: the value as it is compared with a filter, unquoted. */
struct discovery_attribute {
        const char *name;
        struct buf value;
        bool flag;   /* stands without a value: obs */
        bool number; /* stands without quotes: sz, a single ct */
};

enum { DISCOVERY_ATTRIBUTES = 6 };

struct discovery_link {
        const struct resource *resource;
        struct buf path;
        struct discovery_attribute attributes[DISCOVERY_ATTRIBUTES];
};

/*
 * Makes it the link of a resource, or of `one`, one of those that its kind has; NULL: it has none. What it was before
 * goes; zeroed is empty. Where there was no memory its buffers are not buf_ok().
 */
void discovery_link_describe(struct discovery_link *link, const struct resource *resource,
                             const struct kind_link *one);
void discovery_link_deinit(struct discovery_link *link);

/* Behind a comma unless `out` is empty. */
void discovery_link_append(const struct discovery_link *link, struct buf *out);

/* Whether it fits the filters of the request's query, all of them (RFC 6690, 4.1). */
bool discovery_link_passes(const struct discovery_link *link, const struct request *request);

#endif
