/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All resources of the daemon: those of the config and those that clients created. The registry stands between
 * libcoap and the kinds: it finds the resource, applies what every resource needs, and keeps libcoap's
 * coap_resource_t (which carries the observations) in step.
 */
#ifndef COAPD_RESOURCES_REGISTRY_H
#define COAPD_RESOURCES_REGISTRY_H

#include <sys/socket.h>

#include <coap3/coap.h>
#include <systemd/sd-event.h>

#include "base/daemon_state.h"
#include "base/listing.h"
#include "base/shards.h"
#include "base/stored.h"
#include "config/config.h"

struct registry;
struct buf;

/* What a peer wants to do, as bits. */
enum operation {
        OPERATION_GET = 1 << 0, /* the other methods follow in the order of their codes */
        OPERATION_OBSERVE = 1 << 7,
        OPERATION_CREATE = 1 << 8,
};

static inline unsigned operation_of_method(unsigned code)
{
        return (unsigned)OPERATION_GET << (code - 1);
}

/* What the registry needs of the daemon; functions of the server. Outlives the registry. */
struct registry_host {
        struct shards shards;
        sd_event *event;
        struct metrics *metrics;
        void *user;
        /* A request is about to be served, or a notification made. */
        void (*request_begins)(void *user, const coap_session_t *session, const coap_pdu_t *request,
                               bool is_notification);
        /* And its end: what request_begins() has told does not hold any longer. */
        void (*request_ends)(void *user);
        /*
         * A number for the key of OSCORE that the request at hand is under; 0: none. And, instead of request_begins(),
         * that one is to be answered which was under such a key, or was not. Both NULL: there is no such thing.
         */
        uint64_t (*protected_by)(void *user);
        void (*answers)(void *user, bool protected);
        /* 0: allowed; else the code to answer with, 4.01 or 4.03. */
        uint8_t (*authorize)(void *user, const coap_session_t *session, struct span path,
                             unsigned operations);
        /* A request was refused with `code`, for the log; NULL: nobody wants to know. */
        void (*denied)(void *user, const coap_session_t *session, struct span path, unsigned operations,
                       uint8_t code);
        /* Whether the peer has proved any key with the request at hand; NULL: never. */
        bool (*authenticated)(void *user, const coap_session_t *session);
        /* Appends who the peer proved to be; nothing for a stranger. */
        void (*identify)(void *user, const coap_session_t *session, struct buf *out);
        /* As put and del of the persist engine: 0 or -errno, then nothing changes. */
        int (*store_put)(void *user, const struct stored_resource *stored);
        int (*store_del)(void *user, struct span path);
        /* A resource was made: the Observe number that it goes on from, where there was one at its path before. */
        bool (*first_number)(void *user, struct span path, uint32_t *ret_number);
        /* Notifications wait in libcoap: let it send them now. Not from within its callbacks. */
        void (*kick)(void *user);
        /* The same, of one context, soon. */
        void (*kick_soon)(void *user, size_t shard);
        /* Ends a session, with a registry_session_gone() at once or later. Called by registry_tidy(). */
        void (*end_session)(void *user, coap_session_t *session);
        /* Fills in what the registry does not know of itself. */
        void (*describe)(void *user, struct daemon_state *state);
        /* From a handler: whether libcoap calls for what it has read just now. */
        bool (*is_reading)(void *user);
        /* From a handler: an event source of the registry's waits, serve no more requests before. */
        void (*yield)(void *user);
        /* From a handler: registry_send_bursts() is to be called at the end of this turn. */
        void (*want_end)(void *user);
};

/* The kinds of kinds.def as the config loader wants them. */
const struct conf_variant *registry_kinds(size_t *ret_n);

/* Whether a client could change anything, as far as the access rules let it. */
bool registry_takes_writes(const struct config *config);

int registry_new(const struct registry_host *host, struct registry **ret_registry);

/* There was no memory for some of it, and no way back either. */
enum { REGISTRY_INCOMPLETE = 1 };

/*
 * Makes the resources of the config live: adds the new ones, changes those that changed in place with their
 * observers kept, removes what is gone with 4.04 to its observers. `config` is borrowed until the next call or
 * registry_free(). Returns 0, or -errno when a resource could not be made (logged): at start that is fatal, at
 * reload the old one goes on. REGISTRY_INCOMPLETE (logged): the config has taken over all the same, and is borrowed.
 *
 * `others` is called between the two: the registry can carry out the config, and has changed nothing. Its -errno is
 * returned, and nothing changes. NULL: nobody else has a part in it.
 */
int registry_apply(struct registry *registry, const struct config *config, int (*others)(void *closure),
                   void *closure);

/* A dynamic resource comes back from the store. 0; -EEXIST: the config has this path; -ENOSPC: over a limit. */
int registry_restore(struct registry *registry, const struct stored_resource *stored);

/*
 * A change of a dynamic resource that the store had accepted did not last: `stored` is what it has of this path, NULL:
 * nothing. Observers are told outside of libcoap's callbacks.
 */
void registry_undo(struct registry *registry, struct span path, const struct stored_resource *stored);

/* Requests that come twice are run again: their answers never left. */
void registry_forget_answers(struct registry *registry);

/* While libcoap replays stored requests, their session is a dummy and must not be asked for anything. */
void registry_set_replaying(struct registry *registry, bool on);

/*
 * After a restart: observers that are there again are sent the present state, resource by resource with pauses,
 * so that those that are gone are found out and the others know. Returns 0 or -errno.
 */
int registry_refresh_restored(struct registry *registry);

/*
 * The resource at `path` as the context of `shard` knows it, made now if it is one that is only there while it is
 * observed, such as a file's; NULL: nothing is there to be observed.
 */
coap_resource_t *registry_observable(struct registry *registry, struct span path, size_t shard);

/* Who observed there before a restart does again. `datagram`: the request that began it. */
void registry_observer_returns(struct registry *registry, struct span path, struct span datagram);

/*
 * Only the first context knows all resources; the others know those that somebody observes, and libcoap registers an
 * observer before it calls us. So, for the datagram of a request that registers one: whether its resource is not
 * known yet where it should, which calls nothing of libcoap, and making it known. Where that was not done, the request
 * is put off and comes again.
 */
bool registry_wants_handle(struct registry *registry, size_t shard, struct span datagram);
void registry_make_handle(struct registry *registry, size_t shard, struct span datagram);

/* The Observe numbers of the resource at `path` go on from `number`. False: there is none. */
bool registry_set_number(struct registry *registry, struct span path, uint32_t number);

/*
 * A request that was put off until there is something to observe comes to libcoap's observer callback without its
 * header. Returns all of it; empty: it is none of these, and whole already.
 */
struct span registry_whole_request(const struct registry *registry, const coap_session_t *session,
                                   struct span headless);

/*
 * A datagram is about to be handed to libcoap, which may get to see another option in it, or fewer: it may get
 * shorter.
 */
void registry_datagram(struct registry *registry, const struct msghdr *message, size_t *n);

/* What follows the answers of this turn leaves behind them. Outside of libcoap. */
void registry_send_bursts(struct registry *registry);

/* A session begins, and ends. */
void registry_session_new(struct registry *registry, coap_session_t *session);
void registry_session_gone(struct registry *registry, coap_session_t *session);

/* The peer has closed its session, which libcoap would keep: it ends with the turn. */
void registry_session_closed(struct registry *registry, const coap_session_t *session);

/* As libcoap's coap_nack_handler_t. */
void registry_nacked(struct registry *registry, const coap_session_t *session, const coap_pdu_t *sent,
                     coap_nack_reason_t reason, coap_mid_t mid);

/* Sessions that have to make room for others end. At the end of a turn, not from within libcoap. */
void registry_tidy(struct registry *registry);

struct registry_counts {
        size_t configured;
        size_t dynamic;
        uint64_t dynamic_bytes;
};
struct registry_counts registry_count(const struct registry *registry);

/*
 * What there is, in pages of at most `max` rows behind a place: sessions, the newest first; observers, by resource;
 * resources, the oldest first. 1: there are more; 0, or what a visitor returned. The others fill in what they know of a
 * session.
 */
typedef int (*visit_client)(void *closure, const struct listing_place *place, const coap_session_t *session,
                            const char *resource, size_t observations);
int registry_list_sessions(const struct registry *registry, const struct listing_place *after, size_t max,
                           visit_client visit, void *closure);
int registry_list_observers(const struct registry *registry, const struct listing_place *after, size_t max,
                            visit_client visit, void *closure);
int registry_list_resources(const struct registry *registry, const struct listing_place *after, size_t max,
                            visit_resource visit, void *closure);

/*
 * Observers of the resource at `path`, plain or as libcoap spells it, are told the present state. -ENOENT: there is no
 * such resource.
 */
int registry_notify(struct registry *registry, struct span path, bool *ret_observed);

/*
 * Makes a dynamic resource, or replaces the content of one, within the limits of the config but whatever the access
 * rules say. Of `stored` only path, content_format, attributes and body count. Not from within libcoap's callbacks.
 * -EPERM, or another -errno; `why` says it in words.
 */
int registry_import(struct registry *registry, const struct stored_resource *stored, bool *ret_created,
                    char *why, size_t size);

/* What the daemon is doing, as the kind `status` tells it. */
void registry_describe(const struct registry *registry, struct daemon_state *ret_state);

/* Frees the kinds' state; libcoap frees its resources with the context. Accepts NULL. */
void registry_free(struct registry *registry);

#endif
