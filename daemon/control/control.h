/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: what coapctl(8) asks the running daemon. It speaks Varlink (the interface is in interface.c, and
 * `varlinkctl introspect SOCKET` shows it), by systemd's own implementation on the daemon's event loop. The file's mode
 * says who may ask: the daemon's user and group, and root.
 *
 * Each answer is bounded: a listing comes in pages, and whoever asks names the last row that it has got.
 */
#ifndef COAPD_CONTROL_CONTROL_H
#define COAPD_CONTROL_CONTROL_H

#include <stdio.h>

#include <systemd/sd-event.h>

#include "base/daemon_state.h"
#include "base/listing.h"
#include "base/stored.h"

/* What the socket needs of the daemon; functions of the server. Outlives it. */
struct control_host {
        sd_event *event;
        void *user;
        const char *config_file;
        void (*describe)(void *user, struct daemon_state *ret_state);
        int (*list_endpoints)(void *user, visit_endpoint visit, void *closure);
        /* At most `max` rows behind a place. 1: there are more; 0 or -errno. */
        int (*list_sessions)(void *user, const struct listing_place *after, size_t max, visit_session visit,
                             void *closure);
        int (*list_observers)(void *user, const struct listing_place *after, size_t max, visit_observer visit,
                              void *closure);
        int (*list_resources)(void *user, const struct listing_place *after, size_t max, visit_resource visit,
                              void *closure);
        /* Observers are told the present state. -ENOENT: there is no such resource. */
        int (*notify)(void *user, struct span path, bool *ret_observed);
        /* As upon SIGHUP. What has changed, or what is wrong, goes to `out`, a line each. 0 or -errno. */
        int (*reload)(void *user, FILE *out);
        /*
         * A dynamic resource is made, or its content replaced, whatever the access rules say. Of `stored` only
         * path, content_format, attributes and body count. -errno, with the reason in `why`.
         */
        int (*import)(void *user, const struct stored_resource *stored, bool *ret_created, char *why,
                      size_t size);
};

struct control;

/*
 * Listens at `path`; a socket that an earlier run left there is replaced. 0, or -errno after a line in the log.
 * `host` is copied.
 */
int control_open(const char *path, const struct control_host *host, struct control **ret_control);

/* Accepts NULL. */
void control_free(struct control *control);

#endif
