/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening and closing a store; see sqlite_store.h. */
#include "persist/sqlite_store.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/message_ids.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "persist/files.h"
#include "persist/import.h"

enum {
        CHECKPOINT_PAGES = 2000,  /* in the log before it is folded in */
        LONG_LOG_PAGES = 20000,   /* worth a word to the operator */
        LOG_SIZE_LIMIT = 16 << 20 /* what stays of a log that was longer */
};

int64_t store_now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int store_errno(sqlite3 *db, int code)
{
        int system;

        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_DONE:
        case SQLITE_ROW:
                return 0;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EAGAIN;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        case SQLITE_TOOBIG:
                return -EFBIG;
        case SQLITE_IOERR:
        case SQLITE_CANTOPEN:
                system = db ? sqlite3_system_errno(db) : 0;
                return system > 0 ? -system : -EIO;
        default:
                return -EIO;
        }
}

static int prepare(struct store *store, size_t i)
{
        return sqlite3_prepare_v3(store->db, store->prepared[i].sql, -1, SQLITE_PREPARE_PERSISTENT,
                                  store->prepared[i].statement, NULL);
}

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **statement)
{
        size_t i = store->n_prepared++;
        int r;

        store->prepared[i].sql = sql;
        store->prepared[i].statement = statement;
        r = prepare(store, i);
        if (r != SQLITE_OK)
                log_error("%s: %s", store->path, sqlite3_errmsg(store->db));
        return store_errno(store->db, r);
}

int store_next_id(struct store *store, int64_t *ret_id)
{
        char *sql = sqlite3_mprintf("SELECT coalesce(max(id), 0) FROM %s", store->schema->tables[0].name);
        sqlite3_stmt *statement = NULL;
        int64_t last = 0;
        int code = sql ? sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

        if (code == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW)
                last = sqlite3_column_int64(statement, 0);
        sqlite3_free(sql);
        if (code == SQLITE_OK)
                code = sqlite3_finalize(statement);
        if (code != SQLITE_OK) {
                log_error("%s: %s", store->path, sqlite3_errmsg(store->db));
                return store_errno(store->db, code);
        }
        if (last < 0 || last == INT64_MAX) {
                log_error("%s: no id is free behind %lld; not starting", store->path, (long long)last);
                return -EUCLEAN;
        }
        *ret_id = last + 1;
        return 0;
}

static void finalize_all(struct store *store)
{
        for (size_t i = 0; i < store->n_prepared; i++) {
                sqlite3_finalize(*store->prepared[i].statement);
                *store->prepared[i].statement = NULL;
        }
}

void store_close(struct store *store)
{
        if (!store)
                return;
        finalize_all(store);
        /* While another process reads, closing does not fold the log in. */
        if (store->db && store->dirty)
                store_sync(store);
        if (store->db && sqlite3_close(store->db) != SQLITE_OK)
                log_warning("%s: %s", store->path, sqlite3_errmsg(store->db));
        closep(&store->wal_fd);
        closep(&store->lock_fd);
        free(store->path);
        free(store);
}

static void store_closep(struct store **store)
{
        store_close(*store);
}

/*
 * As sqlite3_wal_autocheckpoint(), and tells when it is in vain: somebody who reads for hours in one go keeps the
 * log from being folded in, and it grows.
 */
static int on_commit(void *user, sqlite3 *db, const char *name, int pages)
{
        struct store *store = user;

        if (pages >= CHECKPOINT_PAGES)
                sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (pages >= LONG_LOG_PAGES && !store->log_is_long)
                log_gated(&store->gate, LOG_WARNING, NULL,
                          "%s: its log has grown to %d pages: another process that reads the store without "
                          "end keeps it from being folded in",
                          store->path, pages);
        store->log_is_long = pages >= LONG_LOG_PAGES;
        return SQLITE_OK;
}

int store_open_database(struct store *store, const char *name, sqlite3 **ret_db)
{
        bool always = store->conf->sync == CONF_SYNC_ALWAYS;
        sqlite3 *db = NULL;
        char *sql;
        int r;

        /* No locks within the process: only one thread of it has to do with stores. */
        r = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        if (r == SQLITE_OK && sqlite3_db_readonly(db, "main") == 1) {
                r = access(name, W_OK) < 0 ? -errno : -EROFS;
                sqlite3_close(db);
                return r;
        }
        if (r == SQLITE_OK) {
                sqlite3_extended_result_codes(db, 1);
                sqlite3_busy_timeout(db, STORE_BUSY_MS);
                sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
                sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
        }
        sql = sqlite3_mprintf(
                "PRAGMA cell_size_check=1; PRAGMA temp_store=MEMORY; PRAGMA cache_size=-%d;"
                "PRAGMA synchronous=%s; PRAGMA journal_size_limit=%d; SELECT count(*) FROM damaged",
                store->schema->cache_kib, always ? "FULL" : "NORMAL", LOG_SIZE_LIMIT);
        if (r == SQLITE_OK)
                r = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
        sqlite3_free(sql);
        if (r != SQLITE_OK) {
                r = store_errno(db, r);
                sqlite3_close(db);
                return r;
        }
        sqlite3_wal_hook(db, on_commit, store);
        *ret_db = db;
        return 0;
}

int store_open_file(struct store *store)
{
        char reason[256] = "";
        int verdict, r = 0;

        if (store->lock_fd < 0)
                r = persist_file_lock(store->path, &store->lock_fd);
        if (r == 0)
                r = store_finish_replacing(store);
        if (r < 0)
                return r;
        store_check_log(store->path);
        verdict = store_judge(store->path, store->schema, reason, sizeof reason);
        switch (verdict) {
        case STORE_GOOD:
                break;
        case STORE_MISSING:
                r = store_make_missing(store);
                break;
        case STORE_FOREIGN:
                r = import_libcoap(store->path, store->schema);
                break;
        case STORE_BAD:
        case STORE_DAMAGED:
                r = store_replace(store, verdict, reason);
                break;
        default:
                r = verdict;
        }
        if (r == 0)
                r = store_open_database(store, store->path, &store->db);
        if (r != -EUCLEAN || verdict == STORE_BAD || verdict == STORE_DAMAGED)
                return r;
        /* A reader found nothing wrong with it; the first use as a writer does. */
        r = store_replace(store, STORE_DAMAGED, "this is a damaged database");
        return r < 0 ? r : store_open_database(store, store->path, &store->db);
}

int store_open(const char *path, const struct store_schema *schema, const struct conf_persist *conf,
               struct metrics *metrics, struct store **ret_store)
{
        CLEANUP(store_closep) struct store *store = calloc(1, sizeof *store);
        int r;

        if (!store)
                return -ENOMEM;
        *store = (struct store){
                .schema = schema,
                .conf = conf,
                .metrics = metrics,
                .gate = { .burst = 5, .interval_s = 60 },
                .lock_fd = -1,
                .wal_fd = -1,
        };
        r = persist_file_follow(path, &store->path);
        if (r == 0)
                r = store_open_file(store);
        if (r == -EUCLEAN || r == -EBUSY)
                return r;
        /* A missing folder is a mistake in the config and not an accident: nothing was ever kept there. */
        if (r == -ENOENT || r == -ENOTDIR || r == -ENOMEM ||
            (r < 0 && conf->bad_file == CONF_BAD_FILE_REFUSE)) {
                log_message(LOG_ERR, &(struct log_fields){ .message_id = MESSAGE_STORE_FAILS, .file = path },
                            "%s: cannot be opened for writing: %s%s; not starting", path, strerror(-r),
                            sandbox_hint(store->path ? store->path : path, -r));
                return r;
        }
        if (r < 0) {
                store->refusing = r;
                store->failing = store->told = true;
                r = store_open_copy(store);
                log_message(
                        LOG_ERR, &(struct log_fields){ .message_id = MESSAGE_STORE_FAILS, .file = path },
                        "%s: cannot be opened for writing: %s%s; changes of %s are refused until it can%s",
                        path, strerror(-store->refusing), sandbox_hint(store->path, -store->refusing),
                        schema->what, store->complete ? "" : ", and coapd restarted; starting without");
        }
        if (r == 0)
                r = store_prepare(store, "BEGIN IMMEDIATE", &store->begin);
        if (r == 0)
                r = store_prepare(store, "COMMIT", &store->commit);
        if (r < 0)
                return r;
        *ret_store = TAKE(store);
        return 0;
}

void store_configure(struct store *store, const struct conf_persist *conf)
{
        store->conf = conf;
        /* What was to be synced later is not to wait for the next change. */
        if (conf->sync == CONF_SYNC_ALWAYS && store->dirty)
                store_sync(store);
        sqlite3_exec(store->db,
                     conf->sync == CONF_SYNC_ALWAYS ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL",
                     NULL, NULL, NULL);
}

void store_change_database(struct store *store, sqlite3 *db)
{
        finalize_all(store);
        sqlite3_close(store->db);
        store->db = db;
        for (size_t i = 0; i < store->n_prepared; i++)
                if (prepare(store, i) != SQLITE_OK)
                        log_error("%s: %s", store->path, sqlite3_errmsg(store->db));
}
