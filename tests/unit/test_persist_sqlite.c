/* SPDX-License-Identifier: BSD-2-Clause */
/* The engine sqlite with a real libcoap: what it keeps over an orderly end and over a kill. */
#include "persist_rig.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/ptrmap.h"
#include "base/util.h"

static void *shared(size_t size)
{
        void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        assert_ptr_not_equal(p, MAP_FAILED);
        return p;
}

/* --- dynamic resources --- */

static int put(struct rig *rig, const char *path, struct span body, int format, const char *attributes)
{
        struct stored_resource stored = {
                .path = span_of_string(path),
                .content_format = format,
                .etag = SPAN_LITERAL("etag"),
                .attributes = span_of_string(attributes),
                .body = body,
                .created_us = 1000000,
                .changed_us = 2000000,
        };

        return rig->engine->put(rig->self, &stored, false);
}

static void write_resources(struct rig *rig, void *user)
{
        static const uint8_t binary[] = { 0, 1, 0xff, 0, '\n', 0x80 };
        uint8_t *large = calloc(1, 300000);

        (void)user;
        rig_start(rig, "sqlite", "127.0.0.1");
        memset(large, 0xa5, 300000);
        assert_int_equal(put(rig, "binary", span_of(binary, sizeof binary), 42, "rt=x&title=%20y"), 0);
        assert_int_equal(put(rig, "empty", (struct span){ 0 }, -1, ""), 0);
        assert_int_equal(put(rig, "large", span_of(large, 300000), 65535, ""), 0);
        assert_int_equal(put(rig, "changed", SPAN_LITERAL("one"), 0, "a=1"), 0);
        assert_int_equal(put(rig, "gone", SPAN_LITERAL("x"), 0, ""), 0);
        assert_int_equal(put(rig, "changed", SPAN_LITERAL("three"), 50, "a=1"), 0);
        assert_int_equal(rig->engine->del(rig->self, SPAN_LITERAL("gone"), false), 0);
        assert_int_equal(rig->engine->del(rig->self, SPAN_LITERAL("never there"), false), 0);
        free(large);
}

static void check_resources(const struct rig *rig)
{
        const struct rig_stored *s = rig->stored;

        assert_int_equal(rig->n_stored, 4);
        assert_string_equal(s[0].path, "binary");
        assert_int_equal(s[0].content_format, 42);
        assert_int_equal(s[0].body_n, 6);
        assert_memory_equal(s[0].body, "\0\1\xff\0\n\x80", 6);
        assert_string_equal(s[0].attributes, "rt=x&title=%20y");
        assert_int_equal(s[0].etag_n, 4);
        assert_memory_equal(s[0].etag, "etag", 4);
        assert_int_equal(s[0].created_us, 1000000);
        assert_int_equal(s[0].changed_us, 2000000);
        assert_int_equal(s[1].body_n, 0);
        assert_int_equal(s[1].content_format, -1);
        assert_int_equal(s[2].body_n, 300000);
        assert_int_equal(s[2].body[299999], 0xa5);
        assert_string_equal(s[3].path, "changed");
        assert_int_equal(s[3].content_format, 50);
        assert_memory_equal(s[3].body, "three", 5);
}

static void keeps_resources(void **state)
{
        struct rig *rig = *state;

        write_resources(rig, NULL);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        check_resources(rig);
}

static void keeps_resources_when_killed(void **state)
{
        struct rig *rig = *state;

        for (int sync = CONF_SYNC_INTERVAL; sync <= CONF_SYNC_ALWAYS; sync++) {
                rig->conf.sync = sync;
                rig_killed(rig, write_resources, NULL);
                rig_start(rig, "sqlite", "127.0.0.1");
                check_resources(rig);
                rig_stop(rig);
        }
}

static void offers_refused_resources_again(void **state)
{
        struct rig *rig = *state;

        write_resources(rig, NULL);
        rig_stop(rig);
        rig->restore_answer = -EEXIST;
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->n_stored, 0);
        rig->restore_answer = 0;
        rig->engine->reload(rig->self, &rig->conf);
        assert_int_equal(rig->n_stored, 4);
        rig->engine->reload(rig->self, &rig->conf);
        assert_int_equal(rig->n_stored, 4);
}

/* --- observers --- */

struct watch {
        int client;
        int number;
};

static void register_one(struct rig *rig, void *user)
{
        struct watch *watch = user;

        rig_start(rig, "sqlite", "127.0.0.1");
        watch->number = rig_observe(rig, watch->client, "a", "tok");
        assert_in_range(watch->number, 0, 0xffffff);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 1);
}

static void expect_newer(struct rig *rig, struct watch *watch, const char *path, const char *token)
{
        int number;

        rig_notify(rig, path);
        number = rig_next(rig, watch->client, token);
        if (!rig_newer(watch->number, number))
                fail_msg("Observe went from %d to %d", watch->number, number);
        watch->number = number;
}

static void observers_go_on_when_killed(void **state)
{
        struct rig *rig = *state;
        struct watch *watch = shared(sizeof *watch);

        watch->client = rig_client(rig, "127.0.0.1");
        rig_killed(rig, register_one, watch);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 1);
        expect_newer(rig, watch, "a", "tok");
        /* The restored session is the one that the client's packets find: no second registration. */
        assert_in_range(rig_observe(rig, watch->client, "a", "tok"), 0, 0xffffff);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 1);
        /* And the row is still tied to it. */
        rig_cancel(rig, watch->client, "a", "tok");
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 0);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 0);
        close(watch->client);
}

static void keeps_what_was_asked(void **state)
{
        /* Observe, Uri-Path a, Uri-Query x=1, Accept 50, Block2 0/0/64; then a FETCH with a body. */
        static const uint8_t get[] = { 0x60, 0x51, 'a', 0x43, 'x', '=', '1', 0x21, 50, 0x61, 2 };
        static const uint8_t fetch[] = { 0x60, 0x51, 'a', 0x11, 42, 0xff, 'b', 'o', 'd', 'y' };
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1"), other = rig_client(rig, "127.0.0.1");

        rig_start(rig, "sqlite", "127.0.0.1");
        assert_in_range(rig_send(rig, client, COAP_REQUEST_CODE_GET, "", get, sizeof get), 0, 0xffffff);
        assert_in_range(rig_send(rig, other, COAP_REQUEST_CODE_FETCH, "12345678", fetch, sizeof fetch), 0,
                        0xffffff);
        assert_int_equal(rig_sql(rig, 1,
                                 "SELECT count(*) FROM observers WHERE query = 'x=1' AND token = '' AND"
                                 " method = 'GET' AND peer_address = '127.0.0.1'"),
                         1);
        assert_int_equal(rig_sql(rig, 1,
                                 "SELECT count(*) FROM observers WHERE method = 'FETCH' AND"
                                 " token = '3132333435363738' AND substr(request, -4) = x'626f6479'"),
                         1);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 2);
        rig_notify(rig, "a");
        assert_in_range(rig_next(rig, client, ""), 0, 0xffffff);
        assert_in_range(rig_next(rig, other, "12345678"), 0, 0xffffff);
        close(client);
        close(other);
}

static void new_token_replaces_old(void **state)
{
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");

        rig_start(rig, "sqlite", "127.0.0.1");
        rig_observe(rig, client, "a", "one");
        rig_observe(rig, client, "a", "two");
        rig_observe(rig, client, "b", "one");
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 2);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers WHERE token = '74776f'"), 1);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 2);
        close(client);
}

/* A changed listen address: found again where the client's packets still arrive. */
static void finds_observers_at_another_address(void **state)
{
        static const struct {
                const char *before, *client, *after;
                bool reached;
        } cases[] = {
                { "127.0.0.1", "127.0.0.1", "0.0.0.0", true },
                { "0.0.0.0", "127.0.0.1", "127.0.0.1", true },
                { "127.0.0.1", "127.0.0.1", "::", true },
                { "::", "127.0.0.1", "0.0.0.0", true },
                { "::", "127.0.0.1", "127.0.0.1", true },
                { "::1", "::1", "::", true },
                { "::", "::1", "::1", true },
                { "::", "::1", "0.0.0.0", false },
                { "127.0.0.1", "127.0.0.1", "127.0.0.2", false },
                { "0.0.0.0", "127.0.0.1", "127.0.0.2", false },
                { "::", "127.0.0.1", "::1", false },
        };
        struct rig *rig = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct watch watch = { .client = rig_client(rig, cases[i].client) };

                rig_start(rig, "sqlite", cases[i].before);
                watch.number = rig_observe(rig, watch.client, "a", "tok");
                assert_in_range(watch.number, 0, 0xffffff);
                rig_stop(rig);
                rig_start(rig, "sqlite", cases[i].after);
                if (rig->observers_restored != cases[i].reached)
                        fail_msg("%s to %s: %zu restored\n%s", cases[i].before, cases[i].after,
                                 rig->observers_restored, rig->log);
                if (cases[i].reached) {
                        expect_newer(rig, &watch, "a", "tok");
                        assert_in_range(rig_observe(rig, watch.client, "a", "tok"), 0, 0xffffff);
                        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 1);
                } else {
                        assert_true(rig_logged(rig, "is kept for later: no endpoint"));
                        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM kept"), 1);
                        /* Back to where it was. */
                        rig_stop(rig);
                        rig_start(rig, "sqlite", cases[i].before);
                        assert_int_equal(rig->observers_restored, 1);
                        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM kept"), 0);
                        expect_newer(rig, &watch, "a", "tok");
                }
                assert_int_equal(rig_cancel(rig, watch.client, "a", "tok") == -1, 0);
                assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 0);
                rig_stop(rig);
                close(watch.client);
        }
}

static void another_port_is_another_place(void **state)
{
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");
        struct rig other;

        rig_start(rig, "sqlite", "127.0.0.1");
        rig_observe(rig, client, "a", "tok");
        rig_stop(rig);
        rig_init(&other);
        rig->port = other.port;
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 0);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM kept"), 1);
        rig_deinit(&other);
        close(client);
}

/* As the registry does with one that comes after the start. */
static void add_late(struct rig *rig, const char *path)
{
        coap_resource_t *resource = rig_add_resource(rig, path);
        uint32_t number;

        if (rig->engine->first_number(rig->self, span_of_string(path), &number))
                coap_persist_set_observe_num(resource, number);
}

static void keeps_observers_of_a_missing_resource(void **state)
{
        struct rig *rig = *state;
        struct watch watch = { .client = rig_client(rig, "127.0.0.1") };

        rig_start(rig, "sqlite", "127.0.0.1");
        rig_add_resource(rig, "late");
        watch.number = rig_observe(rig, watch.client, "late", "tok");
        rig_stop(rig);
        for (int i = 0; i < 2; i++) {
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_true(rig_logged(rig, "observer of late at 127.0.0.1 port "));
                assert_true(rig_logged(rig, "is kept for later: no such resource"));
                assert_false(rig_logged(rig, "coap_persist_observe_add"));
                rig_stop(rig);
        }
        rig_start(rig, "sqlite", "127.0.0.1");
        add_late(rig, "late");
        rig->engine->reload(rig->self, &rig->conf);
        assert_int_equal(rig->observers_restored, 1);
        expect_newer(rig, &watch, "late", "tok");
        rig->engine->reload(rig->self, &rig->conf);
        assert_int_equal(rig->observers_restored, 1);
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM kept"), 0);
        close(watch.client);
}

/* The client, tired of waiting, has registered anew meanwhile. */
static void kept_row_gives_way_to_a_newer_one(void **state)
{
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");

        for (int same_token = 0; same_token <= 1; same_token++) {
                rig_start(rig, "sqlite", "127.0.0.1");
                rig_add_resource(rig, "late");
                rig_observe(rig, client, "late", "old");
                rig_stop(rig);
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM kept"), 1);
                rig_add_resource(rig, "late");
                rig_observe(rig, client, "late", same_token ? "old" : "new");
                rig->engine->reload(rig->self, &rig->conf);
                assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 1);
                assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM kept"), 0);
                rig_stop(rig);
                unlink(rig->files[1]);
        }
        close(client);
}

static void forgets_kept_observers_in_the_end(void **state)
{
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");

        rig_start(rig, "sqlite", "127.0.0.1");
        rig_add_resource(rig, "late");
        rig_observe(rig, client, "late", "tok");
        rig_observe(rig, client, "a", "tik");
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        rig_stop(rig);
        rig->conf.observer_max_age = 0;
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_true(rig_logged(rig, "1 kept observers are forgotten"));
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 1);
        assert_int_equal(rig->observers_restored, 1);
        close(client);
}

/* --- numbers --- */

static void numbers_rise_at_any_frequency(void **state)
{
        static const long long frequencies[] = { 10, 1, 1000, 3, 100000, 2, 7 };
        struct rig *rig = *state;
        struct watch *watch = shared(sizeof *watch);

        watch->client = rig_client(rig, "127.0.0.1");
        register_one(rig, watch);
        for (size_t i = 0; i < ARRAY_LEN(frequencies); i++) {
                for (size_t n = 0; n < 37; n++) {
                        expect_newer(rig, watch, "a", "tok");
                        /* At every moment what is stored is ahead of what was sent. */
                        if (rig_newer((int)rig_sql(rig, 2, "SELECT reserved FROM observe_counters"),
                                      watch->number))
                                fail_msg("%d was sent and is not reserved", watch->number);
                }
                rig_stop(rig);
                rig->conf.save_frequency = frequencies[i];
                rig_start(rig, "sqlite", "127.0.0.1");
        }
        close(watch->client);
}

static void notify_many(struct rig *rig, void *user)
{
        struct watch *watch = user;

        if (watch->number < 0)
                register_one(rig, watch);
        else
                rig_start(rig, "sqlite", "127.0.0.1");
        for (int n = 0; n < 23; n++)
                expect_newer(rig, watch, "a", "tok");
}

static void numbers_rise_over_kills(void **state)
{
        struct rig *rig = *state;
        struct watch *watch = shared(sizeof *watch);

        watch->client = rig_client(rig, "127.0.0.1");
        watch->number = -1;
        for (int i = 0; i < 6; i++) {
                rig->conf.save_frequency = i % 2 ? 4 : 9;
                rig_killed(rig, notify_many, watch);
        }
        close(watch->client);
}

static void numbers_wrap(void **state)
{
        struct rig *rig = *state;
        struct watch watch = { .client = rig_client(rig, "127.0.0.1") };

        rig_start(rig, "sqlite", "127.0.0.1");
        coap_persist_set_observe_num(rig_resource(rig, "a"), 0xffffff - 5);
        watch.number = rig_observe(rig, watch.client, "a", "tok");
        assert_int_equal(watch.number, 0xffffff - 5);
        for (int i = 0; i < 40; i++) {
                expect_newer(rig, &watch, "a", "tok");
                if (i % 7 == 0) {
                        rig_stop(rig);
                        rig_start(rig, "sqlite", "127.0.0.1");
                }
        }
        assert_in_range(watch.number, 30, 1000);
        close(watch.client);
}

static void a_resource_made_again_counts_on(void **state)
{
        struct rig *rig = *state;
        struct watch watch = { .client = rig_client(rig, "127.0.0.1") };

        rig_start(rig, "sqlite", "127.0.0.1");
        watch.number = rig_observe(rig, watch.client, "a", "tok");
        for (int i = 0; i < 30; i++)
                expect_newer(rig, &watch, "a", "tok");
        coap_delete_resource(rig->context, rig_resource(rig, "a"));
        assert_int_equal(rig_sql(rig, 1, "SELECT count(*) FROM observers"), 0);
        assert_int_equal(rig_sql(rig, 2, "SELECT count(*) FROM observe_counters WHERE deleted_us"), 1);
        add_late(rig, "a");
        assert_true(rig_newer(watch.number, rig_observe(rig, watch.client, "a", "tik")));
        assert_int_equal(rig_sql(rig, 2, "SELECT count(*) FROM observe_counters WHERE deleted_us"), 0);
        close(watch.client);
}

static void numbers_skip_after_a_power_cut(void **state)
{
        struct rig *rig = *state;
        struct watch *watch = shared(sizeof *watch);
        int before;

        watch->client = rig_client(rig, "127.0.0.1");
        rig_killed(rig, register_one, watch);
        before = watch->number;
        /* Killed only: the same boot. */
        rig_start(rig, "sqlite", "127.0.0.1");
        expect_newer(rig, watch, "a", "tok");
        assert_in_range(watch->number, before + 1, before + 100);
        rig_stop(rig);
        /* An orderly end before the machine went down. */
        rig_sql(rig, 2, "UPDATE running SET boot = '' RETURNING 1");
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_false(rig_logged(rig, "went down"));
        rig_stop(rig);
        rig_sql(rig, 2, "UPDATE running SET boot = 'another' RETURNING 1");
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_true(rig_logged(rig, "the machine went down without stopping coapd"));
        expect_newer(rig, watch, "a", "tok");
        assert_in_range(watch->number, before + (1 << 20), before + (1 << 20) + 200);
        close(watch->client);
}

/* A store that somebody has mended by hand: SQLite has no text for NULL. */
static void a_boot_of_no_name_is_none(void **state)
{
        struct rig *rig = *state;
        sqlite3 *db = NULL;

        rig_start(rig, "sqlite", "127.0.0.1");
        rig_stop(rig);
        assert_int_equal(sqlite3_open(rig->files[2], &db), SQLITE_OK);
        assert_int_equal(
                sqlite3_exec(db,
                             "DROP TABLE running; CREATE TABLE running(id INTEGER PRIMARY KEY, boot);"
                             "INSERT INTO running(id) VALUES(1)",
                             NULL, NULL, NULL),
                SQLITE_OK);
        sqlite3_close(db);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_false(rig_logged(rig, "went down"));
        rig_stop(rig);
        assert_int_equal(rig_sql(rig, 2, "SELECT boot = ' 0' FROM running"), 1);
}

/* Its row went with the power: the number is newer all the same, each time. */
static void numbers_without_a_row_skip_as_well(void **state)
{
        struct rig *rig = *state;
        uint32_t number = 2, next = 0;

        rig_start(rig, "sqlite", "127.0.0.1");
        assert_false(rig->engine->first_number(rig->self, SPAN_LITERAL("new"), &next));
        for (int cut = 1; cut < 40; cut++) {
                rig_stop(rig);
                rig_sql(rig, 2, "UPDATE running SET boot = 'another' || boot RETURNING 1");
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_true(rig->engine->first_number(rig->self, SPAN_LITERAL("new"), &next));
                assert_true(rig_newer((int)number, (int)next));
                number = next;
                /* An orderly end is none. */
                rig_stop(rig);
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_true(rig->engine->first_number(rig->self, SPAN_LITERAL("new"), &next));
                assert_int_equal(next, number);
        }
}

static void save_sequences(struct rig *rig, void *user)
{
        uint64_t *used = user, start = 0;

        rig_start(rig, "sqlite", "127.0.0.1");
        if (rig->engine->sequence_load(rig->self, "sender", &start) == -ENOENT)
                assert_int_equal(*used, 0);
        if (*used)
                assert_in_range(start, *used, *used + 100000);
        for (uint64_t number = start; number < start + 9000; number += 64) {
                assert_int_equal(rig->engine->sequence_save(rig->self, "sender", number + 64), 0);
                *used = number + 64;
        }
}

static void sequences_are_never_given_twice(void **state)
{
        struct rig *rig = *state;
        uint64_t *used = shared(sizeof *used), number;

        for (int i = 0; i < 4; i++)
                rig_killed(rig, save_sequences, used);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->engine->sequence_load(rig->self, "sender", &number), 0);
        assert_in_range(number, *used, *used + 100000);
        assert_int_equal(rig->engine->sequence_load(rig->self, "another", &number), -ENOENT);
        rig_stop(rig);
        rig->conf.observe_counters = NULL;
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->engine->sequence_load(rig->self, "sender", &number), -ENOTSUP);
        assert_int_equal(rig->engine->sequence_save(rig->self, "sender", 1), -ENOTSUP);
}

/* --- the rest --- */

static void each_file_may_be_missing(void **state)
{
        struct rig *rig = *state;
        int client = rig_client(rig, "127.0.0.1");

        for (int left = 0; left < 8; left++) {
                rig->conf.dynamic_resources = left & 1 ? rig->files[0] : NULL;
                rig->conf.observers = left & 2 ? rig->files[1] : NULL;
                rig->conf.observe_counters = left & 4 ? rig->files[2] : NULL;
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_int_equal(put(rig, "x", SPAN_LITERAL("y"), 0, ""), 0);
                rig_observe(rig, client, "a", "tok");
                rig_notify(rig, "a");
                assert_in_range(rig_next(rig, client, "tok"), 0, 0xffffff);
                coap_delete_resource(rig->context, rig_resource(rig, "a"));
                rig->engine->reload(rig->self, &rig->conf);
                assert_int_equal(rig->engine->del(rig->self, SPAN_LITERAL("x"), false), 0);
                rig_stop(rig);
        }
        close(client);
}

static void is_opened_once(void **state)
{
        struct rig *rig = *state;
        void *second = NULL;

        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->engine->open(&rig->conf, &rig->host, &second), -EBUSY);
        assert_null(second);
        assert_int_equal(persist_engine_find("libcoap")->open(&rig->conf, &rig->host, &second), -EBUSY);
}

static void map_of_pointers(void **state)
{
        static char things[5000];
        struct ptrmap map = { 0 };
        int64_t value;

        (void)state;
        assert_false(ptrmap_get(&map, &things[1], &value));
        assert_false(ptrmap_take(&map, &things[1], &value));
        for (size_t i = 0; i < sizeof things; i++)
                assert_int_equal(ptrmap_put(&map, &things[i], (int64_t)i), 0);
        for (size_t i = 0; i < sizeof things; i += 3) {
                assert_true(ptrmap_take(&map, &things[i], &value));
                assert_int_equal(value, i);
                assert_false(ptrmap_take(&map, &things[i], &value));
        }
        for (size_t i = 0; i < sizeof things; i++) {
                assert_int_equal(ptrmap_get(&map, &things[i], &value), i % 3 != 0);
                if (i % 3)
                        assert_int_equal(value, i);
        }
        assert_int_equal(ptrmap_put(&map, &things[1], 77), 0);
        assert_true(ptrmap_get(&map, &things[1], &value));
        assert_int_equal(value, 77);
        ptrmap_deinit(&map);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(map_of_pointers),
                TEST(keeps_resources),
                TEST(keeps_resources_when_killed),
                TEST(offers_refused_resources_again),
                TEST(observers_go_on_when_killed),
                TEST(keeps_what_was_asked),
                TEST(new_token_replaces_old),
                TEST(finds_observers_at_another_address),
                TEST(another_port_is_another_place),
                TEST(keeps_observers_of_a_missing_resource),
                TEST(kept_row_gives_way_to_a_newer_one),
                TEST(forgets_kept_observers_in_the_end),
                TEST(numbers_rise_at_any_frequency),
                TEST(numbers_rise_over_kills),
                TEST(numbers_wrap),
                TEST(a_resource_made_again_counts_on),
                TEST(numbers_skip_after_a_power_cut),
                TEST(a_boot_of_no_name_is_none),
                TEST(numbers_without_a_row_skip_as_well),
                TEST(sequences_are_never_given_twice),
                TEST(each_file_may_be_missing),
                TEST(is_opened_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
