/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resources that clients make: a PUT or POST on a free path under an allowed prefix creates one, PUT and POST
 * replace its content, PATCH and iPATCH change JSON, DELETE removes it. A POST to a path that ends in a slash
 * makes a member below it, under a name of our choice. Every change is in the store before the client hears
 * of success, and a change that the store refuses does not happen.
 */
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "resources/internal.h"
#include "resources/patch.h"
#include "resources/uri_path.h"

struct dynamic {
        struct resource *resource;
        struct representation *content;
        struct buf attributes;
        int64_t created_us;
};

static int64_t now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

size_t dynamic_max_body(const struct registry *registry)
{
        return registry->config ? (size_t)registry->config->dynamic.max_size : 0;
}

bool dynamic_may_exist(const struct registry *registry, struct span path)
{
        const struct conf_dynamic *conf = &registry->config->dynamic;

        if (!conf->enable || path.n == 0 || uri_path_below(path, SPAN_LITERAL(".well-known")))
                return false;
        for (size_t i = 0; i < conf->prefix.n; i++) {
                CLEANUP(buf_deinit) struct buf prefix = { 0 };

                uri_path_encode(span_of_string(conf->prefix.v[i]), &prefix);
                if (buf_ok(&prefix) && uri_path_below(path, buf_span(&prefix)))
                        return true;
        }
        return false;
}

/* Whether `growth` more bytes stay within the limit of the config. */
static bool bytes_allowed(const struct registry *registry, uint64_t old_size, uint64_t new_size)
{
        uint64_t limit = (uint64_t)registry->config->dynamic.max_total_size;

        return new_size <= old_size || registry->counts.dynamic_bytes - old_size + new_size <= limit;
}

static int keep(struct registry *registry, struct span path, const struct dynamic *dynamic,
                const struct representation *content)
{
        struct stored_resource stored = {
                .path = path,
                .content_format = content->content_format,
                .etag = etag_span(&content->etag),
                .attributes = buf_span(&dynamic->attributes),
                .body = span_of(content->data, (size_t)content->size),
                .created_us = dynamic->created_us,
                .changed_us = now_us(),
        };

        return registry->host.store_put(registry->host.user, &stored);
}

/* A POST there makes a member. */
static bool names_collection(struct span path)
{
        return path.n > 0 && path.p[path.n - 1] == '/';
}

/* --- the kind --- */

static void dynamic_destroy(void *self)
{
        struct dynamic *dynamic = self;

        if (dynamic->content)
                dynamic->resource->registry->counts.dynamic_bytes -= dynamic->content->size;
        representation_unref(dynamic->content);
        buf_deinit(&dynamic->attributes);
        free(dynamic);
}

static void dynamic_get(void *self, const struct request *request, struct response *response)
{
        struct dynamic *dynamic = self;

        (void)request;
        response->code = CODE_CONTENT;
        response->content = representation_ref(dynamic->content);
}

static void replace_content(struct dynamic *dynamic, struct representation *content)
{
        struct registry *registry = dynamic->resource->registry;
        bool same_format = content->content_format == dynamic->content->content_format;

        registry->counts.dynamic_bytes += content->size - dynamic->content->size;
        representation_unref(dynamic->content);
        dynamic->content = content;
        discovery_changed(registry->discovery);
        if (same_format)
                resource_changed(dynamic->resource);
        else
                resource_changed_format(dynamic->resource);
}

/* Takes `content` over. */
static void change_content(struct dynamic *dynamic, struct representation *changed, struct response *response)
{
        struct registry *registry = dynamic->resource->registry;
        CLEANUP(representation_unrefp) struct representation *content = changed;
        int r;

        if (!content) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        if (!bytes_allowed(registry, dynamic->content->size, content->size)) {
                response_error(response, CODE_UNAVAILABLE, "the limit of bytes for all resources is reached");
                return;
        }
        /* The same content again is no change: nothing to keep and nobody to tell. */
        if (!etag_equal(&content->etag, &dynamic->content->etag) || content->size != dynamic->content->size) {
                r = keep(registry, span_of_string(dynamic->resource->path), dynamic, content);
                if (r < 0) {
                        response_refused_by_store(response, r);
                        return;
                }
                replace_content(dynamic, representation_ref(content));
        }
        response->code = CODE_CHANGED;
        response->content = TAKE(content);
}

static void dynamic_put(void *self, const struct request *request, struct response *response)
{
        change_content(self, representation_new(request->body, request->content_format), response);
}

static void dynamic_post(void *self, const struct request *request, struct response *response)
{
        struct dynamic *dynamic = self;

        if (names_collection(request->path))
                dynamic_create(dynamic->resource->registry, request, response);
        else
                dynamic_put(self, request, response);
}

/* A merge patch applied twice changes nothing more, so that iPATCH is the same. */
static void dynamic_patch(void *self, const struct request *request, struct response *response)
{
        struct dynamic *dynamic = self;
        size_t max = dynamic_max_body(dynamic->resource->registry);
        struct representation *patched = patch_apply(dynamic->content, request, max, response);

        if (patched)
                change_content(dynamic, patched, response);
}

static void dynamic_delete(void *self, const struct request *request, struct response *response)
{
        struct dynamic *dynamic = self;
        struct registry *registry = dynamic->resource->registry;
        int r = registry->host.store_del(registry->host.user, span_of_string(dynamic->resource->path));

        (void)request;
        if (r < 0) {
                response_refused_by_store(response, r);
                return;
        }
        registry_remove_soon(dynamic->resource);
        response->code = CODE_DELETED;
}

static size_t dynamic_formats(void *self, int formats[], size_t max)
{
        const struct dynamic *dynamic = self;

        (void)max;
        formats[0] = dynamic->content->content_format;
        return formats[0] >= 0;
}

static uint64_t dynamic_size(void *self)
{
        const struct dynamic *dynamic = self;

        return dynamic->content->size;
}

struct span dynamic_attributes(const void *self)
{
        const struct dynamic *dynamic = self;

        return buf_span(&dynamic->attributes);
}

const struct kind kind_dynamic = {
        .name = "dynamic",
        .destroy = dynamic_destroy,
        .handle = {
                [METHOD_GET] = dynamic_get,
                [METHOD_PUT] = dynamic_put,
                [METHOD_POST] = dynamic_post,
                [METHOD_DELETE] = dynamic_delete,
                [METHOD_PATCH] = dynamic_patch,
                [METHOD_IPATCH] = dynamic_patch,
        },
        .formats = dynamic_formats,
        .size = dynamic_size,
};

/* --- birth --- */

/*
 * Deleted in this turn of the loop, and made anew: libcoap holds the handle still, and it is this one's. Those who
 * observed what was there are told that it is gone.
 */
static void come_again(struct resource *resource)
{
        dynamic_destroy(TAKE(resource->self));
        resource_come_back(resource);
        resource_evict(resource, CODE_NOT_FOUND);
}

/* Takes `content` over where it succeeds. */
static int publish(struct registry *registry, struct span path, struct dynamic *dynamic,
                   struct representation *content)
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
        dynamic->content = content;
        registry->counts.dynamic_bytes += content->size;
        resource->self = dynamic;
        return 0;
}

static bool room_for_one(const struct registry *registry, struct span path, uint64_t size,
                         struct response *response)
{
        const struct conf_dynamic *conf = &registry->config->dynamic;
        const struct resource *gone = registry_find(registry, path);
        const struct dynamic *old = gone ? gone->self : NULL;

        if (registry->counts.dynamic >= (size_t)conf->max_resources)
                response_error(response, CODE_UNAVAILABLE, "the limit of %lld resources is reached",
                               conf->max_resources);
        else if (!bytes_allowed(registry, old ? old->content->size : 0, size))
                response_error(response, CODE_UNAVAILABLE, "the limit of bytes for all resources is reached");
        else
                return true;
        return false;
}

static void join_queries(const struct request *request, struct buf *out)
{
        for (size_t i = 0; i < request->n_queries; i++) {
                if (i > 0)
                        buf_append_byte(out, '&');
                buf_append_span(out, request->queries[i]);
        }
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
        struct representation *content;
        struct dynamic *dynamic;
        int r;

        if (!room_for_one(registry, path, request->body.n, response))
                return;
        content = representation_new(request->body, request->content_format);
        dynamic = calloc(1, sizeof *dynamic);
        if (!content || !dynamic) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                goto refused;
        }
        dynamic->created_us = now_us();
        join_queries(request, &dynamic->attributes);
        r = keep(registry, path, dynamic, content);
        if (r < 0) {
                response_refused_by_store(response, r);
                goto refused;
        }
        r = publish(registry, path, dynamic, content);
        if (r < 0) {
                registry->host.store_del(registry->host.user, path);
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                goto refused;
        }
        response->code = CODE_CREATED;
        response->content = representation_ref(content);
        return;
refused:
        representation_unref(content);
        if (dynamic)
                buf_deinit(&dynamic->attributes);
        free(dynamic);
}

void dynamic_create(struct registry *registry, const struct request *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        const struct resource *member;

        if (request->method != METHOD_POST || !names_collection(request->path)) {
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

static int restore(struct registry *registry, const struct stored_resource *stored)
{
        struct etag etag = { .n = (uint8_t)MIN(stored->etag.n, (size_t)ETAG_MAX) };
        struct representation *content;
        struct dynamic *dynamic;
        int r;

        memcpy(etag.b, stored->etag.p, etag.n);
        content = representation_new_tagged(stored->body, stored->content_format, &etag);
        dynamic = calloc(1, sizeof *dynamic);
        if (!content || !dynamic) {
                r = -ENOMEM;
                goto failed;
        }
        dynamic->created_us = stored->created_us;
        buf_append_span(&dynamic->attributes, stored->attributes);
        r = publish(registry, stored->path, dynamic, content);
        if (r == 0)
                return 0;
failed:
        representation_unref(content);
        if (dynamic)
                buf_deinit(&dynamic->attributes);
        free(dynamic);
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
        if (registry_find(registry, stored->path)) {
                log_notice("stored resource %s: the config has this path now; it is kept in the store",
                           LOG_ESCAPE(stored->path));
                return -EEXIST;
        }
        if (!room_for_one(registry, stored->path, stored->body.n, &unused)) {
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
        struct etag etag = { 0 };

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
        etag.n = (uint8_t)MIN(stored->etag.n, (size_t)ETAG_MAX);
        memcpy(etag.b, stored->etag.p, etag.n);
        content = representation_new_tagged(stored->body, stored->content_format, &etag);
        if (!content) {
                LOG_RARELY(LOG_ERR, NULL, "resource %s: no memory to go back to what is stored",
                           resource->path);
                return;
        }
        dynamic = resource->self;
        registry->counts.dynamic_bytes += content->size - dynamic->content->size;
        representation_unref(dynamic->content);
        dynamic->content = content;
        resource_come_back(resource);
        resource->evicting = 0;
        resource->reverted = true;
        registry_bury_soon(resource);
}
