/* SPDX-License-Identifier: BSD-2-Clause */
/* The handles of one path; see place.h. */
#include "resources/place.h"

#include <errno.h>

#include "base/coap_options.h"
#include "resources/internal.h"
#include "resources/uri_path.h"

enum {
        FIRST_NUMBER = 2,
        NUMBER_MASK = 0xffffff,
        IDLE_TWINS_KEPT = 8192, /* about 2 MiB, of all places */
};

static size_t n_shards(const struct place *place)
{
        return place->registry->host.shards.n;
}

struct place *places_find(const struct places *places, struct span path)
{
        int64_t found;

        return spanmap_get(&places->by_path, path, &found) ? (struct place *)(intptr_t)found : NULL;
}

void places_deinit(struct places *places)
{
        spanmap_deinit(&places->by_path);
}

/* ---------------------------------------------------------------- handles */

static void for_each_handle(struct place *place, void (*act)(struct place *place, coap_resource_t *handle))
{
        for (size_t i = 0; i < place->twins.n; i++)
                act(place, place->twins.v[i].handle);
        if (place->handle)
                act(place, place->handle);
}

bool place_is_observable(const struct place *place)
{
        bool observable = false;

        for (const struct resource *r = place->first; r; r = r->next_host)
                observable |= resource_is_observable(r);
        return observable;
}

static coap_resource_t *new_handle(struct place *place, size_t shard)
{
        coap_resource_t *handle = coap_resource_init(coap_make_str_const(place->first->path),
                                                     resource_notification_mode(place->first));

        if (!handle)
                return NULL;
        for (int method = METHOD_GET; method <= METHOD_IPATCH; method++)
                coap_register_request_handler(handle, (coap_request_t)method, serve);
        coap_resource_set_get_observable(handle, place_is_observable(place));
        coap_resource_set_userdata(handle, place);
        coap_persist_set_observe_num(handle, place->number);
        coap_add_resource(place->registry->host.shards.v[shard], handle);
        return handle;
}

static void delete_handle(struct place *place, coap_resource_t *handle)
{
        (void)place;
        coap_resource_set_userdata(handle, NULL);
        /* Else who has not acknowledged the last notification yet is not told that there will be no more. */
        coap_resource_set_mode(handle, COAP_RESOURCE_FLAGS_NOTIFY_NON);
        coap_delete_resource(NULL, handle); /* it knows its context */
}

static void abandon_handle(struct place *place, coap_resource_t *handle)
{
        (void)place;
        coap_resource_set_userdata(handle, NULL);
}

static void set_observable(struct place *place, coap_resource_t *handle)
{
        coap_resource_set_get_observable(handle, place_is_observable(place));
}

/* ---------------------------------------------------------------- resources come and go */

static void place_free(struct place *place)
{
        if (!place)
                return;
        observations_forget_resource(place->registry->observations, &place->observers);
        place->registry->places.n_twins -= place->twins.n;
        twins_deinit(&place->twins);
        free(place);
}

static int found(struct resource *resource)
{
        struct registry *registry = resource->registry;
        struct span path = span_of_string(resource->path);
        struct place *place = calloc(1, sizeof *place);
        int64_t unused;

        if (!place || spanmap_put(&registry->places.by_path, path, (intptr_t)place) < 0) {
                free(place);
                return -ENOMEM;
        }
        *place = (struct place){ .registry = registry, .first = resource, .number = FIRST_NUMBER };
        if (registry->host.first_number)
                registry->host.first_number(registry->host.user, path, &place->number);
        place->handle = new_handle(place, 0);
        if (!place->handle) {
                spanmap_take(&registry->places.by_path, path, &unused);
                place_free(place);
                return -ENOMEM;
        }
        resource->place = place;
        return 0;
}

int place_enter(struct resource *resource)
{
        struct place *place = places_find(&resource->registry->places, span_of_string(resource->path));

        if (!place)
                return found(resource);
        resource->place = place;
        resource->next_host = place->first->next_host;
        place->first->next_host = resource;
        for_each_handle(place, set_observable);
        return 0;
}

static void take_out(struct resource *resource)
{
        struct place *place = TAKE(resource->place);
        struct resource **link = &place->first;
        int64_t unused;

        while (*link != resource)
                link = &(*link)->next_host;
        *link = resource->next_host;
        if (!place->first)
                spanmap_take(&place->registry->places.by_path, span_of_string(resource->path), &unused);
}

void place_leave(struct resource *resource)
{
        struct place *place = resource->place;

        take_out(resource);
        if (place->first) {
                for_each_handle(place, set_observable);
                /* Upon which serve.c says 4.04 to those who observed this one. */
                place_notify(place, resource_notification_mode(place->first));
                return;
        }
        /* Before libcoap tells of the sessions that end with them. */
        observations_forget_resource(place->registry->observations, &place->observers);
        for_each_handle(place, delete_handle);
        place_free(place);
}

void place_abandon(struct resource *resource)
{
        struct place *place = resource->place;

        take_out(resource);
        if (place->first)
                return;
        for_each_handle(place, abandon_handle);
        place_free(place);
}

void place_configure(const struct resource *resource)
{
        struct place *place = resource->place;
        int mode = resource_notification_mode(resource);

        for_each_handle(place, set_observable);
        coap_resource_set_mode(place->handle, mode);
        for (size_t i = 0; i < place->twins.n; i++)
                coap_resource_set_mode(place->twins.v[i].handle, mode);
}

/* ---------------------------------------------------------------- in the other contexts */

bool place_lacks_handle(const struct place *place, size_t shard)
{
        return shard > 0 && !twins_find(&place->twins, shard) && place_is_observable(place);
}

coap_resource_t *place_handle(struct place *place, size_t shard)
{
        coap_resource_t *handle = shard == 0 ? place->handle : twins_find(&place->twins, shard);

        if (handle || !place_is_observable(place) || twins_reserve(&place->twins) < 0)
                return handle;
        handle = new_handle(place, shard);
        if (!handle)
                return NULL;
        twins_put(&place->twins, shard, handle);
        place->registry->places.n_twins++;
        return handle;
}

size_t registry_shard_of(const struct registry *registry, const coap_session_t *session)
{
        return shards_of_context(&registry->host.shards, coap_session_get_context(session));
}

/* The path of a request as libcoap spells it. False: it has none that could be read. */
static bool read_path(struct span datagram, struct buf *path)
{
        struct coap_options options;
        struct span value;
        bool any = false;

        if (!coap_options_begin(datagram, &options))
                return false;
        while (coap_options_next(&options, &value) && options.number <= COAP_OPTION_URI_PATH) {
                if (options.number != COAP_OPTION_URI_PATH)
                        continue;
                if (any)
                        buf_append_byte(path, '/');
                any = true;
                uri_path_encode_segment(value, path);
        }
        return buf_ok(path);
}

static struct place *find_requested(const struct registry *registry, struct span datagram)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };

        return read_path(datagram, &path) ? places_find(&registry->places, buf_span(&path)) : NULL;
}

bool registry_wants_handle(struct registry *registry, size_t shard, struct span datagram)
{
        const struct place *place = find_requested(registry, datagram);

        return place && place_lacks_handle(place, shard);
}

void registry_make_handle(struct registry *registry, size_t shard, struct span datagram)
{
        struct place *place = find_requested(registry, datagram);

        if (place)
                place_handle(place, shard);
}

/* ---------------------------------------------------------------- notifications */

static void set_handle_number(struct place *place, coap_resource_t *handle)
{
        coap_persist_set_observe_num(handle, place->number);
}

static void set_number(struct place *place, uint32_t number)
{
        place->number = number & NUMBER_MASK;
        for_each_handle(place, set_handle_number);
}

bool registry_set_number(struct registry *registry, struct span path, uint32_t number)
{
        struct place *place = places_find(&registry->places, path);

        if (place)
                set_number(place, number);
        return place;
}

/*
 * libcoap confirms every sixth notification to an observer, and for those that registered together that is the same
 * one. With so many observers that most contexts have some these take turns, so that the acknowledgements do not all
 * come at once.
 */
static int mode_of(const struct place *place, size_t shard, int mode)
{
        enum { EVERY = 6 };

        if (place->twins.n > n_shards(place) / 2 && (place->round + shard) % EVERY == 0)
                return COAP_RESOURCE_FLAGS_NOTIFY_CON;
        return mode;
}

static bool notify_one(struct place *place, coap_resource_t *handle, size_t shard, int mode)
{
        const struct registry_host *host = &place->registry->host;

        /* libcoap counts one on, if anybody observes. With one context its own count will do. */
        if (n_shards(place) > 1)
                coap_persist_set_observe_num(handle, place->number);
        if (!coap_resource_notify_observers(handle, NULL))
                return false;
        coap_resource_set_mode(handle, mode_of(place, shard, mode));
        host->kick_soon(host->user, shard);
        return true;
}

bool place_notify(struct place *place, int mode)
{
        struct places *places = &place->registry->places;
        bool any;

        place->round++;
        any = notify_one(place, place->handle, 0, mode);
        for (size_t i = 0; i < place->twins.n;) {
                struct twin twin = place->twins.v[i];
                bool told = notify_one(place, twin.handle, twin.shard, mode);

                any |= told;
                if (told || places->n_twins <= IDLE_TWINS_KEPT || twin.handle == places->serving) {
                        i++;
                        continue;
                }
                /* Nobody is left there. Not always: who just comes would have to be put off. */
                twins_remove(&place->twins, i);
                places->n_twins--;
                delete_handle(place, twin.handle);
        }
        /* Of those without observers too, which will go on from there. */
        if (any && n_shards(place) > 1)
                set_number(place, place->number + 1);
        return any;
}
