/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request's way: read, its resource found, answered by the rules of rules.c, and the answer written. libcoap calls in
 * here for each request and for each notification to each observer.
 */
#include "resources/internal.h"
#include "resources/uri_path.h"

/* A part of a body by Q-Block1, which would come again without saying that it is one. */
static bool is_part(const struct message *m)
{
        return m->q_block1 && (m->block1.m || m->block1.num > 0);
}

/*
 * A path below a KIND_SUBTREE that is to be observed gets a resource of its own, and libcoap is told to hand the
 * request in again. Returns whether it will.
 */
static bool comes_again_below(struct registry *registry, struct resource *parent, const struct message *m,
                              const coap_pdu_t *request)
{
        const struct registry_host *host = &registry->host;

        if (!m->request.observe || m->request.method != METHOD_GET || !parent->kind->observe_below ||
            (parent->kind->flags & KIND_SLOW) || (m->has_block2 && m->block2.num > 0))
                return false;
        if (host->authorize(host->user, m->session, m->request.path, rules_operations_of(m)) != 0)
                return false;
        if (below_add(registry, parent, m->request.path) < 0 ||
            !registry_observable(registry, m->request.path, registry_shard_of(registry, m->session)))
                return false;
        return pending_put_off(registry->pendings, m->session, request);
}

/* The same where only this session's context does not know the resource: nobody has seen that it should, in time. */
static bool comes_again(struct registry *registry, const struct message *m, const coap_pdu_t *request)
{
        const struct registry_host *host = &registry->host;
        struct place *place;
        size_t shard;

        if (!m->request.observe || (m->request.method != METHOD_GET && m->request.method != METHOD_FETCH) ||
            (m->has_block2 && m->block2.num > 0) || is_part(m))
                return false;
        place = places_find(&registry->places, m->request.path);
        shard = registry_shard_of(registry, m->session);
        if (!place_lacks_handle(place, shard) ||
            host->authorize(host->user, m->session, m->request.path, rules_operations_of(m)) != 0 ||
            !place_handle(place, shard))
                return false;
        return pending_put_off(registry->pendings, m->session, request);
}

static void count_response(const struct registry *registry, const struct message *m, uint8_t code)
{
        struct metrics *metrics = registry->host.metrics;

        if (!registry->is_request) {
                metrics->notifications++;
                return;
        }
        metrics->requests++;
        if (m->request.observe && code >> 5 == 2)
                metrics->observations++;
        if (code >> 5 == 2)
                metrics->responses_success++;
        else if (code >> 5 == 4)
                metrics->responses_client_error++;
        else
                metrics->responses_server_error++;
}

/* RFC 7252, 8.2.1: who has nothing to tell does not answer a request to a group. libcoap drops errors by itself. */
static bool is_silent(const struct message *m, const struct response *response, const coap_pdu_t *pdu)
{
        return response->code == CODE_CONTENT && response->content && response->content->size == 0 &&
               coap_pdu_get_type(pdu) == COAP_MESSAGE_NON &&
               coap_is_mcast(coap_session_get_addr_local(m->session));
}

/* What else a request by Q-Block2 asks for. */
static void burst(struct registry *registry, const struct message *m, const struct response *response,
                  const coap_pdu_t *pdu)
{
        if (qblock_burst_add(registry->burst, m, response, &registry->q_block, pdu))
                registry->host.want_end(registry->host.user);
}

void serve_finish(struct registry *registry, struct message *m, struct response *response, coap_pdu_t *pdu)
{
        uint8_t code;

        if (response->later)
                return; /* with an empty acknowledgement */
        /* A NON response with the code 0.00 is not sent. */
        if (is_silent(m, response, pdu)) {
                registry->host.metrics->requests++;
                representation_unref(response->content);
                return;
        }
        proof_ask(registry, m, response);
        code = message_respond(m, response, pdu);
        count_response(registry, m, code);
        if (m->q_block1)
                qblock1_answered(registry->blockwise, m, response, code);
        if (m->q_block2)
                burst(registry, m, response, pdu);
        representation_unref(response->content);
}

static const char *host_of(const struct registry *registry, const coap_session_t *session,
                           const coap_pdu_t *request)
{
        return hosts_of(&registry->hosts, registry->replaying ? NULL : session, request);
}

/* Whether it can be read; else the response says why not. */
static inline bool read_request(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                                struct span path, struct message *m, struct response *response)
{
        if (!gate_read(registry, session, request, path, m, response) ||
            (registry->q_block.any && registry->is_request &&
             !qblock_give_back(&registry->q_block, m, response)))
                return false;
        m->host = host_of(registry, session, request);
        return true;
}

/* Returns whether it is for a resource whose own path is another. */
static bool serve_also(struct registry *registry, struct message *m, struct response *response)
{
        struct resource *resource = also_find(registry, m->request.path, m->host);

        if (!resource)
                return false;
        m->request.also = true;
        rules_serve(resource, m, response);
        return true;
}

/* Of the resources at a path, the one of the request's host; else a subtree's, else nothing is there. */
static void serve_one_of(struct resource *first, struct message *m, struct response *response)
{
        struct registry *registry = first->registry;
        struct resource *resource = resource_at(first, m->host);
        struct resource *parent = NULL;

        if (serve_also(registry, m, response))
                return;
        if (!resource) {
                parent = below_find_parent(registry, m->request.path, m->host);
                if (parent && m->request.observe && below_add(registry, parent, m->request.path) == 0)
                        resource = resource_at(first, m->host);
        }
        if (resource && resource->parent)
                parent = resource->parent;
        if (parent) {
                m->request.rest = below_rest_of(parent, m->request.path);
                rules_serve(parent, m, response);
                /* libcoap counts it among the observers of what another host has here. */
                if (!resource && m->request.observe && response->code >> 5 == 2 && !response->later)
                        response_error(response, CODE_UNAVAILABLE, "it cannot be observed now");
        } else if (!resource || resource->gone) {
                rules_serve_nothing(registry, m, response);
        } else {
                rules_serve(resource, m, response);
        }
}

/* The answer that a request has waited for. `place`: where libcoap found it to be for; NULL: nowhere. */
static void serve_answer(struct registry *registry, struct place *place, struct pending_request *pending,
                         coap_session_t *session, const coap_pdu_t *request, coap_pdu_t *response_pdu)
{
        struct resource *resource = pending->resource;
        CLEANUP(buf_deinit) struct buf path = { 0 };
        struct message message;

        if (!uri_path_of(request, &path)) {
                coap_pdu_set_code(response_pdu, COAP_RESPONSE_CODE_INTERNAL_ERROR);
                representation_unref(pending->response.content);
                return;
        }
        if (gate_read(registry, session, request, buf_span(&path), &message, &pending->response)) {
                message.observers = place ? &place->observers : NULL;
                if (resource) {
                        message.request.rest = below_rest_of(resource, message.request.path);
                        rules_take_answer(resource, &message, &pending->response);
                }
        }
        serve_finish(registry, &message, &pending->response, response_pdu);
        gate_remember(registry, session, request, pending->mid, response_pdu);
}

/* Whether it is a request that has come before, and was answered now. */
static bool was_waited_for(struct registry *registry, struct place *place, coap_session_t *session,
                           const coap_pdu_t *request, coap_pdu_t *response_pdu)
{
        struct pending_request pending;

        if (registry->replaying || !pending_came_again(registry->pendings, session, request, &pending))
                return false;
        registry->comes_again = !pending.answered;
        registry->is_request = registry->may_act = true;
        registry->sender = pending.sender;
        if (pending.answered && registry->host.answers)
                registry->host.answers(registry->host.user, pending.sender != 0);
        if (pending.answered)
                serve_answer(registry, place, &pending, session, request, response_pdu);
        pending_done(registry->pendings);
        return pending.answered;
}

static void serve_found(struct place *place, coap_session_t *session, const coap_pdu_t *request,
                        struct span path, coap_pdu_t *response_pdu)
{
        struct registry *registry = place->registry;
        struct response response = { .max_age = -1 };
        struct message message;

        if (read_request(registry, session, request, path, &message, &response)) {
                message.observers = &place->observers;
                serve_one_of(place->first, &message, &response);
        }
        serve_finish(registry, &message, &response, response_pdu);
}

void serve(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
           const coap_string_t *query, coap_pdu_t *response_pdu)
{
        struct place *place = coap_resource_get_userdata(handle);
        const coap_str_const_t *path = coap_resource_get_uri_path(handle);
        struct registry *registry;
        struct observation *one;

        (void)query;
        if (!place) {
                coap_pdu_set_code(response_pdu, COAP_RESPONSE_CODE_NOT_FOUND);
                return;
        }
        registry = place->registry;
        registry->places.serving = handle;
        if (!was_waited_for(registry, place, session, request, response_pdu) &&
            gate_enter(registry, session, &place->observers, request, response_pdu)) {
                serve_found(place, session, request, span_of(path->s, path->length), response_pdu);
                gate_leave(registry, session, request, response_pdu);
        }
        registry->places.serving = NULL;
        one = observations_note(registry->observations, client_of(session), &place->observers, request,
                                response_pdu, !registry->is_request);
        if (one && !registry->is_request)
                notify_settle_type(place, one, session, response_pdu);
}

static void serve_path(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                       struct span path, coap_pdu_t *response_pdu)
{
        struct response response = { .max_age = -1 };
        struct resource *resource;
        struct message message;

        if (read_request(registry, session, request, path, &message, &response)) {
                resource = registry_find_all(registry, path);
                if (resource) {
                        if (comes_again(registry, &message, request))
                                return; /* with an empty acknowledgement */
                        serve_one_of(resource, &message, &response);
                        serve_finish(registry, &message, &response, response_pdu);
                        return;
                }
                if (serve_also(registry, &message, &response)) {
                        serve_finish(registry, &message, &response, response_pdu);
                        return;
                }
                resource = below_find_parent(registry, path, message.host);
                if (resource && comes_again_below(registry, resource, &message, request))
                        return;
                if (resource) {
                        message.request.rest = below_rest_of(resource, path);
                        rules_serve(resource, &message, &response);
                } else {
                        rules_serve_nothing(registry, &message, &response);
                }
        }
        serve_finish(registry, &message, &response, response_pdu);
}

void serve_unknown(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response_pdu)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        struct registry *registry = coap_resource_get_userdata(handle);

        (void)query;
        if (was_waited_for(registry, NULL, session, request, response_pdu) ||
            !gate_enter(registry, session, NULL, request, response_pdu))
                return;
        if (uri_path_of(request, &path))
                serve_path(registry, session, request, buf_span(&path), response_pdu);
        else
                coap_pdu_set_code(response_pdu, COAP_RESPONSE_CODE_INTERNAL_ERROR);
        gate_leave(registry, session, request, response_pdu);
}

void serve_discovery(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
                     const coap_string_t *query, coap_pdu_t *response_pdu)
{
        struct registry *registry = coap_resource_get_userdata(handle);
        const coap_str_const_t *path = coap_resource_get_uri_path(handle);
        struct response response = { .max_age = -1 };
        struct message message;

        (void)query;
        if (!gate_enter(registry, session, NULL, request, response_pdu))
                return;
        if (read_request(registry, session, request, span_of(path->s, path->length), &message, &response) &&
            rules_allow(registry, &message, rules_operations_of(&message), &response)) {
                struct resource none = { .registry = registry };

                discovery_get(registry->discovery, &message, &response);
                rules_settle_content(&none, &message, &response);
        }
        serve_finish(registry, &message, &response, response_pdu);
        gate_leave(registry, session, request, response_pdu);
}
