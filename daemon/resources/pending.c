/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests that come again; see pending.h. */
#include "resources/pending.h"

#include <errno.h>

#include "base/coap_options.h"
#include "resources/internal.h"

enum { UDP_HEADER = 4, AGAIN_US = 2000, RETRY_AFTER_S = 5 };

struct pending {
        struct pending *prev, *next;
        struct pendings *all;
        struct resource *resource; /* NULL: it is gone, or none was asked */
        coap_session_t *session;   /* libcoap holds a reference as long as it holds the request */
        coap_async_t *async;
        size_t shard;
        struct buf message;
        struct buf path;
        struct buf token;
        size_t token_end; /* in the message, behind its header */
        coap_mid_t mid;
        bool observe;
        uint64_t deadline_us;
        void (*ended)(void *user);
        void *user;

        bool answered;
        struct response response;
        struct buf location, options;
};

struct pending_list {
        struct pending *first, *last;
};

struct pendings {
        struct registry *registry;
        struct pending_list waiting;  /* for an answer */
        struct pending_list answered; /* for the next turn of the loop */
        struct pending_list coming;   /* to be handed in again by libcoap */
        size_t n;                     /* that wait, or are answered */
        struct pending *present;      /* between pending_came_again() and pending_done() */
        sd_event_source *timer;
};

static void list_add(struct pending_list *list, struct pending *pending)
{
        pending->prev = list->last;
        pending->next = NULL;
        *(list->last ? &list->last->next : &list->first) = pending;
        list->last = pending;
}

static void list_remove(struct pending_list *list, struct pending *pending)
{
        *(pending->prev ? &pending->prev->next : &list->first) = pending->next;
        *(pending->next ? &pending->next->prev : &list->last) = pending->prev;
}

static void pending_free(struct pending *pending)
{
        if (!pending)
                return;
        representation_unref(pending->response.content);
        buf_deinit(&pending->message);
        buf_deinit(&pending->path);
        buf_deinit(&pending->token);
        buf_deinit(&pending->location);
        buf_deinit(&pending->options);
        free(pending);
}

bool pending_any_comes(const struct pendings *pendings)
{
        return pendings->coming.first != NULL;
}

/* --- the time --- */

static uint64_t now_us(const struct pendings *pendings)
{
        uint64_t now = 0;

        sd_event_now(pendings->registry->host.event, CLOCK_MONOTONIC, &now);
        return now;
}

static void wake_at(struct pendings *pendings, uint64_t at)
{
        uint64_t before;
        int enabled = SD_EVENT_OFF;

        sd_event_source_get_enabled(pendings->timer, &enabled);
        if (enabled != SD_EVENT_OFF && sd_event_source_get_time(pendings->timer, &before) >= 0 &&
            before <= at)
                return;
        sd_event_source_set_time(pendings->timer, at);
        sd_event_source_set_enabled(pendings->timer, SD_EVENT_ONESHOT);
}

/* --- answers --- */

static void settle(struct pending *pending, const struct response *response)
{
        struct pendings *all = pending->all;

        list_remove(&all->waiting, pending);
        list_add(&all->answered, pending);
        pending->answered = true;
        pending->response = *response;
        if (response->diagnostic == response->text)
                pending->response.diagnostic = pending->response.text;
        buf_append_span(&pending->location, response->location);
        pending->response.location = buf_span(&pending->location);
        buf_append_span(&pending->options, response->options);
        pending->response.options = buf_span(&pending->options);
        pending->ended = NULL;
        wake_at(all, 0);
}

void request_answer(struct pending *pending, struct response *response)
{
        settle(pending, response);
        response->content = NULL;
}

/* An answer of our own; the kind hears that it need not look for one any longer. */
static void give_up(struct pending *pending, const struct response *response)
{
        if (pending->ended)
                pending->ended(pending->user);
        settle(pending, response);
}

/*
 * libcoap hands it in again in its next turn. Who wants to observe a path below finds a resource there now, so that
 * libcoap adds the observer.
 */
static void hand_in(struct pending *pending)
{
        struct pendings *all = pending->all;

        if (pending->observe && pending->response.code >> 5 == 2 && pending->resource)
                below_make_observable(pending->resource, buf_span(&pending->path), pending->shard);
        list_remove(&all->answered, pending);
        list_add(&all->coming, pending);
        all->n--;
        coap_async_trigger(pending->async);
}

static int on_time(sd_event_source *source, uint64_t usec, void *user)
{
        struct pendings *all = user;
        uint64_t now = now_us(all), next_us = UINT64_MAX;
        struct pending *next;

        (void)source;
        (void)usec;
        for (struct pending *pending = all->waiting.first; pending; pending = next) {
                struct response late = { .max_age = -1 };

                next = pending->next;
                if (pending->deadline_us > now) {
                        next_us = MIN(next_us, pending->deadline_us);
                        continue;
                }
                response_error(&late, CODE_GATEWAY_TIMEOUT, "the answer took too long");
                give_up(pending, &late);
        }
        while (all->answered.first)
                hand_in(all->answered.first);
        for (const struct pending *pending = all->coming.first; pending; pending = pending->next)
                all->registry->host.kick_soon(all->registry->host.user, pending->shard);
        /*
         * libcoap turns its timer off when the moment that it is for has passed while it was being set (4.3.4 and
         * 4.3.5, coap_io_prepare_epoll()), and would come back to the request with the next datagram only.
         */
        if (all->coming.first)
                next_us = MIN(next_us, now + AGAIN_US);
        if (next_us != UINT64_MAX)
                wake_at(all, next_us);
        return 0;
}

/* --- put off --- */

static struct pending *pending_new(struct pendings *all, coap_session_t *session, const coap_pdu_t *request,
                                   coap_tick_t delay)
{
        struct pending *pending = calloc(1, sizeof *pending);

        if (!pending)
                return NULL;
        pending->all = all;
        pending->session = session;
        pending->shard = registry_shard_of(all->registry, session);
        pending->mid = coap_pdu_get_mid(request);
        pending->token_end = coap_pdu_get_token(request).length + (coap_pdu_get_token(request).length >= 13) +
                             (coap_pdu_get_token(request).length >= 269);
        buf_append(&pending->token, coap_pdu_get_token(request).s, coap_pdu_get_token(request).length);
        message_encode(request, &pending->message);
        /* NULL too when one with this token waits already, as the answer to a request of before. */
        pending->async = buf_ok(&pending->message) && buf_ok(&pending->token)
                                 ? coap_register_async(session, request, delay)
                                 : NULL;
        if (pending->async)
                return pending;
        pending_free(pending);
        return NULL;
}

bool pending_put_off(struct pendings *all, coap_session_t *session, const coap_pdu_t *request)
{
        enum { TICK = 1 };
        struct pending *pending = pending_new(all, session, request, TICK);

        if (!pending)
                return false;
        list_add(&all->coming, pending);
        wake_at(all, now_us(all) + AGAIN_US);
        return true;
}

static bool may_wait(const struct pendings *all, const struct message *message)
{
        return message && all->registry->is_request && !all->registry->replaying &&
               all->n < (size_t)all->registry->config->limits.waiting;
}

struct pending *resource_answer_later(struct resource *resource, const struct request *request,
                                      struct response *response, const struct wait *wait)
{
        struct pendings *all = resource->registry->pendings;
        const struct message *message = request->message;
        struct pending *pending = NULL;

        if (may_wait(all, message))
                pending = pending_new(all, message->session, message->pdu, 0);
        if (!pending) {
                response_error(response, CODE_UNAVAILABLE, "too many requests wait for an answer");
                response->max_age = RETRY_AFTER_S;
                return NULL;
        }
        buf_append_span(&pending->path, request->path);
        pending->resource = resource;
        pending->observe = request->observe;
        pending->deadline_us = now_us(all) + wait->most_us;
        pending->ended = wait->ended;
        pending->user = wait->user;
        list_add(&all->waiting, pending);
        all->n++;
        response->later = true;
        wake_at(all, pending->deadline_us);
        return pending;
}

/* --- come again --- */

/* But for Hop-Limit, which libcoap counts down each time. */
static bool same_options_and_payload(struct span a, struct span b)
{
        struct coap_options of_a = { .rest = a }, of_b = { .rest = b };
        struct span value_a, value_b;

        while (coap_options_next(&of_a, &value_a))
                if (!coap_options_next(&of_b, &value_b) || of_a.number != of_b.number ||
                    (of_a.number != COAP_OPTION_HOP_LIMIT && !span_equal(value_a, value_b)))
                        return false;
        return !coap_options_next(&of_b, &value_b) && span_equal(of_a.rest, of_b.rest);
}

/* The token alone does not tell: a client that has one free again may ask for something else with it. */
static bool is_of(const struct pending *pending, const coap_session_t *session, struct span headless)
{
        struct span whole = span_skip(buf_span(&pending->message), UDP_HEADER);
        size_t token_end = MIN(pending->token_end, whole.n);

        return pending->session == session && whole.n == headless.n &&
               span_equal(span_of(whole.p, token_end), span_of(headless.p, token_end)) &&
               same_options_and_payload(span_skip(whole, token_end), span_skip(headless, token_end));
}

static struct pending *find_coming(const struct pendings *all, const coap_session_t *session,
                                   struct span headless)
{
        for (struct pending *pending = all->coming.first; pending; pending = pending->next)
                if (is_of(pending, session, headless))
                        return pending;
        return NULL;
}

bool pending_came_again(struct pendings *all, const coap_session_t *session, const coap_pdu_t *request,
                        struct pending_request *ret_request)
{
        CLEANUP(buf_deinit) struct buf message = { 0 };
        struct pending *pending;

        if (!all->coming.first)
                return false;
        message_encode(request, &message);
        pending = find_coming(all, session, span_skip(buf_span(&message), UDP_HEADER));
        if (!pending)
                return false;
        list_remove(&all->coming, pending);
        pending_free(all->present);
        all->present = pending;
        *ret_request = (struct pending_request){
                .resource = pending->resource,
                .answered = pending->answered,
                .response = pending->response,
                .mid = pending->mid,
        };
        if (pending->response.diagnostic == pending->response.text)
                ret_request->response.diagnostic = ret_request->response.text;
        pending->response.content = NULL;
        return true;
}

void pending_done(struct pendings *all)
{
        pending_free(TAKE(all->present));
}

struct span pending_whole(const struct pendings *all, const coap_session_t *session, struct span headless)
{
        const struct pending *pending = find_coming(all, session, headless);

        return pending ? buf_span(&pending->message) : (struct span){ 0 };
}

/* --- the end --- */

void pending_abandon(struct pendings *all, const struct resource *resource)
{
        struct response gone = { .max_age = RETRY_AFTER_S };
        struct pending_list *lists[] = { &all->waiting, &all->answered, &all->coming };
        struct pending *next;

        response_error(&gone, CODE_UNAVAILABLE, "the configuration changes");
        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
                for (struct pending *pending = lists[i]->first; pending; pending = next) {
                        next = pending->next;
                        if (pending->resource != resource)
                                continue;
                        if (!pending->answered)
                                give_up(pending, &gone);
                        pending->resource = NULL;
                }
}

static coap_bin_const_t token_of(const struct pending *pending)
{
        return (coap_bin_const_t){ pending->token.n, pending->token.p };
}

static void forget(struct pending_list *list, const coap_session_t *session)
{
        struct pending *next;

        for (struct pending *pending = list->first; pending; pending = next) {
                next = pending->next;
                if (session && pending->session != session)
                        continue;
                list_remove(list, pending);
                /* Else libcoap would hold on to the session for ever. */
                if (session && coap_find_async(pending->session, token_of(pending)) == pending->async)
                        coap_free_async(pending->session, pending->async);
                if (pending->ended)
                        pending->ended(pending->user);
                if (list != &pending->all->coming)
                        pending->all->n--;
                pending_free(pending);
        }
}

void pending_forget_session(struct pendings *all, const coap_session_t *session)
{
        forget(&all->waiting, session);
        forget(&all->answered, session);
        forget(&all->coming, session);
}

int pendings_new(struct registry *registry, struct pendings **ret_pendings)
{
        struct pendings *all = calloc(1, sizeof *all);
        int r;

        if (!all)
                return -ENOMEM;
        all->registry = registry;
        r = sd_event_add_time(registry->host.event, &all->timer, CLOCK_MONOTONIC, UINT64_MAX, 1, on_time,
                              all);
        if (r >= 0)
                r = sd_event_source_set_enabled(all->timer, SD_EVENT_OFF);
        if (r < 0) {
                pendings_free(all);
                return r;
        }
        *ret_pendings = all;
        return 0;
}

void pendings_free(struct pendings *all)
{
        if (!all)
                return;
        pending_forget_session(all, NULL);
        pending_done(all);
        sd_event_source_disable_unref(all->timer);
        free(all);
}
