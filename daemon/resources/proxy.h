/* SPDX-License-Identifier: BSD-2-Clause */
/* The kind `proxy`: answers of another server, kept while they are fresh. */
#ifndef COAPD_RESOURCES_PROXY_H
#define COAPD_RESOURCES_PROXY_H

#include <systemd/sd-event.h>

#include "base/spanmap.h"
#include "resources/message.h"
#include "resources/proxy_ways.h"

struct proxy;

/* A request that waits for an answer of the target. */
struct waiter {
        struct waiter *next;
        struct entry *entry;
        struct pending *pending; /* NULL: its client does not wait any more */
};

/* What the target has at a URI, by the cache key of the request. */
struct entry {
        struct entry *newer, *older; /* by use */
        struct proxy *proxy;
        struct buf key, options, body; /* of the request */
        struct buf rest;               /* the path below the proxy's */
        enum method method;
        struct exchange *exchange; /* under way, or observing */
        bool asking;               /* an answer is waited for */
        struct waiter *waiters;

        uint8_t code; /* 0: nothing came yet */
        struct representation *content;
        struct buf answer_options;
        char diagnostic[96];
        uint64_t fresh_until_us;

        bool wanted;   /* observed by clients */
        bool observed; /* by us, at the target */
        bool asked;    /* by a notification since the last change */
        bool exchange_observes;
        bool returning;   /* clients observe it since before a restart, and were told nothing yet */
        uint64_t told_us; /* when clients were told last, or began */
        uint64_t retry_us;
        unsigned failures; /* in a row */
};

struct proxy {
        struct resource *resource;
        const struct proxy_conf *conf; /* that is in force */
        struct ways ways;
        struct spanmap by_key; /* to struct entry */
        struct entry *newest, *oldest;
        size_t n, bytes;
        size_t n_own;            /* segments of a request's path that are not for the target */
        struct passing *passing; /* requests that change something, under way */
        sd_event_source *timer;  /* while something is observed */
};

/* proxy_cache.c */
struct entry *entry_find(struct proxy *proxy, struct span key);
/* NULL: no memory. */
struct entry *entry_new(struct proxy *proxy, struct span key);
void entry_use(struct entry *entry);
void entry_free(struct entry *entry);
bool entry_is_fresh(const struct entry *entry);
/* What the entry has, as an answer to a client. */
void entry_answer(const struct entry *entry, struct response *response);
/* The target's answer. */
void entry_take(struct entry *entry, const struct upstream_answer *answer);
/* Makes room, but for those that are in use. */
void cache_trim(struct proxy *proxy);
/* A method that changes it succeeded: what is kept for that path is not fresh any more (RFC 7252, 5.6). */
void cache_invalidate(struct proxy *proxy, struct span rest);
uint64_t proxy_now(const struct proxy *proxy);

/* proxy_observe.c */
/* Somebody observes it. */
void entry_want(struct entry *entry);
/* It has changed: whoever observes it is told. */
void entry_changed(struct entry *entry);
/* Nothing came from the target. Whether observers need not know yet. */
bool entry_try_again(struct entry *entry);
int proxy_observe_below(void *self, struct span rest);
bool proxy_ready_below(void *self, struct span rest);
bool proxy_ready(void *self);
int proxy_on_observe_time(sd_event_source *source, uint64_t usec, void *user);

/* proxy_pass.c */
void proxy_pass(struct proxy *proxy, const struct way *way, const struct request *request,
                struct span options, struct response *response);
/* There are other targets now: those under way are answered. */
void proxy_give_up_passing(struct proxy *proxy);

/* proxy.c */
void entry_ask(struct entry *entry);
/* Who waits for it gets what it has. */
void entry_answer_waiters(struct entry *entry);
uint64_t proxy_time_limit(const struct proxy *proxy);

/* proxy_life.c: as the kind's. */
int proxy_create(struct resource *resource, const struct conf_resource *conf, void **ret_self);
void proxy_reconfigure(void *self, const struct conf_resource *conf);
void proxy_destroy(void *self);

#endif
