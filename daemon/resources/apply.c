/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The resources of the config made live, at start and at a reload: all new states are made first, and only when none
 * failed do they take the places of the old ones, under the same handles, so that observations stay.
 */
#include <errno.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "resources/internal.h"
#include "resources/uri_path.h"

struct planned {
        struct resource *resource; /* the living one, or a new one */
        const struct kind *kind;
        const struct conf_resource *conf;
        void *self;
        bool stays; /* the old state, with a new config */
};

static void unplan(struct planned *plan, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (plan[i].self && plan[i].kind->destroy)
                        plan[i].kind->destroy(plan[i].self);
                plan[i].resource->planned = false;
                if (!plan[i].resource->place)
                        resource_free(plan[i].resource);
        }
        free(plan);
}

/* The living resource that this config is of: at its path and one of its hosts. */
static struct resource *find_living(struct registry *registry, const struct conf_resource *conf,
                                    struct span path)
{
        for (struct resource *r = registry_find_all(registry, path); r; r = r->next_host)
                if (!r->parent && !resource_is_dynamic(r) && !r->planned &&
                    hosts_overlap(resource_configured(r)->conf, conf))
                        return r;
        return NULL;
}

static int plan_one(struct registry *registry, const struct conf_resource *conf, struct planned *ret_planned)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        const struct kind *kind = registry_find_kind(conf->kind);
        struct resource *resource;

        uri_path_encode(span_of_string(conf->path), &path);
        if (!kind || !buf_ok(&path))
                return kind ? -ENOMEM : -EINVAL;
        resource = find_living(registry, conf, buf_span(&path));
        if (!resource)
                resource = resource_new(registry, kind, buf_string(&path), conf);
        if (!resource)
                return -ENOMEM;
        resource->planned = true;
        *ret_planned = (struct planned){ .resource = resource, .kind = kind, .conf = conf };
        if (resource->place && resource->kind == kind && kind->reconfigure) {
                ret_planned->stays = true;
                return 0;
        }
        return kind->create(resource, conf, &ret_planned->self);
}

static bool in_several_formats(const struct resource *resource)
{
        int formats[MAX_FORMATS];

        return resource->kind->formats && resource->kind->formats(resource->self, formats, MAX_FORMATS) > 1;
}

static int only_format(const struct resource *resource)
{
        int formats[MAX_FORMATS];
        size_t n =
                resource->kind->formats ? resource->kind->formats(resource->self, formats, MAX_FORMATS) : 0;

        return n == 1 ? formats[0] : -1;
}

/* What of the config is the registry's. */
static void adopt(struct planned *planned)
{
        struct resource *resource = planned->resource;

        resource->kind = planned->kind;
        resource->conf = planned->conf;
        place_configure(resource);
}

static void reconfigure(struct planned *planned)
{
        struct resource *resource = planned->resource;

        adopt(planned);
        resource->kind->reconfigure(resource->self, resource->conf);
        if (resource->observed)
                resource_repeat(resource);
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
        pending_abandon(resource->registry->pendings, resource);
        if (resource->kind->destroy)
                resource->kind->destroy(resource->self);
        sd_event_source_disable_unref(TAKE(resource->timer));
        adopt(planned);
        resource->self = planned->self;
        now = resource_etag(resource, path, none);
        if (only_format(resource) != format)
                resource_changed_format(resource);
        else if (!now.n || !etag_equal(&now, &resource->before) || in_several_formats(resource))
                resource_changed(resource);
        else if (resource->observed)
                resource_repeat(resource);
        if (resource->observed && resource->kind->observed)
                resource->kind->observed(resource->self);
        below_move(resource);
}

/* What lies below the one that serves it goes before that one. */
static void remove_unplanned(struct registry *registry, bool below)
{
        struct resource *next;

        for (struct resource *resource = registry->first; resource; resource = next) {
                next = resource->next;
                if (!resource_is_dynamic(resource) && !resource_configured(resource)->planned &&
                    (resource->parent != NULL) == below)
                        registry_remove(resource);
        }
}

/* What clients made at its path, and what was there as a part of another one, makes way: the config comes first. */
static void make_way(struct registry *registry, const struct planned *planned)
{
        struct resource *next;

        for (struct resource *r = registry_find_all(registry, span_of_string(planned->resource->path)); r;
             r = next) {
                next = r->next_host;
                if ((!r->parent && !resource_is_dynamic(r)) ||
                    !hosts_overlap(resource_configured(r)->conf, planned->conf))
                        continue;
                /* The stored row stays, for a config without this path. */
                if (!r->parent && !r->gone)
                        log_notice("resource %s: configured now, the one that a client created rests",
                                   planned->conf->path);
                registry_remove(r);
        }
}

/* So does what clients made below it, before it was there: they could not now. */
static void make_way_below(struct registry *registry, const struct planned *planned)
{
        struct span path = span_of_string(planned->resource->path);
        struct resource *next;
        size_t n = 0;

        if (!(planned->kind->flags & KIND_SUBTREE) || !hosts_include(planned->conf, NULL))
                return;
        for (struct resource *r = registry->first; r; r = next) {
                next = r->next;
                if (!resource_is_dynamic(r) || !uri_path_below(span_of_string(r->path), path))
                        continue;
                n += !r->gone;
                registry_remove(r);
        }
        if (n)
                log_notice("resource %s: configured now, %zu that clients created below it rest",
                           planned->conf->path, n);
}

static int carry_out(struct registry *registry, struct planned *plan, size_t n)
{
        int r = 0, published;

        remove_unplanned(registry, true);
        remove_unplanned(registry, false);
        for (size_t i = 0; i < n; i++)
                make_way(registry, &plan[i]);
        for (size_t i = 0; i < n; i++)
                make_way_below(registry, &plan[i]);
        for (size_t i = 0; i < n; i++) {
                struct resource *resource = plan[i].resource;

                resource->planned = false;
                if (plan[i].stays)
                        reconfigure(&plan[i]);
                else if (resource->place)
                        swap_in(&plan[i]);
                if (resource->place)
                        continue;
                resource->self = plan[i].self;
                published = resource_publish(resource);
                if (published < 0)
                        resource_free(resource);
                r = MIN(r, published);
        }
        discovery_changed(registry->discovery);
        return r;
}

/*
 * Each stream session is a descriptor; each shard has two, 64 may linger (linger.h), and some are needed for all else.
 */
static size_t most_streams(const struct registry *registry, const struct config *config)
{
        uint64_t others = 128 + 2 * (uint64_t)registry->host.shards.n, all = descriptors_most();

        return (size_t)MIN((uint64_t)config->server.max_sessions, all > 2 * others ? all - others : others);
}

static void set_bounds(struct registry *registry, const struct config *config)
{
        const struct conf_limits *limits = &config->limits;

        blockwise_set_bounds(registry->blockwise, (size_t)limits->transfers, (size_t)limits->transfer_bytes);
        clients_set_bounds(registry->clients, &(struct clients_bounds){
                                                      .per_address = (size_t)limits->sessions_per_address,
                                                      .streams = most_streams(registry, config),
                                              });
}

int registry_apply(struct registry *registry, const struct config *config, int (*others)(void *closure),
                   void *closure)
{
        const struct conf_resource *confs = config->resources.v;
        size_t n = config->resources.n;
        struct planned *plan = calloc(n ? n : 1, sizeof *plan);
        struct hosts hosts = { 0 };
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
        r = hosts_set(&hosts, config);
        if (r == 0 && others)
                r = others(closure);
        if (r < 0) {
                hosts_deinit(&hosts);
                unplan(plan, n);
                return r;
        }
        hosts_deinit(&registry->hosts);
        registry->hosts = hosts;
        registry->config = config;
        registry->q_block.any = false;
        set_bounds(registry, config);
        r = carry_out(registry, plan, n);
        free(plan);
        also_apply(registry);
        r = MIN(r, proxied_apply(registry));
        places_bury(registry);
        r = MIN(r, notify_apply(registry));
        if (r < 0)
                log_error("resources: %s; what there is no memory for is missing until the next reload",
                          strerror(-r));
        return r < 0 ? REGISTRY_INCOMPLETE : 0;
}
