/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the config's entries to endpoints; see endpoints.h.
 *
 * All addresses are known before the first is opened, because the order matters: first those that the last
 * run left, then what it left and nobody wants is given up, then the wildcards, then the rest. Where two
 * sockets of ours share a port the kernel looks no further than the first, so that only a wildcard which
 * comes first, and shares with nobody yet, finds a stranger.
 */
#include "endpoints/endpoints.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "endpoints/endpoint.h"

struct endpoints {
        struct shards shards;
        void (*keep)(int fd, const char *name, const char *old_name); /* may be NULL */
        struct websocket_origins *origins;
        struct endpoint *v;
        size_t n;
};

/* An address to be opened. */
struct wish {
        const struct conf_endpoint *conf;
        struct socket_plan plan;
        bool done;
};

struct wishes {
        struct wish *v;
        size_t n;
};

static bool is_open(const struct endpoints *endpoints, const struct conf_endpoint *conf)
{
        for (size_t i = 0; i < endpoints->n; i++) {
                if (endpoint_is_of(&endpoints->v[i], conf))
                        return true;
        }
        return false;
}

static const struct conf_endpoint *find_entry(const struct config *config, const struct endpoint *endpoint)
{
        const struct conf_endpoint *conf = config->endpoints.v;

        for (size_t i = 0; i < config->endpoints.n; i++) {
                if (endpoint_is_of(endpoint, &conf[i]))
                        return &conf[i];
        }
        return NULL;
}

/* Is there an entry for all of IPv4 on this port? Then "[::]" cannot have it too. */
static bool ipv4_is_taken(const struct config *config, const struct conf_endpoint *conf)
{
        const struct conf_endpoint *all = config->endpoints.v;

        for (size_t i = 0; i < config->endpoints.n; i++) {
                if (strcmp(all[i].host, "0.0.0.0") == 0 && all[i].port == conf->port &&
                    endpoint_socket_type(all[i].transport) == endpoint_socket_type(conf->transport))
                        return true;
        }
        return false;
}

static int add_wish(struct wishes *wishes, const struct config *config, const struct conf_endpoint *conf,
                    const struct addrinfo *info)
{
        struct wish *grown = reallocarray(wishes->v, wishes->n + 1, sizeof *grown);
        struct wish *wish;

        if (!grown)
                return -ENOMEM;
        wishes->v = grown;
        wish = &grown[wishes->n++];
        *wish = (struct wish){
                .conf = conf,
                .plan = {
                        .address_size = info->ai_addrlen,
                        .type = endpoint_socket_type(conf->transport),
                        .receive_buffer = (int)MIN(config->server.receive_buffer, INT_MAX),
                        .send_buffer = (int)MIN(config->server.send_buffer, INT_MAX),
                        .kept = -1,
                        .shared = -1,
                },
        };
        memcpy(&wish->plan.address, info->ai_addr, info->ai_addrlen);
        wish->plan.v6only = info->ai_family == AF_INET6 && endpoint_is_wildcard(&wish->plan.address) &&
                            ipv4_is_taken(config, conf);
        return 0;
}

static int add_wishes_of(struct wishes *wishes, const struct config *config, const struct conf_endpoint *conf)
{
        struct addrinfo *found = NULL;
        const struct addrinfo hints = {
                .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                .ai_socktype = endpoint_socket_type(conf->transport),
        };
        char port[8];
        int r;

        snprintf(port, sizeof port, "%u", conf->port);
        r = getaddrinfo(conf->host, port, &hints, &found);
        if (r != 0)
                return endpoint_fail(conf, r == EAI_SYSTEM ? -errno : -EADDRNOTAVAIL, gai_strerror(r));
        for (const struct addrinfo *info = found; info && r == 0; info = info->ai_next)
                r = add_wish(wishes, config, conf, info);
        freeaddrinfo(found);
        return r < 0 ? endpoint_fail(conf, r, strerror(-r)) : 0;
}

/* What is open already, for the plan of the next one. */
static struct socket_peer *list_peers(const struct endpoints *endpoints)
{
        struct socket_peer *peers = calloc(endpoints->n + 1, sizeof *peers);

        for (size_t i = 0; peers && i < endpoints->n; i++) {
                const struct endpoint *endpoint = &endpoints->v[i];

                peers[i] = (struct socket_peer){
                        .fd = endpoint->fd,
                        .type = endpoint_socket_type(endpoint->transport),
                        .address = endpoint->address,
                };
        }
        return peers;
}

static int open_wish(struct endpoints *endpoints, struct wish *wish)
{
        CLEANUP(freep) struct socket_peer *peers = list_peers(endpoints);
        struct endpoint *grown = reallocarray(endpoints->v, endpoints->n + 1, sizeof *grown);
        int r;

        if (grown)
                endpoints->v = grown;
        if (!grown || !peers)
                return endpoint_fail(wish->conf, -ENOMEM, strerror(ENOMEM));
        wish->done = true;
        wish->plan.peers = peers;
        wish->plan.n_peers = endpoints->n;
        r = endpoint_open(&endpoints->shards, wish->conf, &wish->plan, endpoints->origins,
                          &grown[endpoints->n]);
        if (r == 0)
                endpoints->n++;
        return r;
}

/* ---------------------------------------------------------------- sockets over a restart */

/* The one left over that is this very socket. It now belongs to the plan. */
static int take_left(const struct endpoints_keeper *keeper, const struct wish *wish)
{
        char name[SOCKET_NAME_SIZE];

        endpoint_socket_name(&wish->plan.address, wish->conf->transport, &wish->conf->multicast, name);
        for (size_t i = 0; i < keeper->n_left; i++) {
                struct named_fd *left = &keeper->left[i];
                int fd = left->fd;

                if (fd < 0 || !plan_fits(&wish->plan, fd) || !endpoint_name_has_groups_of(left->name, name))
                        continue;
                left->fd = -1;
                return fd;
        }
        return -1;
}

static int open_left(struct endpoints *endpoints, const struct endpoints_keeper *keeper,
                     struct wishes *wishes)
{
        for (size_t i = 0; i < wishes->n; i++) {
                struct wish *wish = &wishes->v[i];
                int r;

                wish->plan.kept = take_left(keeper, wish);
                r = wish->plan.kept < 0 ? 0 : open_wish(endpoints, wish);
                if (r < 0)
                        return r;
        }
        /* They would be in the way of other addresses, and may be for a moment yet. */
        for (size_t i = 0; i < keeper->n_left; i++)
                for (size_t k = 0; keeper->left[i].fd >= 0 && k < wishes->n; k++)
                        wishes->v[k].plan.patient = true;
        keeper->drop(keeper->left, keeper->n_left);
        return 0;
}

/* For the next run. One with a port of the kernel's choice is another socket then. */
static void keep(const struct endpoints *endpoints, const struct endpoint *endpoint, const char *old_name)
{
        char name[SOCKET_NAME_SIZE];

        endpoint_socket_name(&endpoint->address, endpoint->transport, &endpoint->groups, name);
        if (endpoints->keep && endpoint->port != 0 && (!old_name || strcmp(old_name, name) != 0))
                endpoints->keep(endpoint->fd, name, old_name);
}

/* ---------------------------------------------------------------- all of them */

/* Once, and not for every endpoint again: they all ask for the same. */
static void note_small_buffers(const struct config *config, const struct wishes *wishes)
{
        int receive = 0, send = 0;

        for (size_t i = 0; i < wishes->n; i++) {
                receive = MAX(receive, wishes->v[i].plan.got_receive_buffer);
                send = MAX(send, wishes->v[i].plan.got_send_buffer);
        }
        if (receive > 0)
                log_notice("receive buffers have %d bytes and not the %lld of server.receive_buffer: "
                           "net.core.rmem_max does not allow more",
                           receive, config->server.receive_buffer);
        if (send > 0)
                log_notice("send buffers have %d bytes and not the %lld of server.send_buffer: "
                           "net.core.wmem_max does not allow more",
                           send, config->server.send_buffer);
}

/* Nothing has been read from those yet: they have no sessions. */
static void close_behind(struct endpoints *endpoints, size_t n)
{
        while (endpoints->n > n)
                endpoint_close(&endpoints->v[--endpoints->n]);
}

static int open_wishes(struct endpoints *endpoints, const struct endpoints_keeper *keeper,
                       struct wishes *wishes)
{
        size_t from;
        int r = keeper ? open_left(endpoints, keeper, wishes) : 0;

        if (r < 0)
                return r;
        from = endpoints->n;
        for (int wildcards = 1; wildcards >= 0; wildcards--) {
                for (size_t i = 0; i < wishes->n; i++) {
                        struct wish *wish = &wishes->v[i];

                        if (wish->done || endpoint_is_wildcard(&wish->plan.address) != wildcards)
                                continue;
                        r = open_wish(endpoints, wish);
                        if (r < 0)
                                return r;
                }
        }
        while (from < endpoints->n)
                keep(endpoints, &endpoints->v[from++], NULL);
        return 0;
}

static int open_new(struct endpoints *endpoints, const struct config *config,
                    const struct endpoints_keeper *keeper)
{
        const struct conf_endpoint *conf = config->endpoints.v;
        struct wishes wishes = { NULL, 0 };
        size_t before = endpoints->n;
        int r = 0;

        for (size_t i = 0; i < config->endpoints.n && r == 0; i++) {
                if (!is_open(endpoints, &conf[i]))
                        r = add_wishes_of(&wishes, config, &conf[i]);
        }
        if (r == 0)
                r = open_wishes(endpoints, keeper, &wishes);
        if (r < 0)
                close_behind(endpoints, before);
        else
                note_small_buffers(config, &wishes);
        free(wishes.v);
        return r;
}

/* All or nothing, over the first `n`. */
static int change_groups(struct endpoints *endpoints, size_t n, const struct config *config)
{
        for (size_t i = 0; i < n; i++) {
                const struct conf_endpoint *conf = find_entry(config, &endpoints->v[i]);
                int r = conf ? endpoint_join_groups(&endpoints->v[i], conf) : 0;

                if (r < 0) {
                        while (i-- > 0) {
                                conf = find_entry(config, &endpoints->v[i]);
                                if (conf)
                                        endpoint_undo_groups(&endpoints->v[i], conf);
                        }
                        return r;
                }
        }
        for (size_t i = 0; i < n; i++) {
                struct endpoint *endpoint = &endpoints->v[i];
                const struct conf_endpoint *conf = find_entry(config, endpoint);
                char name[SOCKET_NAME_SIZE];

                endpoint_socket_name(&endpoint->address, endpoint->transport, &endpoint->groups, name);
                if (conf)
                        endpoint_settle_groups(endpoint, conf);
                keep(endpoints, endpoint, name);
        }
        return 0;
}

int endpoints_update(struct endpoints *endpoints, const struct config *config, size_t *ret_stale)
{
        size_t before = endpoints->n, stale = 0;
        int r = open_new(endpoints, config, NULL);

        if (r < 0)
                return r;
        r = change_groups(endpoints, before, config);
        if (r < 0) {
                close_behind(endpoints, before);
                return r;
        }
        for (size_t i = 0; i < before; i++)
                stale += !find_entry(config, &endpoints->v[i]);
        *ret_stale = stale;
        return 0;
}

int endpoints_open(struct shards shards, const struct config *config, const struct endpoints_keeper *keeper,
                   struct websocket_origins *origins, struct endpoints **ret_endpoints)
{
        struct endpoints *endpoints = calloc(1, sizeof *endpoints);
        int r;

        if (!endpoints)
                return -ENOMEM;
        endpoints->shards = shards;
        endpoints->origins = origins;
        endpoints->keep = keeper ? keeper->keep : NULL;
        r = open_new(endpoints, config, keeper);
        if (r < 0) {
                endpoints_free(endpoints);
                return r;
        }
        *ret_endpoints = endpoints;
        return 0;
}

int endpoints_divide(struct endpoints *endpoints, struct shards shards)
{
        int r = 0;

        endpoints->shards = shards;
        for (size_t i = 0; i < endpoints->n && r == 0; i++)
                r = endpoint_divide(&endpoints->v[i], &shards);
        if (r < 0)
                log_error("endpoints cannot be divided into %zu shards: %s", shards.n, strerror(-r));
        return r;
}

size_t endpoints_count(const struct endpoints *endpoints)
{
        return endpoints->n;
}

int endpoints_list(const struct endpoints *endpoints, visit_endpoint visit, void *closure)
{
        int r = 0;

        for (size_t i = 0; i < endpoints->n && r == 0; i++)
                r = endpoint_visit(&endpoints->v[i], visit, closure);
        return r;
}

void endpoints_free(struct endpoints *endpoints)
{
        if (!endpoints)
                return;
        for (size_t i = 0; i < endpoints->n; i++)
                endpoint_deinit(&endpoints->v[i]);
        free(endpoints->v);
        free(endpoints);
}
