/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writing to a store: one statement, one transaction, one line in the log when writes begin to fail and one
 * when they work again.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/message_ids.h"
#include "base/util.h"
#include "persist/files.h"
#include "persist/sqlite_store.h"

/* On a disk that is nearly full, peers make the two alternate: a large change fails, a small one fits. */
static int note_result(struct store *store, int error)
{
        if (error < 0) {
                if (store->metrics)
                        store->metrics->store_errors++;
                if (!store->failing)
                        store->told = log_gated(
                                &store->gate, LOG_ERR,
                                &(struct log_fields){ .message_id = MESSAGE_STORE_FAILS,
                                                      .file = store->path },
                                "%s: cannot be written: %s; changes of %s are refused until it can",
                                store->path,
                                error == -EAGAIN ? "another process has it locked" : strerror(-error),
                                store->schema->what);
                /* One change may wait for the lock; all that follow would keep everyone waiting. */
                if (!store->failing)
                        sqlite3_busy_timeout(store->db, 0);
                store->failing = true;
                store->refused++;
                if (store->on_change)
                        store->on_change(store->user);
        } else {
                if (store->failing && store->told)
                        log_message(LOG_NOTICE,
                                    &(struct log_fields){ .message_id = MESSAGE_STORE_WORKS,
                                                          .file = store->path },
                                    "%s: is written again, after %llu refused changes", store->path,
                                    (unsigned long long)store->refused);
                if (store->failing)
                        sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
                store->failing = store->told = false;
                store->refused = 0;
        }
        return error;
}

static void note_change(struct store *store)
{
        store->dirty = store->conf->sync == CONF_SYNC_INTERVAL;
        if (store->metrics)
                store->metrics->store_writes++;
        if (store->dirty && store->on_change)
                store->on_change(store->user);
}

int store_step(struct store *store, sqlite3_stmt *statement)
{
        int r = sqlite3_step(statement);

        if (r == SQLITE_ROW)
                r = SQLITE_DONE;
        r = store_errno(store->db, r);
        sqlite3_reset(statement);
        /* Within a transaction nothing has reached the file yet: that it was taken, the commit will tell. */
        if (r == 0 && !sqlite3_get_autocommit(store->db))
                return 0;
        if (r == 0 && sqlite3_changes(store->db) > 0)
                note_change(store);
        return note_result(store, r);
}

static int sync_log(struct store *store)
{
        CLEANUP(freep) char *wal = NULL;

        if (store->wal_fd < 0) {
                if (asprintf(&wal, "%s-wal", store->path) < 0)
                        return -ENOMEM;
                /* Never the database itself: closing it would drop the locks that SQLite holds in this
                 * process. */
                store->wal_fd = open(wal, O_RDONLY | O_CLOEXEC);
                if (store->wal_fd < 0)
                        return -errno;
                persist_folder_sync(store->path);
        }
        return fdatasync(store->wal_fd) < 0 ? -errno : 0;
}

/*
 * A failed fdatasync() leaves pages that are not on the disk and count as written: the next one has nothing to do and
 * says that all is well. So everything is written a second time, to the database, and the log begins anew.
 */
static int write_again(struct store *store)
{
        return store_errno(store->db,
                           sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL));
}

int store_sync(struct store *store)
{
        int r;

        if (store->refusing)
                return store->refusing;
        if (!store->dirty)
                return 0;
        r = store->sync_failed ? write_again(store) : sync_log(store);
        if (r < 0 && store->metrics)
                store->metrics->store_errors++;
        if (r < 0 && !store->sync_failed)
                store->told_sync = log_gated(
                        &store->gate, LOG_ERR,
                        &(struct log_fields){ .message_id = MESSAGE_STORE_FAILS, .file = store->path },
                        "%s: cannot be forced to the disk: %s; until it can, a power cut may lose changes of "
                        "%s",
                        store->path, strerror(-r), store->schema->what);
        if (r == 0 && store->sync_failed && store->told_sync)
                log_message(LOG_NOTICE,
                            &(struct log_fields){ .message_id = MESSAGE_STORE_WORKS, .file = store->path },
                            "%s: is on the disk again", store->path);
        store->sync_failed = r < 0;
        store->dirty = r < 0;
        return r;
}

/*
 * 0, or why nothing may be written now. What is written with sync = "always" stands in the log behind all the rest:
 * where some of that did not get to the disk, a power cut takes it as well.
 */
static int admit(struct store *store)
{
        if (store->refusing)
                return store->refusing;
        return store->sync_failed && store->conf->sync == CONF_SYNC_ALWAYS ? store_sync(store) : 0;
}

int store_write(struct store *store, sqlite3_stmt *statement)
{
        int r = admit(store);

        r = r < 0 ? note_result(store, r) : store_step(store, statement);
        /* What was bound belongs to the caller, and lives no longer than this call. */
        sqlite3_clear_bindings(statement);
        /* Comes last: opening the file again replaces every statement, this one too. The next write is the first that
         * can succeed. */
        if (store->refusing)
                store_refuses(store);
        return r;
}

static int run(struct store *store, const char *sql)
{
        int r = sqlite3_exec(store->db, sql, NULL, NULL, NULL);

        return store_errno(store->db, r);
}

/* Without what it takes to read SQL again for each transaction. */
static int run_prepared(struct store *store, sqlite3_stmt *statement)
{
        int r = statement ? sqlite3_step(statement) : SQLITE_NOMEM;

        sqlite3_reset(statement);
        return store_errno(store->db, r);
}

int store_begin(struct store *store)
{
        int r = admit(store);

        if (r == 0)
                r = run_prepared(store, store->begin);
        store->changes_at_begin = sqlite3_total_changes(store->db);
        return r < 0 && !store->refusing ? note_result(store, r) : r;
}

int store_commit(struct store *store)
{
        int r;

        if (sqlite3_get_autocommit(store->db))
                return store->refusing ? store->refusing : -EIO;
        r = run_prepared(store, store->commit);
        if (r < 0)
                run(store, "ROLLBACK");
        else if (sqlite3_total_changes(store->db) == store->changes_at_begin)
                return 0;
        else
                note_change(store);
        return note_result(store, r);
}

void store_rollback(struct store *store)
{
        if (!sqlite3_get_autocommit(store->db))
                run(store, "ROLLBACK");
}

void store_quarantine(struct store *store, const struct store_table *table, int64_t id)
{
        sqlite3_str *sql = sqlite3_str_new(store->db);
        const char *columns = table->columns;
        char *text;
        int r;

        log_message(LOG_ERR, &(struct log_fields){ .message_id = MESSAGE_ROW_DAMAGED, .file = store->path },
                    "%s: row %lld of %s is damaged; its remains are kept in the table damaged", store->path,
                    (long long)id, table->name);
        if (store->refusing)
                return;
        sqlite3_str_appendf(sql,
                            "SAVEPOINT quarantine; INSERT INTO damaged(source, source_id, found_us, content) "
                            "SELECT '%q', id, %lld, ",
                            table->name, (long long)store_now_us());
        /* Every column quoted: "quote(a) || ',' || quote(b)". */
        for (bool first = true; *columns; first = false) {
                size_t n = strcspn(columns, ", ");

                sqlite3_str_appendf(sql, "%squote(%.*s)", first ? "" : " || ',' || ", (int)n, columns);
                columns += n;
                columns += strspn(columns, ", ");
        }
        sqlite3_str_appendf(sql,
                            " FROM %s WHERE id = %lld; DELETE FROM %s WHERE id = %lld; RELEASE quarantine",
                            table->name, (long long)id, table->name, (long long)id);
        text = sqlite3_str_finish(sql);
        r = text ? run(store, text) : -ENOMEM;
        sqlite3_free(text);
        if (r < 0)
                log_error("%s: row %lld of %s cannot be set aside: %s", store->path, (long long)id,
                          table->name, strerror(-r));
}
