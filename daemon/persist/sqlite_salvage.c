/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saves what can be saved of a damaged database: its tables are walked from both ends until SQLite meets the
 * damage, and a row counts when its checksum holds. The damaged file itself stays as it is, for a better
 * tool.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "base/util.h"
#include "persist/sqlite_store.h"

static int copy_file(const char *from, const char *to)
{
        CLEANUP(closep) int in = open(from, O_RDONLY | O_CLOEXEC);
        CLEANUP(closep) int out = -1;
        ssize_t n;

        if (in < 0)
                return -errno;
        out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (out < 0)
                return -errno;
        do
                n = sendfile(out, in, NULL, 1 << 20);
        while (n > 0);
        return n < 0 ? -errno : 0;
}

int store_copy_files(const char *path, const char *name)
{
        CLEANUP(freep) char *wal = NULL;
        CLEANUP(freep) char *name_wal = NULL;
        int r;

        if (asprintf(&wal, "%s-wal", path) < 0 || asprintf(&name_wal, "%s-wal", name) < 0)
                return -ENOMEM;
        r = copy_file(path, name);
        if (r < 0)
                return r;
        r = copy_file(wal, name_wal);
        return r == -ENOENT ? 0 : r;
}

void store_remove_files(const char *name)
{
        static const char *const suffixes[] = { "", "-wal", "-shm", "-journal" };

        for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
                CLEANUP(freep) char *file = NULL;

                if (asprintf(&file, "%s%s", name, suffixes[i]) >= 0)
                        unlink(file);
        }
}

/* SQLite reads nothing at all of a file that is shorter than its header says: so zeros for what was cut off.
 */
static void make_whole(const char *name)
{
        enum { PAGE_SIZE = 16, PAGES = 28, HEADER = 32 };
        CLEANUP(closep) int fd = open(name, O_RDWR | O_CLOEXEC);
        uint8_t h[HEADER];
        struct stat st;
        off_t size;

        if (fd < 0 || fstat(fd, &st) < 0 || pread(fd, h, sizeof h, 0) != sizeof h)
                return;
        size = (h[PAGE_SIZE] << 8 | h[PAGE_SIZE + 1]);
        size *= (off_t)h[PAGES] << 24 | h[PAGES + 1] << 16 | h[PAGES + 2] << 8 | h[PAGES + 3];
        /* A damaged header may say anything. */
        if (size > st.st_size && size < st.st_size * 16 && ftruncate(fd, size) < 0)
                return;
}

/* "INSERT OR IGNORE INTO t(a, b, checksum, id) VALUES(?,?,?,?)" */
static sqlite3_stmt *prepare_insert(sqlite3 *to, const struct store_table *table, int columns)
{
        sqlite3_str *text = sqlite3_str_new(to);
        sqlite3_stmt *insert = NULL;
        char *sql;

        sqlite3_str_appendf(text, "INSERT OR IGNORE INTO %s(%s, id) VALUES(?", table->name, table->columns);
        for (int i = 1; i < columns; i++)
                sqlite3_str_appendall(text, ",?");
        sqlite3_str_appendall(text, ")");
        sql = sqlite3_str_finish(text);
        if (sql)
                sqlite3_prepare_v2(to, sql, -1, &insert, NULL);
        sqlite3_free(sql);
        return insert;
}

/*
 * Copies rows from `*id` on, which it moves along. SQLITE_DONE at the end, else what stopped it: the damage, or, with
 * `*written` not SQLITE_OK, a row that could not be written.
 */
static int copy_from(sqlite3_stmt *read, sqlite3_stmt *insert, int64_t *id, int64_t *copied, int *written)
{
        struct row row;
        int code = SQLITE_OK;

        sqlite3_bind_int64(read, 1, *id);
        while (*written == SQLITE_OK && (code = sqlite3_step(read)) == SQLITE_ROW) {
                int64_t found = sqlite3_column_int64(read, 0);

                if (found < *id)
                        break; /* the order is damaged, too */
                *id = found + 1;
                if (!row_read(read, 1, &row) || row_bind(&row, insert) != SQLITE_OK ||
                    sqlite3_bind_int64(insert, (int)row.n + 2, found) != SQLITE_OK)
                        continue;
                *copied += sqlite3_step(insert) == SQLITE_DONE;
                *written = sqlite3_reset(insert);
        }
        sqlite3_reset(read);
        return code;
}

/* How many, or -errno when one could not be written. */
static int64_t copy_rows(sqlite3 *from, sqlite3 *to, const struct store_table *table)
{
        enum { TRIES = 10000, A_PAGE = 64 };
        static const int64_t too_far = INT64_C(1) << 40;
        char *sql = sqlite3_mprintf("SELECT id, %s FROM %s WHERE id >= ? ORDER BY id", table->columns,
                                    table->name);
        sqlite3_stmt *read = NULL, *insert = NULL;
        int64_t copied = 0, id = 1, step = 1, before;
        int written = SQLITE_OK;

        if (sql && sqlite3_prepare_v2(from, sql, -1, &read, NULL) == SQLITE_OK)
                insert = prepare_insert(to, table, sqlite3_column_count(read));
        /* Which ids lie behind a bad page is not known: one by one for as many as a page may hold, then
         * faster. */
        for (int try = 0, vain = 0; insert && written == SQLITE_OK && try < TRIES && id < too_far; try++) {
                before = id;
                if (copy_from(read, insert, &id, &copied, &written) == SQLITE_DONE)
                        break;
                vain = id > before ? 0 : vain + 1;
                step = vain < A_PAGE ? 1 : step * 2;
                id += step;
        }
        sqlite3_free(sql);
        sqlite3_finalize(read);
        sqlite3_finalize(insert);
        return written == SQLITE_OK ? copied : store_errno(to, written);
}

int64_t store_salvage(const char *from, const char *to, const struct store_schema *schema)
{
        CLEANUP(freep) char *copy = NULL;
        sqlite3 *a = NULL, *b = NULL;
        int64_t copied = 0, rows;
        int r;

        if (asprintf(&copy, "%s.salvage", to) < 0)
                return -ENOMEM;
        /* On a copy: SQLite would fold the log into the damaged file, which is to stay as it was found. */
        r = store_copy_files(from, copy);
        make_whole(copy);
        if (r == 0 && (sqlite3_open_v2(copy, &a, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
                       sqlite3_open_v2(to, &b, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
                       sqlite3_exec(b, "PRAGMA synchronous=FULL; BEGIN", NULL, NULL, NULL) != SQLITE_OK))
                r = MIN(store_errno(b, sqlite3_extended_errcode(b)), -1);
        for (size_t i = 0; i < STORE_TABLES && schema->tables[i].name && r == 0; i++) {
                rows = copy_rows(a, b, &schema->tables[i]);
                r = rows < 0 ? (int)rows : 0;
                copied += MAX(rows, 0);
        }
        if (r == 0 && sqlite3_exec(b, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
                r = store_errno(b, sqlite3_extended_errcode(b));
        sqlite3_close(a);
        if (sqlite3_close(b) != SQLITE_OK && r == 0)
                r = -EIO;
        store_remove_files(copy);
        return r < 0 ? r : copied;
}
