/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the store has of dynamic resources comes back: all of them at a start, and one where a change that the store had
 * accepted did not last.
 */
#include <errno.h>

#include "base/log.h"
#include "resources/dynamic.h"

/* NULL: no memory. */
static struct representation *content_of(const struct stored_resource *stored)
{
        struct etag etag = { .n = (uint8_t)MIN(stored->etag.n, (size_t)ETAG_MAX) };

        memcpy(etag.b, stored->etag.p, etag.n);
        return representation_new_tagged(stored->body, stored->content_format, &etag);
}

static int restore(struct registry *registry, const struct stored_resource *stored)
{
        CLEANUP(dynamic_freep) struct dynamic *dynamic = dynamic_new(content_of(stored), stored->created_us);
        int r;

        if (!dynamic)
                return -ENOMEM;
        buf_append_span(&dynamic->attributes, stored->attributes);
        r = dynamic_publish(registry, stored->path, dynamic);
        if (r == 0)
                dynamic = NULL;
        return r;
}

int registry_restore(struct registry *registry, const struct stored_resource *stored)
{
        struct response unused = { .max_age = -1 };

        if (owned_is(stored->path)) {
                int r = owned_hand_over(registry, stored->path, stored);

                if (r < 0)
                        log_notice("stored state %s: the config has nothing that takes it; it is kept in the "
                                   "store",
                                   LOG_ESCAPE(stored->path));
                return r;
        }
        if (registry_find(registry, stored->path) || below_find_parent(registry, stored->path, NULL)) {
                LOG_RARELY(LOG_NOTICE, NULL,
                           "stored resource %s: the config has this path now; it is kept in the store",
                           LOG_ESCAPE(stored->path));
                return -EEXIST;
        }
        if (!dynamic_has_room(registry, stored->path, stored->body.n, &unused)) {
                log_warning("stored resource %s: not served, %s; it is kept in the store",
                            LOG_ESCAPE(stored->path), unused.diagnostic);
                return -ENOSPC;
        }
        return restore(registry, stored);
}

void registry_undo(struct registry *registry, struct span path, const struct stored_resource *stored)
{
        struct resource *resource = registry_find(registry, path);
        struct representation *content;
        struct dynamic *dynamic;

        if (owned_is(path)) {
                owned_hand_over(registry, path, stored);
                return;
        }
        if (!resource || !resource_is_dynamic(resource))
                return;
        if (!stored) {
                registry_remove_soon(resource);
                return;
        }
        dynamic = resource->self;
        buf_reset(&dynamic->attributes);
        buf_append_span(&dynamic->attributes, stored->attributes);
        content = content_of(stored);
        if (!content) {
                LOG_RARELY(LOG_ERR, NULL, "resource %s: no memory to go back to what is stored",
                           resource->path);
                return;
        }
        dynamic_set_content(dynamic, content);
        resource_come_back(resource);
        resource->evicting = 0;
        resource->reverted = true;
        registry_bury_soon(resource);
}
