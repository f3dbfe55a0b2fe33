/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The addresses that coapd answers on. Each entry of `endpoints` in the config becomes one libcoap endpoint,
 * or one for each address that its host name stands for.
 *
 * An address is opened strictly: libcoap would share an UDP port with any other process of its kind
 * (SO_REUSEADDR), and then one of the two starves in silence. Endpoints of the same config may overlap
 * ("[::]" beside "127.0.0.1", same port): the kernel hands a packet to the more specific one.
 */
#ifndef COAPD_ENDPOINTS_ENDPOINTS_H
#define COAPD_ENDPOINTS_ENDPOINTS_H

#include <stddef.h>

#include <coap3/coap.h>

#include "base/listing.h"
#include "base/named_fd.h"
#include "base/shards.h"
#include "config/config.h"

struct endpoints;
struct websocket_origins;

/*
 * Sockets that outlive the process, so that the kernel goes on queueing for them in a restart: what the last
 * run left, and how to leave one for the next.
 */
struct endpoints_keeper {
        struct named_fd *left; /* the fd of one that fits an endpoint is taken over, and is -1 then */
        size_t n_left;
        void (*keep)(int fd, const char *name, const char *old_name); /* NULL: not kept yet */
        /* Closes those not taken over, with every copy, so that their addresses are free on return. */
        void (*drop)(struct named_fd *left, size_t n_left);
};

/*
 * Opens every endpoint of `config` and joins its multicast groups: on the first context, and on the same socket for
 * plain UDP on all others, for the rest on those of shards_for_streams(). Secure transports need their keys on the
 * contexts first. On failure it closes what it opened and logs one line, which names the uri, where it stands in the
 * config, and the reason; then returns -errno.
 *
 * The contexts must outlive the result. `config` is borrowed for the call. `keeper` may be NULL; its lists are
 * borrowed for the call, its functions for as long as the result. `origins`: the web pages that may connect over
 * WebSocket, borrowed for as long as the contexts; NULL: they all may.
 */
int endpoints_open(struct shards shards, const struct config *config, const struct endpoints_keeper *keeper,
                   struct websocket_origins *origins, struct endpoints **ret_endpoints);

/*
 * The same endpoints in further contexts: the first of `shards` are those they are in already. To be called before any
 * is read from. 0, or -ENOMEM and a line in the log.
 */
int endpoints_divide(struct endpoints *endpoints, struct shards shards);

/*
 * Opens those of `config` that are not open yet and brings multicast groups in line; all or nothing, with
 * the same one line on failure. libcoap cannot close an endpoint that has observers: those that `config` no
 * longer has stay open, and are counted in *ret_stale.
 */
int endpoints_update(struct endpoints *endpoints, const struct config *config, size_t *ret_stale);

/* Open ones; an entry whose host name stands for two addresses counts twice. */
size_t endpoints_count(const struct endpoints *endpoints);

/* Each of them, in the order in which they were opened. 0, or what the visitor returned. */
int endpoints_list(const struct endpoints *endpoints, visit_endpoint visit, void *closure);

/* Does not close libcoap's endpoints: coap_free_context() does. Accepts NULL. */
void endpoints_free(struct endpoints *endpoints);

#endif
