/* SPDX-License-Identifier: BSD-2-Clause */
/* One address that coapd answers on: libcoap's endpoint, its socket and its multicast groups. */
#ifndef COAPD_ENDPOINTS_ENDPOINT_H
#define COAPD_ENDPOINTS_ENDPOINT_H

#include <stdbool.h>

#include <coap3/coap.h>

#include "base/shards.h"
#include "base/listing.h"
#include "config/config.h"
#include "endpoints/socket_plan.h"

struct websocket_origins;

struct endpoint {
        enum transport transport;
        char *host;
        uint16_t port;
        struct conf_strings groups; /* joined */
        struct sockaddr_storage address;
        coap_endpoint_t *handle;
        coap_endpoint_t **twins; /* the same in the other contexts that may have its sessions */
        size_t n_twins;
        int fd; /* libcoap's, one for all of them */
};

/* SOCK_DGRAM or SOCK_STREAM. */
int endpoint_socket_type(enum transport transport);

/* "udp", "dtls" and so on. */
const char *endpoint_transport_name(enum transport transport);

/* One row for whoever lists endpoints; what the visitor returned. */
int endpoint_visit(const struct endpoint *endpoint, visit_endpoint visit, void *closure);

bool endpoint_is_wildcard(const struct sockaddr_storage *address);

/* Logs the one line of a failure. Returns `r`. */
int endpoint_fail(const struct conf_endpoint *conf, int r, const char *reason);

/*
 * Opens the plan's address and joins the groups of `conf`. `origins` as endpoints_open() has them. On failure logs
 * the line, leaves nothing open and returns -errno.
 */
int endpoint_open(const struct shards *shards, const struct conf_endpoint *conf, struct socket_plan *plan,
                  struct websocket_origins *origins, struct endpoint *ret_endpoint);

/* Its part in those contexts that it is not in yet. 0 or -ENOMEM. */
int endpoint_divide(struct endpoint *endpoint, const struct shards *shards);

/* Only while it has no session with observers. */
void endpoint_close(struct endpoint *endpoint);

/* Frees what is ours, not libcoap's part. */
void endpoint_deinit(struct endpoint *endpoint);

/* Is it what this entry of the config stands for? The groups may differ. */
bool endpoint_is_of(const struct endpoint *endpoint, const struct conf_endpoint *conf);

/*
 * A change of groups in two steps, for several endpoints at once: join those of `conf` that are new, and,
 * when all could, settle; or undo. A failure to join logs the line and joins none.
 */
int endpoint_join_groups(const struct endpoint *endpoint, const struct conf_endpoint *conf);
void endpoint_undo_groups(const struct endpoint *endpoint, const struct conf_endpoint *conf);
void endpoint_settle_groups(struct endpoint *endpoint, const struct conf_endpoint *conf);

enum { SOCKET_NAME_SIZE = 128 };

/*
 * A name for the socket between two runs. The socket tells its own address; what nobody can ask it for is the
 * groups that it is a member of, so that with other groups it has another name.
 */
const char *endpoint_socket_name(const struct sockaddr_storage *address, enum transport transport,
                                 const struct conf_strings *groups, char out[static SOCKET_NAME_SIZE]);

/* May a socket of the name `left` stand in for one of the name `wanted`, as far as groups go? */
bool endpoint_name_has_groups_of(const char *left, const char *wanted);

#endif
