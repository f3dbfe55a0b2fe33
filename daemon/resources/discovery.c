/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * /.well-known/core (RFC 6690): links to all resources that the peer may GET, filtered by the query.
 *
 * A list that goes out block by block is made once and remembered for the session that fetches it, since the
 * blocks are cut from one representation.
 */
#include <errno.h>

#include "base/content_format.h"
#include "base/log.h"
#include "resources/internal.h"
#include "resources/link_format.h"
#include "resources/uri_path.h"

enum { REMEMBERED = 8 };

struct remembered {
        const coap_session_t *session;
        uint64_t sender;
        uint64_t generation;
        struct buf query;
        struct representation *list;
};

struct discovery {
        struct registry *registry;
        uint64_t generation;
        struct remembered remembered[REMEMBERED];
        size_t next; /* the slot to be used next */
};

/* --- one link --- */

/* An attribute of a link: the value as it is compared with a filter, unquoted. */
struct attribute {
        const char *name;
        struct buf value;
        bool flag;   /* stands without a value: obs */
        bool number; /* stands without quotes: sz, a single ct */
};

enum { RT, IF, TITLE, CT, SZ, OBS, ATTRIBUTES };

struct link {
        const struct resource *resource;
        struct buf path;
        struct attribute attributes[ATTRIBUTES];
};

static void join_words(struct buf *out, const struct conf_strings *words)
{
        for (size_t i = 0; i < words->n; i++)
                buf_printf(out, i ? " %s" : "%s", words->v[i]);
}

static void describe_formats(struct link *link)
{
        const struct resource *resource = link->resource;
        struct attribute *ct = &link->attributes[CT];
        int formats[MAX_FORMATS];
        size_t n =
                resource->kind->formats ? resource->kind->formats(resource->self, formats, MAX_FORMATS) : 0;

        for (size_t i = 0; i < n; i++)
                buf_printf(&ct->value, i ? " %d" : "%d", formats[i]);
        ct->number = n == 1;
}

static void describe_configured(struct link *link)
{
        const struct resource *resource = link->resource;
        const struct conf_resource *conf = resource->conf;

        join_words(&link->attributes[RT].value, &conf->resource_types);
        if (conf->resource_types.n == 0 && resource->kind->resource_type)
                buf_append_string(&link->attributes[RT].value, resource->kind->resource_type);
        join_words(&link->attributes[IF].value, &conf->interfaces);
        if (conf->title)
                buf_append_string(&link->attributes[TITLE].value, conf->title);
        link->attributes[OBS].flag = conf->observable;
}

static void append_word(struct buf *out, struct span word)
{
        if (out->n > 0)
                buf_append_byte(out, ' ');
        buf_append_span(out, word);
}

/* What a client has called it: "rt=light&title=Lamp". */
static void describe_dynamic(struct link *link)
{
        struct span rest = dynamic_attributes(link->resource->self);

        while (rest.n > 0) {
                struct span one = span_cut(&rest, '&');

                for (int i = RT; i <= TITLE; i++) {
                        struct span name = span_of_string(link->attributes[i].name);

                        if (one.n > name.n && span_starts_with(one, name) && one.p[name.n] == '=')
                                append_word(&link->attributes[i].value, span_skip(one, name.n + 1));
                }
        }
        link->attributes[OBS].flag = true;
}

/* One of the links of a kind that has several. */
static void describe_link(struct link *link, const struct kind_link *one)
{
        struct buf *rt = &link->attributes[RT].value;

        if (*one->rest) {
                buf_append_byte(&link->path, '/');
                buf_append_string(&link->path, one->rest);
                buf_reset(rt);
                buf_reset(&link->attributes[IF].value);
                buf_reset(&link->attributes[TITLE].value);
        }
        if (rt->n == 0)
                buf_append_string(rt, one->resource_type);
        link->attributes[OBS].flag &= one->observable;
}

static void describe(const struct resource *resource, const struct kind_link *one, struct link *link)
{
        static const char *const names[] = { "rt", "if", "title", "ct", "sz", "obs" };
        uint64_t size = resource->kind->size ? resource->kind->size(resource->self) : 0;

        link->resource = resource;
        buf_reset(&link->path);
        buf_append_string(&link->path, resource->path);
        for (int i = 0; i < ATTRIBUTES; i++) {
                buf_reset(&link->attributes[i].value);
                link->attributes[i].name = names[i];
                link->attributes[i].flag = link->attributes[i].number = false;
        }
        if (resource->conf)
                describe_configured(link);
        else
                describe_dynamic(link);
        describe_formats(link);
        if (size > 0)
                buf_printf(&link->attributes[SZ].value, "%llu", (unsigned long long)size);
        link->attributes[SZ].number = true;
        if (one)
                describe_link(link, one);
}

static void link_deinit(struct link *link)
{
        buf_deinit(&link->path);
        for (int i = 0; i < ATTRIBUTES; i++)
                buf_deinit(&link->attributes[i].value);
}

static void append_link(struct buf *out, const struct link *link)
{
        buf_append_string(out, out->n ? ",</" : "</");
        buf_append_span(out, buf_span(&link->path));
        buf_append_byte(out, '>');
        for (int i = 0; i < ATTRIBUTES; i++) {
                const struct attribute *a = &link->attributes[i];

                if (a->flag) {
                        buf_printf(out, ";%s", a->name);
                } else if (a->value.n > 0) {
                        buf_printf(out, ";%s=", a->name);
                        if (a->number)
                                buf_append_span(out, buf_span(&a->value));
                        else
                                link_append_quoted(out, buf_span(&a->value));
                }
        }
}

/* --- filters: RFC 6690, 4.1 --- */

/* Spelled as in the link, or as a client's URI parser leaves it, which decodes a query before it is an option. */
static bool matches_path(struct span path, struct span pattern)
{
        CLEANUP(buf_deinit) struct buf encoded = { 0 };

        if (pattern.n > 0 && pattern.p[0] == '/')
                pattern = span_skip(pattern, 1);
        uri_path_encode(pattern, &encoded);
        return link_matches(path, pattern) || link_matches(path, buf_span(&encoded));
}

static bool passes_one(const struct link *link, struct span name, struct span pattern, bool has_pattern)
{
        if (span_equal_string(name, "href"))
                return matches_path(buf_span(&link->path), pattern);
        for (int i = 0; i < ATTRIBUTES; i++) {
                const struct attribute *a = &link->attributes[i];

                if (!span_equal_string(name, a->name))
                        continue;
                /* Without the attribute not even "*" matches. */
                if (a->flag || !has_pattern || a->value.n == 0)
                        return a->flag || a->value.n > 0;
                return i == TITLE ? link_matches(buf_span(&a->value), pattern)
                                  : link_matches_word(buf_span(&a->value), pattern);
        }
        return false;
}

static bool passes(const struct link *link, const struct request *request)
{
        for (size_t i = 0; i < request->n_queries; i++) {
                struct span pattern = request->queries[i];
                size_t n = pattern.n;
                struct span name = span_cut(&pattern, '=');

                if (!passes_one(link, name, pattern, name.n < n))
                        return false;
        }
        return true;
}

/* --- the list --- */

static bool visible(const struct message *m, const struct resource *resource)
{
        if (resource->gone || !resource->self || (resource->conf && resource->conf->hidden))
                return false;
        return hosts_include(resource->conf, m->host);
}

static bool may(struct discovery *discovery, const struct message *m, struct span path, enum method method)
{
        const struct registry_host *host = &discovery->registry->host;

        return host->authorize(host->user, m->session, path, operation_of_method(method)) == 0;
}

static void list_resource(struct discovery *discovery, const struct message *m,
                          const struct resource *resource, struct link *link, struct buf *list)
{
        for (const struct kind_link *one = resource->kind->links;; one++) {
                describe(resource, one, link);
                if (may(discovery, m, buf_span(&link->path), one ? one->method : METHOD_GET) &&
                    passes(link, &m->request))
                        append_link(list, link);
                if (!one || !one[1].rest)
                        return;
        }
}

static struct representation *make_list(struct discovery *discovery, const struct message *m)
{
        CLEANUP(buf_deinit) struct buf list = { 0 };
        CLEANUP(link_deinit) struct link link = { 0 };

        for (const struct resource *r = discovery->registry->first; r; r = r->next) {
                if (visible(m, r))
                        list_resource(discovery, m, r, &link, &list);
        }
        return buf_ok(&list) ? representation_new(buf_span(&list), CONTENT_FORMAT_LINK_FORMAT) : NULL;
}

static void join_queries(const struct message *m, struct buf *out)
{
        const struct request *request = &m->request;

        buf_append_string(out, m->host ? m->host : "");
        buf_append_byte(out, '?');
        for (size_t i = 0; i < request->n_queries; i++) {
                buf_append_span(out, request->queries[i]);
                buf_append_byte(out, '&');
        }
}

static struct remembered *find_remembered(struct discovery *discovery, const struct message *m,
                                          struct span query)
{
        for (size_t i = 0; i < REMEMBERED; i++) {
                struct remembered *slot = &discovery->remembered[i];

                if (slot->list && slot->session == m->session && slot->sender == m->sender &&
                    span_equal(buf_span(&slot->query), query))
                        return slot;
        }
        return NULL;
}

/* In the middle of a transfer an older list is right: its ETag tells it from a new one. */
static bool is_good_for(const struct discovery *discovery, const struct remembered *slot,
                        const struct message *m)
{
        return slot->generation == discovery->generation || (m->has_block2 && m->block2.num > 0);
}

static struct representation *list_for(struct discovery *discovery, const struct message *m)
{
        CLEANUP(buf_deinit) struct buf query = { 0 };
        struct remembered *slot;
        struct representation *list;

        join_queries(m, &query);
        slot = find_remembered(discovery, m, buf_span(&query));
        if (slot && is_good_for(discovery, slot, m))
                return representation_ref(slot->list);
        list = make_list(discovery, m);
        if (!list)
                return NULL;
        /* One list for a session and a query, so that the blocks that follow are those of the newest. */
        if (!slot)
                slot = &discovery->remembered[discovery->next++ % REMEMBERED];
        representation_unref(slot->list);
        buf_deinit(&slot->query);
        *slot = (struct remembered){
                .session = m->session,
                .sender = m->sender,
                .generation = discovery->generation,
                .query = query,
                .list = representation_ref(list),
        };
        query = (struct buf){ 0 };
        return list;
}

void discovery_get(struct discovery *discovery, const struct message *m, struct response *response)
{
        response->content = list_for(discovery, m);
        if (!response->content) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        response->code = CODE_CONTENT;
}

void discovery_changed(struct discovery *discovery)
{
        if (discovery)
                discovery->generation++;
}

void discovery_forget(struct discovery *discovery, const coap_session_t *session)
{
        for (size_t i = 0; i < REMEMBERED; i++) {
                struct remembered *slot = &discovery->remembered[i];

                if (slot->session != session)
                        continue;
                representation_unref(slot->list);
                buf_deinit(&slot->query);
                *slot = (struct remembered){ 0 };
        }
}

static int add_handle(struct registry *registry, coap_context_t *context)
{
        coap_resource_t *handle = coap_resource_init(coap_make_str_const(".well-known/core"), 0);

        if (!handle)
                return -ENOMEM;
        coap_register_request_handler(handle, COAP_REQUEST_GET, serve_discovery);
        coap_resource_set_userdata(handle, registry);
        coap_add_resource(context, handle);
        return 0;
}

int discovery_new(struct registry *registry, struct discovery **ret_discovery)
{
        struct discovery *discovery = calloc(1, sizeof *discovery);
        const struct shards *shards = &registry->host.shards;
        int r = discovery ? 0 : -ENOMEM;

        for (size_t i = 0; i < shards->n && r == 0; i++)
                r = add_handle(registry, shards->v[i]);
        if (r < 0) {
                free(discovery);
                return r;
        }
        discovery->registry = registry;
        *ret_discovery = discovery;
        return 0;
}

void discovery_free(struct discovery *discovery)
{
        if (!discovery)
                return;
        for (size_t i = 0; i < REMEMBERED; i++) {
                representation_unref(discovery->remembered[i].list);
                buf_deinit(&discovery->remembered[i].query);
        }
        free(discovery);
}
