/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a dynamic resource comes to be: a PUT or POST on a free path under an allowed prefix creates it. A POST to a path
 * that ends in a slash makes a member below it, under a name of our choice. It is in the store before the client hears
 * of success, and a resource that the store refuses does not come to be.
 */
#include <errno.h>

#include "resources/dynamic.h"
#include "resources/uri_path.h"

static bool is_below_one_of(const struct conf_strings *prefixes, struct span path)
{
        for (size_t i = 0; i < prefixes->n; i++) {
                CLEANUP(buf_deinit) struct buf prefix = { 0 };

                uri_path_encode(span_of_string(prefixes->v[i]), &prefix);
                if (buf_ok(&prefix) && uri_path_below(path, buf_span(&prefix)))
                        return true;
        }
        return false;
}

bool dynamic_may_exist(const struct registry *registry, struct span path)
{
        const struct conf_dynamic *conf = &registry->config->dynamic;

        return conf->enable && path.n > 0 && !uri_path_below(path, SPAN_LITERAL(".well-known")) &&
               is_below_one_of(&conf->prefix, path);
}

bool dynamic_is_confirmable(const struct registry *registry, struct span path)
{
        return registry->config && is_below_one_of(&registry->config->dynamic.confirmable, path);
}

bool dynamic_names_collection(struct span path)
{
        return path.n > 0 && path.p[path.n - 1] == '/';
}

bool dynamic_has_room(const struct registry *registry, struct span path, uint64_t size,
                      struct response *response)
{
        const struct conf_dynamic *conf = &registry->config->dynamic;
        const struct resource *gone = registry_find(registry, path);
        const struct dynamic *old = gone ? gone->self : NULL;

        if (registry->counts.dynamic >= (size_t)conf->max_resources)
                response_error(response, CODE_UNAVAILABLE, "the limit of %lld resources is reached",
                               conf->max_resources);
        else if (!dynamic_bytes_allowed(registry, old ? old->content->size : 0, size))
                response_error(response, CODE_UNAVAILABLE, "the limit of bytes for all resources is reached");
        else
                return true;
        return false;
}

/*
 * Deleted in this turn of the loop, and made anew: libcoap holds the handle still, and it is this one's. Those who
 * observed what was there are told that it is gone.
 */
static void come_again(struct resource *resource)
{
        dynamic_free(TAKE(resource->self));
        resource_come_back(resource);
        resource_evict(resource, CODE_NOT_FOUND);
}

int dynamic_publish(struct registry *registry, struct span path, struct dynamic *dynamic)
{
        CLEANUP(buf_deinit) struct buf text = { 0 };
        struct resource *resource = registry_find(registry, path);
        int r;

        if (resource) {
                come_again(resource);
        } else {
                buf_append_span(&text, path);
                if (!buf_ok(&text))
                        return -ENOMEM;
                r = registry_add(registry, &kind_dynamic, buf_string(&text), NULL, &resource);
                if (r < 0)
                        return r;
        }
        dynamic->resource = resource;
        registry->counts.dynamic_bytes += dynamic->content->size;
        resource->self = dynamic;
        return 0;
}

/* Appends a segment that nothing has below `path`: chance, so that a name deleted is not used again soon. */
static void append_member_name(const struct registry *registry, struct buf *path)
{
        enum { NAME_LENGTH = 8 };
        size_t n = path->n;

        do {
                char name[NAME_LENGTH + 1] = "";

                path->n = n;
                path->failed |= !uri_path_chance(name, NAME_LENGTH);
                buf_append_string(path, name);
        } while (buf_ok(path) && registry_find(registry, buf_span(path)));
}

static void create(struct registry *registry, struct span path, const struct request *request,
                   struct response *response)
{
        CLEANUP(dynamic_freep) struct dynamic *dynamic = NULL;
        int r;

        if (!dynamic_has_room(registry, path, request->body.n, response))
                return;
        dynamic = dynamic_new(representation_new(request->body, request->content_format), dynamic_now_us());
        if (!dynamic) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        dynamic_join_queries(request, &dynamic->attributes);
        r = buf_ok(&dynamic->attributes)
                    ? dynamic_keep(registry, path, dynamic, dynamic->content, buf_span(&dynamic->attributes))
                    : -ENOMEM;
        if (r < 0) {
                response_refused_by_store(response, r);
                return;
        }
        r = dynamic_publish(registry, path, dynamic);
        if (r < 0) {
                registry->host.store_del(registry->host.user, path);
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        response->code = CODE_CREATED;
        response->content = representation_ref(dynamic->content);
        dynamic = NULL;
}

void dynamic_create(struct registry *registry, const struct request *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        const struct resource *member;

        if (request->method != METHOD_POST || !dynamic_names_collection(request->path)) {
                create(registry, request->path, request, response);
                return;
        }
        buf_append_span(&path, request->path);
        append_member_name(registry, &path);
        if (!buf_ok(&path)) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        create(registry, buf_span(&path), request, response);
        member = response->code == CODE_CREATED ? registry_find(registry, buf_span(&path)) : NULL;
        if (member)
                response->location = span_of_string(member->path + request->path.n);
}
