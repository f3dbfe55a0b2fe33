/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Observations come back: each row is checked, matched with a resource and with an endpoint that its client's
 * packets would arrive at, and handed to libcoap. A row that fits nothing now is kept for a later start or
 * reload, until it is too old.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "persist/observation.h"
#include "persist/sqlite_observers.h"

enum outcome {
        RESTORED,
        NO_ENDPOINT,
        NO_RESOURCE,
        NO_CONTEXT, /* of OSCORE */
        NO_INTERFACE,
        TWICE, /* libcoap has this observation already */
        DAMAGED,
        OUTCOMES,
};

static const char *const outcome_texts[OUTCOMES] = {
        [NO_ENDPOINT] = "no endpoint that its packets would reach, or the resource cannot be observed",
        [NO_RESOURCE] = "no such resource",
        [NO_CONTEXT] = "no such OSCORE context",
        [NO_INTERFACE] = "no such network interface",
};

struct restoration {
        struct store_observers *observers;
        const struct persist_host *host;
        bool writes;
        uint64_t total, done;
        uint64_t outcomes[OUTCOMES];
};

/* In the clear, an observation that was protected would tell anyone what it tells its client. */
static bool admit_oscore(const struct persist_host *host, const struct observation *observation,
                         const coap_address_t *remote)
{
        struct span recipient_id, id_context;

        return observation_oscore_ids(observation->oscore, &recipient_id, &id_context) &&
               host->restore_oscore &&
               host->restore_oscore(host->user, remote, observation->request, recipient_id, id_context);
}

/* Where the client's next message will go, and so its notifications have to come from. */
static size_t shard_of(const struct persist_host *host, const struct observation *observation)
{
        struct span recipient_id, id_context;

        if (!observation->oscore.p)
                return shards_find(&host->shards, &observation->addresses.remote.addr.sa);
        if (!host->oscore_shard || !observation_oscore_ids(observation->oscore, &recipient_id, &id_context))
                return 0;
        return host->oscore_shard(host->user, recipient_id, id_context);
}

static coap_resource_t *find_resource(const struct persist_host *host, const struct observation *observation,
                                      size_t shard)
{
        coap_str_const_t path = { observation->path.n, observation->path.p };

        if (host->find_resource)
                return host->find_resource(host->user, observation->path, shard, observation->request);
        return coap_get_resource_from_uri_path(host->shards.v[shard], &path);
}

static enum outcome hand_to_libcoap(struct restoration *self, int64_t id,
                                    const struct observation *observation)
{
        const struct persist_host *host = self->host;
        struct observation_target targets[OBSERVATION_TARGETS];
        size_t n = observation_targets(observation, targets);
        coap_bin_const_t request = { observation->request.n, observation->request.p };
        coap_bin_const_t oscore = { observation->oscore.n, observation->oscore.p };
        size_t shard = shard_of(host, observation);
        coap_resource_t *resource = find_resource(host, observation, shard);
        coap_subscription_t *subscription = NULL;

        if (!resource)
                return NO_RESOURCE;
        self->observers->restored = NULL;
        /* libcoap looks for the endpoint before anything else: where it is another, nothing happens. */
        for (size_t i = 0; i < n && !subscription; i++) {
                if (observation->oscore.p && !admit_oscore(host, observation, &targets[i].addresses.remote))
                        return NO_CONTEXT;
                self->observers->restoring = id;
                subscription = coap_persist_observe_add(host->shards.v[shard], COAP_PROTO_UDP,
                                                        &targets[i].listen, &targets[i].addresses, &request,
                                                        observation->oscore.p ? &oscore : NULL);
                self->observers->restoring = 0;
        }
        if (!subscription)
                return NO_ENDPOINT;
        if (!self->observers->restored)
                return TWICE;
        if (host->observer_restored)
                host->observer_restored(host->user, resource, subscription);
        return RESTORED;
}

static void log_kept(struct restoration *self, const struct observation *observation, enum outcome outcome)
{
        enum { IN_FULL = 10 };
        uint64_t kept = 0;

        for (size_t i = NO_ENDPOINT; i <= NO_INTERFACE; i++)
                kept += self->outcomes[i];
        if (kept <= IN_FULL)
                log_notice(
                        "%s: observer of %s at %s port %u, registered with %s port %u, is kept for later: %s",
                        self->observers->store->path, LOG_ESCAPE(observation->path), observation->peer_text,
                        coap_address_get_port(&observation->addresses.remote), observation->listen_text,
                        coap_address_get_port(&observation->listen), outcome_texts[outcome]);
}

static enum outcome restore_row(struct restoration *self, int64_t id, const struct row *row)
{
        CLEANUP(observation_deinit) struct observation observation = { 0 };
        enum outcome outcome;
        int r = observation_from_row(&observation, row);

        if (r == -EADDRNOTAVAIL)
                outcome = NO_INTERFACE;
        else if (r < 0)
                return DAMAGED;
        else
                outcome = hand_to_libcoap(self, id, &observation);
        self->outcomes[outcome]++;
        if (outcome_texts[outcome])
                log_kept(self, &observation, outcome);
        return outcome;
}

static void note_kept(struct store_observers *self, int64_t id)
{
        struct row row = { .n = 0 };

        row_add_int(&row, store_now_us());
        if (row_bind(&row, self->keep) == SQLITE_OK && sqlite3_bind_int64(self->keep, 3, id) == SQLITE_OK)
                store_write(self->store, self->keep);
}

static void run_for(struct store_observers *self, sqlite3_stmt *statement, int64_t parameter)
{
        sqlite3_bind_int64(statement, 1, parameter);
        store_write(self->store, statement);
}

static void settle(struct store_observers *self, int64_t id, enum outcome outcome)
{
        switch (outcome) {
        case RESTORED:
                run_for(self, self->unkeep, id);
                break;
        case TWICE:
                run_for(self, self->del, id);
                break;
        case DAMAGED:
                store_quarantine(self->store, &store_schema_observers.tables[0], id);
                break;
        default:
                note_kept(self, id);
        }
}

/* What has found no place for too long. */
static void prune(struct store_observers *self)
{
        int64_t max_age_us = self->store->conf->observer_max_age * 1000000;
        int before = sqlite3_total_changes(self->store->db), pruned;

        run_for(self, self->prune, store_now_us() - max_age_us);
        pruned = sqlite3_total_changes(self->store->db) - before;
        store_write(self->store, self->prune_kept);
        if (pruned > 0)
                log_notice("%s: %d kept observers are forgotten, they fitted nothing for longer than "
                           "observer_max_age",
                           self->store->path, pruned);
}

uint64_t store_observers_count(struct store_observers *self)
{
        uint64_t n = 0;

        if (sqlite3_step(self->count) == SQLITE_ROW)
                n = (uint64_t)sqlite3_column_int64(self->count, 0);
        sqlite3_reset(self->count);
        return n;
}

static void summarise(const struct restoration *self)
{
        const struct store *store = self->observers->store;
        uint64_t kept = 0;

        for (size_t i = NO_ENDPOINT; i <= NO_INTERFACE; i++)
                kept += self->outcomes[i];
        if (self->done)
                log_info("%s: %llu observers restored, %llu kept for later, %llu damaged", store->path,
                         (unsigned long long)self->outcomes[RESTORED], (unsigned long long)kept,
                         (unsigned long long)self->outcomes[DAMAGED]);
}

static void restore_one(struct restoration *self, int64_t id, bool was_kept, const struct row *row)
{
        enum { PROGRESS_EVERY = 1000 };
        const struct persist_host *host = self->host;
        enum outcome outcome = row ? restore_row(self, id, row) : DAMAGED;

        if (++self->done % PROGRESS_EVERY == 0 && host->progress)
                host->progress(host->user, store_schema_observers.what, self->done, self->total);
        if (outcome == DAMAGED)
                self->outcomes[DAMAGED]++;
        if (self->writes && (outcome != RESTORED || was_kept))
                settle(self->observers, id, outcome);
}

/* ---------------------------------------------------------------- shard by shard */

/*
 * For each observer libcoap walks over the sessions and observers of its context. In the order of the rows each walk
 * is in another context, and finds nothing of it in the processor's caches: for 50,000 observers in 64 contexts, ten
 * times as slow. So rows are taken by the ten thousand and restored context by context.
 */
struct held {
        struct held *next;
        int64_t id;
        bool was_kept;
        struct row row;
        uint8_t bytes[]; /* what the row's spans point at */
};

/* Of many and long ones less memory than the observers then take. */
enum { HELD_MOST = 65536, HELD_BYTES_MOST = 64 << 20 };

struct holding {
        struct held *first[SHARDS_MOST], **end[SHARDS_MOST];
        size_t n, bytes;
};

static size_t shard_of_row(const struct persist_host *host, const struct row *row)
{
        enum { PEER_ADDRESS = 5, PEER_PORT = 6 };
        char text[ADDRESS_TEXT];
        coap_address_t peer;
        int64_t port;

        if (!row_get_string(row, PEER_ADDRESS, text, sizeof text) ||
            !row_get_int(row, PEER_PORT, 0, UINT16_MAX, &port) ||
            !address_from_text(text, (uint16_t)port, &peer))
                return 0;
        return shards_find(&host->shards, &peer.addr.sa);
}

static void release(struct restoration *self, struct holding *holding)
{
        struct held *next;

        for (size_t i = 0; i < self->host->shards.n; i++) {
                for (struct held *held = holding->first[i]; held; held = next) {
                        next = held->next;
                        restore_one(self, held->id, held->was_kept, &held->row);
                        free(held);
                }
                holding->first[i] = NULL;
                holding->end[i] = &holding->first[i];
        }
        holding->n = holding->bytes = 0;
}

/* False: there is no memory. */
static bool hold(struct restoration *self, struct holding *holding, int64_t id, bool was_kept,
                 const struct row *row)
{
        size_t shard = shard_of_row(self->host, row), bytes = sizeof(struct held) + row_bytes(row);
        struct held *held = malloc(bytes);

        if (!held)
                return false;
        *held = (struct held){ .id = id, .was_kept = was_kept };
        row_copy(&held->row, row, held->bytes);
        *holding->end[shard] = held;
        holding->end[shard] = &held->next;
        holding->bytes += bytes;
        if (++holding->n >= HELD_MOST || holding->bytes >= HELD_BYTES_MOST)
                release(self, holding);
        return true;
}

static int restore_all(struct restoration *self, sqlite3_stmt *select)
{
        struct holding holding = { .n = 0 };
        int code;

        for (size_t i = 0; i < SHARDS_MOST; i++)
                holding.end[i] = &holding.first[i];
        while ((code = sqlite3_step(select)) == SQLITE_ROW) {
                int64_t id = sqlite3_column_int64(select, 0);
                bool was_kept = sqlite3_column_type(select, 1) != SQLITE_NULL;
                struct row row;

                if (!row_read(select, 2, &row))
                        restore_one(self, id, was_kept, NULL);
                else if (!hold(self, &holding, id, was_kept, &row))
                        restore_one(self, id, was_kept, &row);
        }
        sqlite3_reset(select);
        release(self, &holding);
        return code;
}

int store_observers_restore(struct store_observers *self, const struct persist_host *host, bool only_kept)
{
        bool writes = store_begin(self->store) == 0;
        struct restoration restoration = {
                .observers = self, .host = host, .writes = writes, .total = store_observers_count(self)
        };
        int code = restore_all(&restoration, only_kept ? self->kept : self->all);

        if (code != SQLITE_DONE)
                log_error("%s: reading stopped after %llu of %llu rows: %s", self->store->path,
                          (unsigned long long)restoration.done, (unsigned long long)restoration.total,
                          sqlite3_errmsg(self->store->db));
        if (writes)
                prune(self);
        if (writes)
                store_commit(self->store);
        summarise(&restoration);
        return 0;
}
