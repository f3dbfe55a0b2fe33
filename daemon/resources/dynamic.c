/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resources that clients make (dynamic_create.c): PUT and POST replace the content of one that is there, PATCH and
 * iPATCH change JSON, DELETE removes it. Every change is in the store before the client hears of success, and a change
 * that the store refuses does not happen.
 */
#include <errno.h>
#include <time.h>

#include "resources/dynamic.h"
#include "resources/patch.h"

int64_t dynamic_now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

size_t dynamic_max_body(const struct registry *registry)
{
        return registry->config ? (size_t)registry->config->dynamic.max_size : 0;
}

bool dynamic_bytes_allowed(const struct registry *registry, uint64_t old_size, uint64_t new_size)
{
        uint64_t limit = (uint64_t)registry->config->dynamic.max_total_size;

        return new_size <= old_size || registry->counts.dynamic_bytes - old_size + new_size <= limit;
}

void dynamic_join_queries(const struct request *request, struct buf *out)
{
        for (size_t i = 0; i < request->n_queries; i++) {
                if (i > 0)
                        buf_append_byte(out, '&');
                buf_append_span(out, request->queries[i]);
        }
}

int dynamic_keep(struct registry *registry, struct span path, const struct dynamic *dynamic,
                 const struct representation *content, struct span attributes)
{
        struct stored_resource stored = {
                .path = path,
                .content_format = content->content_format,
                .etag = etag_span(&content->etag),
                .attributes = attributes,
                .body = span_of(content->data, (size_t)content->size),
                .created_us = dynamic->created_us,
                .changed_us = dynamic_now_us(),
        };

        return registry->host.store_put(registry->host.user, &stored);
}

struct dynamic *dynamic_new(struct representation *content, int64_t created_us)
{
        struct dynamic *dynamic = content ? calloc(1, sizeof *dynamic) : NULL;

        if (!dynamic) {
                representation_unref(content);
                return NULL;
        }
        dynamic->content = content;
        dynamic->created_us = created_us;
        return dynamic;
}

void dynamic_free(struct dynamic *dynamic)
{
        if (!dynamic)
                return;
        if (dynamic->resource)
                dynamic->resource->registry->counts.dynamic_bytes -= dynamic->content->size;
        representation_unref(dynamic->content);
        buf_deinit(&dynamic->attributes);
        free(dynamic);
}

void dynamic_set_content(struct dynamic *dynamic, struct representation *content)
{
        dynamic->resource->registry->counts.dynamic_bytes += content->size - dynamic->content->size;
        representation_unref(dynamic->content);
        dynamic->content = content;
}

/* --- the kind --- */

static void dynamic_destroy(void *self)
{
        dynamic_free(self);
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
        bool same_format = content->content_format == dynamic->content->content_format;

        dynamic_set_content(dynamic, content);
        if (same_format)
                resource_changed(dynamic->resource);
        else
                resource_changed_format(dynamic->resource);
}

static bool names_an_attribute(struct span attributes)
{
        static const char *const names[] = { "rt=", "if=", "title=" };

        while (attributes.n > 0) {
                struct span one = span_cut(&attributes, '&');

                for (size_t i = 0; i < ARRAY_LEN(names); i++)
                        if (span_starts_with(one, span_of_string(names[i])))
                                return true;
        }
        return false;
}

/* What the resource is to be described by: what the request says, or what it is by now if that says nothing. */
static void choose_attributes(const struct dynamic *dynamic, const struct request *request, struct buf *out)
{
        if (request->method == METHOD_PUT || request->method == METHOD_POST)
                dynamic_join_queries(request, out);
        if (names_an_attribute(buf_span(out)))
                return;
        buf_reset(out);
        buf_append_span(out, buf_span(&dynamic->attributes));
}

static void swap_attributes(struct dynamic *dynamic, struct buf *attributes)
{
        struct buf old = dynamic->attributes;

        dynamic->attributes = *attributes;
        *attributes = old;
}

/* Takes `content` over. */
static void change(struct dynamic *dynamic, struct representation *changed, const struct request *request,
                   struct response *response)
{
        struct registry *registry = dynamic->resource->registry;
        CLEANUP(representation_unrefp) struct representation *content = changed;
        CLEANUP(buf_deinit) struct buf attributes = { 0 };
        bool same_content, same_attributes;
        int r;

        choose_attributes(dynamic, request, &attributes);
        if (!content || !buf_ok(&attributes)) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        if (!dynamic_bytes_allowed(registry, dynamic->content->size, content->size)) {
                response_error(response, CODE_UNAVAILABLE, "the limit of bytes for all resources is reached");
                return;
        }
        /* The same again is no change: nothing to keep and nobody to tell. */
        same_content = etag_equal(&content->etag, &dynamic->content->etag) &&
                       content->size == dynamic->content->size;
        same_attributes = span_equal(buf_span(&attributes), buf_span(&dynamic->attributes));
        if (!same_content || !same_attributes) {
                r = dynamic_keep(registry, span_of_string(dynamic->resource->path), dynamic, content,
                                 buf_span(&attributes));
                if (r < 0) {
                        response_refused_by_store(response, r);
                        return;
                }
                swap_attributes(dynamic, &attributes);
                discovery_changed(registry->discovery);
        }
        if (!same_content)
                replace_content(dynamic, representation_ref(content));
        response->code = CODE_CHANGED;
        response->content = TAKE(content);
}

static void dynamic_put(void *self, const struct request *request, struct response *response)
{
        change(self, representation_new(request->body, request->content_format), request, response);
}

static void dynamic_post(void *self, const struct request *request, struct response *response)
{
        struct dynamic *dynamic = self;

        if (dynamic_names_collection(request->path))
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
                change(dynamic, patched, request, response);
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
