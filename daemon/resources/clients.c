/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients by address; see clients.h. */
#include "resources/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "base/peer_name.h"
#include "base/util.h"
#include "resources/client_address.h"

enum { BUCKETS_LEAST = 64 };

/* The idle ones of some clients. */
struct idle {
        struct client_link *newest, *oldest;
};

struct share {
        size_t n; /* sessions, but for those that are ending */
        struct idle idle;
};

struct address {
        uint64_t key;
        struct address *next; /* in its bucket */
        size_t users;         /* sessions, and those that are ending */
        /* Whoever forges the address has any number of sessions that have proved nothing, and none of the others. */
        struct share unproved, proved;
};

struct clients {
        uint64_t seed; /* so that nobody can choose addresses that share a bucket */
        struct address **buckets;
        size_t n_buckets, n_addresses;
        struct idle idle_streams;
        size_t n_streams;
        struct client *all, *to_end;
        uint64_t last_serial;
        struct clients_bounds bounds;
        struct metrics *metrics;
        struct log_gate gate;
};

int clients_new(struct metrics *metrics, struct clients **ret_clients)
{
        struct clients *clients = calloc(1, sizeof *clients);

        if (!clients)
                return -ENOMEM;
        clients->metrics = metrics;
        clients->gate = (struct log_gate){ .burst = 3, .interval_s = 60 };
        clients->n_buckets = BUCKETS_LEAST;
        clients->buckets = calloc(BUCKETS_LEAST, sizeof(struct address *));
        if (!clients->buckets || getrandom(&clients->seed, sizeof clients->seed, 0) != sizeof clients->seed) {
                clients_free(clients);
                return -ENOMEM;
        }
        *ret_clients = clients;
        return 0;
}

/* The sessions are libcoap's, which is about to end them all. */
void clients_free(struct clients *clients)
{
        struct address *next;

        if (!clients)
                return;
        while (clients->all) {
                struct client *client = clients->all;

                clients->all = client->next;
                coap_session_set_app_data(client->session, NULL);
                free(client);
        }
        for (size_t i = 0; clients->buckets && i < clients->n_buckets; i++)
                for (struct address *address = clients->buckets[i]; address; address = next) {
                        next = address->next;
                        free(address);
                }
        free(clients->buckets);
        free(clients);
}

void clients_set_bounds(struct clients *clients, const struct clients_bounds *bounds)
{
        clients->bounds = *bounds;
}

struct client *clients_first(const struct clients *clients, uint64_t before)
{
        struct client *client = clients->all;

        while (client && before && client->serial >= before)
                client = client->next;
        return client;
}

struct client *client_of(const coap_session_t *session)
{
        return coap_session_get_app_data(session);
}

/* --- addresses --- */

static struct address **bucket_of(const struct clients *clients, uint64_t key)
{
        uint64_t hash = (key ^ clients->seed) * 0x9e3779b97f4a7c15U;

        return &clients->buckets[(hash ^ hash >> 32) & (clients->n_buckets - 1)];
}

/* Without memory for more the chains grow longer instead. */
static void grow(struct clients *clients)
{
        struct address **old = clients->buckets, *next;
        size_t n_old = clients->n_buckets;
        struct address **grown = calloc(2 * n_old, sizeof(struct address *));

        if (!grown)
                return;
        clients->buckets = grown;
        clients->n_buckets = 2 * n_old;
        for (size_t i = 0; i < n_old; i++)
                for (struct address *address = old[i]; address; address = next) {
                        struct address **bucket = bucket_of(clients, address->key);

                        next = address->next;
                        address->next = *bucket;
                        *bucket = address;
                }
        free(old);
}

static struct address *join_address(struct clients *clients, uint64_t key)
{
        struct address **bucket = bucket_of(clients, key);
        struct address *address = *bucket;

        while (address && address->key != key)
                address = address->next;
        if (!address) {
                address = calloc(1, sizeof *address);
                if (!address)
                        return NULL;
                address->key = key;
                address->next = *bucket;
                *bucket = address;
                if (++clients->n_addresses > clients->n_buckets)
                        grow(clients);
        }
        address->users++;
        return address;
}

static void leave_address(struct clients *clients, struct address *address)
{
        struct address **link;

        if (--address->users > 0)
                return;
        link = bucket_of(clients, address->key);
        while (*link != address)
                link = &(*link)->next;
        *link = address->next;
        clients->n_addresses--;
        free(address);
}

/* --- who is idle --- */

static void unlist(struct client_link *link)
{
        struct idle *idle = TAKE(link->in);

        if (!idle)
                return;
        *(link->newer ? &link->newer->older : &idle->newest) = link->older;
        *(link->older ? &link->older->newer : &idle->oldest) = link->newer;
        link->newer = link->older = NULL;
}

static void list_newest(struct idle *idle, struct client_link *link)
{
        unlist(link);
        link->in = idle;
        link->older = idle->newest;
        *(idle->newest ? &idle->newest->newer : &idle->oldest) = link;
        idle->newest = link;
}

static struct share *share_of(const struct client *client)
{
        return client->proved ? &client->address->proved : &client->address->unproved;
}

void clients_settle(struct clients *clients, struct client *client)
{
        if (client->ending)
                return;
        if (client->n_observations > 0) {
                unlist(&client->of_address);
                unlist(&client->of_streams);
                return;
        }
        list_newest(&share_of(client)->idle, &client->of_address);
        if (client->stream)
                list_newest(&clients->idle_streams, &client->of_streams);
}

/* --- too many --- */

static void end_soon(struct clients *clients, struct client *client)
{
        if (client->ending)
                return;
        unlist(&client->of_address);
        unlist(&client->of_streams);
        client->ending = true;
        share_of(client)->n--;
        clients->n_streams -= client->stream;
        client->next_to_end = clients->to_end;
        clients->to_end = client;
}

void clients_end(struct clients *clients, const coap_session_t *session)
{
        struct client *client = client_of(session);

        if (client)
                end_soon(clients, client);
}

coap_session_t *clients_next_to_end(struct clients *clients)
{
        struct client *client = clients->to_end;

        if (!client)
                return NULL;
        clients->to_end = TAKE(client->next_to_end);
        return client->session;
}

static void tell(struct clients *clients, const struct client *client, const char *key, bool refused)
{
        char address[PEER_NAME];
        unsigned before;

        if (!log_gate_pass(&clients->gate, &before))
                return;
        peer_name(&coap_session_get_addr_remote(client->session)->addr.sa, address);
        log_message(LOG_NOTICE, &(struct log_fields){ .peer = address }, "%s: %s is reached: %s%s", address,
                    key,
                    refused ? "its new session is refused, as all others observe"
                            : "the session that was idle for the longest makes room",
                    LOG_BEFORE(before));
}

/* The oldest idle one goes. Where that is one that was refused, there was no room, and there is none now. */
static void make_room(struct clients *clients, const struct idle *idle, struct client *client,
                      const char *key)
{
        struct client *oldest = idle->oldest ? idle->oldest->client : NULL;

        client->refused = !oldest || oldest == client || oldest->refused;
        if (client->refused)
                clients->metrics->sessions_refused++;
        else
                clients->metrics->sessions_evicted++;
        tell(clients, client, key, client->refused);
        if (oldest && oldest != client)
                end_soon(clients, oldest);
}

/* The client has come to the share that it is counted in. */
static void join_share(struct clients *clients, struct client *client)
{
        struct share *share = share_of(client);

        share->n++;
        clients_settle(clients, client);
        if (clients->bounds.per_address && share->n > clients->bounds.per_address)
                make_room(clients, &share->idle, client, "limits.sessions_per_address");
}

void clients_prove(struct clients *clients, struct client *client)
{
        if (client->proved || client->ending)
                return;
        unlist(&client->of_address);
        share_of(client)->n--;
        client->proved = true;
        join_share(clients, client);
}

bool clients_touch(struct clients *clients, struct client *client)
{
        if (!client)
                return true;
        if (!client->refused) {
                if (client->n_observations == 0)
                        clients_settle(clients, client);
                return true;
        }
        end_soon(clients, client);
        return false;
}

/* --- sessions --- */

void clients_add(struct clients *clients, coap_session_t *session, bool known)
{
        const coap_address_t *peer = coap_session_get_addr_remote(session);
        struct client *client = calloc(1, sizeof *client);

        if (client)
                client->address = join_address(clients, client_address(peer));
        if (!client || !client->address) {
                free(client);
                return;
        }
        client->session = session;
        client->stream = COAP_PROTO_RELIABLE(coap_session_get_proto(session));
        client->of_address.client = client->of_streams.client = client;
        client->proved = known || coap_session_get_proto(session) != COAP_PROTO_UDP ||
                         client_address_is_loopback(peer);
        clients->n_streams += client->stream;
        client->serial = ++clients->last_serial;
        client->next = clients->all;
        client->of_all = &clients->all;
        if (client->next)
                client->next->of_all = &client->next;
        clients->all = client;
        coap_session_set_app_data(session, client);
        join_share(clients, client);
        if (client->stream && clients->n_streams > clients->bounds.streams)
                make_room(clients, &clients->idle_streams, client, "server.max_sessions");
}

void clients_remove(struct clients *clients, coap_session_t *session)
{
        struct client *client = client_of(session);
        struct client **link = &clients->to_end;

        if (!client)
                return;
        end_soon(clients, client);
        while (*link && *link != client)
                link = &(*link)->next_to_end;
        if (*link)
                *link = client->next_to_end;
        *client->of_all = client->next;
        if (client->next)
                client->next->of_all = client->of_all;
        leave_address(clients, client->address);
        coap_session_set_app_data(session, NULL);
        free(client);
}
