/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When observers are told (RFC 7641): upon a change; after a restart, once; when the config asks for a repetition;
 * and in a confirmable message from time to time, so that those that are gone are found out (4.5).
 */
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "resources/internal.h"

enum { US_PER_S = 1000000 };

uint64_t notify_now(const struct registry *registry)
{
        uint64_t now = 0;

        sd_event_now(registry->host.event, CLOCK_BOOTTIME, &now);
        return now;
}

/* A round that is due after half of the time is over before all of it is, whenever the changes come. */
static uint64_t due_after_us(const struct registry *registry)
{
        return registry->config ? (uint64_t)registry->config->server.observer_check * US_PER_S / 2
                                : UINT64_MAX;
}

static bool is_due(const struct resource *resource, uint64_t now)
{
        return now - resource->confirmed_us >= due_after_us(resource->registry);
}

int resource_notification_mode(const struct resource *resource)
{
        const struct conf_resource *conf = resource_configured(resource)->conf;
        bool confirmable = conf ? conf->confirmable
                                : dynamic_is_confirmable(resource->registry, span_of_string(resource->path));

        return confirmable ? COAP_RESOURCE_FLAGS_NOTIFY_CON : COAP_RESOURCE_FLAGS_NOTIFY_NON;
}

static bool notify(struct resource *resource, bool confirmable)
{
        bool any = place_notify(resource->place, confirmable ? COAP_RESOURCE_FLAGS_NOTIFY_CON
                                                             : resource_notification_mode(resource));

        if (confirmable && any)
                resource->confirmed_us = notify_now(resource->registry);
        return any;
}

/*
 * libcoap has chosen a type, and sends it with the one that we leave. Over a stream, where nobody acknowledges, it is
 * always the same.
 */
void notify_settle_type(const struct place *place, struct observation *one, const coap_session_t *session,
                        coap_pdu_t *notification)
{
        const struct config *config = place->registry->config;
        uint64_t interval_us = config ? (uint64_t)config->server.confirm_interval * US_PER_S : 0;

        if (coap_pdu_get_type(notification) == COAP_MESSAGE_CON &&
            !COAP_PROTO_RELIABLE(coap_session_get_proto(session)) &&
            !observation_confirms(one, place->mode == COAP_RESOURCE_FLAGS_NOTIFY_CON,
                                  notify_now(place->registry), interval_us))
                coap_pdu_set_type(notification, COAP_MESSAGE_NON);
}

bool resource_is_ready(const struct resource *resource)
{
        const struct kind *kind = resource->kind;

        if (resource->parent)
                return !kind->ready_below || kind->ready_below(resource->parent->self, below_rest(resource));
        return !kind->ready || kind->ready(resource->self);
}

static bool tell(struct resource *resource, bool confirmable)
{
        if (!resource->place)
                return false;
        if (!resource_is_ready(resource))
                return false;
        resource->observed = notify(resource, confirmable);
        if (resource->observed)
                resource_repeat(resource);
        return resource->observed;
}

/* One in six notifications is confirmable, but a resource that changes once a week does not get there in time. */
bool resource_changed(struct resource *resource)
{
        return tell(resource, is_due(resource, notify_now(resource->registry)));
}

bool resource_evict(struct resource *resource, uint8_t code)
{
        /* Until they are told nobody else registers: libcoap shows a handler no difference between the two. */
        resource->evicting = code;
        /* Nothing comes after it that would make up for its loss. */
        if (tell(resource, true))
                registry_bury_soon(resource);
        else
                resource->evicting = 0;
        return resource->evicting;
}

bool resource_changed_format(struct resource *resource)
{
        return resource_evict(resource, CODE_NOT_ACCEPTABLE);
}

/* --- again, though nothing changed --- */

static int on_repeat(sd_event_source *source, uint64_t usec, void *user)
{
        (void)source;
        (void)usec;
        resource_changed(user);
        return 0;
}

void resource_repeat(struct resource *resource)
{
        const struct conf_resource *conf = resource_configured(resource)->conf;
        long long interval = conf ? conf->notify_interval : 0;
        uint64_t at = notify_now(resource->registry) + (uint64_t)interval * US_PER_S;

        if (interval == 0) {
                sd_event_source_disable_unref(TAKE(resource->repeat));
                return;
        }
        if (!resource->repeat) {
                sd_event_add_time(resource->registry->host.event, &resource->repeat, CLOCK_BOOTTIME, at, 0,
                                  on_repeat, resource);
                return;
        }
        sd_event_source_set_time(resource->repeat, at);
        sd_event_source_set_enabled(resource->repeat, SD_EVENT_ONESHOT);
}

/* --- all of them, one by one --- */

/*
 * A few resources a turn, so that requests are served in between. Only those with observers cost anything. All of it is
 * confirmable, after a restart too: who is gone meanwhile is found out now, and not by the sixth change.
 */
static int on_refresh(sd_event_source *source, uint64_t usec, void *user)
{
        enum { PACE_US = 2000 };
        struct registry *registry = user;

        while (registry->refresh_next) {
                struct resource *resource = registry->refresh_next;

                registry->refresh_next = resource->next;
                if (registry->refresh_due_only && !is_due(resource, notify_now(registry)))
                        continue;
                if (resource->gone || !tell(resource, true))
                        continue;
                if (resource->kind->observed && !resource->parent)
                        resource->kind->observed(resource->self);
                sd_event_source_set_time(source, usec + PACE_US);
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

static int walk(struct registry *registry, bool due_only)
{
        uint64_t now;
        int r;

        registry->refresh_next = registry->first;
        registry->refresh_due_only = due_only;
        sd_event_now(registry->host.event, CLOCK_MONOTONIC, &now);
        if (registry->refresh) {
                sd_event_source_set_time(registry->refresh, now);
                return sd_event_source_set_enabled(registry->refresh, SD_EVENT_ONESHOT);
        }
        r = sd_event_add_time(registry->host.event, &registry->refresh, CLOCK_MONOTONIC, now, 1, on_refresh,
                              registry);
        if (r < 0)
                return r;
        /* Before the first request: who registers after the start needs no refreshing. */
        return sd_event_source_set_priority(registry->refresh, SD_EVENT_PRIORITY_IMPORTANT);
}

int registry_refresh_restored(struct registry *registry)
{
        registry->open = true;
        return walk(registry, false);
}

static int arm_checkup(struct registry *registry)
{
        uint64_t at = notify_now(registry) + due_after_us(registry);

        sd_event_source_set_time(registry->checkup, at);
        return sd_event_source_set_enabled(registry->checkup, SD_EVENT_ONESHOT);
}

/* What did not change for so long is told all the same: nothing else would find observers that are gone. */
static int on_checkup(sd_event_source *source, uint64_t usec, void *user)
{
        struct registry *registry = user;

        (void)source;
        (void)usec;
        /* The refreshing after a restart, which tells all, is not to be cut short. */
        if (!registry->refresh_next)
                walk(registry, true);
        return arm_checkup(registry);
}

int notify_apply(struct registry *registry)
{
        int r = 0;

        if (!registry->checkup)
                r = sd_event_add_time(registry->host.event, &registry->checkup, CLOCK_BOOTTIME, UINT64_MAX, 0,
                                      on_checkup, registry);
        return r < 0 ? r : arm_checkup(registry);
}
