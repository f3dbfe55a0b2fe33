/* SPDX-License-Identifier: BSD-2-Clause */
/* The targets of a proxy; see proxy_ways.h. */
#include "resources/proxy_ways.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "resources/proxy_internal.h"
#include "resources/uri_path.h"

static const char *scheme_of(const coap_uri_t *uri)
{
        switch (uri->scheme) {
        case COAP_URI_SCHEME_COAP:
                return "coap";
        case COAP_URI_SCHEME_COAPS:
                return "coaps";
        case COAP_URI_SCHEME_COAP_TCP:
                return "coap+tcp";
        case COAP_URI_SCHEME_COAPS_TCP:
                return "coaps+tcp";
        default:
                return NULL;
        }
}

bool way_spell(const coap_uri_t *uri, struct buf *scheme, struct buf *authority)
{
        bool six = memchr(uri->host.s, ':', uri->host.length);
        char port[8];

        if (!scheme_of(uri))
                return false;
        buf_append_string(scheme, scheme_of(uri));
        if (six)
                buf_append_byte(authority, '[');
        for (size_t i = 0; i < uri->host.length; i++)
                buf_append_byte(authority, (uint8_t)tolower(uri->host.s[i]));
        if (six)
                buf_append_byte(authority, ']');
        snprintf(port, sizeof port, ":%u", (unsigned)uri->port);
        buf_append_string(authority, port);
        return true;
}

/* --- one --- */

static void way_deinit(struct way *way)
{
        upstream_free(way->upstream);
        buf_deinit(&way->authority);
        buf_deinit(&way->allowed);
}

/* Fills in all but the upstream, and in *uri what that is told: the target without its path. */
static int read_way(const char *target, struct way *way, struct buf *uri)
{
        CLEANUP(buf_deinit) struct buf scheme = { 0 }, authority = { 0 }, path = { 0 };
        struct span options, value;
        unsigned number;
        coap_uri_t parsed;

        if (coap_split_uri((const uint8_t *)target, strlen(target), &parsed) < 0 ||
            !way_spell(&parsed, &scheme, &authority))
                return -EINVAL;
        buf_append_span(uri, buf_span(&scheme));
        buf_append_string(uri, "://");
        buf_append_span(uri, buf_span(&authority));
        buf_append_span(&way->authority, buf_span(&scheme));
        buf_append_byte(&way->authority, '/');
        uri_path_encode_segment(buf_span(&authority), &way->authority);
        buf_append_span(&way->allowed, buf_span(&way->authority));
        if (proxy_read_path(&parsed, &path) < 0)
                return -EINVAL;
        options = buf_span(&path);
        while (options_next(&options, &number, &value)) {
                buf_append_byte(&way->allowed, '/');
                uri_path_encode_segment(value, &way->allowed);
        }
        return buf_ok(uri) && buf_ok(&way->authority) && buf_ok(&way->allowed) ? 0 : -ENOMEM;
}

static int way_init(sd_event *event, const struct proxy_conf *conf, const char *target, struct way *way)
{
        CLEANUP(buf_deinit) struct buf uri = { 0 };
        struct proxy_conf one = *conf;
        int r = read_way(target, way, &uri);

        if (r < 0)
                return r;
        one.target = (char *)buf_string(&uri);
        one.targets = (struct conf_strings){ 0 };
        /* A location is the target's own, as its URI was asked for (RFC 7252, 5.10.7). */
        return upstream_new(event, &one, (struct span){ 0 }, &way->upstream);
}

/* --- all --- */

int ways_init(sd_event *event, const struct proxy_conf *conf, struct span own, struct ways *ret_ways)
{
        struct ways ways = { .n = conf->target ? 1 : conf->targets.n };
        int r = 0;

        ways.v = calloc(ways.n, sizeof *ways.v);
        if (!ways.v)
                return -ENOMEM;
        if (conf->target)
                r = upstream_new(event, conf, own, &ways.v[0].upstream);
        for (size_t i = 0; !conf->target && i < ways.n && r == 0; i++)
                r = way_init(event, conf, conf->targets.v[i], &ways.v[i]);
        if (r < 0) {
                ways_deinit(&ways);
                return r;
        }
        *ret_ways = ways;
        return 0;
}

void ways_deinit(struct ways *ways)
{
        for (size_t i = 0; i < ways->n && ways->v; i++)
                way_deinit(&ways->v[i]);
        free(ways->v);
        *ways = (struct ways){ 0 };
}

bool ways_same(const struct ways *a, const struct ways *b)
{
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (!span_equal(buf_span(&a->v[i].allowed), buf_span(&b->v[i].allowed)) ||
                    !upstream_same(a->v[i].upstream, b->v[i].upstream))
                        return false;
        return true;
}

void ways_adopt(struct ways *ways, const struct proxy_conf *conf)
{
        for (size_t i = 0; i < ways->n; i++)
                upstream_adopt(ways->v[i].upstream, conf);
}

/*
 * "." or "..", which no Uri-Path may be (RFC 7252, 5.10.1), and the target may take for a way out of its own path and
 * of what the access rules allow.
 */
static bool has_dots(struct span rest)
{
        while (rest.n > 0) {
                const uint8_t *slash = memchr(rest.p, '/', rest.n);
                size_t n = slash ? (size_t)(slash - rest.p) : rest.n;
                struct span segment = span_of(rest.p, n);

                if (span_equal(segment, span_of_string(".")) || span_equal(segment, span_of_string("..")))
                        return true;
                rest = span_skip(rest, n + (slash != NULL));
        }
        return false;
}

const struct way *ways_find(const struct ways *ways, struct span rest)
{
        for (size_t i = 0; i < ways->n; i++) {
                const struct way *way = &ways->v[i];

                if (way->authority.n == 0 || uri_path_below(rest, buf_span(&way->allowed)))
                        return has_dots(rest) ? NULL : way;
        }
        return NULL;
}
