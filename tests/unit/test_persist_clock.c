/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine sqlite over hours that do not pass, and under a clock that somebody sets. */
#include "persist_rig.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t ahead;

/* The executable's own stands before libc's. Only the time of day is another. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
        int r = (int)syscall(SYS_clock_gettime, clock, now);

        if (r == 0 && clock == CLOCK_REALTIME)
                now->tv_sec += ahead;
        return r;
}

enum { DAY = 86400, YEAR = 365 * DAY };

static int set_up(void **state)
{
        ahead = 0;
        return rig_set_up(state);
}

/* A resource that is made, observed and deleted. */
static void come_and_go(struct rig *rig, int client, unsigned i)
{
        char path[16];

        snprintf(path, sizeof path, "n%u", i);
        rig_add_resource(rig, path);
        rig_observe(rig, client, path, "tok");
        coap_delete_resource(rig->context, rig_resource(rig, path));
        rig_next(rig, client, "tok");
}

static void numbers_of_what_is_long_deleted_go(void **state)
{
        enum { MANY = 1100 };
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");

        rig_start(rig, "sqlite", "127.0.0.1");
        assert_in_range(rig_observe(rig, client, "a", "alive"), 0, 0xffffff);
        for (unsigned i = 0; i < MANY; i++)
                come_and_go(rig, client, i);
        assert_int_equal(rig_sql(rig, 2, "SELECT count(*) FROM observe_counters"), MANY + 1);
        ahead = 400;
        for (unsigned i = 0; i < MANY; i++)
                come_and_go(rig, client, MANY + i);
        assert_in_range(rig_sql(rig, 2, "SELECT count(*) FROM observe_counters"), 1, 2048);
        /* What lives goes on, in memory and over a restart. */
        rig_notify(rig, "a");
        assert_in_range(rig_next(rig, client, "alive"), 0, 0xffffff);
        ahead = 4000;
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig_sql(rig, 2, "SELECT count(*) FROM observe_counters"), 1);
        rig_notify(rig, "a");
        assert_in_range(rig_next(rig, client, "alive"), 0, 0xffffff);
        close(client);
}

/* A start with the clock of 1970 is not half a century of waiting. */
static void a_clock_that_was_behind_costs_nobody_a_place(void **state)
{
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");

        rig_start(rig, "sqlite", "127.0.0.1");
        rig_add_resource(rig, "late");
        rig_observe(rig, client, "late", "tok");
        rig_stop(rig);
        ahead = -50L * YEAR;
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM kept"), 1);
        rig_stop(rig);
        ahead = 0;
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 1);
        /* But what has waited for too long goes. */
        ahead = 8 * DAY;
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 0);
        close(client);
}

static void a_clock_that_is_set_back_changes_nothing(void **state)
{
        struct rig *rig = *state;
        struct stored_resource stored = {
                .path = SPAN_LITERAL("p"),
                .content_format = 0,
                .etag = SPAN_LITERAL("etag"),
                .body = SPAN_LITERAL("body"),
                .created_us = 2,
                .changed_us = 1, /* it was changed before it was made */
        };
        int client = rig_client(rig, "127.0.0.1"), number, next;
        uint64_t sequence;

        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->engine->put(rig->self, &stored, false), 0);
        assert_int_equal(rig->engine->sequence_save(rig->self, "sender", 100), 0);
        number = rig_observe(rig, client, "a", "tok");
        rig_stop(rig);
        for (int i = 0; i < 3; i++) {
                ahead -= 10L * YEAR;
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_int_equal(rig->n_stored, 1);
                assert_int_equal(rig->observers_restored, 1);
                assert_int_equal(rig->engine->sequence_load(rig->self, "sender", &sequence), 0);
                assert_true(sequence >= 100);
                rig_notify(rig, "a");
                next = rig_next(rig, client, "tok");
                assert_true(rig_newer(number, next));
                number = next;
                rig_stop(rig);
        }
        close(client);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(numbers_of_what_is_long_deleted_go),
                TEST(a_clock_that_was_behind_costs_nobody_a_place),
                TEST(a_clock_that_is_set_back_changes_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
