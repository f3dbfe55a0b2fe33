/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clients ask of a resource directory (RFC 9176, 6): the links that endpoints registered, with targets and anchors
 * resolved, and the endpoints themselves, filtered and in pages. The newest results are kept while the directory does
 * not change, for observers and for those that fetch block by block.
 */
#include <errno.h>

#include "base/content_format.h"
#include "resources/link_format.h"
#include "resources/rd.h"
#include "resources/uri_reference.h"

enum { CACHED = 8, MAX_RESULT = 1 << 20 };

struct rd_lookup_cache {
        struct cached {
                uint64_t generation;
                struct buf key;
                struct representation *result;
        } v[CACHED];
        size_t next;
};

struct criterion {
        struct span name, pattern;
        bool has_pattern;
};

struct search {
        const struct rd *rd;
        enum rd_lookup which;
        unsigned link; /* what is on it alone is shown to those who are */
        struct criterion v[MAX_QUERIES];
        size_t n;
        uint64_t page, count; /* count: UINT64_MAX for all */
        uint64_t found;
        struct buf target, anchor, scratch; /* of the link that is looked at */
        struct buf *out;
};

/* --- what is asked --- */

static bool read_number(struct span value, uint64_t *ret_number)
{
        uint64_t number = 0;

        if (value.n == 0 || value.n > 9)
                return false;
        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] < '0' || value.p[i] > '9')
                        return false;
                number = number * 10 + (uint64_t)(value.p[i] - '0');
        }
        *ret_number = number;
        return true;
}

static bool read_search(struct search *search, const struct request *request, struct response *response)
{
        bool has_page = false, has_count = false;

        search->count = UINT64_MAX;
        for (size_t i = 0; i < request->n_queries; i++) {
                struct span query = request->queries[i];
                const uint8_t *equals = query.n ? memchr(query.p, '=', query.n) : NULL;
                struct criterion one = { .has_pattern = equals != NULL };
                bool *has;

                one.name = span_of(query.p, equals ? (size_t)(equals - query.p) : query.n);
                one.pattern = span_skip(query, one.name.n + 1);
                has = span_equal_string(one.name, "page")    ? &has_page
                      : span_equal_string(one.name, "count") ? &has_count
                                                             : NULL;
                if (!has) {
                        search->v[search->n++] = one;
                        continue;
                }
                if (*has || !read_number(one.pattern, has == &has_page ? &search->page : &search->count)) {
                        response_error(response, CODE_BAD_REQUEST,
                                       "page and count are numbers, each given once");
                        return false;
                }
                *has = true;
        }
        if (has_page && !has_count) {
                response_error(response, CODE_BAD_REQUEST, "page needs count");
                return false;
        }
        return true;
}

/* --- what fits --- */

static bool fits(const struct criterion *criterion, struct span value)
{
        return !criterion->has_pattern || link_matches(value, criterion->pattern);
}

/* RFC 6690, 2: relation-types; and lists of numbers. */
static bool is_list(struct span name)
{
        static const char *const lists[] = { "rt", "if", "rel", "rev", "ct" };

        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
                if (span_equal_string(name, lists[i]))
                        return true;
        return false;
}

static bool endpoint_fits(struct search *search, const struct rd_registration *registration,
                          const struct criterion *criterion)
{
        struct span rest = buf_span(&registration->extra), name, value;
        bool has_value;

        if (span_equal_string(criterion->name, "ep"))
                return fits(criterion, buf_span(&registration->endpoint));
        if (span_equal_string(criterion->name, "d"))
                return registration->sector.n > 0 && fits(criterion, buf_span(&registration->sector));
        if (span_equal_string(criterion->name, "base"))
                return fits(criterion, buf_span(&registration->base));
        if (span_equal_string(criterion->name, "rt"))
                return fits(criterion, SPAN_LITERAL("core.rd-ep"));
        if (span_equal_string(criterion->name, "href")) {
                buf_reset(&search->scratch);
                buf_printf(&search->scratch, "/%s/%s", resource_path(search->rd->resource), registration->id);
                return fits(criterion, buf_span(&search->scratch));
        }
        while (rd_extra_next(&rest, &name, &value, &has_value))
                if (span_equal(name, criterion->name) && fits(criterion, value))
                        return true;
        return false;
}

/* Target and anchor are resolved into the search. */
static bool link_fits(struct search *search, const struct link_value *link, const struct criterion *criterion)
{
        struct span rest = link->parameters;
        struct link_parameter parameter;

        if (span_equal_string(criterion->name, "href"))
                return fits(criterion, buf_span(&search->target));
        if (span_equal_string(criterion->name, "anchor"))
                return fits(criterion, buf_span(&search->anchor));
        while (link_parameter_next(&rest, &parameter) > 0) {
                struct span value;

                if (!span_equal(parameter.name, criterion->name))
                        continue;
                value = link_parameter_value(&parameter, &search->scratch);
                if (fits(criterion, value) ||
                    (is_list(criterion->name) && link_matches_word(value, criterion->pattern)))
                        return true;
        }
        return false;
}

static int resolve(struct search *search, const struct rd_registration *registration,
                   const struct link_value *link)
{
        struct span base = buf_span(&registration->base), rest = link->parameters, anchor = { 0 };
        struct link_parameter parameter;
        int r;

        buf_reset(&search->target);
        buf_reset(&search->anchor);
        while (link_parameter_next(&rest, &parameter) > 0)
                if (span_equal_string(parameter.name, "anchor"))
                        anchor = link_parameter_value(&parameter, &search->scratch);
        if (anchor.n == 0) { /* the base itself is the anchor, as it was given */
                buf_append_span(&search->anchor, base);
                r = 0;
        } else {
                r = uri_resolve(base, anchor, &search->anchor);
        }
        return r < 0 ? r : uri_resolve(base, link->target, &search->target);
}

/* --- what is found --- */

/* Whether the one that was found now belongs to the page. */
static bool on_page(struct search *search)
{
        uint64_t at = search->found++;

        return search->count == UINT64_MAX || (search->count > 0 && at / search->count == search->page);
}

static void write_attribute(struct buf *out, const char *name, struct span value)
{
        buf_printf(out, ";%s=", name);
        link_append_quoted(out, value);
}

static void write_endpoint(struct search *search, const struct rd_registration *registration)
{
        struct span rest = buf_span(&registration->extra), name, value;
        struct buf *out = search->out;
        bool has_value;

        buf_printf(out, "%s</%s/%s>", out->n ? "," : "", resource_path(search->rd->resource),
                   registration->id);
        write_attribute(out, "ep", buf_span(&registration->endpoint));
        if (registration->sector.n > 0)
                write_attribute(out, "d", buf_span(&registration->sector));
        write_attribute(out, "base", buf_span(&registration->base));
        while (rd_extra_next(&rest, &name, &value, &has_value)) {
                buf_append_byte(out, ';');
                buf_append_span(out, name);
                if (has_value) {
                        buf_append_byte(out, '=');
                        link_append_quoted(out, value);
                }
        }
        write_attribute(out, "rt", SPAN_LITERAL("core.rd-ep"));
}

static void write_link(struct search *search, const struct link_value *link)
{
        struct span rest = link->parameters;
        struct link_parameter parameter;
        struct buf *out = search->out;

        buf_append_string(out, out->n ? ",<" : "<");
        buf_append_span(out, buf_span(&search->target));
        buf_append_byte(out, '>');
        while (link_parameter_next(&rest, &parameter) > 0) {
                if (span_equal_string(parameter.name, "anchor"))
                        continue;
                buf_append_byte(out, ';');
                buf_append_span(out, parameter.whole);
        }
        write_attribute(out, "anchor", buf_span(&search->anchor));
}

static void look_for_links(struct search *search, const struct rd_registration *registration)
{
        struct span links = span_of(registration->links->data, (size_t)registration->links->size);
        struct link_value link;

        while (link_next(&links, &link) > 0) {
                bool all = resolve(search, registration, &link) == 0;

                for (size_t i = 0; all && i < search->n; i++)
                        all = link_fits(search, &link, &search->v[i]) ||
                              endpoint_fits(search, registration, &search->v[i]);
                if (all && on_page(search))
                        write_link(search, &link);
        }
}

static bool any_link_fits(struct search *search, const struct rd_registration *registration,
                          const struct criterion *criterion)
{
        struct span links = span_of(registration->links->data, (size_t)registration->links->size);
        struct link_value link;

        while (link_next(&links, &link) > 0)
                if (resolve(search, registration, &link) == 0 && link_fits(search, &link, criterion))
                        return true;
        return false;
}

static void look_for_endpoint(struct search *search, const struct rd_registration *registration)
{
        for (size_t i = 0; i < search->n; i++)
                if (!endpoint_fits(search, registration, &search->v[i]) &&
                    !any_link_fits(search, registration, &search->v[i]))
                        return;
        if (on_page(search))
                write_endpoint(search, registration);
}

static void look(struct search *search)
{
        for (size_t i = 0; i < search->rd->n && search->out->n <= MAX_RESULT; i++) {
                const struct rd_registration *registration = search->rd->v[i];

                if (!registration->shown || (registration->link && registration->link != search->link))
                        continue;
                if (search->which == RD_LOOKUP_EP)
                        look_for_endpoint(search, registration);
                else
                        look_for_links(search, registration);
        }
        buf_deinit(&search->target);
        buf_deinit(&search->anchor);
        buf_deinit(&search->scratch);
}

/* --- and what was found before --- */

static void write_key(const struct search *search, const struct request *request, struct buf *out)
{
        buf_printf(out, "%d %u", search->which, search->link);
        for (size_t i = 0; i < request->n_queries; i++) {
                buf_printf(out, "&%zu:", request->queries[i].n);
                buf_append_span(out, request->queries[i]);
        }
}

static struct representation *find_cached(const struct rd *rd, struct span key)
{
        for (size_t i = 0; rd->cache && i < CACHED; i++) {
                const struct cached *one = &rd->cache->v[i];

                if (one->result && one->generation == rd->generation && span_equal(buf_span(&one->key), key))
                        return one->result;
        }
        return NULL;
}

/* Takes `key` over. Without memory nothing is kept. */
static void keep(struct rd *rd, struct buf *key, struct representation *result)
{
        struct cached *one;

        if (!rd->cache)
                rd->cache = calloc(1, sizeof *rd->cache);
        if (!rd->cache || !buf_ok(key))
                return;
        one = &rd->cache->v[rd->cache->next++ % CACHED];
        buf_deinit(&one->key);
        representation_unref(one->result);
        *one = (struct cached){ rd->generation, *key, representation_ref(result) };
        *key = (struct buf){ 0 };
}

void rd_lookup_cache_free(struct rd_lookup_cache *cache)
{
        for (size_t i = 0; cache && i < CACHED; i++) {
                buf_deinit(&cache->v[i].key);
                representation_unref(cache->v[i].result);
        }
        free(cache);
}

void rd_lookup(struct rd *rd, enum rd_lookup which, const struct request *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf out = { 0 };
        CLEANUP(buf_deinit) struct buf key = { 0 };
        struct search search = { .rd = rd, .which = which, .link = request_peer_link(request), .out = &out };
        struct representation *result;

        if (!read_search(&search, request, response))
                return;
        write_key(&search, request, &key);
        result = representation_ref(find_cached(rd, buf_span(&key)));
        if (!result) {
                look(&search);
                if (out.n > MAX_RESULT) {
                        response_error(response, CODE_BAD_REQUEST,
                                       "more than %d bytes of links, ask in pages", MAX_RESULT);
                        return;
                }
                result = buf_ok(&out) ? representation_new(buf_span(&out), CONTENT_FORMAT_LINK_FORMAT) : NULL;
                if (result)
                        keep(rd, &key, result);
        }
        if (!result) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        response->code = CODE_CONTENT;
        response->content = result;
}
