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
        /* Its end is all that is worked on. More would lie scattered between libcoap's sessions. */
        .cache_kib = 300,
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
enum { POSTPONED_MAX = 200000, BLOCK_SIZE = 1 << 16 };

/*
 * What is only there until the turn ends comes from one block: between libcoap's sessions it would leave holes, and
 * libcoap walks over all of them again and again.
 */
static void *take_room(struct store_observers *self, size_t n)
{
        void *p;

        n = (n + 15) & ~(size_t)15;
        if (!self->block)
                self->block = malloc(BLOCK_SIZE);
        if (!self->block || BLOCK_SIZE - self->block_used < n)
                return malloc(n);
        p = self->block + self->block_used;
        self->block_used += n;
        return p;
}

static void give_back(struct store_observers *self, struct postponed *p)
{
        uint8_t *at = (uint8_t *)p;

        if (at < self->block || at >= self->block + BLOCK_SIZE)
                free(p);
}

/*
 * Four rows behind the last one, which SQLite knows the place of: what one row takes is twice the search for it, and
 * beginning and ending a statement. FAIL: whoever runs it has a transaction to undo, SQLite need not note how.
 */
#define PARAMETERS "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
#define APPEND                                                                                               \
        "INSERT OR FAIL INTO observers(" OBSERVATION_COLUMNS ")"                                             \
        " VALUES" PARAMETERS ", " PARAMETERS ", " PARAMETERS ", " PARAMETERS
enum { APPENDED = 4 };

static int prepare_all(struct store_observers *self)
{
        const struct {
                const char *sql;
                sqlite3_stmt **statement;
        } all[] = {
                { "INSERT INTO observers(" OBSERVATION_COLUMNS ", id)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                  &self->insert },
                { APPEND, &self->append },
                { "DELETE FROM observers WHERE id = ?1", &self->del },
                { "SELECT o.id, k.id, " OBSERVATION_COLUMNS
                  " FROM observers o LEFT JOIN kept k ON k.id = o.id"
                  " ORDER BY o.id",
                  &self->all },
                { "SELECT o.id, k.id, " OBSERVATION_COLUMNS " FROM observers o JOIN kept k ON k.id = o.id"
                  " ORDER BY o.id",
                  &self->kept },
                { "SELECT count(*) FROM observers", &self->count },
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
        if (r == 0)
                r = store_next_id(store, &self->next_id);
        if (r < 0)
                store_observers_deinit(self);
        return r;
}

void store_observers_deinit(struct store_observers *self)
{
        while (self->postponed) {
                struct postponed *next = self->postponed->next;

                give_back(self, self->postponed);
                self->postponed = next;
        }
        free(self->block);
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
        size_t bytes = sizeof(struct postponed) + (row ? row_bytes(row) : 0);
        struct postponed *p = self->n_postponed < POSTPONED_MAX ? take_room(self, bytes) : NULL;

        if (!p) {
                if (!self->overflowed)
                        LOG_RARELY(LOG_ERR, NULL,
                                   "%s: too many changes wait to be written; observers may be lost or come "
                                   "back at "
                                   "the next start",
                                   self->store->path);
                self->overflowed = true;
                return;
        }
        p->next = NULL;
        p->id = id;
        p->insert = row;
        if (row)
                row_copy(&p->row, row, p->bytes);
        *self->postponed_end = p;
        self->postponed_end = &p->next;
        self->n_postponed++;
}

/* Those before it in this transaction are bound. */
static int bind_insert(struct store_observers *self, int64_t id, const struct row *row,
                       struct row_bound *bound)
{
        bool ok = row_bind_after(row, bound, self->insert, 1) == SQLITE_OK &&
                  sqlite3_bind_int64(self->insert, (int)row->n + 2, id) == SQLITE_OK;

        return ok ? 0 : -ENOMEM;
}

static int write_insert(struct store_observers *self, int64_t id, const struct row *row)
{
        int r = bind_insert(self, id, row, &(struct row_bound){ 0 });

        r = r < 0 ? r : store_write(self->store, self->insert);
        self->last = r < 0 ? 0 : id;
        return r;
}

static int write_delete(struct store_observers *self, int64_t id)
{
        if (id == self->last)
                self->last = 0;
        sqlite3_bind_int64(self->del, 1, id);
        return store_write(self->store, self->del);
}

/* Whether a statement's worth of rows is next, each with the id behind the one before it. */
static bool can_append(const struct postponed *p, int64_t last)
{
        for (size_t i = 0; i < APPENDED && last; i++, p = p->next)
                if (!p || !p->insert || p->id != ++last)
                        return false;
        return last;
}

/* -ESTALE: they would get other ids. */
static int append(struct store_observers *self, const struct postponed *p, struct row_bound bound[APPENDED])
{
        int64_t last = p->id + APPENDED - 1;
        int r, first = 1;

        for (size_t i = 0; i < APPENDED; i++, p = p->next) {
                if (row_bind_after(&p->row, &bound[i], self->append, first) != SQLITE_OK)
                        return -ENOMEM;
                first += (int)p->row.n + 1;
        }
        r = store_step(self->store, self->append);
        return r == 0 && sqlite3_last_insert_rowid(self->store->db) != last ? -ESTALE : r;
}

/* Within a transaction. */
static int write_each(struct store_observers *self, size_t n)
{
        struct row_bound one = { 0 }, some[APPENDED] = { 0 };
        const struct postponed *p = self->postponed;
        int r = 0;

        while (n > 0 && r == 0) {
                size_t done = !self->apart && n >= APPENDED && can_append(p, self->last) ? APPENDED : 1;

                if (done > 1)
                        r = append(self, p, some);
                else if (!p->insert)
                        r = write_delete(self, p->id);
                else if ((r = bind_insert(self, p->id, &p->row, &one)) == 0)
                        r = store_step(self->store, self->insert);
                for (; done > 0; done--, n--, p = p->next)
                        self->last = p->insert ? p->id : self->last;
        }
        sqlite3_clear_bindings(self->insert);
        sqlite3_clear_bindings(self->append);
        return r;
}

/* Writes the first `n` of them, all or none. */
static int write_together(struct store_observers *self, size_t n)
{
        int r = store_begin(self->store);

        if (r < 0)
                return r;
        r = write_each(self, n);
        if (r == -ESTALE) {
                self->apart = true;
                store_rollback(self->store);
                r = store_begin(self->store);
                if (r < 0)
                        return r;
                r = write_each(self, n);
        }
        if (r < 0)
                store_rollback(self->store);
        else
                r = store_commit(self->store);
        if (r < 0)
                self->last = 0;
        return r;
}

bool store_observers_flush(struct store_observers *self)
{
        /* A disk with little room takes few of them, when it does not take all. */
        enum { AT_ONCE = 500 };

        self->grouped = false;
        while (self->postponed) {
                size_t n = MIN(self->n_postponed, (size_t)AT_ONCE);

                if (store_refuses(self->store)) {
                        if (self->store->on_change)
                                self->store->on_change(self->store->user);
                        return false;
                }
                if (write_together(self, n) < 0)
                        return false;
                for (; n > 0; n--) {
                        struct postponed *p = self->postponed;

                        self->postponed = p->next;
                        self->n_postponed--;
                        give_back(self, p);
                }
                if (!self->postponed)
                        self->postponed_end = &self->postponed;
        }
        self->overflowed = false;
        self->block_used = 0;
        return true;
}

void store_observers_settle(struct store_observers *self)
{
        if (self->grouped)
                store_observers_flush(self);
}

/* A change that is to be written with those before it and behind it, now, or when the store works again. */
static void write_change(struct store_observers *self, int64_t id, const struct row *row, bool may_wait)
{
        bool failed = self->postponed && !self->grouped;

        if (!self->postponed && !may_wait &&
            (row ? write_insert(self, id, row) : write_delete(self, id)) == 0)
                return;
        self->grouped = !failed && (self->grouped || may_wait);
        postpone(self, id, row);
        if (self->grouped && !may_wait)
                store_observers_flush(self);
        /* A write that fails sets the timer by itself; this one was not tried. */
        else if (failed && self->store->on_change)
                self->store->on_change(self->store->user);
}

/* --- what libcoap tells --- */

static void was_restored(struct store_observers *self, coap_subscription_t *subscription)
{
        self->restored = subscription;
        if (ptrmap_put(&self->ids, subscription, self->restoring) < 0)
                log_error("%s: out of memory for the observers' map", self->store->path);
}

static void was_registered(struct store_observers *self, coap_subscription_t *subscription,
                           const coap_address_t *listen, const coap_addr_tuple_t *addresses,
                           struct span request, struct span oscore, bool may_wait)
{
        CLEANUP(observation_deinit) struct observation observation;
        int64_t id = self->next_id;
        struct row row;
        int r = observation_from_libcoap(&observation, listen, addresses, request, oscore);

        if (r == 0)
                r = ptrmap_put(&self->ids, subscription, id);
        if (r < 0) {
                LOG_RARELY(LOG_ERR, NULL, "%s: an observer cannot be kept: %s", self->store->path,
                           strerror(-r));
                return;
        }
        self->next_id++;
        observation.registered_us = store_now_us();
        observation_to_row(&observation, &row);
        write_change(self, id, &row, may_wait);
}

void store_observers_added(struct store_observers *self, coap_subscription_t *subscription,
                           const coap_address_t *listen, const coap_addr_tuple_t *addresses,
                           struct span request, struct span oscore, bool may_wait)
{
        if (self->restoring)
                was_restored(self, subscription);
        else
                was_registered(self, subscription, listen, addresses, request, oscore, may_wait);
}

void store_observers_deleted(struct store_observers *self, const coap_subscription_t *subscription,
                             bool may_wait)
{
        int64_t id;

        if (!ptrmap_take(&self->ids, subscription, &id))
                return;
        write_change(self, id, NULL, may_wait);
}
