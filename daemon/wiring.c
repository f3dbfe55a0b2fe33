/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions handed from module to module; see wiring.h. */
#include "wiring.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/message_ids.h"
#include "base/peer_name.h"
#include "config/config.h"
#include "endpoints/endpoints.h"
#include "systemd/notify.h"

_Static_assert((int)OPERATION_GET == (int)ACCESS_GET && (int)OPERATION_OBSERVE == (int)ACCESS_OBSERVE &&
                       (int)OPERATION_CREATE == (int)ACCESS_CREATE,
               "the registry's operations are the access rules' methods");

static uint64_t protected_by(void *user)
{
        const struct server *server = user;

        return security_protected_by(server->security);
}

static void answers(void *user, bool protected)
{
        struct server *server = user;

        security_answers(server->security, protected);
}

static uint8_t authorize(void *user, const coap_session_t *session, struct span path, unsigned operations)
{
        struct server *server = user;
        struct identity who;

        if (security_is_revoked(server->security, session))
                return COAP_RESPONSE_CODE_UNAUTHORIZED;
        security_identify(server->security, session, &who);
        switch (access_decide(server->access, &who, path, operations, NULL)) {
        case ACCESS_ALLOWED:
                return 0;
        case ACCESS_STRANGER:
                return COAP_RESPONSE_CODE_UNAUTHORIZED;
        default:
                return COAP_RESPONSE_CODE_FORBIDDEN;
        }
}

/* What the access rules refuse: a peer may try as often as it likes, and the log tells a few of them. */
static void denied(void *user, const coap_session_t *session, struct span path, unsigned operations,
                   uint8_t code)
{
        struct server *server = user;
        char peer[PEER_NAME], name[80], resource[160], what[80];
        unsigned others;
        struct identity who;

        if (!log_enabled(LOG_INFO) || !log_gate_pass(&server->denials, &others))
                return;
        security_identify(server->security, session, &who);
        identity_describe(&who, name, sizeof name);
        peer_name(&coap_session_get_addr_remote(session)->addr.sa, peer);
        log_message(LOG_INFO,
                    &(struct log_fields){
                            .message_id = MESSAGE_DENIED,
                            .peer = peer,
                            .identity = name,
                            .resource = log_escape(path, resource, sizeof resource),
                            .code = (code >> 5) * 100 + (code & 0x1f),
                    },
                    "denied with %u.%02u: %s on /%s to %s at %s%s", code >> 5, code & 0x1fU,
                    access_method_names(operations, what, sizeof what), resource, name, peer,
                    LOG_BEFORE(others));
}

static bool authenticated(void *user, const coap_session_t *session)
{
        struct server *server = user;
        struct identity who;

        security_identify(server->security, session, &who);
        return who.kind != IDENTITY_NONE;
}

static void identify(void *user, const coap_session_t *session, struct buf *out)
{
        enum { LONGEST = 4096 };
        struct server *server = user;
        struct identity who;
        char text[LONGEST];

        security_identify(server->security, session, &who);
        if (who.kind != IDENTITY_NONE)
                buf_append_string(out, identity_describe(&who, text, sizeof text));
}

static void request_begins(void *user, const coap_session_t *session, const coap_pdu_t *request,
                           bool is_notification)
{
        struct server *server = user;

        security_begin(server->security, session, request, is_notification);
}

static void request_ends(void *user)
{
        struct server *server = user;

        security_end(server->security);
}

/* Changes of requests that were read together go into the store together: their answers leave together. */
bool wire_more_waiting(const struct server *server)
{
        return server->engine->settle && server->pump && pump_more_waiting(server->pump);
}

static int store_put(void *user, const struct stored_resource *stored)
{
        struct server *server = user;

        return server->engine->put
                       ? server->engine->put(server->engine_self, stored, wire_more_waiting(server))
                       : 0;
}

static int store_del(void *user, struct span path)
{
        struct server *server = user;

        return server->engine->del ? server->engine->del(server->engine_self, path, wire_more_waiting(server))
                                   : 0;
}

static bool store_works(const struct server *server)
{
        return !server->engine->works || server->engine->works(server->engine_self);
}

void wire_status(struct server *server, struct status_numbers *ret_numbers)
{
        struct registry_counts counts = registry_count(server->registry);

        *ret_numbers = (struct status_numbers){
                .endpoints = endpoints_count(server->endpoints),
                .sessions = server->metrics.sessions_opened - server->metrics.sessions_closed,
                .observers = server->metrics.observations_now,
                .configured = counts.configured,
                .dynamic = counts.dynamic,
                .store_refuses = !store_works(server),
        };
}

static void kick(void *user)
{
        struct server *server = user;

        if (server->pump)
                pump_kick(server->pump);
}

static void kick_soon(void *user, size_t shard)
{
        struct server *server = user;

        if (server->pump)
                pump_kick_soon(server->pump, shard);
}

static bool is_reading(void *user)
{
        const struct server *server = user;

        return server->pump && pump_is_reading(server->pump);
}

static void yield(void *user)
{
        struct server *server = user;

        if (server->pump)
                pump_yield(server->pump);
}

static void want_end(void *user)
{
        struct server *server = user;

        if (server->pump)
                pump_want_end(server->pump);
}

/* A resource of this path may have been here before: its Observe numbers go on. */
static bool first_number(void *user, struct span path, uint32_t *ret_number)
{
        struct server *server = user;

        return server->engine->first_number &&
               server->engine->first_number(server->engine_self, path, ret_number);
}

/* What a file of the store takes on the disk, with SQLite's log of it. */
static uint64_t file_bytes(const char *path)
{
        char log[PATH_MAX];
        struct stat status;
        uint64_t bytes = 0;

        if (!path)
                return 0;
        snprintf(log, sizeof log, "%s-wal", path);
        if (stat(path, &status) == 0)
                bytes += (uint64_t)status.st_size;
        if (stat(log, &status) == 0)
                bytes += (uint64_t)status.st_size;
        return bytes;
}

static void describe(void *user, struct daemon_state *state)
{
        enum { NS_PER_S = 1000000000 };
        struct server *server = user;
        const struct conf_persist *persist = &server->config->persist;
        const struct persist_engine *engine = server->engine;

        state->uptime_s = (clock_now_ns() - server->started_ns) / NS_PER_S;
        state->endpoints = endpoints_count(server->endpoints);
        state->observers_restored = server->observers_restored;
        state->store_engine = engine->name;
        state->store_writable = store_works(server);
        state->store_bytes = file_bytes(persist->dynamic_resources) + file_bytes(persist->observers) +
                             file_bytes(persist->observe_counters);
}

/* --- sessions --- */

void wire_session_new(struct server *server, coap_session_t *session)
{
        server->metrics.sessions_opened++;
        if (server->registry)
                registry_session_new(server->registry, session);
}

void wire_session_gone(struct server *server, coap_session_t *session)
{
        server->metrics.sessions_closed++;
        security_session_gone(server->security, session);
        if (server->registry)
                registry_session_gone(server->registry, session);
}

/*
 * libcoap frees the session of a stream, and of DTLS, when it finds it disconnected, which is when its context
 * is called the next time. One of UDP has no such state, and libcoap frees none before its time; but it does with a
 * client's, when nobody holds it any more.
 */
static void end_session(void *user, coap_session_t *session)
{
        const struct server *server = user;

        coap_session_disconnected(session, COAP_NACK_NOT_DELIVERABLE);
        if (coap_session_get_proto(session) != COAP_PROTO_UDP) {
                kick_soon(user, shards_of_context(&server->shards, coap_session_get_context(session)));
                return;
        }
        wire_session_gone(user, session);
        if (coap_session_set_type_client(session))
                coap_session_release(session);
}

/* --- the bundles --- */

int wire_registry(struct server *server)
{
        struct registry_host host = {
                .shards = server->shards,
                .event = server->event,
                .metrics = &server->metrics,
                .user = server,
                .request_begins = request_begins,
                .request_ends = request_ends,
                .protected_by = protected_by,
                .answers = answers,
                .authorize = authorize,
                .denied = denied,
                .authenticated = authenticated,
                .identify = identify,
                .store_put = store_put,
                .store_del = store_del,
                .first_number = first_number,
                .kick = kick,
                .end_session = end_session,
                .kick_soon = kick_soon,
                .describe = describe,
                .is_reading = is_reading,
                .yield = yield,
                .want_end = want_end,
        };

        return registry_new(&host, &server->registry);
}
