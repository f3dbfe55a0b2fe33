/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rows of what the daemon has, as its modules tell them to whoever lists them. Everything is borrowed for the call of
 * the visitor.
 */
#ifndef COAPD_BASE_LISTING_H
#define COAPD_BASE_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/*
 * Where a listing goes on: behind this row. All zeros: at its beginning. Rows that come or go meanwhile may be missed,
 * the others come once.
 */
struct listing_place {
        uint64_t group, row;
};

struct listed_endpoint {
        const char *transport; /* "udp", "dtls", "tcp", "tls", "ws" or "wss" */
        const char *address;   /* with its port */
        const char *groups;    /* multicast, with spaces between */
        uint64_t waiting;      /* bytes that came and were not read yet; of a stream: connections */
        uint64_t dropped;      /* datagrams that found no room */
};

struct listed_session {
        const char *transport;
        const char *peer, *local;
        const char *identity; /* what the peer proved: "psk:sensor-1"; "anyone" */
        size_t observations;
};

struct listed_observer {
        const char *resource; /* libcoap's spelling, without a slash in front */
        const char *transport, *peer, *local, *identity;
};

struct listed_resource {
        const char *path;
        const char *hosts; /* with spaces between; "": any */
        const char *kind;
        const char *title; /* NULL: none */
        bool dynamic;
        size_t observers;
        bool has_size;
        uint64_t size;
        int content_format; /* -1: none, or several */
        /* Of dynamic ones: */
        struct span attributes;
        struct span body;
};

/* 0 to go on; 1: this was the last row of this page; or -errno. `place` is that of the row. */
typedef int (*visit_endpoint)(void *closure, const struct listed_endpoint *endpoint);
typedef int (*visit_session)(void *closure, const struct listing_place *place,
                             const struct listed_session *session);
typedef int (*visit_observer)(void *closure, const struct listing_place *place,
                              const struct listed_observer *observer);
typedef int (*visit_resource)(void *closure, const struct listing_place *place,
                              const struct listed_resource *resource);

#endif
