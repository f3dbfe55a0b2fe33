/* SPDX-License-Identifier: BSD-2-Clause */
/* The store of dynamic resources; see sqlite_resources.h. */
#include "persist/sqlite_resources.h"

#include <errno.h>
#include <string.h>

#include "base/content_format.h"
#include "base/log.h"
#include "base/util.h"

const struct store_schema store_schema_resources = {
        .what = "dynamic resources",
        .application_id = 0x636f6472, /* "codr" */
        .version = 1,
        .page_size = 4096,
        .cache_kib = 8000,
        .sql = "CREATE TABLE resources(id INTEGER PRIMARY KEY,"
               " path TEXT NOT NULL,"
               " content_format INTEGER,"
               " etag BLOB NOT NULL,"
               " attributes TEXT NOT NULL,"
               " body BLOB NOT NULL,"
               " created_us INTEGER NOT NULL,"
               " changed_us INTEGER NOT NULL,"
               " checksum INTEGER NOT NULL);"
               "CREATE VIEW resource_list AS SELECT path, content_format, length(body) AS size,"
               " datetime(created_us / 1000000, 'unixepoch') AS created,"
               " datetime(changed_us / 1000000, 'unixepoch') AS changed, attributes FROM resources",
        .tables = { { "resources", STORE_RESOURCES_COLUMNS } },
};

int store_resources_init(struct store_resources *self, struct store *store)
{
        const struct {
                const char *sql;
                sqlite3_stmt **statement;
        } all[] = {
                { "INSERT OR REPLACE INTO resources(" STORE_RESOURCES_COLUMNS ", id)"
                  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                  &self->put },
                { "DELETE FROM resources WHERE id = ?1", &self->del },
                { "SELECT id, " STORE_RESOURCES_COLUMNS " FROM resources ORDER BY id", &self->all },
                { "SELECT id, " STORE_RESOURCES_COLUMNS " FROM resources WHERE id = ?1", &self->one },
                { "SELECT id, " STORE_RESOURCES_COLUMNS " FROM resources WHERE path = ?1", &self->by_path },
                { "SELECT count(*) FROM resources", &self->count },
        };
        int r = 0;

        *self = (struct store_resources){ .store = store };
        for (size_t i = 0; i < ARRAY_LEN(all) && r == 0; i++)
                r = store_prepare(store, all[i].sql, all[i].statement);
        if (r == 0)
                r = store_next_id(store, &self->next_id);
        if (r < 0)
                store_resources_deinit(self);
        return r;
}

void store_resources_deinit(struct store_resources *self)
{
        free(self->kept);
        buf_deinit(&self->group);
        spanmap_deinit(&self->ids);
        store_close(self->store);
        *self = (struct store_resources){ 0 };
}

void store_resources_row(const struct stored_resource *stored, struct row *ret_row)
{
        *ret_row = (struct row){ .n = 0 };
        row_add_text(ret_row, stored->path);
        if (stored->content_format < 0)
                row_add_null(ret_row);
        else
                row_add_int(ret_row, stored->content_format);
        row_add_blob(ret_row, stored->etag);
        row_add_text(ret_row, stored->attributes);
        row_add_blob(ret_row, stored->body);
        row_add_int(ret_row, stored->created_us);
        row_add_int(ret_row, stored->changed_us);
}

bool store_resources_parse(const struct row *row, struct stored_resource *ret_stored)
{
        struct stored_resource stored = { .content_format = -1 };
        int64_t format = -1;

        if (!row_get_text(row, 0, &stored.path) || stored.path.n == 0 ||
            (!row_is_null(row, 1) && !row_get_int(row, 1, 0, CONTENT_FORMAT_MAX, &format)) ||
            !row_get_blob(row, 2, &stored.etag) || stored.etag.n == 0 || stored.etag.n > 8 ||
            !row_get_text(row, 3, &stored.attributes) || !row_get_blob(row, 4, &stored.body) ||
            !row_get_int(row, 5, 0, INT64_MAX, &stored.created_us) ||
            !row_get_int(row, 6, 0, INT64_MAX, &stored.changed_us))
                return false;
        stored.content_format = (int)format;
        *ret_stored = stored;
        return true;
}

static uint64_t count_rows(struct store_resources *self)
{
        uint64_t n = 0;

        if (sqlite3_step(self->count) == SQLITE_ROW)
                n = (uint64_t)sqlite3_column_int64(self->count, 0);
        sqlite3_reset(self->count);
        return n;
}

static void keep(struct store_resources *self, int64_t id)
{
        int64_t *kept = reallocarray(self->kept, self->n_kept + 1, sizeof *kept);

        if (!kept)
                return;
        kept[self->n_kept++] = id;
        self->kept = kept;
}

/* The host says in the log why it leaves one out; the row stays, for another config. */
static bool restore_row(struct store_resources *self, const struct persist_host *host,
                        sqlite3_stmt *statement)
{
        int64_t id = sqlite3_column_int64(statement, 0), known;
        struct stored_resource stored;
        struct row row;

        /* Nothing of ours writes a second row for a path. */
        if (!row_read(statement, 1, &row) || !store_resources_parse(&row, &stored) ||
            (spanmap_get(&self->ids, stored.path, &known) && known != id)) {
                store_quarantine(self->store, &store_schema_resources.tables[0], id);
                return false;
        }
        if (spanmap_put(&self->ids, stored.path, id) < 0)
                return false;
        if (host->restore_resource(host->user, &stored) == 0)
                return true;
        keep(self, id);
        return false;
}

int store_resources_restore(struct store_resources *self, const struct persist_host *host)
{
        enum { PROGRESS_EVERY = 256 };
        uint64_t total = count_rows(self), done = 0, restored = 0;
        int code;

        while ((code = sqlite3_step(self->all)) == SQLITE_ROW) {
                restored += restore_row(self, host, self->all);
                if (++done % PROGRESS_EVERY == 0 && host->progress)
                        host->progress(host->user, store_schema_resources.what, done, total);
        }
        sqlite3_reset(self->all);
        if (code != SQLITE_DONE)
                log_error("%s: reading stopped after %llu of %llu rows: %s", self->store->path,
                          (unsigned long long)done, (unsigned long long)total,
                          sqlite3_errmsg(self->store->db));
        if (done)
                log_info("%s: %llu of %llu dynamic resources restored", self->store->path,
                         (unsigned long long)restored, (unsigned long long)done);
        return 0;
}

int store_resources_retry(struct store_resources *self, const struct persist_host *host)
{
        int64_t *ids = TAKE(self->kept);
        size_t n = self->n_kept;

        self->n_kept = 0;
        for (size_t i = 0; i < n; i++) {
                sqlite3_bind_int64(self->one, 1, ids[i]);
                if (sqlite3_step(self->one) == SQLITE_ROW)
                        restore_row(self, host, self->one);
                sqlite3_reset(self->one);
        }
        free(ids);
        return 0;
}

/* --- changes, alone or by the group --- */

/* The group's transaction was rolled back: tells what the store has of each path that it had changed. */
static void tell_undone(struct store_resources *self, const struct persist_host *host)
{
        struct span paths = buf_span(&self->group);

        while (paths.n > 0) {
                struct span path = span_of(paths.p, strnlen((const char *)paths.p, paths.n));
                struct stored_resource stored;
                struct row row;
                int64_t id;
                bool there;

                sqlite3_bind_text64(self->by_path, 1, (const char *)path.p, path.n, SQLITE_STATIC,
                                    SQLITE_UTF8);
                there = sqlite3_step(self->by_path) == SQLITE_ROW && row_read(self->by_path, 1, &row) &&
                        store_resources_parse(&row, &stored);
                if (there)
                        spanmap_put(&self->ids, path, sqlite3_column_int64(self->by_path, 0));
                else
                        spanmap_take(&self->ids, path, &id);
                host->undone(host->user, path, there ? &stored : NULL);
                sqlite3_reset(self->by_path);
                paths = span_skip(paths, path.n + 1);
        }
}

static int end_group(struct store_resources *self, const struct persist_host *host)
{
        int r;

        self->group_open = false;
        r = store_commit(self->store);
        if (r < 0)
                tell_undone(self, host);
        buf_reset(&self->group);
        return r;
}

int store_resources_settle(struct store_resources *self, const struct persist_host *host)
{
        int r = self->group_failed ? -EIO : 0;
        int end = self->group_open ? end_group(self, host) : 0;

        self->group_failed = false;
        return end < 0 ? end : r;
}

/* Writes one change into the group, which begins or ends with it where that is due. */
static int write_grouped(struct store_resources *self, const struct persist_host *host,
                         sqlite3_stmt *statement, struct span path, bool may_wait)
{
        bool others = self->group.n > 0;
        int r = self->group_open ? 0 : store_begin(self->store);

        if (r < 0) {
                sqlite3_clear_bindings(statement);
                return r;
        }
        self->group_open = true;
        r = store_write(self->store, statement);
        if (r == 0) {
                buf_append_span(&self->group, path);
                buf_append_byte(&self->group, '\0');
        }
        /* SQLite may roll all of it back by itself, for want of space for instance (lang_transaction.html). */
        if (sqlite3_get_autocommit(self->store->db) || !may_wait || !buf_ok(&self->group)) {
                int end = end_group(self, host);

                self->group_failed |= end < 0 && others;
                return r < 0 ? r : end;
        }
        return r;
}

/* While writes fail each one is tried alone, so that each client gets its own answer. */
static int write_change(struct store_resources *self, const struct persist_host *host,
                        sqlite3_stmt *statement, struct span path, bool may_wait)
{
        if (!self->group_open && (!may_wait || self->store->failing || self->store->refusing))
                return store_write(self->store, statement);
        return write_grouped(self, host, statement, path, may_wait);
}

int store_resources_put(struct store_resources *self, const struct persist_host *host,
                        const struct stored_resource *stored, bool may_wait)
{
        int64_t id = self->next_id, now;
        bool fresh = !spanmap_get(&self->ids, stored->path, &id);
        struct row row;
        int r;

        if (fresh && spanmap_put(&self->ids, stored->path, id) < 0)
                return -ENOMEM;
        self->next_id += fresh;
        store_resources_row(stored, &row);
        r = row_bind(&row, self->put);
        if (r == SQLITE_OK)
                r = sqlite3_bind_int64(self->put, (int)row.n + 2, id);
        if (r == SQLITE_OK) {
                r = write_change(self, host, self->put, stored->path, may_wait);
        } else {
                sqlite3_clear_bindings(self->put);
                r = -EFBIG;
        }
        /* The new row did not come to be; but a group that failed with it may have brought an old one back. */
        if (r < 0 && fresh && spanmap_get(&self->ids, stored->path, &now) && now == id)
                spanmap_take(&self->ids, stored->path, &now);
        return r;
}

int store_resources_del(struct store_resources *self, const struct persist_host *host, struct span path,
                        bool may_wait)
{
        int64_t id;
        int r;

        if (!spanmap_get(&self->ids, path, &id))
                return 0;
        sqlite3_bind_int64(self->del, 1, id);
        r = write_change(self, host, self->del, path, may_wait);
        if (r == 0)
                spanmap_take(&self->ids, path, &id);
        return r;
}
