/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of the engine libcoap, record by record; see import.h. */
#include "persist/import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "persist/files.h"
#include "persist/import_records.h"

enum {
        RECORD_MOST = 4 * LIBCOAP_FIELD_MAX, /* no record is longer: it has two fields at the most */
        FILE_MOST = 1 << 30,
};

/*
 * Up to `most` bytes from the file's front. It is read and not mapped: where the disk fails, or the file gets shorter,
 * a look into a map would end the daemon. -EFBIG: the whole was asked for, and is longer than any that libcoap writes.
 */
static int read_front(const char *path, size_t most, struct buf *ret)
{
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        CLEANUP(buf_deinit) struct buf bytes = { 0 };
        struct stat st;
        size_t n;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size == 0)
                return -EINVAL;
        if (most == FILE_MOST && st.st_size > FILE_MOST)
                return -EFBIG;
        n = (size_t)MIN(st.st_size, (off_t)most);
        if (!buf_reserve(&bytes, n))
                return -ENOMEM;
        while (bytes.n < n) {
                ssize_t r = pread(fd, bytes.p + bytes.n, n - bytes.n, (off_t)bytes.n);

                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r == 0)
                        break;
                bytes.n += r > 0 ? (size_t)r : 0;
        }
        *ret = bytes;
        bytes = (struct buf){ 0 };
        return 0;
}

static import_record_t reader_of(int application_id)
{
        if (application_id == store_schema_resources.application_id)
                return import_resource;
        return application_id == store_schema_observers.application_id ? import_observer : import_counter;
}

int import_recognises(const char *path, int application_id)
{
        CLEANUP(buf_deinit) struct buf file = { 0 };
        struct import_scratch scratch = { 0 };
        struct span rest;
        struct row row;
        bool known;
        int r = read_front(path, RECORD_MOST, &file);

        if (r < 0)
                return r == -EINVAL ? 0 : r;
        rest = buf_span(&file);
        known = reader_of(application_id)(&rest, &scratch, &row) != IMPORT_END;
        import_scratch_deinit(&scratch);
        return known;
}

/* Reads every record into the first table of the new database. */
static int copy_records(struct span rest, const struct store_schema *schema, sqlite3 *db,
                        uint64_t *ret_copied, uint64_t *ret_skipped)
{
        const struct store_table *table = &schema->tables[0];
        import_record_t read = reader_of(schema->application_id);
        sqlite3_str *sql = sqlite3_str_new(db);
        sqlite3_stmt *insert = NULL;
        char *text;
        int r, columns = 1;

        for (const char *p = table->columns; *p; p++)
                columns += *p == ',';
        sqlite3_str_appendf(sql, "INSERT OR REPLACE INTO %s(%s) VALUES(?", table->name, table->columns);
        for (int i = 1; i < columns; i++)
                sqlite3_str_appendall(sql, ",?");
        sqlite3_str_appendall(sql, ")");
        text = sqlite3_str_finish(sql);
        r = text ? sqlite3_prepare_v2(db, text, -1, &insert, NULL) : SQLITE_NOMEM;
        sqlite3_free(text);
        while (r == SQLITE_OK && rest.n) {
                struct import_scratch scratch = { 0 };
                struct row row;
                enum import_result result = read(&rest, &scratch, &row);

                if (result == IMPORT_ROW) {
                        r = row_bind(&row, insert);
                        if (r == SQLITE_OK)
                                sqlite3_step(insert);
                        r = sqlite3_reset(insert);
                        ++*ret_copied;
                } else {
                        ++*ret_skipped;
                }
                import_scratch_deinit(&scratch);
                if (result == IMPORT_END)
                        break;
        }
        sqlite3_finalize(insert);
        return store_errno(db, r);
}

static int fill(const char *path, const char *name, const struct store_schema *schema, uint64_t *ret_copied,
                uint64_t *ret_skipped)
{
        CLEANUP(buf_deinit) struct buf file = { 0 };
        sqlite3 *db = NULL;
        int r = store_create(name, schema);

        if (r == 0)
                r = read_front(path, FILE_MOST, &file);
        if (r == 0 && (sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
                       sqlite3_exec(db, "PRAGMA synchronous=FULL; BEGIN", NULL, NULL, NULL) != SQLITE_OK))
                r = store_errno(db, sqlite3_extended_errcode(db));
        if (r == 0)
                r = copy_records(buf_span(&file), schema, db, ret_copied, ret_skipped);
        if (r == 0)
                r = store_errno(db, sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
        if (sqlite3_close(db) != SQLITE_OK && r == 0)
                r = -EIO;
        return r;
}

int import_libcoap(const char *path, const struct store_schema *schema)
{
        CLEANUP(freep) char *name = NULL;
        CLEANUP(freep) char *aside = NULL;
        uint64_t copied = 0, skipped = 0;
        int r;

        if (asprintf(&name, "%s.new", path) < 0)
                return -ENOMEM;
        r = fill(path, name, schema, &copied, &skipped);
        if (r == 0)
                r = persist_file_replace(path, name, "libcoap", &aside);
        if (r < 0) {
                store_remove_files(name);
                return r;
        }
        log_notice("%s: was a file of the engine libcoap; %llu %s taken over, %llu left out, the file kept "
                   "as %s",
                   path, (unsigned long long)copied, schema->what, (unsigned long long)skipped, aside);
        return 0;
}
