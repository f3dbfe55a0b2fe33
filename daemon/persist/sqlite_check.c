/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is this file ours, whole, and of a version that we know? The header is read before SQLite is let near the
 * file, because SQLite may change even a database that it merely opens: it folds its log in.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/util.h"
#include "persist/files.h"
#include "persist/import.h"
#include "persist/sqlite_store.h"

/* Above this size quick_check would delay the start too long; checksums of the rows are always looked at. */
enum { CHECK_LIMIT = 64 << 20, BUSY_MS = 2000 };

/* The first 100 bytes of a database: https://www.sqlite.org/fileformat2.html#the_database_header */
enum {
        HEADER_SIZE = 100,
        HEADER_PAGE_SIZE = 16,
        HEADER_CHANGES = 24,
        HEADER_PAGES = 28,
        HEADER_USER_VERSION = 60,
        HEADER_APPLICATION_ID = 68,
        HEADER_VALID_FOR = 92,
};

static uint32_t get_u32(const uint8_t *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int read_header(const char *path, uint8_t header[HEADER_SIZE], uint64_t *ret_size)
{
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;

        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        memset(header, 0, HEADER_SIZE);
        if (pread(fd, header, HEADER_SIZE, 0) < 0)
                return -errno;
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

/* Whether there is a log that may hold pages which the file itself does not have. */
static bool has_log(const char *path)
{
        CLEANUP(freep) char *wal = NULL;
        struct stat st;

        return asprintf(&wal, "%s-wal", path) >= 0 && stat(wal, &st) == 0 && st.st_size > 0;
}

static const struct store_schema *schema_of(uint32_t application_id)
{
        static const struct store_schema *const all[] = {
                &store_schema_resources,
                &store_schema_observers,
                &store_schema_counters,
        };

        for (size_t i = 0; i < ARRAY_LEN(all); i++)
                if ((uint32_t)all[i]->application_id == application_id)
                        return all[i];
        return NULL;
}

static int judge_header(const char *path, const struct store_schema *schema, char *reason, size_t size)
{
        uint8_t header[HEADER_SIZE];
        const struct store_schema *other;
        uint32_t id, page_size, pages;
        uint64_t length = 0;
        int r = read_header(path, header, &length);

        if (r < 0)
                return r;
        id = get_u32(header + HEADER_APPLICATION_ID);
        other = schema_of(id);
        if (!other)
                snprintf(reason, size, "is a database of another application (id 0x%08x)", id);
        else if (other != schema)
                snprintf(reason, size, "is a store of %s, not of %s", other->what, schema->what);
        else if (get_u32(header + HEADER_USER_VERSION) > (uint32_t)schema->version)
                snprintf(reason, size, "has the schema version %u, and this coapd knows versions up to %d",
                         get_u32(header + HEADER_USER_VERSION), schema->version);
        if (other != schema || get_u32(header + HEADER_USER_VERSION) > (uint32_t)schema->version)
                return STORE_BAD;
        page_size = (uint32_t)header[HEADER_PAGE_SIZE] << 8 | header[HEADER_PAGE_SIZE + 1];
        page_size = page_size == 1 ? 65536 : page_size;
        pages = get_u32(header + HEADER_PAGES);
        /*
         * Pages go from the log to the file in any order, so a power cut may leave the new first page in a file
         * that has not grown yet. The log still has them all then, and SQLite is the one to say.
         */
        if (get_u32(header + HEADER_CHANGES) == get_u32(header + HEADER_VALID_FOR) &&
            length < (uint64_t)page_size * pages && !has_log(path)) {
                snprintf(reason, size, "is cut off: %llu bytes of %llu", (unsigned long long)length,
                         (unsigned long long)page_size * pages);
                return STORE_DAMAGED;
        }
        return STORE_GOOD;
}

/* On the file itself, so with its log, but without folding the log in: a bad file stays as it was found. */
static int open_to_judge(const char *path, sqlite3 **db)
{
        int r = sqlite3_open_v2(path, db, SQLITE_OPEN_READWRITE, NULL);

        if (r == SQLITE_OK)
                r = sqlite3_busy_timeout(*db, BUSY_MS);
        if (r == SQLITE_OK)
                r = sqlite3_db_config(*db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (r == SQLITE_OK)
                r = sqlite3_exec(*db, "PRAGMA cell_size_check=1; PRAGMA trusted_schema=0", NULL, NULL, NULL);
        return r;
}

static int read_version(sqlite3 *db, int *ret_version)
{
        sqlite3_stmt *statement = NULL;
        int r = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &statement, NULL);

        if (r != SQLITE_OK)
                return r;
        if (sqlite3_step(statement) == SQLITE_ROW)
                *ret_version = sqlite3_column_int(statement, 0);
        return sqlite3_finalize(statement);
}

/* Whether SQLite finds nothing wrong; else `reason` says what it is. */
static int check_quickly(sqlite3 *db, char *reason, size_t size, bool *ret_good)
{
        sqlite3_stmt *statement = NULL;
        int r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);

        *ret_good = true;
        if (r != SQLITE_OK)
                return r;
        if (sqlite3_step(statement) == SQLITE_ROW && strcmp(store_text(statement, 0), "ok") != 0) {
                snprintf(reason, size, "is damaged: %s", store_text(statement, 0));
                reason[strcspn(reason, "\n")] = '\0';
                *ret_good = false;
        }
        return sqlite3_finalize(statement);
}

/* SQLITE_ERROR where one is missing. */
static int check_columns(sqlite3 *db, const struct store_schema *schema)
{
        int r = SQLITE_OK;

        for (size_t i = 0; i < STORE_TABLES && schema->tables[i].name && r == SQLITE_OK; i++) {
                char *sql = sqlite3_mprintf("SELECT id, %s FROM %s", schema->tables[i].columns,
                                            schema->tables[i].name);
                sqlite3_stmt *statement = NULL;

                r = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
                sqlite3_finalize(statement);
                sqlite3_free(sql);
        }
        return r;
}

static int judge_content(const char *path, const struct store_schema *schema, char *reason, size_t size)
{
        sqlite3 *db = NULL;
        struct stat st = { 0 };
        int verdict = STORE_GOOD, version = -1;
        bool good = true;
        int r = open_to_judge(path, &db);

        if (r == SQLITE_OK)
                r = read_version(db, &version);
        stat(path, &st);
        if (r == SQLITE_OK && st.st_size <= CHECK_LIMIT)
                r = check_quickly(db, reason, size, &good);
        if (r == SQLITE_OK && good)
                r = check_columns(db, schema);
        if (!good) {
                verdict = STORE_DAMAGED;
        } else if (r == SQLITE_OK && version > schema->version) {
                snprintf(reason, size, "has the schema version %d, and this coapd knows versions up to %d",
                         version, schema->version);
                verdict = STORE_BAD;
        }
        if (r == SQLITE_CORRUPT || r == SQLITE_NOTADB || r == SQLITE_ERROR) {
                snprintf(reason, size, "is damaged: %s", sqlite3_errmsg(db));
                verdict = STORE_DAMAGED;
        } else if (r != SQLITE_OK) {
                verdict = store_errno(db, r);
        }
        sqlite3_close(db);
        return verdict;
}

static int judge_missing(const char *path, char *reason, size_t size)
{
        if (!has_log(path))
                return STORE_MISSING;
        snprintf(reason, size, "is missing, but its log %s-wal is there", path);
        return STORE_BAD;
}

int store_judge(const char *path, const struct store_schema *schema, char *reason, size_t size)
{
        enum persist_file_kind kind;
        int r = persist_file_kind(path, &kind);

        if (r < 0)
                return r;
        switch (kind) {
        case PERSIST_FILE_MISSING:
                return judge_missing(path, reason, size);
        case PERSIST_FILE_EMPTY:
                snprintf(reason, size, "is empty");
                return STORE_BAD;
        case PERSIST_FILE_FOLDER:
                snprintf(reason, size, "is a folder");
                return STORE_BAD;
        case PERSIST_FILE_SPECIAL:
                snprintf(reason, size, "is no regular file");
                return STORE_BAD;
        case PERSIST_FILE_REGULAR:
                r = import_recognises(path, schema->application_id);
                if (r < 0)
                        return r;
                if (r > 0) {
                        snprintf(reason, size, "is a file of the engine libcoap");
                        return STORE_FOREIGN;
                }
                snprintf(reason, size,
                         "is no store of %s: neither a database nor a file of the engine libcoap",
                         schema->what);
                return STORE_BAD;
        case PERSIST_FILE_SQLITE:
                break;
        }
        r = judge_header(path, schema, reason, size);
        if (r != STORE_GOOD)
                return r;
        /* SQLite would leave a log and an index with the rights of the file, and they would stand in the way later. */
        if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0)
                return -errno;
        return judge_content(path, schema, reason, size);
}

int store_create(const char *name, const struct store_schema *schema)
{
        CLEANUP(closep) int fd = -1;
        sqlite3 *db = NULL;
        char *sql;
        int r;

        store_remove_files(name);
        /* SQLite tries without writing as well, and then says that there is no such file. */
        /*
         * It holds values that the access rules may keep from others, whatever the umask is. SQLite gives its log the
         * same.
         */
        fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        closep(&fd);
        fd = -1;
        r = sqlite3_open_v2(name, &db, SQLITE_OPEN_READWRITE, NULL);
        sql = sqlite3_mprintf(
                "PRAGMA page_size=%d; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; BEGIN;"
                "PRAGMA application_id=%d; PRAGMA user_version=%d;"
                "CREATE TABLE damaged(id INTEGER PRIMARY KEY, source TEXT NOT NULL,"
                " source_id INTEGER NOT NULL, found_us INTEGER NOT NULL, content TEXT NOT NULL);"
                "%s; COMMIT",
                schema->page_size, schema->application_id, schema->version, schema->sql);
        if (r == SQLITE_OK)
                r = sql ? sqlite3_exec(db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
        sqlite3_free(sql);
        r = r == SQLITE_OK ? 0 : store_errno(db, r);
        /* Folds the log in, syncs, and removes it: the file alone is all of it. */
        if (sqlite3_close(db) != SQLITE_OK && r == 0)
                r = -EIO;
        if (r == 0) {
                fd = open(name, O_RDONLY | O_CLOEXEC);
                r = fd < 0 || fsync(fd) < 0 ? -errno : 0;
        }
        if (r < 0)
                store_remove_files(name);
        return r;
}
