/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon serves beside what it has stored; see rig.h. */
#include <sqlite3.h>

#include "rig.h"

enum { BLOCK2 = 23, ECHO_OPTION = 252, SZX_1024 = 6, ATTEMPTS = 20 };

static void ask(struct rig *rig, struct span path, unsigned block, struct span echo)
{
        CLEANUP(buf_deinit) struct buf request = { 0 };
        unsigned last = 0;

        wire_begin(&request, &(struct wire_head){ WIRE_CON, 1, ++rig->mid, { 0 } });
        wire_path(&request, &last, path);
        wire_uint(&request, &last, BLOCK2, block);
        if (echo.n)
                wire_option(&request, &last, ECHO_OPTION, echo);
        rig_send(rig, RIG_PEERS, buf_span(&request));
        rig_turn(rig);
}

/* The answer to the last request; others are of no interest. */
static bool answer(struct rig *rig, uint8_t *buffer, struct wire_reply *ret)
{
        struct span datagram;

        while ((datagram = rig_receive(rig, RIG_PEERS, buffer)).n) {
                RIG_CHECK(wire_read(datagram, ret), "an answer that is no message");
                if (ret->mid == rig->mid && ret->code)
                        return true;
        }
        return false;
}

uint8_t rig_get(struct rig *rig, struct span path, struct buf *body, int *ret_format)
{
        uint8_t buffer[RIG_DATAGRAM], echo[40];
        struct span proof = { 0 };
        unsigned number = 0;

        for (unsigned attempt = 0; attempt < ATTEMPTS; attempt++) {
                struct wire_reply reply;

                ask(rig, path, number << 4 | SZX_1024, proof);
                if (!answer(rig, buffer, &reply))
                        return 0;
                if (reply.has_echo && reply.echo.n <= sizeof echo && !proof.n) {
                        memcpy(echo, reply.echo.p, reply.echo.n);
                        proof = span_of(echo, reply.echo.n);
                        continue;
                }
                *ret_format = reply.has_format ? (int)reply.format : -1;
                buf_append_span(body, reply.payload);
                if (!reply.has_block2 || !(reply.block2 & 8))
                        return reply.code;
                number++;
        }
        return 0;
}

static void check_row(struct rig *rig, sqlite3_stmt *row)
{
        CLEANUP(buf_deinit) struct buf body = { 0 };
        const char *path = (const char *)sqlite3_column_text(row, 0);
        struct span stored = span_of(sqlite3_column_blob(row, 2), (size_t)sqlite3_column_bytes(row, 2));
        int format = sqlite3_column_type(row, 1) == SQLITE_NULL ? -1 : sqlite3_column_int(row, 1);
        int told = -1;
        uint8_t code = rig_get(rig, span_of_string(path), &body, &told);

        RIG_CHECK(code == 0x45, "%s is stored, and a GET says %d.%02d", path, code >> 5, code & 31);
        RIG_CHECK(span_equal(stored, buf_span(&body)), "%s: %zu bytes are stored and %zu served", path,
                  stored.n, body.n);
        RIG_CHECK(told == format, "%s: content format %d is stored and %d told", path, format, told);
}

void rig_check_store(struct rig *rig)
{
        sqlite3_stmt *rows = NULL;
        sqlite3 *db = NULL;
        char name[160];
        size_t n = 0;

        rig_turn(rig);
        snprintf(name, sizeof name, "%s/dynamic-resources", rig->folder);
        RIG_CHECK(sqlite3_open_v2(name, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK &&
                          sqlite3_prepare_v2(db, "SELECT path, content_format, body FROM resources", -1,
                                             &rows, NULL) == SQLITE_OK,
                  "%s: %s", name, sqlite3_errmsg(db));
        while (sqlite3_step(rows) == SQLITE_ROW) {
                check_row(rig, rows);
                n++;
        }
        sqlite3_finalize(rows);
        sqlite3_close(db);
        RIG_CHECK(n == registry_count(rig->server->registry).dynamic, "%zu are stored and %zu served", n,
                  registry_count(rig->server->registry).dynamic);
}
