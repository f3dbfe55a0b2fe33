/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of libcoap's contexts has which OSCORE context. For datagrams there are as many to choose from as there are
 * shards that never have streams, and the router brings each message to the right one.
 */
#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "security/oscore_internal.h"

#define SEQUENCE_AHEAD 64 /* numbers stored at once */

/* ---------------------------------------------------------------- one place */

static void append_hex(struct buf *text, const char *key, const uint8_t *p, size_t n)
{
        uint8_t *at;

        buf_printf(text, "%s,hex,\"", key);
        at = buf_reserve(text, 2 * n + 1);
        if (at) {
                identity_hex(p, n, (char *)at);
                text->n += 2 * n;
        }
        buf_append_string(text, "\"\n");
}

/* As coap-oscore-conf(5) has it. */
static void write_context(const struct oscore_context *context, struct buf *text)
{
        buf_printf(text, "rfc8613_b_1_2,bool,true\nrfc8613_b_2,bool,false\nssn_freq,integer,%d\n",
                   SEQUENCE_AHEAD);
        append_hex(text, "master_secret", context->secret.p, context->secret.n);
        if (context->salt.n)
                append_hex(text, "master_salt", context->salt.p, context->salt.n);
        if (context->id_context.n)
                append_hex(text, "id_context", context->id_context.p, context->id_context.n);
        append_hex(text, "sender_id", context->sender_id, context->sender_id_n);
        if (context->replay_window)
                buf_printf(text, "replay_window,integer,%u\n", context->replay_window);
        for (const struct oscore_recipient *r = context->recipients; r; r = r->next) {
                if (r->welcome)
                        append_hex(text, "recipient_id", r->id, r->id_n);
        }
}

static bool is_at(const struct oscore_context *context, size_t home)
{
        return oscore_streams_at(context, home) ||
               (context->datagrams.coap && context->datagrams.home == home);
}

int oscore_place_open(struct oscore_place *place, size_t home)
{
        struct oscore_context *context = place->context;
        const struct oscore *oscore = context->owner;
        struct buf text = { 0 };
        coap_oscore_conf_t *conf = NULL;
        int r = oscore_sequence_begin(place);

        if (r < 0)
                return r;
        place->home = home;
        place->first = true;
        for (size_t i = 0; i < oscore->n && place->first; i++)
                place->first = !oscore->contexts[i] || !is_at(oscore->contexts[i], home);
        write_context(context, &text);
        if (buf_ok(&text))
                conf = coap_new_oscore_conf((coap_str_const_t){ text.n, text.p }, oscore_sequence_save, place,
                                            place->next_own);
        if (!conf || !coap_context_oscore_server(oscore->shards.v[home], conf)) {
                log_error("%s:%u: libcoap does not take this OSCORE context", context->at.file,
                          context->at.line);
                r = -EINVAL;
        }
        if (r == 0)
                place->coap = oscore->shards.v[home];
        if (text.p)
                explicit_bzero(text.p, text.cap);
        buf_deinit(&text);
        return r;
}

/* ---------------------------------------------------------------- the choice */

/* How many contexts each place has. `closed`: one of them would be found for a recipient of `context`. */
static void survey(const struct oscore_context *context, unsigned count[SHARDS_MOST],
                   bool closed[SHARDS_MOST])
{
        const struct oscore *oscore = context->owner;

        for (size_t i = 0; i < oscore->n; i++) {
                const struct oscore_context *other = oscore->contexts[i];
                bool same = other && other != context && oscore_share_a_peer(other, context);

                if (!other || !other->datagrams.coap)
                        continue;
                closed[other->datagrams.home] |= same;
                count[other->datagrams.home]++;
        }
}

/* The one that has the fewest contexts, from `begin` to the last that is not closed; n where all are. */
static size_t choose(size_t begin, size_t n, const unsigned count[SHARDS_MOST],
                     const bool closed[SHARDS_MOST])
{
        size_t best = n;

        for (size_t i = begin; i < n; i++) {
                if (!closed[i] && (best == n || count[i] < count[best]))
                        best = i;
        }
        return best;
}

int oscore_places_open(struct oscore_context *context)
{
        const struct shards *shards = &context->owner->shards;
        unsigned count[SHARDS_MOST] = { 0 };
        bool closed[SHARDS_MOST] = { false };
        size_t n = shards->n, best;
        int r;

        survey(context, count, closed);
        best = choose(n - shards->n_protected, n, count, closed);
        if (best == n) /* among peers' shards then: better than not at all */
                best = choose(n == 1 ? 0 : shards_for_streams(n), n, count, closed);
        if (best == n)
                return -EBUSY;
        r = oscore_place_open(&context->datagrams, best);
        for (struct oscore_recipient *recipient = context->recipients; recipient; recipient = recipient->next)
                recipient->live = r == 0;
        return r;
}

bool oscore_place_add(const struct oscore_place *place, const struct oscore_recipient *recipient)
{
        coap_bin_const_t *id =
                place->coap && place->first ? coap_new_bin_const(recipient->id, recipient->id_n) : NULL;

        return id && coap_new_oscore_recipient(place->coap, id);
}

bool oscore_places_add(struct oscore_context *context, struct oscore_recipient *recipient)
{
        recipient->live = oscore_place_add(&context->datagrams, recipient);
        return recipient->live;
}

/* ---------------------------------------------------------------- the way there */

static int compare_spans(struct span a, struct span b)
{
        if (a.n != b.n)
                return a.n < b.n ? -1 : 1;
        return a.n ? memcmp(a.p, b.p, a.n) : 0;
}

static int compare_ids(const void *a, const void *b)
{
        const struct oscore_route *x = a, *y = b;
        int r = compare_spans(x->id_context, y->id_context);

        return r ? r : compare_spans(x->recipient_id, y->recipient_id);
}

/* Of two with the same ids the one that is in the config comes first. */
static int compare_routes(const void *a, const void *b)
{
        const struct oscore_route *x = a, *y = b;
        int r = compare_ids(a, b);

        return r ? r : y->recipient->welcome - x->recipient->welcome;
}

static size_t count_recipients(const struct oscore *oscore)
{
        size_t n = 0;

        for (size_t i = 0; i < oscore->n; i++) {
                for (const struct oscore_recipient *r = oscore->contexts[i]->recipients; r; r = r->next)
                        n++;
        }
        return n;
}

int oscore_index_routes(struct oscore *oscore)
{
        struct oscore_route *routes = calloc(count_recipients(oscore) + 1, sizeof(*routes));
        size_t n = 0, kept = 0;

        if (!routes)
                return -ENOMEM;
        for (size_t i = 0; i < oscore->n; i++) {
                const struct oscore_context *context = oscore->contexts[i];

                for (const struct oscore_recipient *r = context->recipients; r; r = r->next) {
                        if (r->live)
                                routes[n++] = (struct oscore_route){ span_of(context->id_context.p,
                                                                             context->id_context.n),
                                                                     span_of(r->id, r->id_n), context, r };
                }
        }
        qsort(routes, n, sizeof(*routes), compare_routes);
        for (size_t i = 0; i < n; i++) {
                if (kept == 0 || compare_ids(&routes[kept - 1], &routes[i]) != 0)
                        routes[kept++] = routes[i];
        }
        free(oscore->routes);
        oscore->routes = routes;
        oscore->n_routes = kept;
        return 0;
}

const struct oscore_route *oscore_route_find(const struct oscore *oscore, struct span recipient_id,
                                             struct span id_context)
{
        const struct oscore_route wanted = { .id_context = id_context, .recipient_id = recipient_id };

        return oscore->n_routes
                       ? bsearch(&wanted, oscore->routes, oscore->n_routes, sizeof(wanted), compare_ids)
                       : NULL;
}

size_t oscore_home_of(const struct oscore *oscore, struct span recipient_id, struct span id_context)
{
        const struct oscore_route *route = oscore_route_find(oscore, recipient_id, id_context);

        return route ? route->context->datagrams.home : 0;
}
