/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What kinds keep over restarts, in the store of dynamic resources. A row's path begins with '#', which libcoap's
 * spelling of a path never does, so that no client can make one: "#HOST/PATH/REST", the host empty for most.
 */
#include <errno.h>

#include "base/log.h"
#include "resources/internal.h"

static void write_path(const struct resource *resource, struct span rest, struct buf *out)
{
        const struct conf_strings *hosts = &resource->conf->host;

        buf_printf(out, "#%s/%s/", hosts->n ? hosts->v[0] : "", resource->path);
        buf_append_span(out, rest);
}

int resource_store(struct resource *resource, struct span rest, struct stored_resource *stored)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        const struct registry_host *host = &resource->registry->host;

        write_path(resource, rest, &path);
        if (!buf_ok(&path))
                return -ENOMEM;
        stored->path = buf_span(&path);
        return host->store_put(host->user, stored);
}

int resource_unstore(struct resource *resource, struct span rest)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        const struct registry_host *host = &resource->registry->host;

        write_path(resource, rest, &path);
        return buf_ok(&path) ? host->store_del(host->user, buf_span(&path)) : -ENOMEM;
}

bool owned_is(struct span path)
{
        return path.n > 0 && path.p[0] == '#';
}

int owned_hand_over(struct registry *registry, struct span stored_path, const struct stored_resource *stored)
{
        CLEANUP(buf_deinit) struct buf host = { 0 };
        struct span path = span_skip(stored_path, 1);
        const uint8_t *slash = path.n ? memchr(path.p, '/', path.n) : NULL;
        struct resource *owner;

        if (!slash)
                return -EINVAL;
        buf_append(&host, path.p, (size_t)(slash - path.p));
        path = span_skip(path, host.n + 1);
        owner = below_find_parent(registry, path, host.n ? buf_string(&host) : NULL);
        if (!owner || !owner->kind->stored)
                return -ENOENT;
        return owner->kind->stored(owner->self, below_rest_of(owner, path), stored);
}
