/* SPDX-License-Identifier: BSD-2-Clause */
/* The store of Observe numbers; see sqlite_counters.h. */
#include "persist/sqlite_counters.h"

#include <errno.h>
#include <string.h>

#include "base/checksum.h"
#include "base/log.h"
#include "base/util.h"
#include "persist/files.h"

enum {
        NUMBER_MASK = 0xffffff, /* Observe numbers have 24 bits */
        NUMBER_HALF = 1 << 23,  /* further ahead than this is behind */
        /*
         * After a power cut the rows may be up to persist.sync_interval old. So many notifications may have
         * left in that time, and one may skip as many, eight times in the 128 s that RFC 7641 looks back.
         */
        POWER_CUT_JUMP = 1 << 20,
        BUCKETS_FIRST = 64,
};

const struct store_schema store_schema_counters = {
        .what = "observe counters",
        .application_id = 0x636f6374, /* "coct" */
        .version = 1,
        .page_size = 1024,
        .sql = "CREATE TABLE observe_counters(id INTEGER PRIMARY KEY, resource TEXT NOT NULL UNIQUE,"
               " reserved INTEGER NOT NULL, save_frequency INTEGER NOT NULL, changed_us INTEGER NOT NULL,"
               " deleted_us INTEGER, checksum INTEGER NOT NULL);"
               "CREATE TABLE sequences(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, reserved INTEGER "
               "NOT NULL,"
               " changed_us INTEGER NOT NULL, checksum INTEGER NOT NULL);"
               "CREATE TABLE running(id INTEGER PRIMARY KEY, boot TEXT NOT NULL)",
        .tables = { { "observe_counters", COUNTER_COLUMNS }, { "sequences", SEQUENCE_COLUMNS } },
};

struct counter {
        struct counter *next;
        uint32_t reserved;  /* no number beyond it was sent */
        int64_t deleted_us; /* 0: it lives */
        bool unsaved;
        size_t n;
        uint8_t path[];
};

/* --- the map --- */

static struct counter **bucket_of(struct counter **buckets, size_t n_buckets, struct span path)
{
        return &buckets[checksum_span(0, path) & (n_buckets - 1)];
}

static struct counter *find(const struct store_counters *self, struct span path)
{
        struct counter *c = self->n_buckets ? *bucket_of(self->buckets, self->n_buckets, path) : NULL;

        while (c && !span_equal(path, span_of(c->path, c->n)))
                c = c->next;
        return c;
}

static int grow(struct store_counters *self)
{
        size_t n = self->n_buckets ? self->n_buckets * 2 : BUCKETS_FIRST;
        struct counter **buckets = calloc(n, sizeof(struct counter *));

        if (!buckets)
                return -ENOMEM;
        for (size_t i = 0; i < self->n_buckets; i++)
                for (struct counter *c = self->buckets[i], *next; c; c = next) {
                        struct counter **bucket = bucket_of(buckets, n, span_of(c->path, c->n));

                        next = c->next;
                        c->next = *bucket;
                        *bucket = c;
                }
        free(self->buckets);
        self->buckets = buckets;
        self->n_buckets = n;
        return 0;
}

static struct counter *add(struct store_counters *self, struct span path, uint32_t reserved)
{
        struct counter **bucket, *c;

        if (self->n_counters >= self->n_buckets && grow(self) < 0)
                return NULL;
        c = calloc(1, sizeof *c + path.n);
        if (!c)
                return NULL;
        c->reserved = reserved;
        c->n = path.n;
        if (path.n)
                memcpy(c->path, path.p, path.n);
        bucket = bucket_of(self->buckets, self->n_buckets, path);
        c->next = *bucket;
        *bucket = c;
        self->n_counters++;
        return c;
}

/* --- rows --- */

static int write_counter(struct store_counters *self, struct counter *c)
{
        struct row row = { .n = 0 };
        int r;

        row_add_text(&row, span_of(c->path, c->n));
        row_add_int(&row, c->reserved);
        row_add_int(&row, self->store->conf->save_frequency);
        row_add_int(&row, store_now_us());
        if (c->deleted_us)
                row_add_int(&row, c->deleted_us);
        else
                row_add_null(&row);
        r = row_bind(&row, self->put) == SQLITE_OK ? store_write(self->store, self->put) : -ENOMEM;
        c->unsaved = r < 0;
        self->unsaved |= c->unsaved;
        return r;
}

bool store_counters_flush(struct store_counters *self)
{
        bool done = true;

        for (size_t i = 0; i < self->n_buckets && self->unsaved && done; i++)
                for (struct counter *c = self->buckets[i]; c && done; c = c->next)
                        if (c->unsaved)
                                done = write_counter(self, c) == 0;
        self->unsaved = self->unsaved && !done;
        return done;
}

static void read_row(struct store_counters *self, uint32_t jump)
{
        int64_t id = sqlite3_column_int64(self->all, 0), reserved, frequency, changed, deleted = 0;
        struct span path;
        struct row row;
        struct counter *c;

        if (!row_read(self->all, 1, &row) || !row_get_text(&row, 0, &path) ||
            !row_get_int(&row, 1, 0, NUMBER_MASK, &reserved) ||
            !row_get_int(&row, 2, 1, INT64_MAX, &frequency) ||
            !row_get_int(&row, 3, 0, INT64_MAX, &changed) ||
            (!row_is_null(&row, 4) && !row_get_int(&row, 4, 1, INT64_MAX, &deleted))) {
                store_quarantine(self->store, &store_schema_counters.tables[0], id);
                return;
        }
        c = add(self, path, (uint32_t)(reserved + jump) & NUMBER_MASK);
        if (c)
                c->deleted_us = deleted;
}

/* Whether the machine went down since the last orderly end, and notes that it has not ended yet this time. */
static void look_for_power_cut(struct store_counters *self)
{
        char boot[64], last[64] = "";

        persist_boot_id(boot, sizeof boot);
        if (sqlite3_step(self->boot_get) == SQLITE_ROW)
                strncpy(last, (const char *)sqlite3_column_text(self->boot_get, 0), sizeof last - 1);
        sqlite3_reset(self->boot_get);
        self->power_cut = last[0] && strcmp(last, boot) != 0;
        if (self->power_cut)
                log_notice("%s: the machine went down without stopping coapd; Observe numbers skip ahead",
                           self->store->path);
        sqlite3_bind_text(self->boot_put, 1, boot, -1, SQLITE_STATIC);
        if (self->store->refusing == 0 && store_write(self->store, self->boot_put) == 0)
                store_sync(self->store);
}

static int prepare_all(struct store_counters *self)
{
        const struct {
                const char *sql;
                sqlite3_stmt **statement;
        } all[] = {
                { "INSERT INTO observe_counters(" COUNTER_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
                  " ON CONFLICT(resource) DO UPDATE SET reserved = ?2, save_frequency = ?3, changed_us = ?4,"
                  " deleted_us = ?5, checksum = ?6",
                  &self->put },
                { "SELECT id, " COUNTER_COLUMNS " FROM observe_counters ORDER BY id", &self->all },
                { "DELETE FROM observe_counters WHERE deleted_us < ?1", &self->prune },
                { "INSERT INTO sequences(" SEQUENCE_COLUMNS ") VALUES(?1, ?2, ?3, ?4)"
                  " ON CONFLICT(name) DO UPDATE SET reserved = ?2, changed_us = ?3, checksum = ?4",
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

        *self = (struct store_counters){ .store = store };
        r = prepare_all(self);
        if (r < 0) {
                store_counters_deinit(self, false);
                return r;
        }
        look_for_power_cut(self);
        if (!store->refusing) {
                sqlite3_bind_int64(self->prune, 1, store_now_us() - store->conf->observer_max_age * 1000000);
                store_write(store, self->prune);
        }
        while ((code = sqlite3_step(self->all)) == SQLITE_ROW)
                read_row(self, self->power_cut ? POWER_CUT_JUMP : 0);
        sqlite3_reset(self->all);
        if (code != SQLITE_DONE)
                log_error("%s: reading stopped: %s", store->path, sqlite3_errmsg(store->db));
        return store_sequences_read(self);
}

void store_counters_deinit(struct store_counters *self, bool clean)
{
        if (self->store && clean && !self->unsaved && self->boot_put && !self->store->refusing) {
                sqlite3_bind_text(self->boot_put, 1, "", 0, SQLITE_STATIC);
                store_write(self->store, self->boot_put);
        }
        for (size_t i = 0; i < self->n_buckets; i++)
                for (struct counter *c = self->buckets[i], *next; c; c = next) {
                        next = c->next;
                        free(c);
                }
        free(self->buckets);
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

static void resume(struct store_counters *self, struct counter *c, coap_resource_t *resource)
{
        coap_persist_set_observe_num(resource, c->reserved);
        reserve(self, c, c->reserved);
}

void store_counters_restore(struct store_counters *self, coap_context_t *context)
{
        bool together = store_begin(self->store) == 0;

        for (size_t i = 0; i < self->n_buckets; i++)
                for (struct counter *c = self->buckets[i]; c; c = c->next) {
                        coap_str_const_t path = { c->n, c->path };
                        coap_resource_t *resource = coap_get_resource_from_uri_path(context, &path);

                        if (!resource)
                                continue;
                        resume(self, c, resource);
                        write_counter(self, c);
                }
        if (together && store_commit(self->store) < 0)
                for (size_t i = 0; i < self->n_buckets; i++)
                        for (struct counter *c = self->buckets[i]; c; c = c->next)
                                self->unsaved = c->unsaved = true;
}

void store_counters_added(struct store_counters *self, coap_resource_t *resource)
{
        const coap_str_const_t *path = coap_resource_get_uri_path(resource);
        struct counter *c = find(self, span_of(path->s, path->length));

        /* Its row is written when somebody observes it. */
        if (c) {
                coap_persist_set_observe_num(resource, c->reserved);
                c->deleted_us = 0;
        }
}

void store_counters_track(struct store_counters *self, struct span path, uint32_t number)
{
        struct counter *c = find(self, path);

        if (c && covers(self, c, number) && !c->unsaved)
                return;
        if (!c)
                c = add(self, path, 0);
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
