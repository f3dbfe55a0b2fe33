/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `rd`: a resource directory (RFC 9176). Endpoints register their links here, clients look them up. The
 * registrations are kept over restarts; each lives until its lifetime is over, by the clock of the wall, so that a
 * restart neither lengthens nor shortens it.
 */
#include <errno.h>
#include <time.h>

#include "base/content_format.h"
#include "base/log.h"
#include "resources/rd.h"

/*
 * After its lifetime a registration is not shown any more, but its endpoint may still refresh it for so long (RFC
 * 9176, 5.3), and nobody else takes its name.
 */
#define GRACE_US (3600 * UINT64_C(1000000))

uint64_t rd_now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- the set --- */

struct rd_registration *rd_find(const struct rd *rd, struct span id)
{
        for (size_t i = 0; i < rd->n; i++)
                if (span_equal_string(id, rd->v[i]->id))
                        return rd->v[i];
        return NULL;
}

struct rd_registration *rd_find_endpoint(const struct rd *rd, struct span endpoint, struct span sector)
{
        for (size_t i = 0; i < rd->n; i++)
                if (span_equal(buf_span(&rd->v[i]->endpoint), endpoint) &&
                    span_equal(buf_span(&rd->v[i]->sector), sector))
                        return rd->v[i];
        return NULL;
}

static bool same(const struct buf *a, const struct buf *b)
{
        return span_equal(buf_span(a), buf_span(b));
}

/* Whether lookups show both alike. */
static bool looks_alike(const struct rd_registration *a, const struct rd_registration *b)
{
        return a->shown == b->shown && same(&a->extra, &b->extra) && same(&a->base, &b->base) &&
               a->link == b->link && etag_equal(&a->links->etag, &b->links->etag);
}

static void wake_at(struct rd *rd, uint64_t us)
{
        if (us >= rd->wake_us)
                return;
        rd->wake_us = us;
        if (resource_wake_at(rd->resource, us) < 0)
                log_error("resource directory: no timer; registrations do not end for now");
}

/* Observers are told outside of the handler. */
static void note_change(struct rd *rd)
{
        rd->generation++;
        rd->changed = true;
        wake_at(rd, 0);
}

static size_t index_of(const struct rd *rd, const struct rd_registration *registration)
{
        size_t i = 0;

        while (i < rd->n && rd->v[i] != registration)
                i++;
        return i;
}

int rd_set(struct rd *rd, struct rd_registration *old, struct rd_registration *registration)
{
        size_t i = old ? index_of(rd, old) : rd->n;

        if (!old) {
                struct rd_registration **v = reallocarray(rd->v, rd->n + 1, sizeof(struct rd_registration *));

                if (!v)
                        return -ENOMEM;
                rd->v = v;
                rd->n++;
        } else {
                rd->bytes -= old->links->size;
        }
        rd->v[i] = registration;
        rd->bytes += registration->links->size;
        registration->shown = registration->expires_us > rd_now_us();
        wake_at(rd, registration->expires_us + (registration->shown ? 0 : GRACE_US));
        if (!old || !looks_alike(old, registration))
                note_change(rd);
        rd_registration_free(old);
        return 0;
}

void rd_remove(struct rd *rd, struct rd_registration *registration)
{
        size_t i = index_of(rd, registration);

        memmove(&rd->v[i], &rd->v[i + 1], (rd->n - i - 1) * sizeof(rd->v[0]));
        rd->n--;
        rd->bytes -= registration->links->size;
        if (registration->shown)
                note_change(rd);
        rd_registration_free(registration);
}

/* It stays where the store refuses: a restart would bring it back, and then it goes. */
static void forget(struct rd *rd, struct rd_registration *registration)
{
        if (resource_unstore(rd->resource, span_of_string(registration->id)) == 0)
                rd_remove(rd, registration);
}

static bool fits(const struct rd *rd, uint64_t bytes)
{
        return rd->n < (size_t)rd->conf->max_registrations &&
               rd->bytes + bytes <= (uint64_t)rd->conf->max_total_size;
}

bool rd_has_room(struct rd *rd, uint64_t bytes, struct response *response)
{
        enum { RETRY_AFTER_S = 60 };

        for (size_t i = rd->n; i > 0 && !fits(rd, bytes); i--)
                if (rd->v[i - 1]->expires_us <= rd_now_us())
                        forget(rd, rd->v[i - 1]);
        if (fits(rd, bytes))
                return true;
        response_error(response, CODE_UNAVAILABLE, "the directory is full");
        response->max_age = RETRY_AFTER_S;
        return false;
}

/* --- the clock --- */

/* Returns when it is to be looked at again; 0: it is gone. */
static uint64_t look_at(struct rd *rd, struct rd_registration *registration, uint64_t now)
{
        if (registration->expires_us > now)
                return registration->expires_us;
        if (registration->shown) {
                registration->shown = false;
                note_change(rd);
        }
        if (registration->expires_us + GRACE_US > now)
                return registration->expires_us + GRACE_US;
        forget(rd, registration);
        return 0;
}

static void tell(struct rd *rd, const char *lookup)
{
        resource_below_changed(rd->resource, span_of_string(lookup));
}

static void rd_wake(void *self, uint64_t now_us)
{
        enum { AT_ONCE = 100, PAUSE_US = 10000 }; /* of those that go: each is a change of the store */
        struct rd *rd = self;
        uint64_t next = UINT64_MAX;
        size_t gone = 0, n = rd->n;

        for (size_t i = n; i > 0 && gone < AT_ONCE; i--) {
                uint64_t at = look_at(rd, rd->v[i - 1], now_us);

                gone += at == 0;
                next = MIN(next, at ? at : now_us + PAUSE_US);
        }
        if (rd->changed) {
                rd->changed = false;
                tell(rd, "lookup/res");
                tell(rd, "lookup/ep");
        }
        rd->wake_us = UINT64_MAX;
        if (rd->n > 0)
                wake_at(rd, MAX(next, now_us + PAUSE_US));
}

/* --- the kind --- */

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
                       "directory "
                       "is as it was when the same was looked up before.",
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

        if (names_lookup(request->rest, &which))
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
                response_error(response, CODE_METHOD_NOT_ALLOWED, "this can not be deleted");
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
        r = !old && !fits(rd, registration->links->size) ? -ENOSPC : rd_set(rd, old, registration);
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
               "the engine \"sqlite\". Simple registration (/.well-known/rd) is not offered.",
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
};
