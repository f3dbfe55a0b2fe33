/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The resources of the config made live, at start and at a reload: all new states are made first, and only when none
 * failed do they take the places of the old ones, under the same handles, so that observations stay.
 */
#include <errno.h>

#include "base/log.h"
#include "resources/internal.h"
#include "resources/uri_path.h"

struct planned {
        struct resource *resource; /* the living one, or a new one */
        const struct kind *kind;
        const struct conf_resource *conf;
        void *self;
};

static void unplan(struct planned *plan, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (plan[i].self && plan[i].kind->destroy)
                        plan[i].kind->destroy(plan[i].self);
                if (!plan[i].resource->handle)
                        resource_free(plan[i].resource);
        }
        free(plan);
}

static int plan_one(struct registry *registry, const struct conf_resource *conf, struct planned *ret_planned)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        const struct kind *kind = registry_find_kind(conf->kind);
        struct resource *resource;

        uri_path_encode(span_of_string(conf->path), &path);
        if (!kind || !buf_ok(&path))
                return kind ? -ENOMEM : -EINVAL;
        resource = registry_find(registry, buf_span(&path));
        if (resource && resource->parent) {
                registry_remove(registry, resource);
                resource = NULL;
        } else if (resource && (resource_is_dynamic(resource) || resource->gone)) {
                /* The config comes first. The stored row stays, for a config without this path. */
                log_notice("resource %s: configured now, the one that a client created rests", conf->path);
                registry_remove(registry, resource);
                resource = NULL;
        }
        if (!resource)
                resource = resource_new(registry, kind, buf_string(&path), conf);
        if (!resource)
                return -ENOMEM;
        *ret_planned = (struct planned){ .resource = resource, .kind = kind, .conf = conf };
        return kind->create(resource, conf, &ret_planned->self);
}

static int only_format(const struct resource *resource)
{
        int formats[MAX_FORMATS];
        size_t n =
                resource->kind->formats ? resource->kind->formats(resource->self, formats, MAX_FORMATS) : 0;

        return n == 1 ? formats[0] : -1;
}

/* The new state takes the place of the old one under the same handle, so that the observations stay. */
static void swap_in(struct planned *planned)
{
        struct resource *resource = planned->resource;
        int format = only_format(resource);
        struct span path = span_of_string(resource->path), none = { 0 };
        struct etag now;

        resource->before = resource_etag(resource, path, none);
        below_remember(resource);
        if (resource->kind->destroy)
                resource->kind->destroy(resource->self);
        sd_event_source_disable_unref(TAKE(resource->timer));
        resource->kind = planned->kind;
        resource->conf = planned->conf;
        resource->self = planned->self;
        coap_resource_set_get_observable(resource->handle, planned->conf->observable);
        coap_resource_set_mode(resource->handle, resource_notification_mode(resource));
        now = resource_etag(resource, path, none);
        if (only_format(resource) != format)
                resource_changed_format(resource);
        else if (!now.n || !etag_equal(&now, &resource->before))
                resource_changed(resource);
        else if (resource->observed)
                resource_repeat(resource);
        if (resource->observed && resource->kind->observed)
                resource->kind->observed(resource->self);
        below_move(resource);
}

static bool is_planned(const struct planned *plan, size_t n, const struct resource *resource)
{
        for (size_t i = 0; i < n; i++)
                if (plan[i].resource == resource)
                        return true;
        return false;
}

static int carry_out(struct registry *registry, struct planned *plan, size_t n)
{
        struct resource *next;
        int r = 0;

        for (struct resource *resource = registry->first; resource; resource = next) {
                next = resource->next;
                if (!resource_is_dynamic(resource) && !is_planned(plan, n, resource_configured(resource)))
                        registry_remove(registry, resource);
        }
        for (size_t i = 0; i < n; i++) {
                struct resource *resource = plan[i].resource;

                if (resource->handle) {
                        swap_in(&plan[i]);
                        continue;
                }
                resource->self = plan[i].self;
                r = resource_publish(resource);
                if (r < 0)
                        resource_free(resource);
        }
        discovery_changed(registry->discovery);
        return r;
}

int registry_apply(struct registry *registry, const struct config *config)
{
        const struct conf_resource *confs = config->resources.v;
        size_t n = config->resources.n;
        struct planned *plan = calloc(n ? n : 1, sizeof *plan);
        int r;

        if (!plan)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = plan_one(registry, &confs[i], &plan[i]);
                if (r < 0) {
                        log_error("%s:%u: resource %s: %s", confs[i].at.file, confs[i].at.line, confs[i].path,
                                  strerror(-r));
                        unplan(plan, plan[i].resource ? i + 1 : i);
                        return r;
                }
        }
        registry->config = config;
        blockwise_set_bounds(registry->blockwise, (size_t)config->limits.transfers,
                             (size_t)config->limits.transfer_bytes);
        r = carry_out(registry, plan, n);
        free(plan);
        return r < 0 ? r : notify_apply(registry);
}
