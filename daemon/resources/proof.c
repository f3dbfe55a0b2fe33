/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses that have not proved themselves. Over UDP the sender's address may be that of a victim, who would get the
 * answer: so it is not to be much longer than the request (RFC 7252, 11.3; RFC 9175, 2.4).
 */
#include "resources/internal.h"

enum { FACTOR = 3 }; /* as of QUIC (RFC 9000, 8) */

/* How many bytes an option takes, at most. */
static size_t option_size(size_t length)
{
        return 1 + 2 + (length >= 13) + (length >= 269) + length;
}

static size_t request_size(const struct message *m)
{
        enum { HEADER = 4, MARKER = 1 };
        size_t size = HEADER + m->token.length + (m->datagram_body ? MARKER + m->datagram_body : 0);
        coap_opt_iterator_t iterator;
        coap_opt_t *option;

        /* A little less than it was: the deltas of the options are taken for short. */
        coap_option_iterator_init(m->pdu, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator)))
                size += option_size(coap_opt_length(option)) - 2;
        return size;
}

/* Of the answer in one piece. */
static size_t answer_size(const struct message *m, const struct response *response)
{
        enum { HEADER = 4, MARKER = 1, OPTIONS = 9 + 4 + 3 + 5 }; /* ETag, Observe, Content-Format, Max-Age */
        uint64_t body = response->content ? response->content->size : 0;

        return HEADER + m->token.length + OPTIONS + MARKER + (size_t)MIN(body, (uint64_t)UINT16_MAX);
}

/* A small body takes many small blocks, too, where they are asked for together. */
static bool is_burst(const struct message *m, const struct response *response)
{
        return m->q_block2 && response->content->size > (uint64_t)16 << m->block2.szx;
}

static bool is_proved(struct registry *registry, struct client *client)
{
        const struct registry_host *host = &registry->host;

        if (!client || registry->replaying)
                return true;
        if (!client->proved && host->authenticated && host->authenticated(host->user, client->session))
                clients_prove(registry->clients, client);
        return client->proved;
}

void proof_heed(struct registry *registry, struct client *client, const coap_pdu_t *request)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option;

        if (!client || client->proved)
                return;
        option = coap_check_option(request, COAP_OPTION_ECHO, &iterator);
        if (option && echo_check(registry->echo, coap_session_get_addr_remote(client->session),
                                 span_of(coap_opt_value(option), coap_opt_length(option))))
                clients_prove(registry->clients, client);
}

bool proof_has(struct registry *registry, struct client *client)
{
        return registry->config->limits.unproven == CONF_UNPROVEN_SERVE || is_proved(registry, client);
}

bool request_has_proved(const struct resource *resource, const struct request *request,
                        struct response *response)
{
        struct registry *registry = resource->registry;

        if (!request->message || proof_has(registry, client_of(request->message->session)))
                return true;
        registry->host.metrics->answers_refused++;
        response_error(response, CODE_UNAUTHORIZED, "send the Echo option back");
        response->prove = true;
        return false;
}

void proof_ask(struct registry *registry, struct message *m, struct response *response)
{
        const struct conf_limits *limits = &registry->config->limits;
        struct client *client = client_of(m->session);
        bool challenge = limits->unproven == CONF_UNPROVEN_ECHO && registry->is_request && message_is_safe(m);
        size_t most;
        bool fits;

        if (response->prove) {
                m->has_echo =
                        echo_make(registry->echo, coap_session_get_addr_remote(m->session), m->echo) == 0;
                return;
        }
        if (limits->unproven == CONF_UNPROVEN_SERVE || !response->content || response->code != CODE_CONTENT ||
            !client || client->proved)
                return;
        most = MAX((size_t)limits->unproven_response, FACTOR * request_size(m));
        fits = answer_size(m, response) <= most && !(challenge && m->request.observe);
        if (fits && !is_burst(m, response))
                return;
        if (is_proved(registry, client) ||
            echo_make(registry->echo, coap_session_get_addr_remote(m->session), m->echo) < 0)
                return;
        m->has_echo = true;
        if (challenge && !fits) {
                registry->host.metrics->answers_refused++;
                response_error(response, CODE_UNAUTHORIZED, "send the Echo option back");
        } else {
                registry->host.metrics->answers_cut++;
                m->most = most;
        }
}
