/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams and DTLS: a session is in one libcoap context for good, and that has all OSCORE contexts of the config. When
 * one of these cannot be brought there, since libcoap would find another one first, or takes no recipient, all of them
 * are given to the next shard's as well, and sessions that are new begin there.
 */
#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "security/oscore_internal.h"

struct oscore_place *oscore_streams_at(const struct oscore_context *context, size_t home)
{
        struct oscore_place *place = context->streams;

        while (place && place->home != home)
                place = place->next;
        return place;
}

void oscore_streams_free(struct oscore_context *context)
{
        while (context->streams) {
                struct oscore_place *place = context->streams;

                context->streams = place->next;
                free(place);
        }
}

static bool is_there(const struct oscore_recipient *recipient, size_t home)
{
        return recipient->streams >> home & 1;
}

/* Whether libcoap could find another context's recipient for this one. */
static bool is_shadowed(const struct oscore_context *context, const struct oscore_recipient *recipient,
                        size_t home)
{
        const struct oscore *oscore = context->owner;
        struct span id = span_of(recipient->id, recipient->id_n);

        for (size_t i = 0; i < oscore->n; i++) {
                const struct oscore_context *other = oscore->contexts[i];

                if (other == context || !secrets_equal(&other->id_context, &context->id_context))
                        continue;
                for (const struct oscore_recipient *r = other->recipients; r; r = r->next) {
                        if (is_there(r, home) && span_equal(span_of(r->id, r->id_n), id))
                                return true;
                }
        }
        return false;
}

static bool fits(const struct oscore_context *context, const struct oscore_recipient *recipient, size_t home)
{
        const struct oscore_place *place = oscore_streams_at(context, home);

        return !is_shadowed(context, recipient, home) &&
               (!place || place->first || is_there(recipient, home));
}

static bool all_fit(const struct oscore *oscore, size_t home)
{
        for (size_t i = 0; i < oscore->n; i++) {
                const struct oscore_context *context = oscore->contexts[i];

                for (const struct oscore_recipient *r = context->recipients; r; r = r->next) {
                        if (r->welcome && !fits(context, r, home))
                                return false;
                }
        }
        return true;
}

static void warn(const struct oscore_context *context, const struct oscore_recipient *recipient)
{
        if (context->owner->has_streams)
                log_warning(
                        "%s:%u: OSCORE recipient \"%.*s\" is refused over DTLS, TCP and WebSocket until a "
                        "restart: there were more changes than an eighth of server.shards",
                        context->at.file, context->at.line, (int)(2 * recipient->id_n), recipient->name);
}

/* What does not fit is left out. */
static int open_new(struct oscore_context *context, size_t home)
{
        struct oscore_place *place;
        int r;

        for (const struct oscore_recipient *recipient = context->recipients; recipient;
             recipient = recipient->next) {
                if (!recipient->welcome || fits(context, recipient, home))
                        continue;
                warn(context, recipient);
                return 0;
        }
        place = calloc(1, sizeof(*place));
        if (!place)
                return -ENOMEM;
        *place = (struct oscore_place){ .context = context,
                                        .range = home % 2 ? OSCORE_STREAMS_TOO : OSCORE_STREAMS };
        r = oscore_place_open(place, home);
        if (r < 0) {
                free(place);
                return r;
        }
        place->next = context->streams;
        context->streams = place;
        for (struct oscore_recipient *recipient = context->recipients; recipient; recipient = recipient->next)
                recipient->streams |= recipient->welcome ? 1ULL << home : 0;
        return 0;
}

static int bring(struct oscore_context *context, size_t home)
{
        struct oscore_place *place = oscore_streams_at(context, home);
        bool any = false;

        for (struct oscore_recipient *r = context->recipients; r; r = r->next) {
                any |= r->welcome;
                if (!place || !r->welcome || is_there(r, home))
                        continue;
                if (fits(context, r, home) && oscore_place_add(place, r))
                        r->streams |= 1ULL << home;
                else
                        warn(context, r);
        }
        return any && !place ? open_new(context, home) : 0;
}

int oscore_streams_settle(struct oscore *oscore)
{
        size_t n = oscore->shards.n, home = oscore->streams;
        int r = 0;

        if (n == 1)
                return 0;
        if (oscore->has_streams && !all_fit(oscore, home) && home + 1 < shards_for_streams(n))
                home++;
        for (size_t i = 0; i < oscore->n && r == 0; i++)
                r = bring(oscore->contexts[i], home);
        if (home != oscore->streams)
                log_notice("OSCORE: clients over DTLS, TCP and WebSocket have the contexts of this reload "
                           "once they "
                           "connect anew");
        oscore->streams = home;
        return r;
}

size_t oscore_streams(const struct oscore *oscore)
{
        return oscore->streams;
}
