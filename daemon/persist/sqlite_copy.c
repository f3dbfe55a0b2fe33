/* SPDX-License-Identifier: BSD-2-Clause */
/* A store whose file cannot be written: a copy in memory stands in for it, until it can. */
#include <errno.h>
#include <stdio.h>

#include "base/util.h"
#include "persist/sqlite_store.h"

/* Nothing of it is left when the process ends. */
int store_open_copy(struct store *store)
{
        char folder[] = "/dev/shm/coapd-XXXXXX", elsewhere[] = "/tmp/coapd-XXXXXX", reason[256];
        CLEANUP(freep) char *name = NULL;
        const char *made = mkdtemp(folder);
        int r, verdict;

        if (!made)
                made = mkdtemp(elsewhere);
        if (!made || asprintf(&name, "%s/store", made) < 0)
                return -ENOMEM;
        r = store_copy_files(store->path, name);
        store->complete = r == 0 || r == -ENOENT;
        verdict = r == 0 ? store_judge(name, store->schema, reason, sizeof reason) : STORE_MISSING;
        /* Of what is bad through and through there is nothing that a copy could hold. */
        if (verdict != STORE_GOOD) {
                store->complete = store->complete && (verdict == STORE_MISSING || verdict == STORE_BAD);
                r = store_create(name, store->schema);
        }
        if (r == 0)
                r = store_open_database(store, name, &store->db);
        /* Its log is then kept in memory, or in files without a name. */
        if (r == 0)
                sqlite3_exec(store->db, "PRAGMA locking_mode=EXCLUSIVE; SELECT count(*) FROM damaged", NULL,
                             NULL, NULL);
        store_remove_files(name);
        rmdir(made);
        return r;
}

static sqlite3_stmt *walk(sqlite3 *db, const struct store_table *table)
{
        char *sql = sqlite3_mprintf("SELECT id, %s FROM %s ORDER BY id", table->columns, table->name);
        sqlite3_stmt *statement = NULL;

        if (sql)
                sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
        sqlite3_free(sql);
        return statement;
}

/* Row by row, by their checksums. */
static bool same_rows(sqlite3 *a, sqlite3 *b, const struct store_table *table)
{
        sqlite3_stmt *x = walk(a, table), *y = walk(b, table);
        int last = sqlite3_column_count(x) - 1, code = SQLITE_ERROR;
        bool same = x && y;

        while (same && (code = sqlite3_step(x)) == SQLITE_ROW)
                same = sqlite3_step(y) == SQLITE_ROW &&
                       sqlite3_column_int64(x, 0) == sqlite3_column_int64(y, 0) &&
                       sqlite3_column_int64(x, last) == sqlite3_column_int64(y, last);
        same = same && code == SQLITE_DONE && sqlite3_step(y) == SQLITE_DONE;
        sqlite3_finalize(x);
        sqlite3_finalize(y);
        return same;
}

static bool same_content(const struct store *store, sqlite3 *a, sqlite3 *b)
{
        const struct store_table *tables = store->schema->tables;
        bool same = true;

        for (size_t i = 0; i < STORE_TABLES && tables[i].name && same; i++)
                same = same_rows(a, b, &tables[i]);
        return same;
}

/*
 * The file may be good again: it then takes the place of the copy. But not one that others wrote to, or that was not
 * there before, as on a disk that is mounted late: what coapd knows of the rows is of the copy, and it would write
 * over others.
 */
bool store_refuses(struct store *store)
{
        enum { RETRY_US = 5000000 };
        sqlite3 *copy = store->db, *file;
        int64_t now;
        int r;

        if (!store->refusing)
                return false;
        now = store_now_us();
        if (!store->complete || (now >= store->retry_us && now < store->retry_us + RETRY_US))
                return true;
        store->retry_us = now;
        r = store_open_file(store);
        file = store->db;
        store->db = copy;
        if (r < 0)
                return true;
        if (!same_content(store, copy, file)) {
                log_error("%s: can be written, and holds other %s than when coapd started; it is left alone "
                          "until "
                          "it is started again",
                          store->path, store->schema->what);
                sqlite3_close(file);
                store->complete = false;
                return true;
        }
        store_change_database(store, file);
        store->refusing = 0;
        return false;
}
