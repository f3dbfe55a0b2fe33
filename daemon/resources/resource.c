/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of one resource, and what its kind may ask for; see internal.h and kind.h. */
#include <errno.h>

#include "base/log.h"
#include "resources/internal.h"

bool resource_is_dynamic(const struct resource *resource)
{
        return resource->kind == &kind_dynamic;
}

const char *resource_path(const struct resource *resource)
{
        return resource->path;
}

struct resource *resource_new(struct registry *registry, const struct kind *kind, const char *path,
                              const struct conf_resource *conf)
{
        struct resource *resource = calloc(1, sizeof *resource);

        if (!resource)
                return NULL;
        resource->registry = registry;
        resource->serial = ++registry->last_serial;
        resource->kind = kind;
        resource->conf = conf;
        resource->path = strdup(path);
        if (!resource->path) {
                free(resource);
                return NULL;
        }
        return resource;
}

void resource_free(struct resource *resource)
{
        if (!resource)
                return;
        outgoing_forget_resource(resource->registry->outgoing, resource);
        if (resource->registry->pendings)
                pending_abandon(resource->registry->pendings, resource);
        sd_event_source_disable_unref(resource->timer);
        sd_event_source_disable_unref(resource->repeat);
        if (resource->self && resource->kind->destroy)
                resource->kind->destroy(resource->self);
        free(resource->path);
        free(resource);
}

bool resource_is_observable(const struct resource *resource)
{
        const struct conf_resource *conf = resource_configured(resource)->conf;

        return !conf || conf->observable;
}

static void count(const struct resource *resource, int one)
{
        struct registry *registry = resource->registry;
        size_t *counter = &registry->counts.configured;

        if (resource->parent)
                counter = &registry->n_below;
        else if (resource_is_dynamic(resource))
                counter = &registry->counts.dynamic;
        *counter += (size_t)one;
}

/* Hands the resource to libcoap, which can from now on find and observe it. */
int resource_publish(struct resource *resource)
{
        struct registry *registry = resource->registry;
        int r = place_enter(resource);

        if (r < 0)
                return r;
        resource->confirmed_us = notify_now(registry);
        resource->prev = registry->last;
        *(registry->last ? &registry->last->next : &registry->first) = resource;
        registry->last = resource;
        count(resource, 1);
        discovery_changed(registry->discovery);
        return 0;
}

static int add(struct registry *registry, const struct kind *kind, const char *path, struct resource *parent,
               const struct conf_resource *conf, struct resource **ret_resource)
{
        struct resource *resource = resource_new(registry, kind, path, conf);
        int r;

        if (!resource)
                return -ENOMEM;
        resource->parent = parent;
        r = resource_publish(resource);
        if (r < 0) {
                resource_free(resource);
                return r;
        }
        *ret_resource = resource;
        return 0;
}

int registry_add(struct registry *registry, const struct kind *kind, const char *path,
                 const struct conf_resource *conf, struct resource **ret_resource)
{
        return add(registry, kind, path, NULL, conf, ret_resource);
}

int registry_add_below(struct registry *registry, struct resource *parent, const char *path)
{
        struct resource *unused;

        return add(registry, parent->kind, path, parent, NULL, &unused);
}

static void bury_list_drop(struct resource *resource)
{
        struct resource **link = &resource->registry->to_bury;

        if (!resource->listed)
                return;
        while (*link != resource)
                link = &(*link)->next_to_bury;
        *link = resource->next_to_bury;
        resource->listed = false;
}

static void resource_unlink(struct resource *resource)
{
        struct registry *registry = resource->registry;

        if (registry->refresh_next == resource)
                registry->refresh_next = resource->next;
        *(resource->prev ? &resource->prev->next : &registry->first) = resource->next;
        *(resource->next ? &resource->next->prev : &registry->last) = resource->prev;
        bury_list_drop(resource);
        if (!resource->gone)
                count(resource, -1);
        discovery_changed(registry->discovery);
}

void registry_remove(struct resource *resource)
{
        resource_unlink(resource);
        place_leave(resource);
        resource_free(resource);
}

/* Who is told the end of an observation is told now: after this turn the resource is what others observe. */
static bool hurry(const struct registry *registry)
{
        bool any = false;

        for (const struct resource *r = registry->to_bury; r; r = r->next_to_bury)
                if (r->evicting && r->place) {
                        place_hurry(r->place);
                        any = true;
                }
        return any;
}

int registry_bury(sd_event_source *source, void *user)
{
        struct registry *registry = user;

        (void)source;
        registry->host.kick(registry->host.user);
        if (hurry(registry))
                registry->host.kick(registry->host.user);
        while (registry->to_bury) {
                struct resource *resource = registry->to_bury;

                bury_list_drop(resource);
                if (resource->place)
                        place_calm(resource->place);
                if (resource->gone) {
                        registry_remove(resource);
                        continue;
                }
                resource->evicting = 0;
                if (resource->reverted)
                        resource_changed(resource);
                resource->reverted = false;
        }
        registry->host.kick(registry->host.user);
        places_bury(registry);
        return 0;
}

/* Once libcoap has sent what it has to. */
void registry_bury_soon(struct resource *resource)
{
        struct registry *registry = resource->registry;

        if (!resource->listed) {
                resource->listed = true;
                resource->next_to_bury = registry->to_bury;
                registry->to_bury = resource;
        }
        if (sd_event_source_set_enabled(registry->bury, SD_EVENT_ONESHOT) < 0)
                log_error("resources that were deleted are kept for now");
        registry->host.yield(registry->host.user);
}

/*
 * libcoap goes on using the resource when its handler returns, so it cannot be deleted in there. Until the
 * end of this turn of the loop it answers as if it were not there; see serve.c.
 */
void registry_remove_soon(struct resource *resource)
{
        if (!resource->gone)
                count(resource, -1);
        resource->gone = true;
        discovery_changed(resource->registry->discovery);
        registry_bury_soon(resource);
}

void resource_come_back(struct resource *resource)
{
        if (!resource->gone)
                return;
        resource->gone = false;
        count(resource, 1);
        discovery_changed(resource->registry->discovery);
}

/* --- what the kinds ask for --- */

static uint64_t now_us(clockid_t clock)
{
        struct timespec now;

        clock_gettime(clock, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/*
 * On a clock that nobody sets, so that one which is set back does not keep everything waiting until it is that late
 * again. BOOTTIME goes on while the machine sleeps.
 */
static uint64_t on_boottime(uint64_t realtime_us)
{
        uint64_t real = now_us(CLOCK_REALTIME);

        return now_us(CLOCK_BOOTTIME) + (realtime_us > real ? realtime_us - real : 0);
}

static int on_wake(sd_event_source *source, uint64_t usec, void *user)
{
        enum { EARLY_US = 10000 };
        struct resource *resource = user;
        uint64_t now = now_us(CLOCK_REALTIME);

        (void)source;
        (void)usec;
        /* The two clocks differ by a little where time is being corrected: not in the second before. */
        if (now < resource->wake_us && resource->wake_us - now < EARLY_US)
                return resource_wake_at(resource, resource->wake_us);
        resource->kind->wake(resource->self, now);
        return 0;
}

int resource_wake_at(struct resource *resource, uint64_t realtime_us)
{
        enum { ACCURACY_US = 1000 };
        uint64_t at = on_boottime(realtime_us);
        int r;

        resource->wake_us = realtime_us;
        if (!resource->timer)
                return sd_event_add_time(resource->registry->host.event, &resource->timer, CLOCK_BOOTTIME, at,
                                         ACCURACY_US, on_wake, resource);
        r = sd_event_source_set_time(resource->timer, at);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(resource->timer, SD_EVENT_ONESHOT);
}

struct sd_event *resource_event(struct resource *resource)
{
        return resource->registry->host.event;
}

void resource_daemon_state(const struct resource *resource, struct daemon_state *ret_state)
{
        registry_describe(resource->registry, ret_state);
}
