/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The request rules, the same for every resource: it is authorised, its body put together, its preconditions checked,
 * handed to the kind, and what the kind answered made fit for the request.
 */
#include "resources/internal.h"

unsigned rules_operations_of(const struct message *m)
{
        return operation_of_method(m->request.method) |
               (m->request.observe ? (unsigned)OPERATION_OBSERVE : 0U);
}

/* A PUT or POST on a path where nothing is. */
static unsigned operations_to_create(const struct message *m)
{
        bool creates = m->request.method == METHOD_PUT || m->request.method == METHOD_POST;

        return rules_operations_of(m) | (creates ? (unsigned)OPERATION_CREATE : 0U);
}

static bool makes_below(const struct resource *resource, const struct message *m)
{
        const struct kind *kind = resource->kind;

        return kind->has_below && (m->request.method == METHOD_PUT || m->request.method == METHOD_POST) &&
               !kind->has_below(resource->self, m->request.rest);
}

bool rules_allow(struct registry *registry, const struct message *m, unsigned operations,
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
        code = m->q_block1 ? qblock1_take(registry->blockwise, m, max, response)
                           : blockwise_take(registry->blockwise, m, max, response);
        if (code == 0)
                return true;
        if (m->q_block1)
                registry_ask_after(registry, NON_RECEIVE_TIMEOUT_S);
        if (code >> 5 > 2 && !response->content)
                registry->host.metrics->transfers_refused++;
        else if (response->later)
                registry->host.metrics->requests++;
        response->code = code;
        return false;
}

/* What a GET of our own would be answered. Returns the code; `ret_etag` is none when there is nothing to get. */
static uint8_t look(const struct resource *resource, struct span path, struct span rest,
                    struct etag *ret_etag)
{
        struct request get = { .method = METHOD_GET, .path = path, .rest = rest };
        struct response response = { .max_age = -1, .code = CODE_METHOD_NOT_ALLOWED };

        get.content_format = get.accept = -1;
        if (resource->kind->handle[METHOD_GET])
                resource->kind->handle[METHOD_GET](resource->self, &get, &response);
        *ret_etag = response.content ? response.content->etag : (struct etag){ 0 };
        representation_unref(response.content);
        return response.code;
}

struct etag resource_etag(const struct resource *resource, struct span path, struct span rest)
{
        struct etag etag;

        look(resource, path, rest, &etag);
        return etag;
}

/* RFC 7252, 5.10.8: If-Match and If-None-Match. What cannot be read now is there all the same. */
static bool preconditions_hold(struct resource *resource, const struct message *m, struct response *response)
{
        struct etag etag;
        bool exists;

        if ((!m->if_none_match && m->if_match.n == 0 && !m->if_match.any) ||
            resource->kind->flags & KIND_CONDITIONS)
                return true;
        exists = look(resource, m->request.path, m->request.rest, &etag) != CODE_NOT_FOUND;
        if (m->if_none_match && exists)
                response_error(response, CODE_PRECONDITION_FAILED, "it exists");
        else if (m->if_match.any && !exists)
                response_error(response, CODE_PRECONDITION_FAILED, "it does not exist");
        else if (m->if_match.n && !m->if_match.any && (!etag.n || !etag_list_has(&m->if_match, &etag)))
                response_error(response, CODE_PRECONDITION_FAILED, "it has another ETag now");
        else
                return true;
        return false;
}

void rules_settle_content(const struct resource *resource, const struct message *m, struct response *response)
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

/* Whoever forges addresses, as many as there is room for, leaves some to those that have proved theirs. */
static size_t room_for(long long limit, bool proved)
{
        enum { ONE_OF = 4 };

        return (size_t)(proved ? limit : limit - limit / ONE_OF);
}

/* libcoap has added it already; upon an error it takes it back. */
static bool may_observe(struct registry *registry, const struct message *m, struct response *response)
{
        enum { RETRY_AFTER_S = 60 };
        const struct conf_limits *limits = &registry->config->limits;
        bool proved = proof_has(registry, client_of(m->session));
        const struct observations_bounds bounds = {
                .all = room_for(limits->observations, proved),
                .of_resource = room_for(limits->observations_per_resource, proved),
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
                        response_error(response, CODE_NOT_IMPLEMENTED, "it cannot be observed");
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

void rules_take_answer(struct resource *resource, const struct message *m, struct response *response)
{
        if (resource->kind->flags & KIND_FLEETING && !asks_for_the_rest(m) && response->content &&
            (response->code == CODE_CONTENT || response->with_content))
                outgoing_keep(resource->registry->outgoing, resource, m, response);
        rules_settle_content(resource, m, response);
        note_observation(resource, m, response);
}

void rules_serve(struct resource *resource, struct message *m, struct response *response)
{
        struct registry *registry = resource->registry;
        enum method method = m->request.method;

        if (!rules_allow(registry, m,
                         makes_below(resource, m) ? operations_to_create(m) : rules_operations_of(m),
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
        registry->may_act = true;
        if (!body_complete(registry, resource, m, response) || !preconditions_hold(resource, m, response))
                return;
        ask_kind(resource, m, response);
        if (!response->later)
                rules_take_answer(resource, m, response);
}

void rules_serve_nothing(struct registry *registry, struct message *m, struct response *response)
{
        bool may_create = !m->host && dynamic_may_exist(registry, m->request.path);
        enum method method = m->request.method;
        bool creates = method == METHOD_PUT || method == METHOD_POST;

        if (!rules_allow(registry, m, operations_to_create(m), response))
                return;
        registry->may_act = true;
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
