/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths below a KIND_SUBTREE that are observed. Each is a resource without a kind's state of its own, made when
 * somebody wants to observe it, and gone when its content changes and nobody is there to be told.
 */
#include <time.h>
#include <errno.h>

#include "base/log.h"
#include "resources/internal.h"
#include "resources/uri_path.h"

/* Each is about 500 bytes, and libcoap walks over all of its resources when it notifies. */
enum { MAX_BELOW = 10000 };

struct resource *below_find_parent(const struct registry *registry, struct span path, const char *host)
{
        struct span head = path;

        while (head.n > 0) {
                struct resource *resource;

                while (head.n > 0 && head.p[head.n - 1] != '/')
                        head.n--;
                if (head.n > 0)
                        head.n--;
                resource = registry_find_at(registry, head, host);
                if (resource && resource->kind->flags & KIND_SUBTREE && !resource->gone && !resource->parent)
                        return resource;
        }
        return NULL;
}

struct span below_rest_of(const struct resource *parent, struct span path)
{
        struct span own = span_of_string(parent->path);

        /* What came to also_at() is not below. */
        return uri_path_below(path, own) ? span_skip(path, own.n ? own.n + 1 : 0) : (struct span){ 0 };
}

struct span below_rest(const struct resource *resource)
{
        return below_rest_of(resource->parent, span_of_string(resource->path));
}

int below_add(struct registry *registry, struct resource *parent, struct span path)
{
        CLEANUP(buf_deinit) struct buf text = { 0 };
        int r;

        if (!parent->kind->observe_below || !parent->conf->observable)
                return -EOPNOTSUPP;
        if (registry->n_below >= MAX_BELOW)
                return -ENOSPC;
        r = parent->kind->observe_below(parent->self, below_rest_of(parent, path));
        if (r < 0)
                return r;
        buf_append_span(&text, path);
        if (!buf_ok(&text))
                return -ENOMEM;
        return registry_add_below(registry, parent, buf_string(&text));
}

void below_make_observable(struct resource *parent, struct span path, size_t shard)
{
        struct resource *resource = registry_find_all(parent->registry, path);

        while (resource && resource->parent != parent)
                resource = resource->next_host;
        if (!resource)
                below_add(parent->registry, parent, path);
        resource = registry_find_all(parent->registry, path);
        if (resource)
                place_handle(resource->place, shard);
}

static void observe_at(struct registry *registry, struct span path, const char *host)
{
        struct resource *parent =
                registry_find_at(registry, path, host) ? NULL : below_find_parent(registry, path, host);

        if (parent)
                below_add(registry, parent, path);
}

/* Which of its hosts it is for is not known here: it is made observable at each. */
coap_resource_t *registry_observable(struct registry *registry, struct span path, size_t shard)
{
        struct resource *resource;

        observe_at(registry, path, NULL);
        for (size_t i = 0; i < registry->hosts.n; i++)
                observe_at(registry, path, registry->hosts.names[i]);
        resource = registry_find_all(registry, path);
        return resource ? place_handle(resource->place, shard) : NULL;
}

/* --- over a restart --- */

static void tell_of(struct resource *resource, const coap_pdu_t *pdu, struct span path)
{
        struct message message = { .pdu = pdu,
                                   .request = { .method = (enum method)coap_pdu_get_code(pdu),
                                                .path = path,
                                                .rest = below_rest_of(resource, path),
                                                .content_format = -1,
                                                .accept = -1,
                                                .observe = true } };

        message.request.message = &message;
        coap_get_data(pdu, &message.request.body.n, &message.request.body.p);
        resource->kind->observer_returns(resource->self, &message.request);
}

void registry_observer_returns(struct registry *registry, struct span path, struct span datagram)
{
        struct resource *next = registry_find_all(registry, path);
        coap_pdu_t *pdu = NULL;

        for (struct resource *resource = next; resource; resource = next) {
                next = resource->next_host;
                if (resource->parent)
                        resource = resource->parent;
                if (!resource->kind->observer_returns)
                        continue;
                if (!pdu)
                        pdu = coap_pdu_init(0, 0, 0, datagram.n);
                if (pdu && coap_pdu_parse(COAP_PROTO_UDP, datagram.p, datagram.n, pdu))
                        tell_of(resource, pdu, path);
        }
        coap_delete_pdu(pdu);
}

/* --- changes --- */

void below_remember(struct resource *parent)
{
        for (struct resource *resource = parent->registry->first; resource; resource = resource->next)
                if (resource->parent == parent)
                        resource->before =
                                resource_etag(parent, span_of_string(resource->path), below_rest(resource));
}

static bool is_another(const struct resource *resource)
{
        struct etag now =
                resource_etag(resource->parent, span_of_string(resource->path), below_rest(resource));

        return !now.n || !etag_equal(&now, &resource->before);
}

void below_move(struct resource *parent)
{
        struct registry *registry = parent->registry;
        struct resource *next;

        for (struct resource *resource = registry->first; resource; resource = next) {
                next = resource->next;
                if (resource->parent != parent)
                        continue;
                if (!parent->kind->observe_below || !parent->conf->observable ||
                    parent->kind->observe_below(parent->self, below_rest(resource)) < 0)
                        registry_remove(resource);
                else if (is_another(resource))
                        resource_changed(resource);
                else if (resource->observed)
                        resource_repeat(resource);
        }
}

static struct resource *find_below(const struct resource *parent, struct span rest)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        struct resource *resource;

        buf_append_string(&path, parent->path);
        if (path.n > 0)
                buf_append_byte(&path, '/');
        buf_append_span(&path, rest);
        resource = buf_ok(&path) ? registry_find_all(parent->registry, buf_span(&path)) : NULL;
        while (resource && resource->parent != parent)
                resource = resource->next_host;
        return resource;
}

bool resource_below_changed(struct resource *parent, struct span rest)
{
        struct resource *resource = find_below(parent, rest);

        if (!resource)
                return false;
        if (!resource_is_ready(resource) || resource_changed(resource))
                return true;
        /* A request that was put off may be about to observe it: it would find nothing once more. */
        if (pending_any_comes(parent->registry->pendings))
                return true;
        registry_remove(resource);
        return false;
}

void resource_below_gone(struct resource *parent, struct span rest)
{
        struct resource *resource = find_below(parent, rest);

        if (!resource)
                return;
        registry_remove(resource);
        places_bury(parent->registry);
}

bool resource_is_observed(const struct resource *resource, struct span rest)
{
        const struct resource *found = rest.n > 0 ? find_below(resource, rest) : resource;

        return found && found->place && found->place->observers.n > 0;
}
