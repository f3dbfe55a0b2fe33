/* SPDX-License-Identifier: BSD-2-Clause */
/* From the config's entries to libcoap's endpoints; see endpoints.h. */
#include "endpoints/endpoints.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "endpoints/sockets.h"

struct endpoint {
        enum transport transport;
        char *host;
        uint16_t port;
        struct sockaddr_storage address;
        coap_endpoint_t *handle;
        int fd; /* libcoap's */
};

struct endpoints {
        coap_context_t *context; /* borrowed */
        struct endpoint *v;
        size_t n;
};

static const struct {
        coap_proto_t proto;
        int type;
} transports[] = {
        [TRANSPORT_UDP] = { COAP_PROTO_UDP, SOCK_DGRAM },  [TRANSPORT_DTLS] = { COAP_PROTO_DTLS, SOCK_DGRAM },
        [TRANSPORT_TCP] = { COAP_PROTO_TCP, SOCK_STREAM }, [TRANSPORT_TLS] = { COAP_PROTO_TLS, SOCK_STREAM },
        [TRANSPORT_WS] = { COAP_PROTO_WS, SOCK_STREAM },   [TRANSPORT_WSS] = { COAP_PROTO_WSS, SOCK_STREAM },
};

/* The one line of a failure. Returns `r`. */
static int fail(const struct conf_endpoint *conf, int r, const char *reason)
{
        log_message(LOG_ERR, &(struct log_fields){ .endpoint = conf->uri, .file = conf->at.file },
                    "%s:%u: endpoints: %s can not be opened: %s", conf->at.file, conf->at.line, conf->uri,
                    reason);
        return r;
}

static bool is_wildcard(const struct sockaddr_storage *a)
{
        if (a->ss_family == AF_INET)
                return ((const struct sockaddr_in *)a)->sin_addr.s_addr == htonl(INADDR_ANY);
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

static bool is_wildcard_host(const char *host)
{
        struct in6_addr six;
        struct in_addr four;

        return (inet_pton(AF_INET6, host, &six) == 1 && IN6_IS_ADDR_UNSPECIFIED(&six)) ||
               (inet_pton(AF_INET, host, &four) == 1 && four.s_addr == htonl(INADDR_ANY));
}

static bool is_same_entry(const struct endpoint *endpoint, const struct conf_endpoint *conf)
{
        return endpoint->transport == conf->transport && endpoint->port == conf->port &&
               strcmp(endpoint->host, conf->host) == 0;
}

/* Is there an entry for all of IPv4 on this port? Then "[::]" can not have it too. */
static bool ipv4_is_taken(const struct config *config, const struct conf_endpoint *conf)
{
        const struct conf_endpoint *all = config->endpoints.v;

        for (size_t i = 0; i < config->endpoints.n; i++) {
                if (strcmp(all[i].host, "0.0.0.0") == 0 && all[i].port == conf->port &&
                    transports[all[i].transport].type == transports[conf->transport].type)
                        return true;
        }
        return false;
}

static int join_group(const struct endpoint *endpoint, const struct conf_endpoint *conf, const char *group)
{
        const char *percent = strchr(group, '%');
        struct group_req request = { .gr_interface = 0 };
        char address[INET6_ADDRSTRLEN], reason[192];
        int level, r;

        snprintf(address, sizeof address, "%.*s", (int)strcspn(group, "%"), group);
        if (inet_pton(AF_INET, address, &((struct sockaddr_in *)&request.gr_group)->sin_addr) == 1)
                request.gr_group.ss_family = AF_INET;
        else if (inet_pton(AF_INET6, address, &((struct sockaddr_in6 *)&request.gr_group)->sin6_addr) == 1)
                request.gr_group.ss_family = AF_INET6;
        level = request.gr_group.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
        r = -EADDRNOTAVAIL;
        if (request.gr_group.ss_family != AF_UNSPEC && is_wildcard(&endpoint->address) &&
            conf->transport == TRANSPORT_UDP) {
                request.gr_interface = percent ? if_nametoindex(percent + 1) : 0;
                r = percent && request.gr_interface == 0 ? -ENODEV : 0;
        }
        /* A socket that outlived a restart may already be a member: EADDRINUSE. */
        if (r == 0 && setsockopt(endpoint->fd, level, MCAST_JOIN_GROUP, &request, sizeof request) < 0 &&
            errno != EADDRINUSE)
                r = -errno;
        if (r == 0)
                return 0;
        snprintf(reason, sizeof reason, "multicast group %s: %s%s", group, strerror(-r),
                 is_wildcard(&endpoint->address) ? "" : " (groups need a host of [::] or 0.0.0.0)");
        return fail(conf, r, reason);
}

static void close_last(struct endpoints *endpoints)
{
        struct endpoint *endpoint = &endpoints->v[--endpoints->n];

        sockets_forget(endpoint->fd);
        if (endpoint->handle)
                coap_free_endpoint(endpoint->handle);
        free(endpoint->host);
}

static coap_endpoint_t *open_quietly(coap_context_t *context, const struct socket_plan *plan,
                                     coap_proto_t proto)
{
        coap_log_t level = coap_get_log_level();
        coap_address_t at;
        coap_endpoint_t *handle;

        coap_address_init(&at);
        memcpy(&at.addr, &plan->address, plan->address_size);
        at.size = plan->address_size;
        /* Its own messages name neither the address nor the config's line. */
        coap_set_log_level(COAP_LOG_EMERG);
        handle = coap_new_endpoint(context, &at, proto);
        coap_set_log_level(level);
        return handle;
}

/* What is open already, for the plan of the next one. */
static struct socket_peer *list_peers(const struct endpoints *endpoints)
{
        struct socket_peer *peers = calloc(endpoints->n + 1, sizeof *peers);

        for (size_t i = 0; peers && i < endpoints->n; i++) {
                const struct endpoint *endpoint = &endpoints->v[i];

                peers[i] = (struct socket_peer){
                        .fd = endpoint->fd,
                        .type = transports[endpoint->transport].type,
                        .address = endpoint->address,
                };
        }
        return peers;
}

static int open_endpoint(struct endpoints *endpoints, struct endpoint *endpoint, struct socket_plan *plan,
                         const struct conf_endpoint *conf)
{
        endpoint->host = strdup(conf->host);
        if (!endpoint->host || !plan->peers)
                return fail(conf, -ENOMEM, strerror(ENOMEM));
        sockets_plan(plan);
        endpoint->handle = open_quietly(endpoints->context, plan, transports[conf->transport].proto);
        sockets_plan(NULL);
        endpoint->fd = plan->fd;
        if (!endpoint->handle && plan->error)
                return fail(conf, -plan->error, strerror(plan->error));
        if (!endpoint->handle)
                return fail(conf, -ENOKEY, "libcoap refuses, as without keys in `security` for it");
        for (size_t i = 0; i < conf->multicast.n; i++) {
                int r = join_group(endpoint, conf, conf->multicast.v[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int open_address(struct endpoints *endpoints, const struct config *config,
                        const struct conf_endpoint *conf, const struct addrinfo *info)
{
        CLEANUP(freep) struct socket_peer *peers = list_peers(endpoints);
        struct socket_plan plan = {
                .address_size = info->ai_addrlen,
                .type = transports[conf->transport].type,
                .v6only = info->ai_family == AF_INET6 && ipv4_is_taken(config, conf),
                .receive_buffer = (int)MIN(config->server.receive_buffer, INT_MAX),
                .send_buffer = (int)MIN(config->server.send_buffer, INT_MAX),
                .peers = peers,
                .n_peers = endpoints->n,
        };
        struct endpoint *grown = reallocarray(endpoints->v, endpoints->n + 1, sizeof *grown);

        if (!grown)
                return fail(conf, -ENOMEM, strerror(ENOMEM));
        memcpy(&plan.address, info->ai_addr, info->ai_addrlen);
        endpoints->v = grown;
        grown[endpoints->n] = (struct endpoint){
                .transport = conf->transport,
                .port = conf->port,
                .address = plan.address,
                .fd = -1,
        };
        return open_endpoint(endpoints, &grown[endpoints->n++], &plan, conf);
}

static int open_entry(struct endpoints *endpoints, const struct config *config,
                      const struct conf_endpoint *conf)
{
        struct addrinfo *found = NULL;
        const struct addrinfo hints = {
                .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                .ai_socktype = transports[conf->transport].type,
        };
        char port[8];
        int r;

        snprintf(port, sizeof port, "%u", conf->port);
        r = getaddrinfo(conf->host, port, &hints, &found);
        if (r != 0)
                return fail(conf, r == EAI_SYSTEM ? -errno : -EADDRNOTAVAIL, gai_strerror(r));
        for (const struct addrinfo *info = found; info && r == 0; info = info->ai_next)
                r = open_address(endpoints, config, conf, info);
        freeaddrinfo(found);
        return r;
}

static bool is_open(const struct endpoints *endpoints, size_t n, const struct conf_endpoint *conf)
{
        for (size_t i = 0; i < n; i++) {
                if (is_same_entry(&endpoints->v[i], conf))
                        return true;
        }
        return false;
}

static bool is_configured(const struct config *config, const struct endpoint *endpoint)
{
        const struct conf_endpoint *conf = config->endpoints.v;

        for (size_t i = 0; i < config->endpoints.n; i++) {
                if (is_same_entry(endpoint, &conf[i]))
                        return true;
        }
        return false;
}

/*
 * Wildcards first: where two of ours share a port, the kernel asks no further as soon as it has found the one
 * that shares. A strict wildcard before all others is what finds a stranger on the same port.
 */
static int open_new(struct endpoints *endpoints, const struct config *config)
{
        const struct conf_endpoint *conf = config->endpoints.v;
        size_t before = endpoints->n;

        for (int wildcards = 1; wildcards >= 0; wildcards--) {
                for (size_t i = 0; i < config->endpoints.n; i++) {
                        int r;

                        if (is_wildcard_host(conf[i].host) != wildcards || is_open(endpoints, before, &conf[i]))
                                continue;
                        r = open_entry(endpoints, config, &conf[i]);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int endpoints_update(struct endpoints *endpoints, const struct config *config, size_t *ret_stale)
{
        size_t before = endpoints->n, stale = 0;
        int r;

        for (size_t i = 0; i < before; i++)
                stale += !is_configured(config, &endpoints->v[i]);
        r = open_new(endpoints, config);
        if (r < 0) {
                while (endpoints->n > before)
                        close_last(endpoints);
                return r;
        }
        *ret_stale = stale;
        return 0;
}

int endpoints_open(coap_context_t *context, const struct config *config, struct endpoints **ret_endpoints)
{
        struct endpoints *endpoints = calloc(1, sizeof *endpoints);
        size_t stale;
        int r;

        if (!endpoints)
                return -ENOMEM;
        endpoints->context = context;
        r = endpoints_update(endpoints, config, &stale);
        if (r < 0) {
                endpoints_free(endpoints);
                return r;
        }
        *ret_endpoints = endpoints;
        return 0;
}

size_t endpoints_count(const struct endpoints *endpoints)
{
        return endpoints->n;
}

void endpoints_free(struct endpoints *endpoints)
{
        if (!endpoints)
                return;
        for (size_t i = 0; i < endpoints->n; i++) {
                sockets_forget(endpoints->v[i].fd);
                free(endpoints->v[i].host);
        }
        free(endpoints->v);
        free(endpoints);
}
