/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A path beside a resource's own that it serves too, such as /.well-known/rd of a resource directory. It is no resource
 * of its own: nobody observes there. The config has seen to it that nothing else is at such a path.
 */
#include "resources/internal.h"

static const char *also_at(const struct resource *resource)
{
        const void *unused;

        if (resource->parent || resource->gone || !resource->conf || !resource->kind->also_at)
                return NULL;
        return resource->kind->also_at(resource->conf->fields, &unused);
}

void also_apply(struct registry *registry)
{
        registry->has_also = false;
        for (const struct resource *resource = registry->first; resource; resource = resource->next)
                registry->has_also |= also_at(resource) != NULL;
}

struct resource *also_find(const struct registry *registry, struct span path, const char *host)
{
        if (!registry->has_also || !span_starts_with(path, SPAN_LITERAL(".well-known/")))
                return NULL;
        for (struct resource *resource = registry->first; resource; resource = resource->next) {
                const char *at = also_at(resource);

                if (at && span_equal_string(path, at) && hosts_include(resource->conf, host))
                        return resource;
        }
        return NULL;
}
