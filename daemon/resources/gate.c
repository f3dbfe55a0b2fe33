/* SPDX-License-Identifier: BSD-2-Clause */
/* What stands before every request, whatever it is for: was it answered before, and may this client ask at all? */
#include "base/coap_options.h"
#include "resources/internal.h"

enum { NO_ROOM_RETRY_S = 60 };

/*
 * libcoap answers a request with If-None-Match by itself where the resource is there: with 4.12, also when it is the
 * very message that made the resource, come again. With an Observe instead, the number behind it, which means nothing
 * in such a request, it comes to us and is answered from memory.
 */
static void turn_if_none_match(uint8_t *bytes, size_t n)
{
        enum { DELTA = 1 << 4, IN_NIBBLE = 13 };
        struct coap_options options;
        uint8_t *head, *next;
        struct span value;

        if (!coap_options_begin(span_of(bytes, n), &options))
                return;
        do {
                head = bytes + (n - options.rest.n);
                if (!coap_options_next(&options, &value))
                        return;
        } while (options.number < COAP_OPTION_IF_NONE_MATCH);
        if (options.number != COAP_OPTION_IF_NONE_MATCH)
                return;
        next = bytes + (n - options.rest.n);
        if (coap_options_next(&options, &value)) {
                if (*next < DELTA || *next >> 4 >= IN_NIBBLE)
                        return;
                *next -= DELTA;
        }
        *head += DELTA;
}

void registry_datagram(struct registry *registry, const struct msghdr *message, size_t *n)
{
        enum { HEAD = 4 };
        uint8_t *bytes = message->msg_iov[0].iov_base;

        if (*n < HEAD)
                return;
        if (registry->config->server.q_block)
                qblock_take_out(&registry->q_block, message, n);
        if (duplicates_know(registry->duplicates, message, span_of(bytes, *n)))
                turn_if_none_match(bytes, *n);
}

/*
 * libcoap calls for requests and for notifications alike, with the request that began the observation. A piggybacked
 * answer is to a request; what else registers looks like a notification, but that libcoap has read it just now.
 */
static bool is_request(struct registry *registry, const struct observed *observed, const coap_pdu_t *request,
                       const coap_pdu_t *response_pdu)
{
        if (!observed || registry->comes_again || coap_pdu_get_type(response_pdu) == COAP_MESSAGE_ACK)
                return true;
        return !message_option(request, COAP_OPTION_OBSERVE) ||
               registry->host.is_reading(registry->host.user);
}

static bool is_unsafe(const coap_pdu_t *request)
{
        coap_pdu_code_t code = coap_pdu_get_code(request);

        return code != COAP_REQUEST_CODE_GET && code != COAP_REQUEST_CODE_FETCH;
}

static void refuse(coap_pdu_t *response_pdu, uint8_t code, uint8_t retry_after_s)
{
        coap_pdu_set_code(response_pdu, (coap_pdu_code_t)code);
        coap_add_option(response_pdu, COAP_OPTION_MAXAGE, sizeof retry_after_s, &retry_after_s);
}

/* RFC 8516: 4.29 with the seconds to wait in Max-Age. */
static bool too_many(struct registry *registry, const coap_session_t *session, coap_pdu_t *response_pdu)
{
        long long limit = registry->config->limits.requests_per_second;

        if (limit == 0 || !registry->is_request || registry->comes_again ||
            ratelimit_pass(registry->ratelimit, coap_session_get_addr_remote(session), limit))
                return false;
        registry->host.metrics->requests_too_many++;
        refuse(response_pdu, CODE_TOO_MANY_REQUESTS, 1);
        return true;
}

/* Whether it goes on to its resource; else it is answered. */
static bool pass(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                 coap_pdu_t *response_pdu)
{
        if (is_unsafe(request) &&
            duplicates_answer(registry->duplicates, session, registry->sender, request, response_pdu)) {
                registry->host.metrics->duplicates++;
                return false;
        }
        if (!clients_touch(registry->clients, client_of(session))) {
                refuse(response_pdu, CODE_UNAVAILABLE, NO_ROOM_RETRY_S);
                return false;
        }
        if (too_many(registry, session, response_pdu))
                return false;
        proof_heed(registry, client_of(session), request);
        return true;
}

/* Whose it is comes first: an answer that is given again is its sender's. */
bool gate_enter(struct registry *registry, coap_session_t *session, const struct observed *observed,
                const coap_pdu_t *request, coap_pdu_t *response_pdu)
{
        const struct registry_host *host = &registry->host;
        bool passes;

        registry->is_request = is_request(registry, observed, request, response_pdu);
        registry->may_act = false;
        registry->sender = 0;
        if (registry->replaying)
                return true;
        host->request_begins(host->user, session, request, !registry->is_request);
        if (host->protected_by)
                registry->sender = host->protected_by(host->user);
        passes = pass(registry, session, request, response_pdu);
        registry->comes_again = false;
        if (!passes)
                host->request_ends(host->user);
        return passes;
}

bool gate_read(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
               struct span path, struct message *message, struct response *response)
{
        if (message_parse(session, request, path, message, response) != 0)
                return false;
        message->sender = registry->sender;
        return true;
}

void gate_remember(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                   coap_mid_t mid, const coap_pdu_t *response_pdu)
{
        if (registry->may_act && is_unsafe(request) && coap_pdu_get_code(response_pdu) != COAP_EMPTY_CODE)
                duplicates_remember(registry->duplicates, session, registry->sender, request, mid,
                                    response_pdu);
}

void gate_leave(struct registry *registry, coap_session_t *session, const coap_pdu_t *request,
                const coap_pdu_t *response_pdu)
{
        if (registry->replaying)
                return;
        gate_remember(registry, session, request, coap_pdu_get_mid(request), response_pdu);
        registry->host.request_ends(registry->host.user);
}
