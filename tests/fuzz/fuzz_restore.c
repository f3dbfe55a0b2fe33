/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A start on files that are anything but what coapd left: the bytes of a store, or of one of libcoap's files, and
 * rows whose checksum holds though their values make no sense. It starts, serves, and stops.
 */
#include <sqlite3.h>

#include "base/log.h"
#include "persist/sqlite_store.h"
#include "rig.h"

enum { RAW, APPENDED, ROWS, WAYS, STORES = 3, ROWS_MOST = 20 };

/* Stands for the port that the daemon listens on in this run, so that observers find their endpoint. */
enum { THE_PORT = 5683 };

static const char *const names[STORES] = { "dynamic-resources", "observers", "observe-counters" };
static const struct store_schema *const schemas[STORES] = {
        &store_schema_resources,
        &store_schema_observers,
        &store_schema_counters,
};

static void put_file(const char *name, struct span bytes)
{
        FILE *file = fopen(name, "w");

        RIG_CHECK(file && fwrite(bytes.p, 1, bytes.n, file) == bytes.n && fclose(file) == 0, "%s", name);
}

/* A value of any type; the good ones of each column are in the seeds. */
static void add_value(struct row *row, uint16_t port, struct span *input)
{
        uint8_t knob = take_byte(input);
        uint64_t number = 0;

        switch (knob & 3) {
        case ROW_NULL:
                row_add_null(row);
                break;
        case ROW_INT:
                for (unsigned i = 0; i < (knob >> 2) % 9; i++)
                        number = number << 8 | take_byte(input);
                row_add_int(row, number == THE_PORT ? port : (int64_t)number);
                break;
        case ROW_TEXT:
                row_add_text(row, take_bytes(input, knob >> 2));
                break;
        default:
                row_add_blob(row, take_bytes(input, knob >> 2));
        }
}

static void put_row(sqlite3 *db, const struct store_table *table, uint16_t port, struct span *input)
{
        sqlite3_stmt *insert = NULL;
        char sql[512], marks[64] = "?";
        struct row row = { 0 };

        for (const char *p = table->columns; *p; p++)
                if (*p == ',') {
                        add_value(&row, port, input);
                        strcat(marks, ",?");
                }
        snprintf(sql, sizeof sql, "INSERT INTO %s(%s) VALUES(%s)", table->name, table->columns, marks);
        RIG_CHECK(sqlite3_prepare_v2(db, sql, -1, &insert, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
        /* NOT NULL may refuse it. */
        if (row_bind(&row, insert) == SQLITE_OK)
                sqlite3_step(insert);
        sqlite3_finalize(insert);
}

static void put_rows(const char *name, const struct store_schema *schema, uint16_t port, struct span input)
{
        sqlite3 *db = NULL;

        RIG_CHECK(store_create(name, schema) == 0 && sqlite3_open(name, &db) == SQLITE_OK, "%s", name);
        sqlite3_exec(db, "PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL);
        for (unsigned i = 0; input.n && i < ROWS_MOST; i++) {
                size_t which = take_byte(&input) % STORE_TABLES;

                put_row(db, &schema->tables[schema->tables[which].name ? which : 0], port, &input);
        }
        sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
        sqlite3_close(db);
}

/* libcoap's files have it as it is on the wire. */
static void put_raw(const char *name, uint16_t port, struct span input)
{
        CLEANUP(buf_deinit) struct buf bytes = { 0 };
        const uint8_t from[] = { THE_PORT >> 8, THE_PORT & 0xff },
                      to[] = { (uint8_t)(port >> 8), (uint8_t)port };
        uint8_t *p;

        buf_append_span(&bytes, input);
        for (p = bytes.p; p && !span_starts_with(input, SPAN_LITERAL("SQLite"));)
                if ((p = memmem(p, bytes.n - (size_t)(p - bytes.p), from, sizeof from)))
                        memcpy(p, to, sizeof to);
        put_file(name, buf_span(&bytes));
}

static void put(const struct rig *rig, size_t store, unsigned way, struct span input)
{
        char name[160];

        snprintf(name, sizeof name, "%s/%s", rig->folder, names[store]);
        if (way == ROWS) {
                put_rows(name, schemas[store], rig->port, input);
                return;
        }
        if (way == RAW) {
                put_raw(name, rig->port, input);
                return;
        }
        /* The first half is the log's. */
        put_file(name, span_of(input.p + input.n / 2, input.n - input.n / 2));
        strcat(name, "-wal");
        put_file(name, span_of(input.p, input.n / 2));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct rig *rig = rig_idle();
        CLEANUP(buf_deinit) struct buf body = { 0 };
        struct span input = span_of(data, n);
        uint8_t what = take_byte(&input);
        int format;

        log_set_level(LOG_EMERG);
        put(rig, what % STORES, what / STORES % WAYS, input);
        RIG_CHECK(rig_open(rig) == 0, "it does not start");
        RIG_CHECK(rig_get(rig, SPAN_LITERAL("motd"), &body, &format) == 0x45, "it does not serve");
        rig_turn(rig);
        rig_close(rig);
        rig_wipe(rig);
        return 0;
}
