/* SPDX-License-Identifier: BSD-2-Clause */
/* The store of Observe numbers; see sqlite_counters.h. */
#include "persist/sqlite_counters.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"

enum {
        NUMBER_MASK = 0xffffff, /* Observe numbers have 24 bits */
        NUMBER_HALF = 1 << 23,  /* further ahead than this is behind */
        /*
         * After a power cut the rows may be up to persist.sync_interval old. So many notifications may have
         * left in that time, and one may skip as many, eight times in the 128 s that RFC 7641 looks back.
         */
        POWER_CUT_JUMP = 1 << 20,
        /* So long after a deletion nobody compares with its numbers any more: 128 s, and then some. */
        FORGET_US = 300 * 1000000,
        SWEEP_LEAST = 1024,
};

const struct store_schema store_schema_counters = {
        .what = "observe counters",
        .application_id = 0x636f6374, /* "coct" */
        .version = 1,
        .page_size = 1024,
        .cache_kib = 300,
        .sql = "CREATE TABLE observe_counters(id INTEGER PRIMARY KEY, resource TEXT NOT NULL,"
               " reserved INTEGER NOT NULL, save_frequency INTEGER NOT NULL, changed_us INTEGER NOT NULL,"
               " deleted_us INTEGER, checksum INTEGER NOT NULL);"
               "CREATE TABLE sequences(id INTEGER PRIMARY KEY, name TEXT NOT NULL, reserved INTEGER "
               "NOT NULL,"
               " changed_us INTEGER NOT NULL, checksum INTEGER NOT NULL);"
               "CREATE TABLE running(id INTEGER PRIMARY KEY, boot TEXT NOT NULL)",
        .tables = { { "observe_counters", COUNTER_COLUMNS }, { "sequences", SEQUENCE_COLUMNS } },
};

struct counter {
        int64_t id;
        struct span path;   /* owned */
        uint32_t reserved;  /* no number beyond it was sent */
        int64_t deleted_us; /* 0: it lives */
        bool unsaved;
};

static struct counter *find(const struct store_counters *self, struct span path)
{
        int64_t i;

        return spanmap_get(&self->places, path, &i) ? &self->counters[i] : NULL;
}

static bool forgotten(const struct counter *c, int64_t now)
{
        /* Either way: clocks are set. */
        return c->deleted_us && llabs(now - c->deleted_us) > FORGET_US;
}

static int prune(struct store_counters *self, int64_t now)
{
        sqlite3_bind_int64(self->prune, 1, now);
        sqlite3_bind_int64(self->prune, 2, FORGET_US);
        return store_write(self->store, self->prune);
}

/* Clients who make and delete resources all day shall not cost memory for each. */
static void sweep(struct store_counters *self)
{
        struct spanmap places = { 0 };
        int64_t now = store_now_us();
        size_t n = 0;
        int r = prune(self, now);

        assert(self->counters); /* there are some to sweep */
        for (size_t i = 0; i < self->n_counters && r == 0; i++)
                if (!forgotten(&self->counters[i], now))
                        r = spanmap_put(&places, self->counters[i].path, (int64_t)n++);
        if (r < 0) {
                spanmap_deinit(&places);
                return;
        }
        n = 0;
        for (size_t i = 0; i < self->n_counters; i++) {
                if (forgotten(&self->counters[i], now))
                        free((void *)self->counters[i].path.p);
                else
                        self->counters[n++] = self->counters[i];
        }
        self->n_counters = n;
        spanmap_deinit(&self->places);
        self->places = places;
}

static struct counter *add(struct store_counters *self, int64_t id, struct span path)
{
        struct counter *grown;
        uint8_t *copy;

        if (self->n_counters >= self->sweep_at) {
                sweep(self);
                self->sweep_at = MAX((size_t)SWEEP_LEAST, 2 * self->n_counters);
        }
        grown = reallocarray(self->counters, self->n_counters + 1, sizeof *grown);
        copy = malloc(path.n + 1);
        if (grown)
                self->counters = grown;
        if (!grown || !copy || spanmap_put(&self->places, path, (int64_t)self->n_counters) < 0) {
                free(copy);
                return NULL;
        }
        memcpy(copy, path.p, path.n);
        grown[self->n_counters] = (struct counter){ .id = id, .path = span_of(copy, path.n) };
        self->next_id = MAX(self->next_id, id + 1);
        return &grown[self->n_counters++];
}

/* --- rows --- */

static int write_counter(struct store_counters *self, struct counter *c)
{
        struct row row = { .n = 0 };
        int r;

        row_add_text(&row, c->path);
        row_add_int(&row, c->reserved);
        row_add_int(&row, self->store->conf->save_frequency);
        row_add_int(&row, store_now_us());
        if (c->deleted_us)
                row_add_int(&row, c->deleted_us);
        else
                row_add_null(&row);
        r = row_bind(&row, self->put);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(self->put, (int)row.n + 2, c->id);
        r = r == SQLITE_OK ? store_write(self->store, self->put) : -ENOMEM;
        c->unsaved = r < 0;
        self->unsaved |= c->unsaved;
        return r;
}

bool store_counters_flush(struct store_counters *self)
{
        bool done = true;

        if (!self->unnoted && !self->unsaved)
                return true;
        if (store_refuses(self->store))
                return false;
        if (self->unnoted)
                done = store_running_note(self);
        for (size_t i = 0; i < self->n_counters && self->unsaved && done; i++)
                if (self->counters[i].unsaved)
                        done = write_counter(self, &self->counters[i]) == 0;
        self->unsaved = self->unsaved && !done;
        return done;
}

static void read_row(struct store_counters *self, uint32_t jump)
{
        int64_t id = sqlite3_column_int64(self->all, 0), reserved, frequency, changed, deleted = 0;
        struct span path;
        struct row row;
        struct counter *c;

        if (id <= 0 || !row_read(self->all, 1, &row) || !row_get_text(&row, 0, &path) ||
            !row_get_int(&row, 1, 0, NUMBER_MASK, &reserved) ||
            !row_get_int(&row, 2, 1, INT64_MAX, &frequency) ||
            !row_get_int(&row, 3, 0, INT64_MAX, &changed) ||
            (!row_is_null(&row, 4) && !row_get_int(&row, 4, 1, INT64_MAX, &deleted))) {
                store_quarantine(self->store, &store_schema_counters.tables[0], id);
                return;
        }
        c = find(self, path);
        if (!c)
                c = add(self, id, path);
        if (!c)
                return;
        c->reserved = (uint32_t)(reserved + jump) & NUMBER_MASK;
        c->deleted_us = deleted;
}

static int prepare_all(struct store_counters *self)
{
        const struct {
                const char *sql;
                sqlite3_stmt **statement;
        } all[] = {
                { "INSERT OR REPLACE INTO observe_counters(" COUNTER_COLUMNS ", id)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                  &self->put },
                { "SELECT id, " COUNTER_COLUMNS " FROM observe_counters ORDER BY id", &self->all },
                { "DELETE FROM observe_counters WHERE abs(?1 - deleted_us) > ?2", &self->prune },
                { "INSERT OR REPLACE INTO sequences(" SEQUENCE_COLUMNS ", id) VALUES(?1, ?2, ?3, ?4, ?5)",
                  &self->sequence_put },
                { "SELECT id, " SEQUENCE_COLUMNS " FROM sequences ORDER BY id", &self->sequence_all },
                { "INSERT OR REPLACE INTO running(id, boot) VALUES(1, ?1)", &self->boot_put },
                { "SELECT boot FROM running", &self->boot_get },
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_LEN(all) && r == 0; i++)
                r = store_prepare(self->store, all[i].sql, all[i].statement);
        return r;
}

int store_counters_init(struct store_counters *self, struct store *store)
{
        int code, r;

        *self = (struct store_counters){
                .store = store, .next_id = 1, .next_sequence_id = 1, .sweep_at = SIZE_MAX
        };
        r = prepare_all(self);
        if (r < 0) {
                store_counters_deinit(self, false);
                return r;
        }
        store_running_look(self);
        if (!store->refusing)
                prune(self, store_now_us());
        while ((code = sqlite3_step(self->all)) == SQLITE_ROW)
                read_row(self, self->power_cut ? POWER_CUT_JUMP : 0);
        sqlite3_reset(self->all);
        if (code != SQLITE_DONE)
                log_error("%s: reading stopped: %s", store->path, sqlite3_errmsg(store->db));
        self->sweep_at = MAX((size_t)SWEEP_LEAST, 2 * self->n_counters);
        return store_sequences_read(self);
}

void store_counters_deinit(struct store_counters *self, bool clean)
{
        if (self->store && clean && !self->unsaved && self->boot_put && !self->store->refusing)
                store_running_end(self);
        for (size_t i = 0; i < self->n_counters; i++)
                free((void *)self->counters[i].path.p);
        free(self->counters);
        spanmap_deinit(&self->places);
        store_sequences_free(self);
        store_close(self->store);
        *self = (struct store_counters){ 0 };
}

/* --- numbers --- */

/* Numbers up to `number` + save_frequency - 1 may leave before libcoap tells of one again. */
static bool covers(const struct store_counters *self, const struct counter *c, uint32_t number)
{
        uint32_t ahead = (c->reserved - number) & NUMBER_MASK;

        return ahead < NUMBER_HALF && ahead + 1 >= (uint32_t)self->store->conf->save_frequency;
}

/* Twice as far as needed: a write that fails once does no harm, and every other one is saved. */
static void reserve(struct store_counters *self, struct counter *c, uint32_t number)
{
        c->reserved = (number + 2 * (uint32_t)self->store->conf->save_frequency) & NUMBER_MASK;
        c->deleted_us = 0;
}

static bool set_number(const struct persist_host *host, struct span path, uint32_t number)
{
        coap_str_const_t name = { path.n, path.p };
        coap_resource_t *resource;

        if (host->set_number)
                return host->set_number(host->user, path, number);
        resource = coap_get_resource_from_uri_path(host->shards.v[0], &name);
        if (resource)
                coap_persist_set_observe_num(resource, number);
        return resource;
}

/* Ends the transaction of all counters, if there is one; what it did not take is written later. */
static void end_together(struct store_counters *self, bool together)
{
        if (together && store_commit(self->store) < 0)
                for (size_t i = 0; i < self->n_counters; i++)
                        self->unsaved = self->counters[i].unsaved = true;
}

void store_counters_restore(struct store_counters *self, const struct persist_host *host)
{
        bool together = store_begin(self->store) == 0;

        for (size_t i = 0; i < self->n_counters; i++) {
                struct counter *c = &self->counters[i];

                if (!set_number(host, c->path, c->reserved))
                        continue;
                reserve(self, c, c->reserved);
                write_counter(self, c);
        }
        end_together(self, together);
}

void store_counters_reserve_more(struct store_counters *self)
{
        bool together = store_begin(self->store) == 0;

        for (size_t i = 0; i < self->n_counters; i++) {
                struct counter *c = &self->counters[i];

                if (c->deleted_us)
                        continue;
                reserve(self, c, c->reserved);
                write_counter(self, c);
        }
        end_together(self, together);
}

bool store_counters_first(struct store_counters *self, struct span path, uint32_t *ret_number)
{
        struct counter *c = find(self, path);

        /*
         * A power cut takes rows that were not on the disk yet. Whoever has none may have had one, so each power cut
         * has a beginning of its own, beyond what was sent since the one before.
         */
        if (!c) {
                *ret_number = (self->power_cuts * POWER_CUT_JUMP) & NUMBER_MASK;
                return self->power_cuts > 0;
        }
        /* Its row is written when somebody observes it. */
        c->deleted_us = 0;
        *ret_number = c->reserved;
        return true;
}

void store_counters_track(struct store_counters *self, struct span path, uint32_t number)
{
        struct counter *c = find(self, path);

        if (c && covers(self, c, number) && !c->unsaved)
                return;
        if (!c)
                c = add(self, self->next_id, path);
        if (!c)
                return;
        reserve(self, c, number);
        write_counter(self, c);
}

void store_counters_deleted(struct store_counters *self, struct span path)
{
        struct counter *c = find(self, path);

        if (!c)
                return;
        c->deleted_us = store_now_us();
        write_counter(self, c);
}
