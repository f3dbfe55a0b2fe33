/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests that may change something at the target: each goes there, and nothing is kept. */
#include "resources/proxy.h"

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
static void give_up(struct passing *passing)
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

void proxy_pass(struct proxy *proxy, const struct way *way, const struct request *request,
                struct span options, struct response *response)
{
        struct passing *passing = calloc(1, sizeof *passing);
        const struct wait wait = { .most_us = proxy_time_limit(proxy),
                                   .ended = passing_ended,
                                   .user = passing };
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
        passing->exchange = upstream_ask(way->upstream, &ask);
        if (passing->exchange)
                passing->pending = resource_answer_later(proxy->resource, request, response, &wait);
        else
                response_error(response, CODE_UNAVAILABLE, "out of memory");
        if (!passing->pending)
                passing_free(passing);
}

void proxy_give_up_passing(struct proxy *proxy)
{
        while (proxy->passing)
                give_up(proxy->passing);
}
