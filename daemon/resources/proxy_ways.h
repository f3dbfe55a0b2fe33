/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The targets of a proxy: the one that it stands before; or those that it may be asked for as a forward proxy, each
 * told by the path below the proxy's own: scheme, host and port, path, as in "coap/192.0.2.1:5683/sensors". There is
 * no way to a target that the config does not name.
 */
#ifndef COAPD_RESOURCES_PROXY_WAYS_H
#define COAPD_RESOURCES_PROXY_WAYS_H

#include "resources/proxy_upstream.h"

struct way {
        struct upstream *upstream;
        struct buf authority; /* "coap/192.0.2.1:5683"; empty: it is the only one */
        struct buf allowed;   /* what may be asked, in libcoap's spelling: that, and a path to begin with */
};

struct ways {
        struct way *v;
        size_t n;
};

/* Segments of a path that tell the target: the scheme, and the host with its port. */
enum { WAY_SEGMENTS = 2 };

/* 0 or -errno after a line in the log; `own` as for upstream_new(). */
int ways_init(sd_event *event, const struct proxy_conf *conf, struct span own, struct ways *ret_ways);
void ways_deinit(struct ways *ways);
/* As upstream_same() and upstream_adopt(). */
bool ways_same(const struct ways *a, const struct ways *b);
void ways_adopt(struct ways *ways, const struct proxy_conf *conf);

/* Where a request for a path below the proxy's own goes; NULL: nowhere. */
const struct way *ways_find(const struct ways *ways, struct span rest);

/* The scheme and "host:port", lower case, of a URI with a host, as they stand in such a path. False: no such scheme. */
bool way_spell(const coap_uri_t *uri, struct buf *scheme, struct buf *authority);

#endif
