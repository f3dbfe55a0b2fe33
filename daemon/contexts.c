/* SPDX-License-Identifier: BSD-2-Clause */
/* How many contexts of libcoap there are, and what each is told; see contexts.h. */
#include "contexts.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/descriptors.h"
#include "base/log.h"
#include "base/util.h"
#include "config/config.h"
#include "endpoints/endpoints.h"
#include "endpoints/websocket_tls.h"

static int on_coap_event(coap_session_t *session, coap_event_t event)
{
        struct server *server = coap_get_app_data(coap_session_get_context(session));

        if (event == COAP_EVENT_DTLS_CONNECTED)
                websocket_tls_guard(session, &server->origins);
        if (event == COAP_EVENT_SERVER_SESSION_NEW)
                wire_session_new(server, session);
        /*
         * libcoap closes a WebSocket at the peer's close frame, or a bad one, and keeps the session till it times out.
         */
        if (event == COAP_EVENT_WS_CLOSED && server->registry)
                registry_session_closed(server->registry, session);
        if (event == COAP_EVENT_SERVER_SESSION_DEL)
                wire_session_gone(server, session);
        return 0;
}

static void on_nack(coap_session_t *session, const coap_pdu_t *sent, coap_nack_reason_t reason,
                    coap_mid_t mid)
{
        struct server *server = coap_get_app_data(coap_session_get_context(session));

        if (server->registry)
                registry_nacked(server->registry, session, sent, reason, mid);
}

static int add_context(struct server *server)
{
        const struct conf_server *conf = &server->config->server;
        const struct conf_limits *limits = &server->config->limits;
        coap_context_t *context = coap_new_context(NULL);

        if (!context) {
                log_error("libcoap gives no context: server.shards may be too many");
                return -ENOMEM;
        }
        server->contexts[server->shards.n++] = context;
        coap_set_app_data(context, server);
        coap_register_event_handler(context, on_coap_event);
        coap_register_nack_handler(context, on_nack);
        coap_context_set_session_timeout(context, (unsigned)conf->session_timeout);
        coap_context_set_max_token_size(context, (size_t)limits->token_length);
        coap_context_set_csm_max_message_size(context, (uint32_t)limits->message_size);
        return 0;
}

static int add_contexts(struct server *server, size_t n)
{
        long long each = server->config->server.max_sessions / (long long)n;
        int r = 0;

        while (server->shards.n < n && r == 0)
                r = add_context(server);
        for (size_t i = 0; i < server->shards.n; i++)
                coap_context_set_max_idle_sessions(server->contexts[i], (unsigned)MAX(each, 1));
        return r;
}

static size_t count_wanted(const struct server *server, uint64_t observers)
{
        const struct conf_server *conf = &server->config->server;
        const struct persist_engine *engine = persist_engine_find(server->config->persist.engine);

        if (engine && engine->one_context)
                return 1;
        return shards_choose(&(struct shards_need){
                .configured = (size_t)conf->shards,
                .observers = observers,
                .sessions = (uint64_t)conf->max_sessions,
                .descriptors = descriptors_most(),
        });
}

int contexts_start(struct server *server)
{
        int r;

        server->shards.v = server->contexts;
        if (getrandom(&server->shards.seed, sizeof server->shards.seed, 0) != sizeof server->shards.seed) {
                log_error("no random numbers: %s", strerror(errno));
                return -EIO;
        }
        r = add_contexts(server, count_wanted(server, 0));
        return r < 0 ? r : security_attach(server->security, server->shards);
}

int contexts_grow(struct server *server)
{
        const struct persist_engine *engine = server->engine;
        int r = 0;

        if (server->config->server.shards == 0 && engine->count_observers)
                r = add_contexts(server, count_wanted(server, engine->count_observers(server->engine_self)));
        if (r < 0)
                return r;
        server->shards.n_protected =
                shards_for_oscore(server->shards.n, security_count_oscore(server->security));
        server->persist_host.shards = server->shards;
        log_info("clients of coap:// are divided into %zu shards", server->shards.n);
        return endpoints_divide(server->endpoints, server->shards);
}

void contexts_free(struct server *server)
{
        for (size_t i = 0; i < server->shards.n; i++)
                coap_free_context(server->contexts[i]);
}
