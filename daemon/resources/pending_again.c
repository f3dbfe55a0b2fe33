/* SPDX-License-Identifier: BSD-2-Clause */
/* A request on its way round through libcoap: put off, and told from others when it comes again; see pending.h. */
#include "resources/pending_internal.h"

enum { UDP_HEADER = 4, CODE_AT = 1 };

void pending_list_add(struct pending_list *list, struct pending *pending)
{
        pending->prev = list->last;
        pending->next = NULL;
        *(list->last ? &list->last->next : &list->first) = pending;
        list->last = pending;
}

void pending_list_remove(struct pending_list *list, struct pending *pending)
{
        *(pending->prev ? &pending->prev->next : &list->first) = pending->next;
        *(pending->next ? &pending->next->prev : &list->last) = pending->prev;
}

void pending_free(struct pending *pending)
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

/* --- put off --- */

/*
 * libcoap has counted Hop-Limit down in `request` itself, and does it once more with what it hands in again: a hop is
 * to count once (RFC 8768, 3).
 */
static coap_async_t *register_async(coap_session_t *session, const coap_pdu_t *request, size_t size,
                                    coap_tick_t delay)
{
        coap_opt_t *hop_limit = message_option(request, COAP_OPTION_HOP_LIMIT);
        coap_async_t *async;
        coap_pdu_t *copy;

        if (!hop_limit)
                return coap_register_async(session, request, delay);
        copy = message_copy_with(
                request, size, COAP_OPTION_HOP_LIMIT,
                coap_decode_var_bytes(coap_opt_value(hop_limit), coap_opt_length(hop_limit)) + 1);
        async = copy ? coap_register_async(session, copy, delay) : NULL;
        coap_delete_pdu(copy);
        return async;
}

struct pending *pending_new(struct pendings *all, coap_session_t *session, const coap_pdu_t *request,
                            coap_tick_t delay)
{
        struct pending *pending = calloc(1, sizeof *pending);

        if (!pending)
                return NULL;
        pending->all = all;
        pending->session = session;
        pending->shard = registry_shard_of(all->registry, session);
        pending->mid = coap_pdu_get_mid(request);
        pending->sender = all->registry->sender;
        buf_append(&pending->token, coap_pdu_get_token(request).s, coap_pdu_get_token(request).length);
        message_encode(request, &pending->message);
        /* NULL too when one with this token waits already, as the answer to a request of before. */
        pending->async = buf_ok(&pending->message) && buf_ok(&pending->token)
                                 ? register_async(session, request, pending->message.n, delay)
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
        pending_list_add(&all->coming, pending);
        pendings_wake_at(all, pendings_now(all) + AGAIN_US);
        return true;
}

/* --- come again --- */

/* The token alone does not tell: a client that has one free again may ask for something else with it. */
static bool is_of(const struct pending *pending, const coap_session_t *session, struct span headless)
{
        return pending->session == session &&
               span_equal(span_skip(buf_span(&pending->message), UDP_HEADER), headless);
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
        if (!pending || pending->message.p[CODE_AT] != message.p[CODE_AT])
                return false;
        pending_list_remove(&all->coming, pending);
        pending_free(all->present);
        all->present = pending;
        *ret_request = (struct pending_request){
                .resource = pending->resource,
                .answered = pending->answered,
                .sender = pending->sender,
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
