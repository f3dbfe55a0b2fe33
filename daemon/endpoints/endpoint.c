/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening one endpoint and keeping its groups; see endpoint.h. */
#include "endpoints/endpoint.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/message_ids.h"
#include "endpoints/multicast.h"
#include "endpoints/sockets.h"

static const struct {
        coap_proto_t proto;
        int type;
        const char *name;
} transports[] = {
        [TRANSPORT_UDP] = { COAP_PROTO_UDP, SOCK_DGRAM, "udp" },
        [TRANSPORT_DTLS] = { COAP_PROTO_DTLS, SOCK_DGRAM, "dtls" },
        [TRANSPORT_TCP] = { COAP_PROTO_TCP, SOCK_STREAM, "tcp" },
        [TRANSPORT_TLS] = { COAP_PROTO_TLS, SOCK_STREAM, "tls" },
        [TRANSPORT_WS] = { COAP_PROTO_WS, SOCK_STREAM, "ws" },
        [TRANSPORT_WSS] = { COAP_PROTO_WSS, SOCK_STREAM, "wss" },
};

static const char groups_mark[] = "-groups-";

int endpoint_socket_type(enum transport transport)
{
        return transports[transport].type;
}

const char *endpoint_transport_name(enum transport transport)
{
        return transports[transport].name;
}

bool endpoint_is_wildcard(const struct sockaddr_storage *address)
{
        if (address->ss_family == AF_INET)
                return ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
        return IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr);
}

/* What to do about it, where that is not plain. */
static const char *advice(const struct conf_endpoint *conf, int r)
{
        if (r == -EACCES && conf->port < IPPORT_RESERVED)
                return "; a port below 1024 takes CAP_NET_BIND_SERVICE, the comments of coapd.service tell "
                       "how";
        if (r == -EADDRINUSE)
                return "; ss -lnup and ss -lntp tell which program has it";
        if (r == -EADDRNOTAVAIL)
                return "; this machine has no such address now";
        return "";
}

int endpoint_fail(const struct conf_endpoint *conf, int r, const char *reason)
{
        log_message(LOG_ERR,
                    &(struct log_fields){ .message_id = MESSAGE_ADDRESS_NOT_TAKEN,
                                          .endpoint = conf->uri,
                                          .file = conf->at.file },
                    "%s:%u: endpoints: %s cannot be opened: %s%s", conf->at.file, conf->at.line, conf->uri,
                    reason, advice(conf, r));
        return r;
}

bool endpoint_is_of(const struct endpoint *endpoint, const struct conf_endpoint *conf)
{
        return endpoint->transport == conf->transport && endpoint->port == conf->port &&
               strcmp(endpoint->host, conf->host) == 0;
}

const char *endpoint_socket_name(const struct sockaddr_storage *address, enum transport transport,
                                 const struct conf_strings *groups, char out[static SOCKET_NAME_SIZE])
{
        char host[80], port[8], suffix[24] = "";

        getnameinfo((const struct sockaddr *)address, sizeof(struct sockaddr_in6), host, sizeof host, port,
                    sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
        if (groups->n > 0)
                snprintf(suffix, sizeof suffix, "%s%08x", groups_mark, multicast_hash(groups));
        snprintf(out, SOCKET_NAME_SIZE, "coapd-%s-%s-%s%s", transports[transport].name, host, port, suffix);
        for (char *colon = strchr(out, ':'); colon; colon = strchr(colon, ':'))
                *colon = '_'; /* systemd separates names by colons */
        return out;
}

bool endpoint_name_has_groups_of(const char *left, const char *wanted)
{
        const char *has = strstr(left, groups_mark), *wants = strstr(wanted, groups_mark);

        /* Of a .socket unit's, whose name is not ours, no process has made a member of anything. */
        return !has || (wants && strcmp(has, wants) == 0);
}

/* ---------------------------------------------------------------- groups */

static void free_groups(struct conf_strings *groups)
{
        for (size_t i = 0; i < groups->n; i++)
                free(groups->v[i]);
        free(groups->v);
        *groups = (struct conf_strings){ NULL, 0 };
}

static bool has_group(const struct conf_strings *groups, const char *group)
{
        for (size_t i = 0; i < groups->n; i++) {
                if (strcmp(groups->v[i], group) == 0)
                        return true;
        }
        return false;
}

/* Leaves those of the first `n` of `groups` that `others` has not. */
static void leave_groups(int fd, const struct conf_strings *groups, size_t n,
                         const struct conf_strings *others)
{
        for (size_t i = 0; i < n; i++) {
                if (!has_group(others, groups->v[i]))
                        multicast_leave(fd, groups->v[i]);
        }
}

static int fail_group(const struct conf_endpoint *conf, int r, const char *group, const char *hint)
{
        char reason[192];

        snprintf(reason, sizeof reason, "multicast group %s: %s%s", group, strerror(-r), hint);
        return endpoint_fail(conf, r, reason);
}

int endpoint_join_groups(const struct endpoint *endpoint, const struct conf_endpoint *conf)
{
        const struct conf_strings *wanted = &conf->multicast;

        if (wanted->n > 0 && (!endpoint_is_wildcard(&endpoint->address) || conf->transport != TRANSPORT_UDP))
                return fail_group(conf, -EADDRNOTAVAIL, wanted->v[0], " (needs coap:// on [::] or 0.0.0.0)");
        for (size_t i = 0; i < wanted->n; i++) {
                /* Again, if it is a member: an interface may have come back as another of the same name. */
                int r = multicast_join(endpoint->fd, wanted->v[i]);

                if (r < 0) {
                        leave_groups(endpoint->fd, wanted, i, &endpoint->groups);
                        return fail_group(conf, r, wanted->v[i], "");
                }
        }
        return 0;
}

void endpoint_undo_groups(const struct endpoint *endpoint, const struct conf_endpoint *conf)
{
        leave_groups(endpoint->fd, &conf->multicast, conf->multicast.n, &endpoint->groups);
}

void endpoint_settle_groups(struct endpoint *endpoint, const struct conf_endpoint *conf)
{
        const struct conf_strings *wanted = &conf->multicast;

        leave_groups(endpoint->fd, &endpoint->groups, endpoint->groups.n, wanted);
        free_groups(&endpoint->groups);
        endpoint->groups.v = calloc(wanted->n + 1, sizeof(char *));
        for (size_t i = 0; endpoint->groups.v && i < wanted->n; i++) {
                endpoint->groups.v[i] = strdup(wanted->v[i]);
                if (!endpoint->groups.v[i])
                        return; /* one that is not on the list is not left later, and that is all */
                endpoint->groups.n++;
        }
}

/* ---------------------------------------------------------------- open and close */

static coap_endpoint_t *open_quietly(coap_context_t *context, struct socket_plan *plan, coap_proto_t proto)
{
        coap_log_t level = coap_get_log_level();
        coap_address_t at;
        coap_endpoint_t *handle;

        coap_address_init(&at);
        memcpy(&at.addr, &plan->address, plan->address_size);
        at.size = plan->address_size;
        /* Its own messages name neither the address nor the config's line. */
        coap_set_log_level(COAP_LOG_EMERG);
        sockets_plan(plan);
        handle = coap_new_endpoint(context, &at, proto);
        sockets_plan(NULL);
        coap_set_log_level(level);
        return handle;
}

/* The other contexts' endpoints on the same descriptor. */
int endpoint_divide(struct endpoint *endpoint, const struct shards *shards)
{
        size_t n = endpoint->transport == TRANSPORT_UDP ? shards->n : shards_for_streams(shards->n);
        struct socket_plan shared = {
                .address = endpoint->address,
                .address_size = endpoint->address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
                                                                       : sizeof(struct sockaddr_in6),
                .type = transports[endpoint->transport].type,
                .kept = -1,
                .shared = endpoint->fd,
        };
        coap_endpoint_t **grown;

        if (endpoint->n_twins + 1 >= n)
                return 0;
        grown = reallocarray(endpoint->twins, n, sizeof(coap_endpoint_t *));
        if (!grown)
                return -ENOMEM;
        endpoint->twins = grown;
        while (endpoint->n_twins + 1 < n) {
                coap_endpoint_t *twin = open_quietly(shards->v[endpoint->n_twins + 1], &shared,
                                                     transports[endpoint->transport].proto);

                if (!twin)
                        return -ENOMEM;
                grown[endpoint->n_twins++] = twin;
        }
        return 0;
}

int endpoint_open(const struct shards *shards, const struct conf_endpoint *conf, struct socket_plan *plan,
                  struct websocket_origins *origins, struct endpoint *ret_endpoint)
{
        struct endpoint endpoint = {
                .transport = conf->transport,
                .host = strdup(conf->host),
                .port = conf->port,
                .address = plan->address,
        };
        int r;

        if (!endpoint.host) {
                if (plan->kept >= 0)
                        close(plan->kept);
                return endpoint_fail(conf, -ENOMEM, strerror(ENOMEM));
        }
        endpoint.handle = open_quietly(shards->v[0], plan, transports[conf->transport].proto);
        endpoint.fd = plan->fd;
        if (!endpoint.handle) {
                sockets_forget(plan->fd);
                if (plan->fd < 0 && plan->kept >= 0)
                        close(plan->kept);
                endpoint_deinit(&endpoint);
                return plan->error ? endpoint_fail(conf, -plan->error, strerror(plan->error))
                                   : endpoint_fail(conf, -ENOKEY, "no key for it: see `security`");
        }
        if (conf->transport == TRANSPORT_WS)
                sockets_set_websockets(endpoint.fd, origins);
        if (conf->transport == TRANSPORT_WS || conf->transport == TRANSPORT_WSS ||
            conf->transport == TRANSPORT_TLS)
                sockets_set_whole(endpoint.fd);
        if (endpoint_divide(&endpoint, shards) < 0) {
                endpoint_close(&endpoint);
                return endpoint_fail(conf, -ENOMEM, strerror(ENOMEM));
        }
        r = endpoint_join_groups(&endpoint, conf);
        if (r < 0) {
                endpoint_close(&endpoint);
                return r;
        }
        endpoint_settle_groups(&endpoint, conf);
        *ret_endpoint = endpoint;
        return 0;
}

void endpoint_close(struct endpoint *endpoint)
{
        while (endpoint->n_twins > 0)
                coap_free_endpoint(endpoint->twins[--endpoint->n_twins]);
        coap_free_endpoint(endpoint->handle);
        endpoint_deinit(endpoint);
}

void endpoint_deinit(struct endpoint *endpoint)
{
        sockets_forget(endpoint->fd);
        free(endpoint->host);
        free(endpoint->twins);
        free_groups(&endpoint->groups);
}
