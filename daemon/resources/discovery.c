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
#include "resources/discovery_link.h"
#include "resources/internal.h"

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
                          const struct resource *resource, struct discovery_link *link, struct buf *list)
{
        for (const struct kind_link *one = resource->kind->links;; one++) {
                discovery_link_describe(link, resource, one);
                if (may(discovery, m, buf_span(&link->path), one ? one->method : METHOD_GET) &&
                    discovery_link_passes(link, &m->request))
                        discovery_link_append(link, list);
                if (!one || !one[1].rest)
                        return;
        }
}

static struct representation *make_list(struct discovery *discovery, const struct message *m)
{
        CLEANUP(buf_deinit) struct buf list = { 0 };
        CLEANUP(discovery_link_deinit) struct discovery_link link = { 0 };

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
