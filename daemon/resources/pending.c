/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests that wait for their answer; see pending.h. */
#include "resources/pending.h"

#include <errno.h>

#include "resources/pending_internal.h"

enum { RETRY_AFTER_S = 5 };

uint64_t pendings_now(const struct pendings *pendings)
{
        uint64_t now = 0;

        sd_event_now(pendings->registry->host.event, CLOCK_MONOTONIC, &now);
        return now;
}

void pendings_wake_at(struct pendings *pendings, uint64_t at)
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

        pending_list_remove(&all->waiting, pending);
        pending_list_add(&all->answered, pending);
        pending->answered = true;
        pending->response = *response;
        if (response->diagnostic == response->text)
                pending->response.diagnostic = pending->response.text;
        buf_append_span(&pending->location, response->location);
        pending->response.location = buf_span(&pending->location);
        buf_append_span(&pending->options, response->options);
        pending->response.options = buf_span(&pending->options);
        pending->ended = NULL;
        pendings_wake_at(all, 0);
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
        pending_list_remove(&all->answered, pending);
        pending_list_add(&all->coming, pending);
        all->n--;
        coap_async_trigger(pending->async);
}

static int on_time(sd_event_source *source, uint64_t usec, void *user)
{
        struct pendings *all = user;
        uint64_t now = pendings_now(all), next_us = UINT64_MAX;
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
                pendings_wake_at(all, next_us);
        return 0;
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
        pending->deadline_us = pendings_now(all) + wait->most_us;
        pending->ended = wait->ended;
        pending->user = wait->user;
        pending_list_add(&all->waiting, pending);
        all->n++;
        response->later = true;
        pendings_wake_at(all, pending->deadline_us);
        return pending;
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
                pending_list_remove(list, pending);
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
