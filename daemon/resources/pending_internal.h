/* SPDX-License-Identifier: BSD-2-Clause */
/* What pending.c (who waits, and the answers) and pending_again.c (a request on its way round) share. */
#ifndef COAPD_RESOURCES_PENDING_INTERNAL_H
#define COAPD_RESOURCES_PENDING_INTERNAL_H

#include "resources/internal.h"

enum { AGAIN_US = 2000 };

struct pending {
        struct pending *prev, *next;
        struct pendings *all;
        struct resource *resource; /* NULL: it is gone, or none was asked */
        coap_session_t *session;   /* libcoap holds a reference as long as it holds the request */
        coap_async_t *async;
        size_t shard;
        struct buf message;
        struct buf path;
        struct buf token;
        coap_mid_t mid;
        bool observe;
        uint64_t sender;
        uint64_t deadline_us;
        void (*ended)(void *user);
        void *user;

        bool answered;
        struct response response;
        struct buf location, options;
};

struct pending_list {
        struct pending *first, *last;
};

struct pendings {
        struct registry *registry;
        struct pending_list waiting;  /* for an answer */
        struct pending_list answered; /* for the next turn of the loop */
        struct pending_list coming;   /* to be handed in again by libcoap */
        size_t n;                     /* that wait, or are answered */
        struct pending *present;      /* between pending_came_again() and pending_done() */
        sd_event_source *timer;
};

void pending_list_add(struct pending_list *list, struct pending *pending);
void pending_list_remove(struct pending_list *list, struct pending *pending);

/* Has libcoap hand it in again after `delay`; 0: once it is told so. In no list. NULL: it will not. */
struct pending *pending_new(struct pendings *pendings, coap_session_t *session, const coap_pdu_t *request,
                            coap_tick_t delay);
/* Accepts NULL. libcoap's part is not touched. */
void pending_free(struct pending *pending);

uint64_t pendings_now(const struct pendings *pendings);
/* The timer is to go off then, or before. */
void pendings_wake_at(struct pendings *pendings, uint64_t at);

#endif
