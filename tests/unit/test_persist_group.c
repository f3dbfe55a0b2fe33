/* SPDX-License-Identifier: BSD-2-Clause */
/* Changes that share a transaction: together in the store or together refused, on a disk that really refuses. */
#include "persist_rig.h"

#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/stat.h>

struct undone {
        char path[32];
        char body[32];
        bool there;
};

static struct undone undone[8];
static size_t n_undone;

static void on_undone(void *user, struct span path, const struct stored_resource *stored)
{
        struct undone *one = &undone[n_undone++];

        (void)user;
        snprintf(one->path, sizeof one->path, "%.*s", (int)path.n, (const char *)path.p);
        one->there = stored != NULL;
        if (stored)
                snprintf(one->body, sizeof one->body, "%.*s", (int)stored->body.n,
                         (const char *)stored->body.p);
}

static int put(struct rig *rig, const char *path, const char *body, bool may_wait)
{
        struct stored_resource stored = {
                .path = span_of_string(path),
                .content_format = 0,
                .etag = SPAN_LITERAL("etag"),
                .body = span_of_string(body),
                .created_us = 1,
                .changed_us = 2,
        };

        return rig->engine->put(rig->self, &stored, may_wait);
}

/* As another process sees it. */
static int rows(const struct rig *rig)
{
        sqlite3_stmt *statement;
        sqlite3 *db;
        int n;

        assert_int_equal(sqlite3_open_v2(rig->files[0], &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM resources", -1, &statement, NULL),
                         SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        n = sqlite3_column_int(statement, 0);
        sqlite3_finalize(statement);
        sqlite3_close(db);
        return n;
}

/* From here on no file grows beyond what the log of the database has now. */
static void refuse_writes_of(const struct rig *rig, size_t file, bool on)
{
        struct rlimit limit = { RLIM_INFINITY, RLIM_INFINITY };
        struct stat st;

        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = limit.rlim_max;
        if (on) {
                assert_int_equal(stat(rig_file(rig, file, "-wal"), &st), 0);
                limit.rlim_cur = (rlim_t)st.st_size;
        }
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void refuse_writes(const struct rig *rig, bool on)
{
        refuse_writes_of(rig, 0, on);
}

static bool waits;

static bool may_wait(void *user)
{
        (void)user;
        return waits;
}

static int set_up(void **state)
{
        int r = rig_set_up(state);
        struct rig *rig = *state;

        rig_start(rig, "sqlite", "127.0.0.1");
        rig->host.undone = on_undone;
        rig->host.may_wait = may_wait;
        waits = false;
        n_undone = 0;
        return r;
}

static int tear_down(void **state)
{
        refuse_writes(*state, false);
        rig_stop(*state);
        return rig_tear_down(state);
}

static void a_group_is_there_once_it_is_settled(void **state)
{
        struct rig *rig = *state;

        assert_int_equal(put(rig, "a", "1", true), 0);
        assert_int_equal(put(rig, "b", "1", true), 0);
        assert_int_equal(rig->engine->del(rig->self, SPAN_LITERAL("a"), true), 0);
        assert_int_equal(rows(rig), 0);
        assert_int_equal(rig->engine->settle(rig->self), 0);
        assert_int_equal(rows(rig), 1);
        assert_int_equal(rig->engine->settle(rig->self), 0);
}

static void a_change_that_can_not_wait_ends_the_group(void **state)
{
        struct rig *rig = *state;

        assert_int_equal(put(rig, "a", "1", true), 0);
        assert_int_equal(put(rig, "b", "1", false), 0);
        assert_int_equal(rows(rig), 2);
        assert_int_equal(n_undone, 0);
}

static void a_group_that_is_refused_is_told_path_by_path(void **state)
{
        struct rig *rig = *state;

        assert_int_equal(put(rig, "old", "before", false), 0);
        refuse_writes(rig, true);
        assert_int_equal(put(rig, "old", "after", true), 0);
        assert_int_equal(put(rig, "new", "x", true), 0);
        assert_true(rig->engine->settle(rig->self) < 0);
        assert_int_equal(n_undone, 2);
        assert_string_equal(undone[0].path, "old");
        assert_true(undone[0].there);
        assert_string_equal(undone[0].body, "before");
        assert_string_equal(undone[1].path, "new");
        assert_false(undone[1].there);
        assert_int_equal(rig->engine->settle(rig->self), 0);
        /* Each one alone now, for an answer of its own. */
        assert_true(put(rig, "new", "x", true) < 0);
        refuse_writes(rig, false);
        assert_int_equal(put(rig, "new", "x", true), 0);
        assert_int_equal(rows(rig), 2);
}

static void the_last_one_takes_the_others_along(void **state)
{
        struct rig *rig = *state;

        assert_int_equal(put(rig, "old", "before", false), 0);
        refuse_writes(rig, true);
        assert_int_equal(put(rig, "old", "after", true), 0);
        assert_true(put(rig, "new", "x", false) < 0);
        assert_string_equal(undone[0].path, "old");
        assert_string_equal(undone[0].body, "before");
        /* The answer to the first is still to be held back. */
        assert_true(rig->engine->settle(rig->self) < 0);
        assert_int_equal(rig->engine->settle(rig->self), 0);
}

/* What a refused group brings back is one row for a path, and stays one. */
static void a_deletion_that_is_refused_leaves_one_row(void **state)
{
        struct rig *rig = *state;

        assert_int_equal(put(rig, "old", "before", false), 0);
        refuse_writes(rig, true);
        assert_int_equal(rig->engine->del(rig->self, SPAN_LITERAL("old"), true), 0);
        assert_int_equal(put(rig, "old", "again", true), 0);
        assert_int_equal(put(rig, "new", "x", true), 0);
        assert_true(rig->engine->settle(rig->self) < 0);
        assert_string_equal(undone[0].body, "before");
        refuse_writes(rig, false);
        assert_int_equal(put(rig, "old", "after", false), 0);
        assert_int_equal(put(rig, "new", "y", false), 0);
        assert_int_equal(rows(rig), 2);
        assert_int_equal(rig->engine->del(rig->self, SPAN_LITERAL("old"), false), 0);
        assert_int_equal(rows(rig), 1);
}

static int64_t observers(const struct rig *rig)
{
        return rig_sql(rig, 1, "SELECT count(*) FROM observers");
}

static void observers_who_come_together_are_written_together(void **state)
{
        struct rig *rig = *state;
        int one = rig_client(rig, "127.0.0.1"), other = rig_client(rig, "127.0.0.1");

        waits = true;
        rig_observe(rig, one, "a", "t1");
        rig_observe(rig, one, "b", "t2");
        rig_observe(rig, other, "a", "t3");
        rig_cancel(rig, one, "b", "t2");
        assert_int_equal(observers(rig), 0);
        assert_int_equal(rig->engine->settle(rig->self), 0);
        assert_int_equal(observers(rig), 2);
        /* One that cannot wait takes the others along. */
        rig_observe(rig, one, "b", "t4");
        rig_cancel(rig, other, "a", "t3");
        waits = false;
        rig_observe(rig, other, "b", "t5");
        assert_int_equal(observers(rig), 3);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 3);
        close(one);
        close(other);
}

/* The answer has left; so the store has until it works again. */
static void observers_who_are_refused_together_wait_together(void **state)
{
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");

        rig_observe(rig, client, "a", "t1");
        refuse_writes_of(rig, 1, true);
        waits = true;
        rig_observe(rig, client, "b", "t2");
        rig_cancel(rig, client, "a", "t1");
        assert_int_equal(rig->engine->settle(rig->self), 0);
        waits = false;
        rig_observe(rig, client, "a", "t3");
        assert_int_equal(observers(rig), 1);
        refuse_writes_of(rig, 1, false);
        rig_stop(rig);
        assert_int_equal(observers(rig), 2);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers WHERE token IN ('7432', '7433')"),
                         2);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 2);
        close(client);
}

enum { MANY = 19 };

/* So that what a row has in common with those before it becomes less at some point. */
static const char *resource_of(size_t i)
{
        return i < 13 ? "b" : "a";
}

/* "00" and so on: each by a client of its own, all but the last in the midst of more. */
static void observe_all(struct rig *rig, int clients[MANY], size_t from, size_t to)
{
        char token[8];

        waits = true;
        for (size_t i = from; i < to; i++) {
                snprintf(token, sizeof token, "%02zu", i);
                clients[i] = rig_client(rig, "127.0.0.1");
                rig_observe(rig, clients[i], resource_of(i), token);
        }
        assert_int_equal(rig->engine->settle(rig->self), 0);
        waits = false;
}

/* In the row of each is what it asked for, and no row is of anybody else. */
static void check_rows(const struct rig *rig, size_t from, size_t to, int n)
{
        char sql[256], token[16];

        for (size_t i = from; i < to; i++) {
                snprintf(token, sizeof token, "%02x%02x", (unsigned)('0' + i / 10), (unsigned)('0' + i % 10));
                snprintf(sql, sizeof sql,
                         "SELECT count(*) FROM observers WHERE token = '%s' AND resource = '%s'"
                         " AND instr(request, x'%s') > 0",
                         token, resource_of(i), token);
                assert_int_equal(rig_sql(rig, 1, sql), 1);
        }
        assert_int_equal(observers(rig), n);
}

static void close_all(const int clients[MANY])
{
        for (size_t i = 0; i < MANY; i++)
                close(clients[i]);
}

/* Several rows leave with one statement. Each is still one's own: to be ended, and to be restored. */
static void observers_of_a_group_have_a_row_each(void **state)
{
        struct rig *rig = *state;
        int clients[MANY];

        observe_all(rig, clients, 0, 6);
        check_rows(rig, 0, 6, 6);
        /* The last one ends, and its id is not to be given again. */
        rig_cancel(rig, clients[5], "b", "05");
        observe_all(rig, clients, 6, MANY);
        check_rows(rig, 6, MANY, MANY - 1);
        assert_int_equal(rig_sql(rig, 1, "SELECT max(id) FROM observers"), MANY);
        rig_cancel(rig, clients[8], "b", "08");
        check_rows(rig, 9, MANY, MANY - 2);
        check_rows(rig, 0, 5, MANY - 2);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, MANY - 2);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM damaged"), 0);
        close_all(clients);
}

/* By hand, with sqlite3(1). */
static void rows_that_somebody_else_put_behind_ours_are_nobodys(void **state)
{
        struct rig *rig = *state;
        int clients[MANY];
        sqlite3 *db;

        observe_all(rig, clients, 0, 1);
        assert_int_equal(sqlite3_open(rig->files[1], &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db,
                                      "CREATE TEMP TABLE t AS SELECT * FROM observers;"
                                      "UPDATE t SET id = 1000, token = 'foreign';"
                                      "INSERT INTO observers SELECT * FROM t",
                                      NULL, NULL, NULL),
                         SQLITE_OK);
        sqlite3_close(db);
        observe_all(rig, clients, 1, MANY);
        check_rows(rig, 0, MANY, MANY + 1);
        rig_cancel(rig, clients[3], "b", "03");
        check_rows(rig, 0, 3, MANY);
        check_rows(rig, 4, MANY, MANY);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers WHERE token = 'foreign'"), 1);
        close_all(clients);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_group_is_there_once_it_is_settled),
                TEST(a_change_that_can_not_wait_ends_the_group),
                TEST(a_group_that_is_refused_is_told_path_by_path),
                TEST(the_last_one_takes_the_others_along),
                TEST(a_deletion_that_is_refused_leaves_one_row),
                TEST(observers_who_come_together_are_written_together),
                TEST(observers_who_are_refused_together_wait_together),
                TEST(observers_of_a_group_have_a_row_each),
                TEST(rows_that_somebody_else_put_behind_ours_are_nobodys),
        };

        signal(SIGXFSZ, SIG_IGN);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
