/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `proxy`: requests below a path go to another server, and its answers come back (a reverse proxy, RFC 7252,
 * 5.7.3). Here the requests; the session with the target is in proxy_upstream.c, what is kept of its answers in
 * proxy_cache.c, observations in proxy_observe.c.
 */
#include "resources/proxy.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "resources/proxy_options.h"

/* The exchange's own time limit comes first, and says more. */
enum { US_PER_S = 1000000, SLACK_S = 5 };

static uint64_t time_limit(const struct proxy *proxy)
{
        return (uint64_t)(proxy->conf->timeout + SLACK_S) * US_PER_S;
}

/* --- answers from the cache, or for it --- */

static void waiter_ended(void *user)
{
        struct waiter *waiter = user;

        waiter->pending = NULL;
}

static void answer_waiters(struct entry *entry)
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
        answer_waiters(entry);
        if (entry->wanted && (code || entry->returning) &&
            (code != entry->code || !same_content(before, entry->content)))
                entry_changed(entry);
        cache_trim(proxy);
}

void entry_ask(struct entry *entry)
{
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

        entry->asking = true;
        if (entry->exchange && entry->exchange_observes == entry->wanted) {
                exchange_again(entry->exchange, &etag);
                return;
        }
        exchange_end(entry->exchange);
        entry->exchange_observes = entry->wanted;
        entry->exchange = upstream_ask(entry->proxy->upstream, &request);
        if (!entry->exchange)
                entry->asking = false;
}

static struct entry *entry_of(struct proxy *proxy, const struct request *request, struct span options)
{
        CLEANUP(buf_deinit) struct buf key = { 0 };
        struct entry *entry;

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
        const struct wait wait = { .most_us = time_limit(proxy), .ended = waiter_ended, .user = waiter };

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
        answer_waiters(entry); /* 5.00: no memory */
}

static void fetch(struct proxy *proxy, const struct request *request, struct span options,
                  struct response *response)
{
        struct entry *entry = entry_of(proxy, request, options);

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
        struct entry *entry;

        if (options_of_request(request->message->pdu, proxy->n_own, upstream_base(proxy->upstream),
                               upstream_host(proxy->upstream), &options) ||
            !buf_ok(&options))
                return;
        entry = entry_of(proxy, request, buf_span(&options));
        if (!entry || entry->wanted)
                return;
        entry_want(entry);
        entry->returning = true;
        entry_ask(entry);
}

/* --- requests that go through --- */

struct passing {
        struct passing *prev, *next;
        struct proxy *proxy;
        struct pending *pending;
        struct exchange *exchange;
        struct buf rest;
};

static void passing_free(struct passing *passing)
{
        *(passing->prev ? &passing->prev->next : &passing->proxy->passing) = passing->next;
        if (passing->next)
                passing->next->prev = passing->prev;
        exchange_end(passing->exchange);
        buf_deinit(&passing->rest);
        free(passing);
}

/* Its target is another one now. Whether it has been done nobody knows. */
static void passing_give_up(struct passing *passing)
{
        struct response response = { .max_age = -1 };

        response_error(&response, CODE_BAD_GATEWAY, "the configuration changed");
        request_answer(passing->pending, &response);
        passing_free(passing);
}

static void passing_ended(void *user)
{
        passing_free(user);
}

static void passing_answered(void *user, const struct upstream_answer *answer)
{
        struct passing *passing = user;
        struct response response = { .code = answer->code, .max_age = -1, .options = answer->options };

        if (answer->diagnostic)
                response_error(&response, answer->code, "%s", answer->diagnostic);
        else if (answer->body.n > 0 || answer->etag.n)
                response.content =
                        representation_new_tagged(answer->body, answer->content_format, &answer->etag);
        response.with_content = answer->body.n > 0;
        response.size1 = answer->size1;
        if (answer->code >> 5 == 2)
                cache_invalidate(passing->proxy, buf_span(&passing->rest));
        request_answer(passing->pending, &response);
        passing_free(passing);
}

static void pass(struct proxy *proxy, const struct request *request, struct span options,
                 struct response *response)
{
        struct passing *passing = calloc(1, sizeof *passing);
        const struct wait wait = { .most_us = time_limit(proxy), .ended = passing_ended, .user = passing };
        const struct upstream_request ask = { .method = request->method,
                                              .options = options,
                                              .body = request->body,
                                              .answered = passing_answered,
                                              .user = passing };

        if (!passing) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        passing->proxy = proxy;
        passing->next = proxy->passing;
        if (passing->next)
                passing->next->prev = passing;
        proxy->passing = passing;
        buf_append_span(&passing->rest, request->rest);
        passing->exchange = upstream_ask(proxy->upstream, &ask);
        if (passing->exchange)
                passing->pending = resource_answer_later(proxy->resource, request, response, &wait);
        else
                response_error(response, CODE_UNAVAILABLE, "out of memory");
        if (!passing->pending)
                passing_free(passing);
}

static void proxy_handle(void *self, const struct request *request, struct response *response)
{
        CLEANUP(buf_deinit) struct buf options = { 0 };
        struct proxy *proxy = self;
        unsigned refused;

        if (!request->message) {
                response_error(response, CODE_UNAVAILABLE, "another server has it");
                return;
        }
        refused = options_of_request(request->message->pdu, proxy->n_own, upstream_base(proxy->upstream),
                                     upstream_host(proxy->upstream), &options);
        if (refused)
                response_error(response, CODE_BAD_OPTION, "option %u can not be passed on", refused);
        else if (!buf_ok(&options))
                response_error(response, CODE_UNAVAILABLE, "out of memory");
        else if (request->method == METHOD_GET || request->method == METHOD_FETCH)
                fetch(proxy, request, buf_span(&options), response);
        else
                pass(proxy, request, buf_span(&options), response);
}

/* --- the kind --- */

static void proxy_destroy(void *self)
{
        struct proxy *proxy = self;

        if (!proxy)
                return;
        while (proxy->newest)
                entry_free(proxy->newest);
        upstream_free(proxy->upstream);
        spanmap_deinit(&proxy->by_key);
        sd_event_source_disable_unref(proxy->timer);
        free(proxy);
}

static void destroyp(struct proxy **proxy)
{
        proxy_destroy(*proxy);
}

/* The resource's own path as options, and of how many segments it is. */
static size_t own_path(const char *path, struct buf *options)
{
        size_t n = 0;

        for (const char *end; *path; path = *end ? end + 1 : end) {
                end = strchrnul(path, '/');
                options_add(options, COAP_OPTION_URI_PATH, span_of(path, (size_t)(end - path)));
                n++;
        }
        return n;
}

static int proxy_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        CLEANUP(destroyp) struct proxy *proxy = calloc(1, sizeof *proxy);
        CLEANUP(buf_deinit) struct buf own = { 0 };
        int r;

        if (!proxy)
                return -ENOMEM;
        proxy->resource = resource;
        proxy->conf = conf->fields;
        proxy->n_own = own_path(conf->path, &own);
        r = buf_ok(&own)
                    ? upstream_new(resource_event(resource), proxy->conf, buf_span(&own), &proxy->upstream)
                    : -ENOMEM;
        if (r == 0)
                r = sd_event_add_time(resource_event(resource), &proxy->timer, CLOCK_MONOTONIC, UINT64_MAX, 1,
                                      proxy_on_observe_time, proxy);
        if (r >= 0)
                r = sd_event_source_set_enabled(proxy->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret_self = TAKE(proxy);
        return 0;
}

/* Another target: nothing of the old one holds any longer, and who observed it can only begin anew. */
static void leave_target(struct proxy *proxy)
{
        const struct upstream_answer changed = { .code = CODE_UNAVAILABLE,
                                                 .content_format = -1,
                                                 .diagnostic = "the configuration changed" };
        struct entry *older;

        for (struct entry *entry = proxy->newest; entry; entry = older) {
                older = entry->older;
                exchange_end(TAKE(entry->exchange));
                entry->asking = entry->observed = false;
                entry_take(entry, &changed);
                answer_waiters(entry);
                if (entry->wanted)
                        entry_changed(entry);
                entry->wanted = false;
        }
}

static void proxy_reconfigure(void *self, const struct conf_resource *conf)
{
        struct proxy *proxy = self;
        CLEANUP(buf_deinit) struct buf own = { 0 };
        struct upstream *fresh = NULL;

        proxy->conf = conf->fields;
        own_path(conf->path, &own);
        if (upstream_new(resource_event(proxy->resource), proxy->conf, buf_span(&own), &fresh) < 0)
                return; /* the old way goes on; it is logged */
        if (upstream_same(proxy->upstream, fresh)) {
                upstream_free(fresh);
                upstream_adopt(proxy->upstream, proxy->conf);
        } else {
                leave_target(proxy);
                while (proxy->passing)
                        passing_give_up(proxy->passing);
                upstream_free(proxy->upstream);
                proxy->upstream = fresh;
        }
        cache_trim(proxy);
}

static size_t proxy_max_body(void *self)
{
        const struct proxy *proxy = self;

        return (size_t)proxy->conf->max_size;
}

const struct kind kind_proxy = {
        .name = "proxy",
        .doc = "Another CoAP server: requests for this path and all below it go there, with all of their methods, options "
               "and bodies, and its answers come back. The access rules are asked here, and it sees coapd alone. "
               "Answers with a Max-Age are kept for so long. There is one observation there for all that observe here; it "
               "is renewed when what came last is not fresh any more, and begun again after a restart. A server that can "
               "not be reached is answered for with 5.02, one that does not answer with 5.04, and requests that go round "
               "in a circle end in 5.08. OSCORE and (D)TLS end at coapd. Only the targets of the config are asked: a "
               "request with Proxy-Uri or Proxy-Scheme is answered 5.05.",
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
};
