/* SPDX-License-Identifier: BSD-2-Clause */
/* What the control socket shows and does, in the words of the modules; see wiring.h. */

#include "base/log.h"
#include "base/peer_name.h"
#include "config/config.h"
#include "endpoints/endpoints.h"
#include "security/identity.h"
#include "wiring.h"

static int list_endpoints(void *user, visit_endpoint visit, void *closure)
{
        struct server *server = user;

        return endpoints_list(server->endpoints, visit, closure);
}

/* --- sessions, for people --- */

struct described {
        const char *transport;
        char peer[PEER_NAME], local[PEER_NAME], identity[160];
};

static const char *transport_name(const coap_session_t *session)
{
        switch (coap_session_get_proto(session)) {
        case COAP_PROTO_UDP:
                return "udp";
        case COAP_PROTO_DTLS:
                return "dtls";
        case COAP_PROTO_TCP:
                return "tcp";
        case COAP_PROTO_TLS:
                return "tls";
        case COAP_PROTO_WS:
                return "ws";
        case COAP_PROTO_WSS:
                return "wss";
        default:
                return "?";
        }
}

static void print_address(const coap_address_t *address, char out[static PEER_NAME])
{
        peer_name(address ? &address->addr.sa : NULL, out);
}

static void describe_session(const struct server *server, const coap_session_t *session,
                             struct described *out)
{
        struct identity who;

        out->transport = transport_name(session);
        print_address(coap_session_get_addr_remote(session), out->peer);
        print_address(coap_session_get_addr_local(session), out->local);
        security_identify(server->security, session, &who);
        identity_describe(&who, out->identity, sizeof out->identity);
}

struct session_listing {
        const struct server *server;
        visit_session visit_session;
        visit_observer visit_observer;
        void *closure;
};

static int pass_session(void *closure, const struct listing_place *place, const coap_session_t *session,
                        const char *resource, size_t observations)
{
        struct session_listing *listing = closure;
        struct described described;

        (void)resource;
        describe_session(listing->server, session, &described);
        return listing->visit_session(listing->closure, place,
                                      &(struct listed_session){
                                              .transport = described.transport,
                                              .peer = described.peer,
                                              .local = described.local,
                                              .identity = described.identity,
                                              .observations = observations,
                                      });
}

static int pass_observer(void *closure, const struct listing_place *place, const coap_session_t *session,
                         const char *resource, size_t observations)
{
        struct session_listing *listing = closure;
        struct described described;

        (void)observations;
        describe_session(listing->server, session, &described);
        return listing->visit_observer(listing->closure, place,
                                       &(struct listed_observer){
                                               .resource = resource,
                                               .transport = described.transport,
                                               .peer = described.peer,
                                               .local = described.local,
                                               .identity = described.identity,
                                       });
}

static int list_sessions(void *user, const struct listing_place *after, size_t max, visit_session visit,
                         void *closure)
{
        struct server *server = user;
        struct session_listing listing = { .server = server, .visit_session = visit, .closure = closure };

        return registry_list_sessions(server->registry, after, max, pass_session, &listing);
}

static int list_observers(void *user, const struct listing_place *after, size_t max, visit_observer visit,
                          void *closure)
{
        struct server *server = user;
        struct session_listing listing = { .server = server, .visit_observer = visit, .closure = closure };

        return registry_list_observers(server->registry, after, max, pass_observer, &listing);
}

static int list_resources(void *user, const struct listing_place *after, size_t max, visit_resource visit,
                          void *closure)
{
        struct server *server = user;

        return registry_list_resources(server->registry, after, max, visit, closure);
}

/* --- what it does --- */

static int notify_observers(void *user, struct span path, bool *ret_observed)
{
        struct server *server = user;

        return registry_notify(server->registry, path, ret_observed);
}

static int reload(void *user, FILE *out)
{
        struct server *server = user;

        return server->reload(server, out);
}

static int import(void *user, const struct stored_resource *stored, bool *ret_created, char *why, size_t size)
{
        struct server *server = user;

        return registry_import(server->registry, stored, ret_created, why, size);
}

static void describe(void *user, struct daemon_state *ret_state)
{
        struct server *server = user;

        registry_describe(server->registry, ret_state);
}

void wire_control(struct server *server, int (*reload_server)(struct server *server, FILE *report))
{
        struct control_host host = {
                .event = server->event,
                .user = server,
                .config_file = server->file,
                .describe = describe,
                .list_endpoints = list_endpoints,
                .list_sessions = list_sessions,
                .list_observers = list_observers,
                .list_resources = list_resources,
                .notify = notify_observers,
                .reload = reload,
                .import = import,
        };

        server->reload = reload_server;
        if (server->config->server.control)
                control_open(server->config->server.control, &host, &server->control);
}
