/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `proxy`: requests below a path go to another server, and its answers come back (a reverse proxy, RFC 7252,
 * 5.7.3). Here the requests for content; those that change something are in proxy_pass.c, what is kept of the answers
 * in proxy_cache.c, observations in proxy_observe.c, the targets in proxy_ways.c, the session with each in
 * proxy_upstream.c, beginning, reload and end in proxy_life.c.
 */
#include "resources/proxy.h"

#include <errno.h>
#include <string.h>

#include "resources/proxy_options.h"

/* The exchange's own time limit comes first, and says more. */
enum { US_PER_S = 1000000, SLACK_S = 5 };

uint64_t proxy_time_limit(const struct proxy *proxy)
{
        return (uint64_t)(proxy->conf->timeout + SLACK_S) * US_PER_S;
}

static const char no_way[] = "the configuration names no such target";

static unsigned options_for(const struct proxy *proxy, const struct way *way, const struct request *request,
                            struct buf *options)
{
        return options_of_request(request->message->pdu, proxy->n_own, upstream_base(way->upstream),
                                  upstream_host(way->upstream), options);
}

/* --- answers from the cache, or for it --- */

static void waiter_ended(void *user)
{
        struct waiter *waiter = user;

        waiter->pending = NULL;
}

void entry_answer_waiters(struct entry *entry)
{
        struct waiter *waiter;

        /* libcoap counts who wants to observe only when it hands the request in again: until then it is not over. */
        if (entry->waiters)
                entry->told_us = proxy_now(entry->proxy);
        while ((waiter = entry->waiters)) {
                struct response response = { .max_age = -1 };

                entry->waiters = waiter->next;
                entry_answer(entry, &response);
                if (waiter->pending)
                        request_answer(waiter->pending, &response);
                representation_unref(response.content);
                free(waiter);
        }
}

static bool same_content(const struct representation *a, const struct representation *b)
{
        return a && b && a->content_format == b->content_format && etag_equal(&a->etag, &b->etag) &&
               span_equal(span_of(a->data, a->size), span_of(b->data, b->size));
}

static void entry_answered(void *user, const struct upstream_answer *answer)
{
        struct entry *entry = user;
        struct proxy *proxy = entry->proxy;
        CLEANUP(representation_unrefp)
        struct representation *before = entry->content ? representation_ref(entry->content) : NULL;
        uint8_t code = entry->code;

        entry->asking = false;
        entry->observed = answer->observed;
        if ((code == CODE_CONTENT || entry->returning) && answer->diagnostic && entry->wanted &&
            entry_try_again(entry))
                return;
        entry_take(entry, answer);
        if (answer->code >> 5 == 2)
                entry->failures = 0;
        if (!entry->wanted)
                exchange_end(TAKE(entry->exchange));
        entry_answer_waiters(entry);
        if (entry->wanted && (code || entry->returning) &&
            (code != entry->code || !same_content(before, entry->content)))
                entry_changed(entry);
        cache_trim(proxy);
}

void entry_ask(struct entry *entry)
{
        const struct way *way = ways_find(&entry->proxy->ways, buf_span(&entry->rest));
        const struct upstream_answer nowhere = { .code = CODE_PROXYING_NOT_SUPPORTED,
                                                 .content_format = -1,
                                                 .diagnostic = no_way };
        struct etag etag = entry->content ? entry->content->etag : (struct etag){ 0 };
        const struct upstream_request request = {
                .method = entry->method,
                .options = buf_span(&entry->options),
                .body = buf_span(&entry->body),
                .observe = entry->wanted,
                .etag = etag,
                .answered = entry_answered,
                .user = entry,
        };

        if (!way) {
                entry_take(entry, &nowhere);
                return;
        }
        entry->asking = true;
        if (entry->exchange && entry->exchange_observes == entry->wanted) {
                exchange_again(entry->exchange, &etag);
                return;
        }
        exchange_end(entry->exchange);
        entry->exchange_observes = entry->wanted;
        entry->exchange = upstream_ask(way->upstream, &request);
        if (!entry->exchange)
                entry->asking = false;
}

static struct entry *entry_of(struct proxy *proxy, const struct way *way, const struct request *request,
                              struct span options)
{
        CLEANUP(buf_deinit) struct buf key = { 0 };
        struct entry *entry;

        buf_append_span(&key, buf_span(&way->authority));
        options_write_key(request->method, options, request->body, &key);
        if (!buf_ok(&key))
                return NULL;
        entry = entry_find(proxy, buf_span(&key));
        if (entry) {
                entry_use(entry);
                return entry;
        }
        entry = entry_new(proxy, buf_span(&key));
        if (!entry)
                return NULL;
        entry->method = request->method;
        buf_append_span(&entry->options, options);
        buf_append_span(&entry->body, request->body);
        buf_append_span(&entry->rest, request->rest);
        if (buf_ok(&entry->options) && buf_ok(&entry->body) && buf_ok(&entry->rest))
                return entry;
        entry_free(entry);
        return NULL;
}

static bool answer_at_once(const struct entry *entry, const struct request *request)
{
        if (entry->wanted && entry->code == CODE_CONTENT && (!entry->asking || !entry->waiters))
                return true;
        return !request->observe && entry_is_fresh(entry);
}

static void wait_for_entry(struct entry *entry, const struct request *request, struct response *response)
{
        struct proxy *proxy = entry->proxy;
        struct waiter *waiter = calloc(1, sizeof *waiter);
        const struct wait wait = { .most_us = proxy_time_limit(proxy),
                                   .ended = waiter_ended,
                                   .user = waiter };

        if (waiter)
                waiter->pending = resource_answer_later(proxy->resource, request, response, &wait);
        if (!waiter || !waiter->pending) {
                free(waiter);
                /* To a notification what was there last is better than an error, which would end the observation. */
                if (entry->code)
                        entry_answer(entry, response);
                return;
        }
        waiter->next = entry->waiters;
        entry->waiters = waiter;
        if (request->observe && !entry->wanted)
                entry_want(entry);
        if (!entry->asking || entry->exchange_observes != entry->wanted)
                entry_ask(entry);
        if (entry->asking)
                return;
        entry_answer_waiters(entry); /* 5.00: no memory */
}

static void fetch(struct proxy *proxy, const struct way *way, const struct request *request,
                  struct span options, struct response *response)
{
        struct entry *entry = entry_of(proxy, way, request, options);

        if (!entry) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        entry->asked |= request->observe;
        if (answer_at_once(entry, request))
                entry_answer(entry, response);
        else
                wait_for_entry(entry, request, response);
        cache_trim(proxy);
}

/* As if the client asked now, but that nobody waits for the answer. */
static void proxy_observer_returns(void *self, const struct request *request)
{
        CLEANUP(buf_deinit) struct buf options = { 0 };
        struct proxy *proxy = self;
        const struct way *way = ways_find(&proxy->ways, request->rest);
        struct entry *entry;

        if (!way || options_for(proxy, way, request, &options) || !buf_ok(&options))
                return;
        entry = entry_of(proxy, way, request, buf_span(&options));
        if (!entry || entry->wanted)
                return;
        entry_want(entry);
        entry->returning = true;
        entry_ask(entry);
}

/* --- requests --- */

static void proxy_handle(void *self, const struct request *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf options = { 0 };
        struct proxy *proxy = self;
        const struct way *way = ways_find(&proxy->ways, request->rest);
        unsigned refused;

        if (!request->message) {
                response_error(response, CODE_UNAVAILABLE, "another server has it");
                return;
        }
        if (!way && proxy->conf->target) {
                response_error(response, CODE_BAD_OPTION, "Uri-Path is one dot or two");
                return;
        }
        if (!way) {
                response_error(response, CODE_PROXYING_NOT_SUPPORTED, "%s", no_way);
                return;
        }
        refused = options_for(proxy, way, request, &options);
        if (refused)
                response_error(response, CODE_BAD_OPTION, "option %u cannot be passed on", refused);
        else if (!buf_ok(&options))
                response_error(response, CODE_UNAVAILABLE, "out of memory");
        else if (request->method == METHOD_GET || request->method == METHOD_FETCH)
                fetch(proxy, way, request, buf_span(&options), response);
        else
                proxy_pass(proxy, way, request, buf_span(&options), response);
}

/* --- the kind --- */

static size_t proxy_max_body(void *self)
{
        const struct proxy *proxy = self;

        return (size_t)proxy->conf->max_size;
}

static bool proxy_forwards(const void *fields)
{
        const struct proxy_conf *conf = fields;

        return !conf->target;
}

static bool proxy_has_way(void *self, struct span rest)
{
        const struct proxy *proxy = self;

        return ways_find(&proxy->ways, rest) != NULL;
}

const struct kind kind_proxy = {
        .name = "proxy",
        .doc = "Another CoAP server: requests for this path and all below it go there, with all of their methods, "
               "options and bodies, and its answers come back. The access rules are asked here, and it sees "
               "coapd alone. Answers with a Max-Age are kept for so long. There is one observation there for all "
               "that observe here; it is renewed when what came last is not fresh any more, and begun again after "
               "a restart. A server that cannot be reached is answered for with 5.02, one that does not answer "
               "with 5.04, and requests that go round in a circle end in 5.08. OSCORE and (D)TLS end at coapd. "
               "With targets instead of target it is a forward proxy (RFC 7252, 5.7.2): requests with Proxy-Uri "
               "or Proxy-Scheme go to those of them that they name, and are to the access rules requests for its "
               "path and SCHEME/HOST:PORT/PATH below it, such as /forward/coap/192.0.2.1:5683/sensors. Of several "
               "such resources the first one that names the target has them. Where none does they are answered "
               "5.05.",
        .rows = proxy_rows,
        .n_rows = PROXY_ROWS,
        .conf_size = sizeof(struct proxy_conf),
        .flags = KIND_SUBTREE | KIND_FLEETING | KIND_SLOW | KIND_CONDITIONS,
        .check = proxy_check,
        .create = proxy_create,
        .reconfigure = proxy_reconfigure,
        .destroy = proxy_destroy,
        .handle = {
                [METHOD_GET] = proxy_handle,
                [METHOD_POST] = proxy_handle,
                [METHOD_PUT] = proxy_handle,
                [METHOD_DELETE] = proxy_handle,
                [METHOD_FETCH] = proxy_handle,
                [METHOD_PATCH] = proxy_handle,
                [METHOD_IPATCH] = proxy_handle,
        },
        .ready = proxy_ready,
        .observe_below = proxy_observe_below,
        .ready_below = proxy_ready_below,
        .observer_returns = proxy_observer_returns,
        .max_body = proxy_max_body,
        .forwards = proxy_forwards,
        .has_way = proxy_has_way,
};
