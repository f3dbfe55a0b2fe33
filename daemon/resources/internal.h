/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registry's own structs, shared by the files that make it up: registry.c (the set of resources), resource.c (the
 * life of one), apply.c (the config made live), serve.c (a request's way to its resource), rules.c (the rules it
 * meets there), notifications.c (when observers are told), dynamic.c (resources made by clients), discovery.c.
 */
#ifndef COAPD_RESOURCES_INTERNAL_H
#define COAPD_RESOURCES_INTERNAL_H

#include "base/buf.h"
#include "base/spanmap.h"
#include "resources/blockwise.h"
#include "resources/clients.h"
#include "resources/duplicates.h"
#include "resources/echo.h"
#include "resources/hosts.h"
#include "resources/ratelimit.h"
#include "resources/message.h"
#include "resources/observations.h"
#include "resources/outgoing.h"
#include "resources/pending.h"
#include "resources/place.h"
#include "resources/qblock.h"
#include "resources/qblock1.h"
#include "resources/registry.h"

enum { MAX_FORMATS = 8 }; /* of one resource, that are told */

struct resource {
        struct registry *registry;
        uint64_t serial; /* rises in the order of the list */
        struct resource *prev, *next;
        struct place *place;        /* its path, as libcoap knows it; NULL: not yet */
        struct resource *next_host; /* at this path, for other hosts */
        struct resource *parent;    /* below.c: the KIND_SUBTREE that serves it; it has no `self` then */
        char *path;                 /* libcoap's spelling */
        const struct kind *kind;
        void *self;
        const struct conf_resource *conf; /* NULL: dynamic */
        sd_event_source *timer;
        uint64_t wake_us;        /* by the clock of the machine: when the timer is meant to come */
        sd_event_source *repeat; /* conf->notify_interval, while it is observed */
        uint64_t confirmed_us;   /* when a round of its notifications was confirmable last, or it was made */
        struct etag before;      /* while a reload changes it */
        struct resource *next_to_bury; /* in registry->to_bury, while `listed` */
        bool listed;
        bool planned;  /* apply.c: the new config has it */
        bool reverted; /* to what the store has; observers are told at the end of this turn */
        bool gone;     /* deleted in this turn of the loop; libcoap still holds the handle */
        uint8_t evicting; /* the code that its observers are being told, which ends their observations; 0: none */
        bool observed; /* somebody registered since the last resource_changed() that found nobody */
};

struct registry {
        struct registry_host host;
        const struct config *config;
        struct hosts hosts;
        struct resource *first, *last;
        struct places places;
        uint64_t last_serial;
        struct clients *clients;
        struct observations *observations;
        struct echo *echo;
        struct blockwise *blockwise;
        struct qblock_burst *burst;
        sd_event_source *ask;         /* for blocks that did not come */
        struct qblock_values q_block; /* of the datagram that was read last */
        struct duplicates *duplicates;
        struct ratelimit *ratelimit;
        struct outgoing *outgoing;
        struct pendings *pendings;
        struct discovery *discovery;
        struct resource *forward; /* the first that takes requests with Proxy-Uri; NULL: none does */
        bool offers_forward;      /* libcoap knows */
        bool has_also;            /* a resource of the config serves a path beside its own */
        sd_event_source *bury;    /* deletes the resources that are gone, outside of libcoap's callbacks */
        struct resource *to_bury;
        sd_event_source *refresh;
        sd_event_source *checkup;
        bool refresh_due_only;
        struct resource *refresh_next; /* whose observers from before the restart are told next */
        size_t n_below;                /* resources that have a parent */
        bool replaying;
        uint64_t sender;  /* of what is being served, as in struct message */
        bool is_request;  /* what is being served; else it is a notification */
        bool may_act;     /* it has come so far that it may have changed something */
        bool comes_again; /* it is a request that was put off before anything was done for it */
        bool open;        /* to clients: sessions of before are those of the last run, restored */
        struct registry_counts counts;
};

/* registry.c */
const struct kind *registry_find_kind(const char *name);
/* The first of those at `path`, the others by ->next_host. */
struct resource *registry_find_all(const struct registry *registry, struct span path);
/* The one for `host`. */
struct resource *registry_find_at(const struct registry *registry, struct span path, const char *host);
/* The one for no host in particular. */
struct resource *registry_find(const struct registry *registry, struct span path);
/* Of `resource` and those by ->next_host, the one for `host`. */
struct resource *resource_at(struct resource *resource, const char *host);
/* Blocks that have not come by then are asked for; 0: none. */
void registry_ask_after(struct registry *registry, unsigned seconds);

/* resource.c */
/* Not found yet by anyone: resource_publish() hands it to libcoap. */
struct resource *resource_new(struct registry *registry, const struct kind *kind, const char *path,
                              const struct conf_resource *conf);
int resource_publish(struct resource *resource);
void resource_free(struct resource *resource);
bool resource_is_observable(const struct resource *resource);
bool resource_is_dynamic(const struct resource *resource);
/* Makes a live resource; `conf` NULL for a dynamic one. The path is libcoap's spelling. */
int registry_add(struct registry *registry, const struct kind *kind, const char *path,
                 const struct conf_resource *conf, struct resource **ret_resource);
/* A resource that `parent` serves; see below.c. */
int registry_add_below(struct registry *registry, struct resource *parent, const char *path);
void registry_remove(struct resource *resource);
void registry_remove_soon(struct resource *resource);
/* It is not gone after all. */
void resource_come_back(struct resource *resource);
/* At the end of this turn of the loop: told if `reverted`, removed if `gone`, `evicting` no more. */
void registry_bury_soon(struct resource *resource);
/* What registry->bury does then. */
int registry_bury(sd_event_source *source, void *registry);

/* The one that stands in the config, where it is not dynamic. */
static inline const struct resource *resource_configured(const struct resource *resource)
{
        return resource->parent ? resource->parent : resource;
}

/*
 * below.c: paths below a KIND_SUBTREE, as resources of their own. libcoap looks for a resource and registers the
 * observer before it calls us, so a path gets its resource when it is to be observed.
 */
int below_add(struct registry *registry, struct resource *parent, struct span path);
struct span below_rest_of(const struct resource *parent, struct span path);
struct span below_rest(const struct resource *resource);
/* Another state is about to serve the subtree, */
void below_remember(struct resource *parent);
/* and does: what it cannot observe goes, and observers of what it changed are told. */
void below_move(struct resource *parent);
/* A path below `parent` has a resource from now on that the context of `shard` knows, if it can be observed. */
void below_make_observable(struct resource *parent, struct span path, size_t shard);
/* The nearest KIND_SUBTREE above a path. */
struct resource *below_find_parent(const struct registry *registry, struct span path, const char *host);

/* notifications.c */
/* Whether there is something to tell its observers. */
bool resource_is_ready(const struct resource *resource);
int resource_notification_mode(const struct resource *resource);
/* Tells its observers `code`, upon which they are none any more. Returns whether there were any. */
bool resource_evict(struct resource *resource, uint8_t code);
/* Somebody observes it: the time-driven repetition begins. */
void resource_repeat(struct resource *resource);
uint64_t notify_now(const struct registry *registry);
/* A notification is written: whether the client is to acknowledge it. */
void notify_settle_type(const struct place *place, struct observation *one, const coap_session_t *session,
                        coap_pdu_t *notification);
/* The config has another time for confirmable notifications, or the first. 0 or -errno. */
int notify_apply(struct registry *registry);

/*
 * gate.c: false: it is answered already, as it was before, or with no; else gate_leave() is to follow, and in between
 * it is known whose request this is. `observed`: of the handle that libcoap calls for; NULL: nobody observes there.
 */
bool gate_enter(struct registry *registry, coap_session_t *session, const struct observed *observed,
                const coap_pdu_t *request, coap_pdu_t *response_pdu);
void gate_leave(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                const coap_pdu_t *response_pdu);
/* In between: message_parse(), and whose message it is. False: `response` says what is wrong with it. */
bool gate_read(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
               struct span path, struct message *message, struct response *response);
/* The answer to one that came with `mid`, should it come again; not to one that changed nothing, `may_act`. */
void gate_remember(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                   coap_mid_t mid, const coap_pdu_t *response_pdu);
/* owned.c: rows of the store that belong to a kind. */
bool owned_is(struct span path);
/* Gives what the store has to the resource that it belongs to. 0; -ENOENT: none is there; or its -errno. */
int owned_hand_over(struct registry *registry, struct span path, const struct stored_resource *stored);

/* proof.c: an Echo option may prove the address; */
void proof_heed(struct registry *registry, struct client *client, const coap_pdu_t *request);
/* whether it is proved, as far as the config wants that; */
bool proof_has(struct registry *registry, struct client *client);
/* where nothing does, a long answer is cut into blocks, or made a request for the proof. */
void proof_ask(struct registry *registry, struct message *m, struct response *response);

/* rules.c */
/* The present ETag of a path, by a GET of our own; none when there is nothing to get. */
struct etag resource_etag(const struct resource *resource, struct span path, struct span rest);
/* What the access rules are asked for. */
unsigned rules_operations_of(const struct message *m);
/* Whether the peer may; else the response says no. */
bool rules_allow(struct registry *registry, const struct message *m, unsigned operations,
                 struct response *response);
void rules_serve(struct resource *resource, struct message *m, struct response *response);
/* The same on a path where nothing is. */
void rules_serve_nothing(struct registry *registry, struct message *m, struct response *response);
/* What is left to do with a kind's answer, which rules_serve() does unless it comes later. */
void rules_take_answer(struct resource *resource, const struct message *m, struct response *response);
/* Accept and ETag of a request for content: RFC 7252, 5.10.4 and 5.10.6.2. */
void rules_settle_content(const struct resource *resource, const struct message *m,
                          struct response *response);

/* also.c: which resources serve a path beside their own; */
void also_apply(struct registry *registry);
/* and the one that serves this one. NULL: none. */
struct resource *also_find(const struct registry *registry, struct span path, const char *host);

/* proxied.c: requests with Proxy-Uri and Proxy-Scheme are for a resource of this config, if for any. 0 or -errno. */
int proxied_apply(struct registry *registry);

/* serve.c */
/* Writes the answer, unless it comes later. Takes over its content. */
void serve_finish(struct registry *registry, struct message *m, struct response *response, coap_pdu_t *pdu);
/* libcoap's handlers, for every method of every resource. */
void serve(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
           const coap_string_t *query, coap_pdu_t *response);
void serve_discovery(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
                     const coap_string_t *query, coap_pdu_t *response);
void serve_unknown(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response);

/* dynamic.c */
extern const struct kind kind_dynamic;
/* The largest body that is taken. */
size_t dynamic_max_body(const struct registry *registry);
/* Whether clients may create this path at all; the access rules are asked apart. */
bool dynamic_may_exist(const struct registry *registry, struct span path);
/* Whether all notifications of what clients create there are. */
bool dynamic_is_confirmable(const struct registry *registry, struct span path);
/* Serves a PUT or POST on a path where nothing is. */
void dynamic_create(struct registry *registry, const struct request *request, struct response *response);
/* Its attributes, as query text: those of the last PUT or POST that gave any. */
struct span dynamic_attributes(const void *self);

/* discovery.c: /.well-known/core */
int discovery_new(struct registry *registry, struct discovery **ret_discovery);
void discovery_free(struct discovery *discovery);
/* Links changed. */
void discovery_changed(struct discovery *discovery);
void discovery_forget(struct discovery *discovery, const coap_session_t *session);
void discovery_get(struct discovery *discovery, const struct message *message, struct response *response);

#endif
