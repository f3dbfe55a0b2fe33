/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A path at which there are resources, as libcoap knows it: a handle with its list of observers in each context where
 * somebody observes it, and in the first one, which serves most of what is not plain UDP, always. Where there is none a
 * request comes to serve_unknown(), which finds the resource just the same. Resources of other hosts at the same path
 * share it.
 *
 * All handles of a place go by one Observe number, so that a client whose shard is another one after a restart sees
 * numbers that rise (RFC 7641, 3.4).
 */
#ifndef COAPD_RESOURCES_PLACE_H
#define COAPD_RESOURCES_PLACE_H

#include <coap3/coap.h>

#include "base/spanmap.h"
#include "resources/last_word.h"
#include "resources/observations.h"
#include "resources/twins.h"

struct resource;

struct place {
        struct registry *registry;
        struct resource *first;     /* the others by ->next_host */
        coap_resource_t *handle;    /* of the first context; userdata points back here */
        int mode;                   /* COAP_RESOURCE_FLAGS_NOTIFY_CON or _NON, of all handles */
        struct twins twins;         /* of the others */
        struct observed observers;  /* of all handles */
        uint32_t number;            /* of the last notification, where there are several contexts */
        struct last_word last_word; /* to those who observe, while it is the end of that */
        struct place *next_leaving;
};

struct places {
        struct spanmap by_path;
        size_t n_twins;           /* of all */
        struct place *leaving;    /* nothing is there any more, and those who observed it are being told */
        coap_resource_t *serving; /* libcoap is in it */
};

struct place *places_find(const struct places *places, struct span path);
void places_deinit(struct places *places);

/* Makes a resource known. 0 or -ENOMEM. */
int place_enter(struct resource *resource);

/* And unknown. With the last one at a path it goes, and its observers are told 4.04 (RFC 7641, 4.2). */
void place_leave(struct resource *resource);

/* Outside of libcoap: has them told, in a confirmable message if they owe no acknowledgement, and ends it. */
void places_bury(struct registry *registry);

/*
 * Those who owe an acknowledgement, and so are not told yet, will be: in a message that needs none, if libcoap does not
 * ask for one. Then place_calm().
 */
void place_hurry(struct place *place);
void place_calm(struct place *place);

/* Leaves the handles to libcoap, which answers 4.04 from here on. */
void place_abandon(struct resource *resource);

/* The config of a resource changed. */
void place_configure(const struct resource *resource);

/* Something changed, to be told by COAP_RESOURCE_FLAGS_NOTIFY_CON or _NON. Whether anybody observes. */
bool place_notify(struct place *place, int mode);

/* The handle of a shard's context, made if it is missing; NULL: there is none, and it cannot be observed. */
coap_resource_t *place_handle(struct place *place, size_t shard);

/* Whether any of its resources can be observed, so that libcoap adds whoever asks. */
bool place_is_observable(const struct place *place);

/* Whether that context would have to know the place to let it be observed, and does not. */
bool place_lacks_handle(const struct place *place, size_t shard);

/* place.c, for place_notify.c */
void place_set_mode(struct place *place, int mode);
void place_set_number(struct place *place, uint32_t number);
void place_delete_handle(struct place *place, coap_resource_t *handle);

/* Whose session it is. */
size_t registry_shard_of(const struct registry *registry, const coap_session_t *session);

#endif
