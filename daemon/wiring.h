/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the modules need of each other, handed across: they do not know one another, the server knows them all. For
 * server.c alone; the order in which things happen is there.
 */
#ifndef COAPD_WIRING_H
#define COAPD_WIRING_H

#include <coap3/coap.h>
#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/shards.h"
#include "control/control.h"
#include "endpoints/pump.h"
#include "endpoints/websocket_origin.h"
#include "persist/persist.h"
#include "resources/registry.h"
#include "security/access.h"
#include "security/security.h"
#include "systemd/status_line.h"

struct server {
        const char *file;
        struct config *config;
        struct metrics metrics;
        uint64_t started_ns; /* base/clock.h */
        sd_event *event;
        coap_context_t *contexts[SHARDS_MOST];
        struct shards shards; /* of these */
        struct security *security;
        struct access *access;
        struct endpoints *endpoints;
        struct websocket_origins origins;
        struct registry *registry;
        struct pump *pump;
        struct pump_guard guard;
        struct persist_host persist_host;
        struct security_store sequences;
        const struct persist_engine *engine;
        void *engine_self;
        size_t observers_restored;
        struct log_gate denials;
        int (*reload)(struct server *server, FILE *report); /* server.c's own */
        struct control *control;                            /* NULL: there is no socket for it */
        struct status_line *status_line;                    /* NULL: not serving yet */
};

/* A session begins, or ends: all that have something to do with it are told. */
void wire_session_new(struct server *server, coap_session_t *session);
void wire_session_gone(struct server *server, coap_session_t *session);

/* The registry with the server's functions; it has no resources yet. 0 or -errno. */
int wire_registry(struct server *server);

/* Whether changes may go into the store with those of requests that come right behind: their answers leave together. */
bool wire_more_waiting(const struct server *server);

/* The engine that the config names, and what it needs. -EINVAL: there is no such engine. */
int wire_store(struct server *server);

/*
 * The control socket, if the config has one. Without it clients are served all the same: why it could not be opened is
 * in the log.
 */
void wire_control(struct server *server, int (*reload)(struct server *server, FILE *report));

/* What `systemctl status` shows. */
void wire_status(struct server *server, struct status_numbers *ret_numbers);

/* Between the network and libcoap: who is let in, and when answers may leave. */
void wire_pump(struct server *server);

#endif
