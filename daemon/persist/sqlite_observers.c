/* SPDX-License-Identifier: BSD-2-Clause */
/* The store of observations: registrations and their end; see sqlite_observers.h. */
#include "persist/sqlite_observers.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "persist/observation.h"

const struct store_schema store_schema_observers = {
        .what = "observers",
        .application_id = 0x636f6f62, /* "coob" */
        .version = 1,
        /* A registration writes whole pages: small ones, for rows of a few hundred bytes. */
        .page_size = 1024,
        .sql = "CREATE TABLE observers(id INTEGER PRIMARY KEY,"
               " resource TEXT NOT NULL, method TEXT NOT NULL, query TEXT NOT NULL,"
               " listen_address TEXT NOT NULL, listen_port INTEGER NOT NULL,"
               " peer_address TEXT NOT NULL, peer_port INTEGER NOT NULL,"
               " local_address TEXT NOT NULL, local_port INTEGER NOT NULL,"
               " token TEXT NOT NULL, request BLOB NOT NULL, oscore BLOB,"
               " registered_us INTEGER NOT NULL, checksum INTEGER NOT NULL);"
               "CREATE TABLE kept(id INTEGER PRIMARY KEY, since_us INTEGER NOT NULL, checked INTEGER NOT "
               "NULL);"
               "CREATE VIEW observer_list AS SELECT o.resource, o.query, o.peer_address, o.peer_port, "
               "o.token,"
               " o.oscore IS NOT NULL AS oscore, datetime(o.registered_us / 1000000, 'unixepoch') AS "
               "registered,"
               " datetime(k.since_us / 1000000, 'unixepoch') AS kept_since"
               " FROM observers o LEFT JOIN kept k ON k.id = o.id",
        .tables = { { "observers", OBSERVATION_COLUMNS }, { "kept", "since_us, checked" } },
};

/* A change that the store refused, to be made when it can be. */
struct postponed {
        struct postponed *next;
        int64_t id;
        bool insert; /* else delete */
        struct row row;
        uint8_t bytes[]; /* what the row's spans point at */
};

/* So much in memory is the most that a broken disk may cost. */
enum { POSTPONED_MAX = 200000 };

static int prepare_all(struct store_observers *self)
{
        const struct {
                const char *sql;
                sqlite3_stmt **statement;
        } all[] = {
                { "INSERT INTO observers(" OBSERVATION_COLUMNS ", id)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                  &self->insert },
                { "DELETE FROM observers WHERE id = ?1", &self->del },
                { "SELECT o.id, k.id, " OBSERVATION_COLUMNS
                  " FROM observers o LEFT JOIN kept k ON k.id = o.id"
                  " ORDER BY o.id",
                  &self->all },
                { "SELECT o.id, k.id, " OBSERVATION_COLUMNS " FROM observers o JOIN kept k ON k.id = o.id"
                  " ORDER BY o.id",
                  &self->kept },
                { "SELECT count(*) FROM observers", &self->count },
                { "SELECT coalesce(max(id), 0) FROM observers", &self->last_id },
                { "INSERT OR IGNORE INTO kept(since_us, checked, id) VALUES(?1, ?2, ?3)", &self->keep },
                { "DELETE FROM kept WHERE id = ?1", &self->unkeep },
                /* A clock that was set since may say that it waits for longer than it is here. */
                { "DELETE FROM observers WHERE id IN (SELECT id FROM kept WHERE since_us < ?1)"
                  " AND registered_us < ?1",
                  &self->prune },
                { "DELETE FROM kept WHERE id NOT IN (SELECT id FROM observers)", &self->prune_kept },
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_LEN(all) && r == 0; i++)
                r = store_prepare(self->store, all[i].sql, all[i].statement);
        return r;
}

int store_observers_init(struct store_observers *self, struct store *store)
{
        int r;

        *self = (struct store_observers){ .store = store };
        self->postponed_end = &self->postponed;
        r = prepare_all(self);
        if (r == 0 && sqlite3_step(self->last_id) == SQLITE_ROW)
                self->next_id = sqlite3_column_int64(self->last_id, 0) + 1;
        sqlite3_reset(self->last_id);
        if (r == 0 && self->next_id <= 0)
                r = -EUCLEAN;
        if (r < 0)
                store_observers_deinit(self);
        return r;
}

void store_observers_deinit(struct store_observers *self)
{
        while (self->postponed) {
                struct postponed *next = self->postponed->next;

                free(self->postponed);
                self->postponed = next;
        }
        if (self->n_postponed)
                log_error("%s: %zu changes of observers were never written", self->store->path,
                          self->n_postponed);
        ptrmap_deinit(&self->ids);
        store_close(self->store);
        *self = (struct store_observers){ 0 };
}

/* --- what the store refuses --- */

static void postpone(struct store_observers *self, int64_t id, const struct row *row)
{
        struct postponed *p;
        size_t bytes = 0, used = 0;

        for (size_t i = 0; row && i < row->n; i++)
                bytes += row->v[i].s.n;
        p = self->n_postponed < POSTPONED_MAX ? malloc(sizeof *p + bytes) : NULL;
        if (!p) {
                if (self->n_postponed == POSTPONED_MAX)
                        log_error("%s: too many changes wait to be written; observers may be lost or come "
                                  "back at "
                                  "the next start",
                                  self->store->path);
                self->n_postponed = POSTPONED_MAX + 1;
                return;
        }
        *p = (struct postponed){ .id = id, .insert = row };
        if (row)
                p->row = *row;
        for (size_t i = 0; row && i < row->n; i++) {
                struct span *s = &p->row.v[i].s;

                if (s->n)
                        memcpy(p->bytes + used, s->p, s->n);
                s->p = p->bytes + used;
                used += s->n;
        }
        *self->postponed_end = p;
        self->postponed_end = &p->next;
        self->n_postponed++;
        if (self->store->on_change)
                self->store->on_change(self->store->user);
}

static int write_insert(struct store_observers *self, int64_t id, const struct row *row)
{
        if (row_bind(row, self->insert) != SQLITE_OK ||
            sqlite3_bind_int64(self->insert, (int)row->n + 2, id) != SQLITE_OK)
                return -ENOMEM;
        return store_write(self->store, self->insert);
}

static int write_delete(struct store_observers *self, int64_t id)
{
        sqlite3_bind_int64(self->del, 1, id);
        return store_write(self->store, self->del);
}

bool store_observers_flush(struct store_observers *self)
{
        while (self->postponed) {
                struct postponed *p = self->postponed;
                int r = p->insert ? write_insert(self, p->id, &p->row) : write_delete(self, p->id);

                if (r < 0)
                        return false;
                self->postponed = p->next;
                if (!self->postponed)
                        self->postponed_end = &self->postponed;
                free(p);
        }
        self->n_postponed = 0;
        return true;
}

/* --- what libcoap tells --- */

void store_observers_added(struct store_observers *self, coap_subscription_t *subscription,
                           const coap_address_t *listen, const coap_addr_tuple_t *addresses,
                           struct span request, struct span oscore)
{
        CLEANUP(observation_deinit) struct observation observation = { 0 };
        struct row row;
        int64_t id;
        int r;

        if (self->restoring) {
                self->restored = subscription;
                if (ptrmap_put(&self->ids, subscription, self->restoring) < 0)
                        log_error("%s: out of memory for the observers' map", self->store->path);
                return;
        }
        r = observation_from_libcoap(&observation, listen, addresses, request, oscore);
        id = self->next_id;
        if (r == 0)
                r = ptrmap_put(&self->ids, subscription, id);
        if (r < 0) {
                log_error("%s: an observer cannot be kept: %s", self->store->path, strerror(-r));
                return;
        }
        self->next_id++;
        observation.registered_us = store_now_us();
        observation_to_row(&observation, &row);
        if (self->postponed || write_insert(self, id, &row) < 0)
                postpone(self, id, &row);
}

void store_observers_deleted(struct store_observers *self, const coap_subscription_t *subscription)
{
        int64_t id;

        if (!ptrmap_take(&self->ids, subscription, &id))
                return;
        if (self->postponed || write_delete(self, id) < 0)
                postpone(self, id, NULL);
}
