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
};

struct place *places_find(const struct places *places, struct span path)
{
        int64_t found;

        return spanmap_get(&places->by_path, path, &found) ? (struct place *)(intptr_t)found : NULL;
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
        coap_resource_t *handle = coap_resource_init(coap_make_str_const(place->first->path), place->mode);

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

void place_delete_handle(struct place *place, coap_resource_t *handle)
{
        (void)place;
        coap_resource_set_userdata(handle, NULL);
        /* Else who has not acknowledged the last notification yet is not told that there will be no more. */
        coap_resource_set_mode(handle, COAP_RESOURCE_FLAGS_NOTIFY_NON);
        coap_delete_resource(NULL, handle); /* it knows its context */
}

/*
 * What libcoap sends when it deletes a resource needs no acknowledgement: "don't worry if it does not get there". So
 * they are told before, by serve(), which finds nothing behind the handle.
 */
static bool tell_the_end(struct place *place, size_t shard, coap_resource_t *handle)
{
        const struct registry_host *host = &place->registry->host;

        coap_resource_set_userdata(handle, NULL);
        coap_resource_set_mode(handle, COAP_RESOURCE_FLAGS_NOTIFY_CON);
        if (!coap_resource_notify_observers(handle, NULL))
                return false;
        host->kick_soon(host->user, shard);
        return true;
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
        last_word_end(&place->last_word);
        observations_forget_resource(place->registry->observations, &place->observers);
        place->registry->places.n_twins -= place->twins.n;
        twins_deinit(&place->twins);
        free(place);
}

static void end_place(struct place *place)
{
        last_word_begin(&place->last_word);
        for_each_handle(place, place_delete_handle);
        place_free(place);
}

/* Whether anybody has to be told first. */
static bool leaves(struct place *place)
{
        struct places *places = &place->registry->places;
        bool any = tell_the_end(place, 0, place->handle);

        for (size_t i = 0; i < place->twins.n; i++)
                any |= tell_the_end(place, place->twins.v[i].shard, place->twins.v[i].handle);
        if (!any)
                return false;
        place->next_leaving = places->leaving;
        places->leaving = place;
        return true;
}

/* libcoap knows one handle of a path. */
static void make_way(struct places *places, struct span path)
{
        struct place **link = &places->leaving, *place;

        while ((place = *link)) {
                const coap_str_const_t *old = coap_resource_get_uri_path(place->handle);

                if (span_equal(span_of(old->s, old->length), path)) {
                        *link = place->next_leaving;
                        end_place(place);
                } else {
                        link = &place->next_leaving;
                }
        }
}

void places_bury(struct registry *registry)
{
        struct places *places = &registry->places;

        if (!places->leaving)
                return;
        registry->host.kick(registry->host.user);
        while (places->leaving) {
                struct place *place = places->leaving;

                places->leaving = place->next_leaving;
                end_place(place);
        }
        registry->host.kick(registry->host.user);
}

void places_deinit(struct places *places)
{
        while (places->leaving) {
                struct place *place = places->leaving;

                places->leaving = place->next_leaving;
                place_free(place);
        }
        spanmap_deinit(&places->by_path);
}

static int found(struct resource *resource)
{
        struct registry *registry = resource->registry;
        struct span path = span_of_string(resource->path);
        struct place *place = calloc(1, sizeof *place);
        int64_t unused;

        make_way(&registry->places, path);
        if (!place || spanmap_put(&registry->places.by_path, path, (intptr_t)place) < 0) {
                free(place);
                return -ENOMEM;
        }
        *place = (struct place){ .registry = registry,
                                 .first = resource,
                                 .mode = resource_notification_mode(resource),
                                 .number = FIRST_NUMBER };
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
                place_notify(place, COAP_RESOURCE_FLAGS_NOTIFY_CON);
                return;
        }
        last_word_prepare(&place->last_word, &place->observers);
        /* Before libcoap tells of the sessions that end with them. */
        observations_forget_resource(place->registry->observations, &place->observers);
        if (!leaves(place))
                end_place(place);
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
        for_each_handle(resource->place, set_observable);
        place_set_mode(resource->place, resource_notification_mode(resource));
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

/* ---------------------------------------------------------------- of all handles */

static void set_handle_mode(struct place *place, coap_resource_t *handle)
{
        coap_resource_set_mode(handle, place->mode);
}

void place_set_mode(struct place *place, int mode)
{
        place->mode = mode;
        for_each_handle(place, set_handle_mode);
}

static void set_handle_number(struct place *place, coap_resource_t *handle)
{
        coap_persist_set_observe_num(handle, place->number);
}

void place_set_number(struct place *place, uint32_t number)
{
        place->number = number & NUMBER_MASK;
        for_each_handle(place, set_handle_number);
}

bool registry_set_number(struct registry *registry, struct span path, uint32_t number)
{
        struct place *place = places_find(&registry->places, path);

        if (place)
                place_set_number(place, number);
        return place;
}
