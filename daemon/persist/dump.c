/* SPDX-License-Identifier: BSD-2-Clause */
/* State made readable; see dump.h. SQLite writes the JSON. */
#include "persist/dump.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "persist/sqlite_store.h"

enum { MAX_COLUMNS = 10, MAX_CELL = 160 };

struct section {
        const char *name;
        const char *title;
        size_t path; /* offset in struct conf_persist */
        const struct store_schema *schema;
        const char *table;
        const char *json;
};

static const struct section sections[] = {
        {
                .name = "dynamic_resources",
                .title = "Dynamic resources",
                .path = offsetof(struct conf_persist, dynamic_resources),
                .schema = &store_schema_resources,
                .table = "SELECT path, content_format AS format, length(body) AS size, hex(etag) AS etag,"
                         " datetime(created_us / 1000000, 'unixepoch') AS created,"
                         " datetime(changed_us / 1000000, 'unixepoch') AS changed, attributes"
                         " FROM resources ORDER BY path",
                .json = "SELECT json_group_array(json_object('path', path, 'content_format', content_format,"
                        " 'etag', hex(etag), 'attributes', attributes, 'created_us', created_us,"
                        " 'changed_us', changed_us, 'body_hex', hex(body))) FROM resources",
        },
        {
                .name = "observers",
                .title = "Observers",
                .path = offsetof(struct conf_persist, observers),
                .schema = &store_schema_observers,
                .table = "SELECT resource, query, method, peer_address || ' ' || peer_port AS peer,"
                         " listen_address || ' ' || listen_port AS endpoint, token,"
                         " CASE WHEN oscore IS NULL THEN 'no' ELSE 'yes' END AS oscore,"
                         " datetime(registered_us / 1000000, 'unixepoch') AS registered,"
                         " coalesce(datetime(since_us / 1000000, 'unixepoch'), '') AS kept_since"
                         " FROM observers LEFT JOIN kept USING (id) ORDER BY resource, observers.id",
                .json = "SELECT json_group_array(json_object('resource', resource, 'query', query, 'method', "
                        "method,"
                        " 'peer_address', peer_address, 'peer_port', peer_port, 'listen_address', "
                        "listen_address,"
                        " 'listen_port', listen_port, 'token', token, 'oscore', json(CASE WHEN oscore IS NULL"
                        " THEN 'false' ELSE 'true' END), 'registered_us', registered_us, 'kept_since_us', "
                        "since_us))"
                        " FROM observers LEFT JOIN kept USING (id)",
        },
        {
                .name = "observe_counters",
                .title = "Observe counters",
                .path = offsetof(struct conf_persist, observe_counters),
                .schema = &store_schema_counters,
                .table = "SELECT resource, reserved, save_frequency,"
                         " datetime(changed_us / 1000000, 'unixepoch') AS changed,"
                         " coalesce(datetime(deleted_us / 1000000, 'unixepoch'), '') AS deleted"
                         " FROM observe_counters ORDER BY resource",
                .json = "SELECT json_group_array(json_object('resource', resource, 'reserved', reserved,"
                        " 'save_frequency', save_frequency, 'changed_us', changed_us, 'deleted_us', "
                        "deleted_us))"
                        " FROM observe_counters",
        },
};

static void db_closep(sqlite3 **db)
{
        sqlite3_close(*db);
}

static void statement_finalizep(sqlite3_stmt **statement)
{
        sqlite3_finalize(*statement);
}

static int tell_failure(sqlite3 *db, const char *path, FILE *errors)
{
        fprintf(errors, "%s: %s\n", path, sqlite3_errmsg(db));
        return -EIO;
}

/* SQLITE_OK, or why it cannot be read. */
static int read_application_id(sqlite3 *db, int *ret_id)
{
        CLEANUP(statement_finalizep) sqlite3_stmt *statement = NULL;
        int code = sqlite3_prepare_v2(db, "PRAGMA application_id", -1, &statement, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_step(statement);
        if (code != SQLITE_ROW)
                return code;
        *ret_id = sqlite3_column_int(statement, 0);
        return SQLITE_OK;
}

static int open_section(const struct section *section, const char *path, FILE *errors, sqlite3 **ret_db)
{
        enum { BUSY_MS = 5000 };
        CLEANUP(db_closep) sqlite3 *db = NULL;
        int id = 0, code;

        if (access(path, R_OK) < 0) {
                int r = -errno;

                fprintf(errors, "%s: %s\n", path, strerror(-r));
                return r;
        }
        code = sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL);
        if (code == SQLITE_OK)
                code = sqlite3_busy_timeout(db, BUSY_MS);
        if (code == SQLITE_OK)
                code = read_application_id(db, &id);
        if (code != SQLITE_OK && code != SQLITE_NOTADB)
                return tell_failure(db, path, errors);
        if (id != section->schema->application_id) {
                fprintf(errors, "%s: this is no store of %s\n", path, section->schema->what);
                return -EINVAL;
        }
        *ret_db = TAKE(db);
        return 0;
}

/* What peers sent goes to a terminal: escaped as in the log. */
static const char *cell(sqlite3_stmt *statement, int column, char out[MAX_CELL])
{
        const void *text = sqlite3_column_text(statement, column);

        return log_escape(span_of(text, (size_t)sqlite3_column_bytes(statement, column)), out, MAX_CELL);
}

/* SQLITE_DONE, or what kept it from the end of the rows. */
static int print_table(sqlite3_stmt *statement, FILE *out)
{
        int n = MIN(sqlite3_column_count(statement), (int)MAX_COLUMNS);
        int widths[MAX_COLUMNS];
        char text[MAX_CELL];
        int code;

        for (int i = 0; i < n; i++)
                widths[i] = (int)strlen(sqlite3_column_name(statement, i));
        while (sqlite3_step(statement) == SQLITE_ROW)
                for (int i = 0; i < n; i++)
                        widths[i] = MAX(widths[i], (int)strlen(cell(statement, i, text)));
        sqlite3_reset(statement);
        for (int i = 0; i < n; i++)
                fprintf(out, "  %-*s", i < n - 1 ? widths[i] : 0, sqlite3_column_name(statement, i));
        fputc('\n', out);
        while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
                for (int i = 0; i < n; i++)
                        fprintf(out, "  %-*s", i < n - 1 ? widths[i] : 0, cell(statement, i, text));
                fputc('\n', out);
        }
        return code;
}

static int dump_section(const struct section *section, const char *path, bool json, FILE *out, FILE *errors)
{
        CLEANUP(db_closep) sqlite3 *db = NULL;
        CLEANUP(statement_finalizep) sqlite3_stmt *statement = NULL;
        int r = open_section(section, path, errors, &db);

        if (r < 0)
                return r;
        /* One state of it, though a daemon goes on writing. */
        sqlite3_exec(db, "BEGIN", NULL, NULL, NULL);
        if (sqlite3_prepare_v2(db, json ? section->json : section->table, -1, &statement, NULL) !=
            SQLITE_OK) {
                fprintf(errors, "%s: %s\n", path, sqlite3_errmsg(db));
                return -EINVAL;
        }
        if (!json) {
                fprintf(out, "%s, %s:\n", section->title, path);
                if (print_table(statement, out) != SQLITE_DONE)
                        return tell_failure(db, path, errors);
        } else if (sqlite3_step(statement) == SQLITE_ROW) {
                fputs(store_text(statement, 0), out);
        } else {
                return tell_failure(db, path, errors);
        }
        return 0;
}

int persist_dump(const struct conf_persist *conf, bool json, FILE *out, FILE *errors)
{
        int result = 0;

        if (strcmp(conf->engine, "sqlite") != 0) {
                fprintf(errors,
                        "the state of engine \"%s\" cannot be shown; with engine = \"sqlite\" it is taken "
                        "over\n",
                        conf->engine);
                return -EINVAL;
        }
        for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
                const char *path;
                int r = 0;

                memcpy(&path, (const char *)conf + sections[i].path, sizeof path);
                if (json)
                        fprintf(out, "%s\"%s\": ", i ? ",\n " : "{", sections[i].name);
                if (path)
                        r = dump_section(&sections[i], path, json, out, errors);
                if (json && (!path || r < 0))
                        fputs("null", out);
                if (r < 0)
                        result = r;
        }
        if (json)
                fputs("}\n", out);
        return result;
}
