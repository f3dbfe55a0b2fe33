/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has a session here, and what each uses up: sessions by address, so that none takes more than its share, and
 * observations (observations.h). libcoap's session points to its struct client.
 *
 * Where there are too many, the one that was idle for the longest makes room: the oldest without an observation. When
 * all of them observe, the new one is refused. Of an address those that have proved it (proof.c) are counted apart from
 * those that have not: whoever forges it ends none of its owner's, and keeps none out.
 */
#ifndef COAPD_RESOURCES_CLIENTS_H
#define COAPD_RESOURCES_CLIENTS_H

#include <coap3/coap.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/metrics.h"

struct observation;
struct address;
struct idle;

struct client {
        uint64_t serial; /* falls along the list of all, the newest of which comes first */
        coap_session_t *session;
        struct address *address;
        /* In one of the lists of the address and, if it is a stream, of all streams: while it is idle. */
        struct client_link {
                struct idle *in; /* NULL: in none */
                struct client_link *newer, *older;
                struct client *client;
        } of_address, of_streams;
        struct client *next, **of_all;
        struct client *next_to_end;
        struct observation *observations;
        size_t n_observations;
        bool stream;
        bool refused; /* there was no room: it is told so, and ends */
        bool ending;
        bool proved; /* that it receives what is sent to its address, see proof.c; by clients_prove() */
};

struct clients;

struct clients_bounds {
        size_t per_address; /* 0: any number */
        size_t streams;
};

/*
 * `metrics` must outlive the result. Until clients_set_bounds() no stream has room. 0; or -ENOMEM, also where there are
 * no random numbers.
 */
int clients_new(struct metrics *metrics, struct clients **ret_clients);

/* The sessions are libcoap's, and stay; they have no struct client any more. Accepts NULL. */
void clients_free(struct clients *clients);

/* For sessions that begin from now on; those that are too many already stay. */
void clients_set_bounds(struct clients *clients, const struct clients_bounds *bounds);

/*
 * A session begins. Without memory it has no struct client, and is served all the same. `known`: of before the restart,
 * its address is proved.
 */
void clients_add(struct clients *clients, coap_session_t *session, bool known);
/* A session ends: its struct client is freed. */
void clients_remove(struct clients *clients, coap_session_t *session);

/* The newest whose serial is below `before`, 0: the newest of all; the others by ->next. NULL: none. */
struct client *clients_first(const struct clients *clients, uint64_t before);

/* Until clients_remove(). NULL: libcoap's dummy, or there was no memory. */
struct client *client_of(const coap_session_t *session);

/* A request has come. False: it is to be refused. */
bool clients_touch(struct clients *clients, struct client *client);
/* The number of its observations has changed between none and one. */
void clients_settle(struct clients *clients, struct client *client);

/* It has proved its address. */
void clients_prove(struct clients *clients, struct client *client);

/* The session is to end with the turn. */
void clients_end(struct clients *clients, const coap_session_t *session);

/*
 * The next session that is to end, to make room or by clients_end(); NULL: none. For the end of a turn: not from
 * within libcoap. The caller ends it.
 */
coap_session_t *clients_next_to_end(struct clients *clients);

#endif
