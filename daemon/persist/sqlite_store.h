/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One SQLite database of the engine `sqlite`: opened, checked and locked; written with one failure told once;
 * synced when the config asks. What is in its tables is the business of sqlite_resources.c and its like.
 *
 * Where the file cannot be opened for writing (read-only, full, no rights) and the config says to start all
 * the same, the store works on a copy in memory: what can be read is read, every write is refused, and the
 * real file is tried again now and then.
 */
#ifndef COAPD_PERSIST_SQLITE_STORE_H
#define COAPD_PERSIST_SQLITE_STORE_H

#include <sqlite3.h>

#include "base/log.h"
#include "base/metrics.h"
#include "config/config.h"
#include "persist/sqlite_row.h"

enum {
        STORE_TABLES = 3,
        STORE_STATEMENTS = 24,
        STORE_BUSY_MS = 500, /* how long a write waits for another process; not again while writes fail */
};

/* `columns` without the `id INTEGER PRIMARY KEY` that every table has; the last is the row's checksum. */
struct store_table {
        const char *name;
        const char *columns;
};

struct store_schema {
        const char *what; /* "dynamic resources" */
        int application_id;
        int version;
        int page_size;
        int cache_kib;
        const char *sql; /* creates everything in an empty database */
        struct store_table tables[STORE_TABLES];
};

extern const struct store_schema store_schema_resources;
extern const struct store_schema store_schema_observers;
extern const struct store_schema store_schema_counters;

struct store {
        const struct store_schema *schema;
        const struct conf_persist *conf;
        struct metrics *metrics; /* may be NULL */
        char *path;
        sqlite3 *db;
        int lock_fd;
        int wal_fd; /* of PATH-wal, for the sync; -1 until it is needed */
        /* -errno: `db` is a copy in memory, all writes are refused with it. */
        int refusing;
        bool complete;    /* the copy holds all that the file holds, so that the file may take over later */
        bool dirty;       /* written since the last sync */
        bool failing;     /* the last write was refused, */
        bool told;        /* and logged */
        bool sync_failed; /* the same of the last sync, */
        bool told_sync;
        bool log_is_long;     /* and that was logged */
        struct log_gate gate; /* of these messages */
        uint64_t refused;     /* changes, since the first one was */
        int changes_at_begin;
        sqlite3_stmt *begin, *commit;
        int64_t retry_us;
        struct {
                const char *sql;
                sqlite3_stmt **statement;
        } prepared[STORE_STATEMENTS];
        size_t n_prepared;
        /* Tells the engine that there is something to sync, or to try again later. */
        void (*on_change)(void *user);
        void *user;
};

/* 0 or -errno, logged. A bad file is set aside or refused as conf->bad_file says. */
int store_open(const char *path, const struct store_schema *schema, const struct conf_persist *conf,
               struct metrics *metrics, struct store **ret_store);

/* Checkpoints and closes. Accepts NULL. */
void store_close(struct store *store);

/* Keeps `sql` and `statement`: both must outlive the store, which prepares anew when it changes its file. */
int store_prepare(struct store *store, const char *sql, sqlite3_stmt **statement);

/* The first id that is free behind those of the first table. 0 or -errno, logged. */
int store_next_id(struct store *store, int64_t *ret_id);

/* The config changed; borrowed until the next call. The path stays. */
void store_configure(struct store *store, const struct conf_persist *conf);

/* --- sqlite_store.c, for the files below --- */

/* Opens the file at store->path, made or mended where that is due, as store->db. 0 or -errno. */
int store_open_file(struct store *store);

/* Opens `name` with the settings that the config asks for. 0 or -errno. */
int store_open_database(struct store *store, const char *name, sqlite3 **ret_db);

/* Closes store->db, and goes on with `db` and with statements that are prepared anew. */
void store_change_database(struct store *store, sqlite3 *db);

/* The microsecond since 1970. */
int64_t store_now_us(void);

/* --- sqlite_write.c --- */

/*
 * Runs a bound statement that returns no rows, and resets it. 0, or -errno: then nothing has changed. The
 * first failure and the recovery are logged here.
 */
int store_write(struct store *store, sqlite3_stmt *statement);

/* The same between store_begin() and store_commit(), and what was bound stays so. */
int store_step(struct store *store, sqlite3_stmt *statement);

/* Several writes as one; store_commit() undoes them all when it fails. */
int store_begin(struct store *store);
int store_commit(struct store *store);
/* Undoes what came since store_begin(). */
void store_rollback(struct store *store);

/* After it returned 0, everything written so far survives a power cut. */
int store_sync(struct store *store);

/* Moves a damaged row to the table `damaged`, as text, and logs it. */
void store_quarantine(struct store *store, const struct store_table *table, int64_t id);

/* What SQLite says, as -errno. */
int store_errno(sqlite3 *db, int code);

/* A column as text, "" for NULL and without memory; until the next step. */
static inline const char *store_text(sqlite3_stmt *statement, int column)
{
        const char *text = (const char *)sqlite3_column_text(statement, column);

        return text ? text : "";
}

/* --- sqlite_copy.c --- */

/* What can be read of the file, in memory, as store->db. 0 or -errno. */
int store_open_copy(struct store *store);

/* Whether writes are refused just now; tries the real file again where there is one to try. */
bool store_refuses(struct store *store);

/* --- sqlite_replace.c --- */

/* Makes the database at store->path, where nothing is. 0 or -errno. */
int store_make_missing(struct store *store);

/*
 * Sets aside what is bad, and puts a new database with what can be read of it in its place; or refuses to, as
 * conf->bad_file says. At no moment are the rows that can be read in files of another name alone. 0 or -errno, logged.
 */
int store_replace(struct store *store, int verdict, const char *reason);

/* Ends what an earlier run began with store_replace(). 0 or -errno. */
int store_finish_replacing(struct store *store);

/* --- sqlite_check.c --- */

enum store_verdict {
        STORE_GOOD,
        STORE_MISSING,
        STORE_BAD,     /* not to be used */
        STORE_DAMAGED, /* ours, and some of it can be read */
        STORE_FOREIGN, /* a file of the engine libcoap, or what looks like it */
};

/* Looks at the file without changing it; `reason` says what is wrong. A verdict or -errno. */
int store_judge(const char *path, const struct store_schema *schema, char *reason, size_t size);

/* Makes a new database NAME, whole and synced, closed. 0 or -errno. */
int store_create(const char *name, const struct store_schema *schema);

/* --- sqlite_wal.c --- */

/* Logs what SQLite would skip in silence. Before the database is opened. */
void store_check_log(const char *path);

/* --- sqlite_salvage.c --- */

/*
 * Copies the rows of `from`, a damaged database, that can be read and whose checksum holds, into the database
 * `to`. Returns how many, or -errno.
 */
int64_t store_salvage(const char *from, const char *to, const struct store_schema *schema);

/* Copies PATH, and its log, to NAME. 0 or -errno. */
int store_copy_files(const char *path, const char *name);
void store_remove_files(const char *name);

#endif
