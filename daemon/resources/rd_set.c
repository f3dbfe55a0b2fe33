/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The registrations of a resource directory. Each lives until its lifetime is over, by the clock of the wall, so that a
 * restart neither lengthens nor shortens it.
 */
#include <errno.h>
#include <time.h>

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
        rd->wake_us = MIN(rd->wake_us, us);
        if (resource_wake_at(rd->resource, rd->wake_us) < 0)
                log_error("resource directory: no timer; registrations do not end for now");
}

void rd_wake_soon(struct rd *rd)
{
        wake_at(rd, 0);
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

/* Nobody refreshes a simple registration (RFC 9176, 5.1): it is made anew. */
static uint64_t grace_of(const struct rd_registration *registration)
{
        return registration->simple ? 0 : GRACE_US;
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
        wake_at(rd, registration->expires_us + (registration->shown ? 0 : grace_of(registration)));
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

bool rd_fits(const struct rd *rd, uint64_t bytes)
{
        return rd->n < (size_t)rd->conf->max_registrations &&
               rd->bytes + bytes <= (uint64_t)rd->conf->max_total_size;
}

bool rd_has_room(struct rd *rd, uint64_t bytes, struct response *response)
{
        enum { RETRY_AFTER_S = 60 };

        for (size_t i = rd->n; i > 0 && !rd_fits(rd, bytes); i--)
                if (rd->v[i - 1]->expires_us <= rd_now_us())
                        forget(rd, rd->v[i - 1]);
        if (rd_fits(rd, bytes))
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
        if (registration->expires_us + grace_of(registration) > now)
                return registration->expires_us + grace_of(registration);
        forget(rd, registration);
        return 0;
}

static void tell(struct rd *rd, const char *lookup)
{
        resource_below_changed(rd->resource, span_of_string(lookup));
}

void rd_wake(void *self, uint64_t now_us)
{
        enum { AT_ONCE = 100, PAUSE_US = 10000 }; /* of those that go: each is a change of the store */
        struct rd *rd = self;
        uint64_t next = UINT64_MAX;
        size_t gone = 0, n = rd->n;

        rd_simple_sweep(rd);
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
