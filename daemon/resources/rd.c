/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `rd`: a resource directory (RFC 9176). Endpoints register their links here, clients look them up. The
 * registrations are kept over restarts.
 */
#include <errno.h>

#include "base/content_format.h"
#include "resources/rd.h"

static const struct conf_row rows[] = {
        {
                .key = "max_registrations",
                .type = CONF_INT,
                .offset = offsetof(struct rd_conf, max_registrations),
                .fallback = "1000",
                .min = 1,
                .max = 100000,
                .unit = "registrations",
                .flags = CONF_RELOAD,
                .doc = "How many endpoints may be registered. One more is answered 5.03.",
        },
        {
                .key = "max_size",
                .type = CONF_INT,
                .offset = offsetof(struct rd_conf, max_size),
                .fallback = "65536",
                .min = 1,
                .max = 1 << 20,
                .unit = "bytes",
                .flags = CONF_RELOAD,
                .doc = "How large the links of one endpoint may be.",
        },
        {
                .key = "max_total_size",
                .type = CONF_INT,
                .offset = offsetof(struct rd_conf, max_total_size),
                .fallback = "4194304",
                .min = 1,
                .max = 256 << 20,
                .unit = "bytes",
                .flags = CONF_RELOAD,
                .doc = "How large the links of all may be together. A lookup reads all of them, unless the "
                       "directory is as it was when the same was looked up before.",
        },
        {
                .key = "simple_registration",
                .type = CONF_BOOL,
                .offset = offsetof(struct rd_conf, simple_registration),
                .fallback = "false",
                .flags = CONF_RELOAD,
                .doc = "Lets endpoints register with an empty POST to /.well-known/rd (RFC 9176, 5.1), where "
                       "a "
                       "rule of access for that path allows POST and CREATE. coapd asks the address and port "
                       "that "
                       "it came from, over UDP, for /.well-known/core, and registers what it answers. So "
                       "coapd "
                       "sends requests to addresses that others name: it does once the sender has proved its "
                       "address, see limits.unproven. Only over plain UDP; with keys links are registered as "
                       "usual. Of each virtual host one directory can have it.",
        },
        {
                .key = "max_fetches",
                .type = CONF_INT,
                .offset = offsetof(struct rd_conf, max_fetches),
                .fallback = "16",
                .min = 1,
                .max = 1000,
                .unit = "endpoints",
                .flags = CONF_RELOAD,
                .doc = "How many endpoints may be asked at a time for simple registration, a socket each; of "
                       "one IPv4 address or IPv6 /64 at most 4. One more is answered 5.03.",
        },
        {
                .key = "fetch_timeout",
                .type = CONF_INT,
                .offset = offsetof(struct rd_conf, fetch_timeout),
                .fallback = "30",
                .min = 1,
                .max = 3600,
                .unit = "seconds",
                .flags = CONF_RELOAD,
                .doc = "How long an endpoint may take to answer. Then it is told 5.04 (Gateway Timeout).",
        },
};

static int rd_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        struct rd *rd = calloc(1, sizeof *rd);

        if (!rd)
                return -ENOMEM;
        rd->resource = resource;
        rd->conf = conf->fields;
        rd->wake_us = UINT64_MAX;
        *ret_self = rd;
        return 0;
}

static void rd_reconfigure(void *self, const struct conf_resource *conf)
{
        struct rd *rd = self;

        rd->conf = conf->fields;
}

static void rd_destroy(void *self)
{
        struct rd *rd = self;

        rd_simple_end(rd);
        for (size_t i = 0; i < rd->n; i++)
                rd_registration_free(rd->v[i]);
        free(rd->v);
        rd_lookup_cache_free(rd->cache);
        free(rd);
}

static bool names_lookup(struct span rest, enum rd_lookup *ret_which)
{
        *ret_which = span_equal_string(rest, "lookup/ep") ? RD_LOOKUP_EP : RD_LOOKUP_RES;
        return *ret_which == RD_LOOKUP_EP || span_equal_string(rest, "lookup/res");
}

/* The links as they were registered, of an endpoint that is there. */
static void rd_get(void *self, const struct request *request, struct response *response)
{
        struct rd *rd = self;
        const struct rd_registration *registration = rd_find(rd, request->rest);
        enum rd_lookup which;

        if (names_lookup(request->rest, &which)) {
                rd_lookup(rd, which, request, response);
        } else if (request->rest.n == 0) {
                response_error(response, CODE_METHOD_NOT_ALLOWED, "endpoints register here, with POST");
        } else if (!registration ||
                   (registration->link && registration->link != request_peer_link(request))) {
                response_error(response, CODE_NOT_FOUND, "there is no such registration");
        } else {
                response->code = CODE_CONTENT;
                response->content = representation_ref(registration->links);
        }
}

static void rd_post(void *self, const struct request *request, struct response *response)
{
        enum rd_lookup which;

        if (request->also)
                rd_register_simply(self, request, response);
        else if (names_lookup(request->rest, &which))
                response_error(response, CODE_METHOD_NOT_ALLOWED, "this is looked up with GET");
        else if (request->rest.n == 0)
                rd_register(self, request, response);
        else
                rd_update(self, request->rest, request, response);
}

static void rd_handle_delete(void *self, const struct request *request, struct response *response)
{
        enum rd_lookup which;

        if (request->rest.n == 0 || names_lookup(request->rest, &which))
                response_error(response, CODE_METHOD_NOT_ALLOWED, "this cannot be deleted");
        else
                rd_delete(self, request->rest, request, response);
}

static size_t rd_max_body(void *self)
{
        const struct rd *rd = self;

        return (size_t)rd->conf->max_size;
}

/* Only the directory itself makes anything: a registration. */
static bool rd_has_below(void *self, struct span rest)
{
        (void)self;
        return rest.n > 0;
}

static int rd_observe_below(void *self, struct span rest)
{
        enum rd_lookup which;

        (void)self;
        return names_lookup(rest, &which) ? 0 : -ENOENT;
}

/* What the store has: at a start, or when a change did not last. */
static int rd_stored(void *self, struct span rest, const struct stored_resource *stored)
{
        struct rd *rd = self;
        struct rd_registration *old = rd_find(rd, rest), *registration;
        int r;

        if (!stored) {
                if (old)
                        rd_remove(rd, old);
                return 0;
        }
        registration = rd_registration_restore(rest, stored);
        if (!registration)
                return -EINVAL;
        r = !old && !rd_fits(rd, registration->links->size) ? -ENOSPC : rd_set(rd, old, registration);
        if (r < 0)
                rd_registration_free(registration);
        return r;
}

static const struct kind_link links[] = {
        { .rest = "", .resource_type = "core.rd", .method = METHOD_POST },
        { .rest = "lookup/res",
          .resource_type = "core.rd-lookup-res",
          .method = METHOD_GET,
          .observable = true },
        { .rest = "lookup/ep",
          .resource_type = "core.rd-lookup-ep",
          .method = METHOD_GET,
          .observable = true },
        { .rest = NULL },
};

static const char *rd_also_at(const void *fields, const void **ret_member)
{
        const struct rd_conf *conf = fields;

        *ret_member = &conf->simple_registration;
        return conf->simple_registration ? ".well-known/rd" : NULL;
}

static size_t rd_formats(void *self, int formats[], size_t max)
{
        (void)self;
        (void)max;
        formats[0] = CONTENT_FORMAT_LINK_FORMAT;
        return 1;
}

const struct kind kind_rd = {
        .name = "rd",
        .doc = "A resource directory (RFC 9176). Endpoints register their links with a POST, which a rule of access "
               "has to allow as CREATE; the answer's Location-Path is where they refresh and delete the "
               "registration. Clients look up links at lookup/res below the path, and endpoints at lookup/ep. All "
               "three are found in /.well-known/core by their types core.rd, core.rd-lookup-res and "
               "core.rd-lookup-ep. A registration of an endpoint that proved who it is belongs to it: nobody else "
               "can replace, refresh or delete it. The registrations are kept with persist.dynamic_resources, by "
               "the engine \"sqlite\".",
        .rows = rows,
        .n_rows = ARRAY_LEN(rows),
        .conf_size = sizeof(struct rd_conf),
        .flags = KIND_SUBTREE | KIND_FLEETING,
        .links = links,
        .create = rd_create,
        .reconfigure = rd_reconfigure,
        .destroy = rd_destroy,
        .handle = {
                [METHOD_GET] = rd_get,
                [METHOD_POST] = rd_post,
                [METHOD_DELETE] = rd_handle_delete,
        },
        .wake = rd_wake,
        .formats = rd_formats,
        .max_body = rd_max_body,
        .has_below = rd_has_below,
        .observe_below = rd_observe_below,
        .stored = rd_stored,
        .also_at = rd_also_at,
};
