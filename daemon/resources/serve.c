/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A request's way: read, authorised, its body put together, its preconditions checked, handed to the kind, and
 * the answer written. libcoap calls in here for each request and for each notification to each observer.
 */
#include "resources/internal.h"
#include "resources/uri_path.h"

static unsigned operations_of(const struct message *m)
{
        return operation_of_method(m->request.method) |
               (m->request.observe ? (unsigned)OPERATION_OBSERVE : 0U);
}

/* A PUT or POST on a path where nothing is. */
static unsigned operations_to_create(const struct message *m)
{
        bool creates = m->request.method == METHOD_PUT || m->request.method == METHOD_POST;

        return operations_of(m) | (creates ? (unsigned)OPERATION_CREATE : 0U);
}

static bool makes_below(const struct resource *resource, const struct message *m)
{
        const struct kind *kind = resource->kind;

        return kind->has_below && (m->request.method == METHOD_PUT || m->request.method == METHOD_POST) &&
               !kind->has_below(resource->self, m->request.rest);
}

/* Whether the peer may; else the response says no. */
static bool authorized(struct registry *registry, const struct message *m, unsigned operations,
                       struct response *response)
{
        const struct registry_host *host = &registry->host;
        uint8_t code;

        if (registry->replaying)
                return true;
        code = host->authorize(host->user, m->session, m->request.path, operations);
        if (code == 0)
                return true;
        host->metrics->requests_denied++;
        if (host->denied)
                host->denied(host->user, m->session, m->request.path, operations, code);
        if ((operations & OPERATION_CREATE) && host->authorize(host->user, m->session, m->request.path,
                                                               operations & ~(unsigned)OPERATION_CREATE) == 0)
                response_error(response, code, "nothing is here, and no access rule lets you create it");
        else if (code == CODE_UNAUTHORIZED)
                response_error(response, code, "authentication is needed here");
        else
                response_error(response, code, "the access rules do not allow this");
        return false;
}

/* Puts the body together. Returns whether it is complete; else the response says what goes on. */
static bool body_complete(struct registry *registry, const struct resource *resource, struct message *m,
                          struct response *response)
{
        size_t max = resource && resource->kind->max_body ? resource->kind->max_body(resource->self)
                                                          : dynamic_max_body(registry);
        uint8_t code;

        if (!m->has_block1) {
                if (m->request.body.n <= max)
                        return true;
                response_error(response, CODE_TOO_LARGE, "a body here is at most %zu bytes", max);
                response->size1 = (uint32_t)max;
                return false;
        }
        if (m->request.observe && (m->block1.m || m->block1.num)) {
                /* libcoap would keep the last block alone as the request to be repeated. */
                response_error(response, CODE_NOT_IMPLEMENTED,
                               "no observation with a block-wise request body");
                return false;
        }
        code = blockwise_take(registry->blockwise, m, max, response);
        if (code == 0)
                return true;
        if (code != CODE_CONTINUE)
                registry->host.metrics->transfers_refused++;
        response->code = code;
        return false;
}

struct etag resource_etag(const struct resource *resource, struct span path, struct span rest)
{
        struct request get = { .method = METHOD_GET, .path = path, .rest = rest };
        struct response response = { .max_age = -1 };
        struct etag etag = { 0 };

        get.content_format = get.accept = -1;
        if (resource->kind->handle[METHOD_GET])
                resource->kind->handle[METHOD_GET](resource->self, &get, &response);
        if (response.content)
                etag = response.content->etag;
        representation_unref(response.content);
        return etag;
}

/* RFC 7252, 5.10.8: If-Match and If-None-Match. */
static bool preconditions_hold(struct resource *resource, const struct message *m, struct response *response)
{
        struct etag etag;

        if ((!m->if_none_match && m->if_match.n == 0 && !m->if_match.any) ||
            resource->kind->flags & KIND_CONDITIONS)
                return true;
        etag = resource_etag(resource, m->request.path, m->request.rest);
        if (m->if_none_match && etag.n) {
                response_error(response, CODE_PRECONDITION_FAILED, "it exists");
                return false;
        }
        if (m->if_match.n && !m->if_match.any && (!etag.n || !etag_list_has(&m->if_match, &etag))) {
                response_error(response, CODE_PRECONDITION_FAILED, "it has another ETag now");
                return false;
        }
        return true;
}

/* Accept and ETag of a request for content: RFC 7252, 5.10.4 and 5.10.6.2. */
static void settle_content(const struct resource *resource, const struct message *m,
                           struct response *response)
{
        const struct representation *content = response->content;

        if (response->code != CODE_CONTENT || !content)
                return;
        if (m->request.accept >= 0 && content->content_format >= 0 &&
            content->content_format != m->request.accept) {
                response_error(response, CODE_NOT_ACCEPTABLE, "only content format %d is here",
                               content->content_format);
                return;
        }
        if (response->max_age < 0 && resource->conf)
                response->max_age = resource->conf->max_age;
        if (content->etag.n && etag_list_has(&m->etags, &content->etag))
                response->code = CODE_VALID;
}

/* libcoap has added it already; upon an error it takes it back. */
static bool may_observe(struct registry *registry, const struct message *m, struct response *response)
{
        enum { RETRY_AFTER_S = 60 };
        const struct conf_limits *limits = &registry->config->limits;
        const struct observations_bounds bounds = {
                .all = (size_t)limits->observations,
                .of_resource = (size_t)limits->observations_per_resource,
                .of_client = (size_t)limits->observations_per_session,
        };
        const char *refused = m->observers ? observations_refuse(registry->observations, &bounds,
                                                                 client_of(m->session), m->observers, m->pdu)
                                           : NULL;

        if (!refused)
                return true;
        registry->host.metrics->observations_refused++;
        response_error(response, CODE_UNAVAILABLE, "%s", refused);
        response->max_age = RETRY_AFTER_S;
        return false;
}

static void note_observation(struct resource *resource, const struct message *m, struct response *response)
{
        const struct place *place;

        if (!m->request.observe || response->code >> 5 != 2)
                return;
        if (!resource_is_observable(resource)) {
                /* Answered without Observe (RFC 7641, 4.1), if libcoap knows: what another host has here may be. */
                place = places_find(&resource->registry->places, m->request.path);
                if (place && place_is_observable(place))
                        response_error(response, CODE_NOT_IMPLEMENTED, "it can not be observed");
                return;
        }
        if (!may_observe(resource->registry, m, response) || resource->observed || m->request.rest.n)
                return;
        resource->observed = true;
        resource_repeat(resource);
        if (resource->kind->observed)
                resource->kind->observed(resource->self);
}

static bool asks_for_the_rest(const struct message *m)
{
        return m->has_block2 && m->block2.num > 0;
}

static void ask_kind(struct resource *resource, const struct message *m, struct response *response)
{
        if (resource->kind->flags & KIND_FLEETING && asks_for_the_rest(m)) {
                if (outgoing_answer(resource->registry->outgoing, resource, m, response))
                        return;
                /* RFC 7959, 2.9.2: to do it once more would be another action. */
                if (m->request.method != METHOD_GET) {
                        response_error(response, CODE_INCOMPLETE,
                                       "the answer is not here any more: start again");
                        return;
                }
        }
        resource->kind->handle[m->request.method](resource->self, &m->request, response);
}

/* What is left to do with a kind's answer. */
static void take_answer(struct resource *resource, const struct message *m, struct response *response)
{
        if (resource->kind->flags & KIND_FLEETING && !asks_for_the_rest(m) && response->content &&
            (response->code == CODE_CONTENT || response->with_content))
                outgoing_keep(resource->registry->outgoing, resource, m, response);
        settle_content(resource, m, response);
        note_observation(resource, m, response);
}

static void serve_resource(struct resource *resource, struct message *m, struct response *response)
{
        struct registry *registry = resource->registry;
        enum method method = m->request.method;

        if (!authorized(registry, m, makes_below(resource, m) ? operations_to_create(m) : operations_of(m),
                        response))
                return;
        if (resource->evicting && m->request.observe) {
                response_error(response, resource->evicting,
                               resource->evicting == CODE_NOT_FOUND ? "it was deleted"
                                                                    : "its content format has changed");
                return;
        }
        if (!resource->kind->handle[method]) {
                response_error(response, CODE_METHOD_NOT_ALLOWED,
                               "a resource of kind \"%s\" has no such method", resource->kind->name);
                return;
        }
        if (!body_complete(registry, resource, m, response) || !preconditions_hold(resource, m, response))
                return;
        ask_kind(resource, m, response);
        if (!response->later)
                take_answer(resource, m, response);
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
        if (host->authorize(host->user, m->session, m->request.path, operations_of(m)) != 0)
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
        struct place *place = places_find(&registry->places, m->request.path);
        size_t shard;

        if (!m->request.observe || (m->request.method != METHOD_GET && m->request.method != METHOD_FETCH) ||
            (m->has_block2 && m->block2.num > 0))
                return false;
        shard = registry_shard_of(registry, m->session);
        if (!place_lacks_handle(place, shard) ||
            host->authorize(host->user, m->session, m->request.path, operations_of(m)) != 0 ||
            !place_handle(place, shard))
                return false;
        return pending_put_off(registry->pendings, m->session, request);
}

static void serve_nothing(struct registry *registry, struct message *m, struct response *response)
{
        bool may_create = !m->host && dynamic_may_exist(registry, m->request.path);
        enum method method = m->request.method;
        bool creates = method == METHOD_PUT || method == METHOD_POST;

        if (!authorized(registry, m, operations_to_create(m), response))
                return;
        /* RFC 7252, 5.8.4: deleting what is not there succeeds. */
        if (method == METHOD_DELETE && may_create && !m->if_match.n && !m->if_match.any) {
                response->code = CODE_DELETED;
                return;
        }
        if (!creates || !may_create) {
                response_error(response, CODE_NOT_FOUND, "there is no such resource");
                return;
        }
        if (m->if_match.n || m->if_match.any) {
                response_error(response, CODE_PRECONDITION_FAILED, "it does not exist");
                return;
        }
        if (body_complete(registry, NULL, m, response))
                dynamic_create(registry, &m->request, response);
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

static void finish(struct registry *registry, struct message *m, struct response *response, coap_pdu_t *pdu)
{
        if (response->later)
                return; /* with an empty acknowledgement */
        /* A NON response with the code 0.00 is not sent. */
        if (is_silent(m, response, pdu)) {
                registry->host.metrics->requests++;
                representation_unref(response->content);
                return;
        }
        proof_ask(registry, m, response);
        count_response(registry, m, message_respond(m, response, pdu));
        representation_unref(response->content);
}

static const char *host_of(const struct registry *registry, const coap_session_t *session,
                           const coap_pdu_t *request)
{
        return hosts_of(&registry->hosts, registry->replaying ? NULL : session, request);
}

/* Of the resources at a path, the one of the request's host; else a subtree's, else nothing is there. */
static void serve_one_of(struct resource *first, struct message *m, struct response *response)
{
        struct registry *registry = first->registry;
        struct resource *resource = resource_at(first, m->host);
        struct resource *parent = NULL;

        if (!resource) {
                parent = below_find_parent(registry, m->request.path, m->host);
                if (parent && m->request.observe && below_add(registry, parent, m->request.path) == 0)
                        resource = resource_at(first, m->host);
        }
        if (resource && resource->parent)
                parent = resource->parent;
        if (parent) {
                m->request.rest = below_rest_of(parent, m->request.path);
                serve_resource(parent, m, response);
                /* libcoap counts it among the observers of what another host has here. */
                if (!resource && m->request.observe && response->code >> 5 == 2 && !response->later)
                        response_error(response, CODE_UNAVAILABLE, "it can not be observed now");
        } else if (!resource || resource->gone) {
                serve_nothing(registry, m, response);
        } else {
                serve_resource(resource, m, response);
        }
}

/* The answer that a request has waited for. `place`: where libcoap found it to be for; NULL: nowhere. */
static void serve_answer(struct registry *registry, struct place *place, struct pending_request *pending,
                         coap_session_t *session, const coap_pdu_t *request, coap_pdu_t *response_pdu)
{
        struct resource *resource = pending->resource;
        coap_string_t *path = coap_get_uri_path(request);
        struct message message;

        if (!path) {
                coap_pdu_set_code(response_pdu, COAP_RESPONSE_CODE_INTERNAL_ERROR);
                representation_unref(pending->response.content);
                return;
        }
        if (message_parse(session, request, span_of(path->s, path->length), &message, &pending->response) ==
            0) {
                message.observers = place ? &place->observers : NULL;
                if (resource) {
                        message.request.rest = below_rest_of(resource, message.request.path);
                        take_answer(resource, &message, &pending->response);
                }
        }
        finish(registry, &message, &pending->response, response_pdu);
        coap_delete_string(path);
        gate_remember(registry, session, request, pending->mid, response_pdu);
}

/* Whether it is a request that has come before, and was answered now. */
static bool was_waited_for(struct registry *registry, struct place *place, coap_session_t *session,
                           const coap_pdu_t *request, coap_pdu_t *response_pdu)
{
        struct pending_request pending;

        if (registry->replaying || !pending_came_again(registry->pendings, session, request, &pending))
                return false;
        registry->is_request = true;
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

        if (message_parse(session, request, path, &message, &response) == 0) {
                message.host = host_of(registry, session, request);
                message.observers = &place->observers;
                serve_one_of(place->first, &message, &response);
        }
        finish(registry, &message, &response, response_pdu);
}

void serve(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
           const coap_string_t *query, coap_pdu_t *response_pdu)
{
        struct place *place = coap_resource_get_userdata(handle);
        const coap_str_const_t *path = coap_resource_get_uri_path(handle);
        struct registry *registry;

        (void)query;
        if (!place) {
                coap_pdu_set_code(response_pdu, COAP_RESPONSE_CODE_NOT_FOUND);
                return;
        }
        registry = place->registry;
        registry->places.serving = handle;
        if (!was_waited_for(registry, place, session, request, response_pdu) &&
            gate_enter(registry, session, request, response_pdu)) {
                serve_found(place, session, request, span_of(path->s, path->length), response_pdu);
                gate_leave(registry, session, request, response_pdu);
        }
        registry->places.serving = NULL;
        observations_note(registry->observations, client_of(session), &place->observers, request,
                          response_pdu, !registry->is_request);
}

static void serve_path(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                       struct span path, coap_pdu_t *response_pdu)
{
        struct response response = { .max_age = -1 };
        struct resource *resource;
        struct message message;

        if (message_parse(session, request, path, &message, &response) == 0) {
                message.host = host_of(registry, session, request);
                resource = registry_find_all(registry, path);
                if (resource) {
                        if (comes_again(registry, &message, request))
                                return; /* with an empty acknowledgement */
                        serve_one_of(resource, &message, &response);
                        finish(registry, &message, &response, response_pdu);
                        return;
                }
                resource = below_find_parent(registry, path, message.host);
                if (resource && comes_again_below(registry, resource, &message, request))
                        return;
                if (resource) {
                        message.request.rest = below_rest_of(resource, path);
                        serve_resource(resource, &message, &response);
                } else {
                        serve_nothing(registry, &message, &response);
                }
        }
        finish(registry, &message, &response, response_pdu);
}

void serve_unknown(coap_resource_t *handle, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response_pdu)
{
        struct registry *registry = coap_resource_get_userdata(handle);
        coap_string_t *path;

        (void)query;
        if (was_waited_for(registry, NULL, session, request, response_pdu) ||
            !gate_enter(registry, session, request, response_pdu))
                return;
        path = coap_get_uri_path(request);
        if (!path) {
                coap_pdu_set_code(response_pdu, COAP_RESPONSE_CODE_INTERNAL_ERROR);
                return;
        }
        serve_path(registry, session, request, span_of(path->s, path->length), response_pdu);
        coap_delete_string(path);
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
        if (!gate_enter(registry, session, request, response_pdu))
                return;
        if (message_parse(session, request, span_of(path->s, path->length), &message, &response) == 0 &&
            authorized(registry, &message, operations_of(&message), &response)) {
                struct resource none = { .registry = registry };

                message.host = host_of(registry, session, request);
                discovery_get(registry->discovery, &message, &response);
                settle_content(&none, &message, &response);
        }
        finish(registry, &message, &response, response_pdu);
        gate_leave(registry, session, request, response_pdu);
}
