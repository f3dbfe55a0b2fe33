/* SPDX-License-Identifier: BSD-2-Clause */
/* Bad files, damaged files, and files of the other engine: named, set aside, and never believed. */
#include "persist_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/util.h"
#include "persist/files.h"

static int put(struct rig *rig, const char *path, struct span body)
{
        struct stored_resource stored = {
                .path = span_of_string(path),
                .content_format = 0,
                .etag = SPAN_LITERAL("etag"),
                .body = body,
                .created_us = 1,
                .changed_us = 2,
        };

        return rig->engine->put(rig->self, &stored, false);
}

enum { BODIES = 20, BODY_SIZE = 700 };

/* The body of resource `i` tells itself from every other, in each byte. */
static void make_body(size_t i, uint8_t body[BODY_SIZE])
{
        for (size_t at = 0; at < BODY_SIZE; at++)
                body[at] = (uint8_t)(i * 37 + at * 11 + at / 256);
}

static void fill(struct rig *rig)
{
        uint8_t body[BODY_SIZE];
        char name[16], token[8];
        int clients[4];

        for (size_t i = 0; i < BODIES; i++) {
                snprintf(name, sizeof name, "r%zu", i);
                make_body(i, body);
                assert_int_equal(put(rig, name, span_of(body, sizeof body)), 0);
        }
        for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
                clients[i] = rig_client(rig, "127.0.0.1");
                snprintf(token, sizeof token, "t%zu", i);
                assert_in_range(rig_observe(rig, clients[i], i % 2 ? "a" : "b", token), 0, 0xffffff);
        }
        assert_int_equal(rig->engine->sequence_save(rig->self, "sender", 64), 0);
        /* Not before: the next one could get the same port. */
        for (size_t i = 0; i < ARRAY_LEN(clients); i++)
                close(clients[i]);
}

static void start_and_fill(struct rig *rig, void *user)
{
        (void)user;
        rig_start(rig, "sqlite", "127.0.0.1");
        fill(rig);
}

/* Every resource that came back is one that was stored, unchanged. Returns how many are missing. */
static size_t check_bodies(const struct rig *rig)
{
        uint8_t body[BODY_SIZE];
        unsigned i;

        for (size_t n = 0; n < rig->n_stored; n++) {
                const struct rig_stored *s = &rig->stored[n];

                if (sscanf(s->path, "r%u", &i) != 1 || i >= BODIES)
                        fail_msg("resource %s was never stored", s->path);
                make_body(i, body);
                if (s->body_n != BODY_SIZE || memcmp(s->body, body, BODY_SIZE) != 0 ||
                    s->content_format != 0 || s->created_us != 1 || s->changed_us != 2 || s->etag_n != 4 ||
                    memcmp(s->etag, "etag", 4) != 0)
                        fail_msg("resource %s is not as it was stored", s->path);
        }
        return BODIES - rig->n_stored;
}

static void write_file(const char *name, const void *data, size_t n)
{
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        assert_int_equal(write(fd, data, n), n);
        close(fd);
}

static uint8_t *read_file(const char *name, size_t *ret_n)
{
        int fd = open(name, O_RDONLY);
        struct stat st;
        uint8_t *data;

        if (fd < 0)
                return NULL;
        fstat(fd, &st);
        data = malloc((size_t)st.st_size + 1);
        assert_int_equal(read(fd, data, (size_t)st.st_size), st.st_size);
        close(fd);
        *ret_n = (size_t)st.st_size;
        return data;
}

/* --- one bad file after the other --- */

static void make_empty(struct rig *rig, const char *name)
{
        (void)rig;
        write_file(name, "", 0);
}

static void make_garbage(struct rig *rig, const char *name)
{
        (void)rig;
        write_file(name, "\x80 what is this, it is no database and not by libcoap", 52);
}

static void make_folder(struct rig *rig, const char *name)
{
        (void)rig;
        unlink(name);
        assert_int_equal(mkdir(name, 0700), 0);
}

static void set_pragma(const char *name, const char *sql)
{
        char command[512];

        snprintf(command, sizeof command, "sqlite3 %s '%s'", name, sql);
        assert_int_equal(system(command), 0);
}

static void make_foreign(struct rig *rig, const char *name)
{
        (void)rig;
        unlink(name);
        set_pragma(name, "CREATE TABLE theirs(x); PRAGMA application_id = 252006673;");
}

static void make_newer(struct rig *rig, const char *name)
{
        (void)rig;
        set_pragma(name, "PRAGMA user_version = 7;");
}

static void cut_off(struct rig *rig, const char *name)
{
        struct stat st;

        (void)rig;
        stat(name, &st);
        assert_int_equal(truncate(name, st.st_size / 2), 0);
}

static void swap_with_next(struct rig *rig, const char *name)
{
        size_t i = name == rig->files[0] ? 0 : name == rig->files[1] ? 1 : 2;
        const char *other = rig->files[(i + 1) % 3];
        uint8_t *data;
        size_t n;

        data = read_file(other, &n);
        write_file(name, data, n);
        free(data);
}

static void flip_a_page(struct rig *rig, const char *name)
{
        uint8_t *data;
        size_t n;

        (void)rig;
        data = read_file(name, &n);
        /* The kind of b-tree page that the first page is. */
        data[100] ^= 0xff;
        write_file(name, data, n);
        free(data);
}

static void orphan_log(struct rig *rig, const char *name)
{
        char wal[200];

        (void)rig;
        unlink(name);
        snprintf(wal, sizeof wal, "%s-wal", name);
        write_file(wal, "left behind", 11);
}

static const struct {
        void (*spoil)(struct rig *rig, const char *name);
        const char *reason;
} bad_files[] = {
        { make_empty, ": is empty; set aside as " },
        { make_garbage, ": is no store of " },
        { make_folder, ": is a folder; set aside as " },
        { make_foreign, ": is a database of another application (id 0x0f055111); set aside as " },
        { make_newer, ": has the schema version 7, and this coapd knows versions up to 1; set aside as " },
        { cut_off, ": is cut off: " },
        { swap_with_next, ": is a store of " },
        { flip_a_page, ": is damaged: " },
        { orphan_log, ": is missing, but its log " },
};

static void sets_bad_files_aside(void **state)
{
        struct rig *rig = *state;

        for (size_t i = 0; i < ARRAY_LEN(bad_files) * 3; i++) {
                const char *name = rig->files[i % 3];
                size_t observers, resources;
                char line[256];
                uint64_t number;
                int sequence;

                start_and_fill(rig, NULL);
                rig_stop(rig);
                bad_files[i / 3].spoil(rig, name);
                rig_start(rig, "sqlite", "127.0.0.1");
                snprintf(line, sizeof line, "error   %s%s", name, bad_files[i / 3].reason);
                if (!rig_logged(rig, line))
                        fail_msg("\"%s\" is not in:\n%s", line, rig->log);
                snprintf(line, sizeof line, "%s.bad-", strrchr(name, '/') + 1);
                assert_in_range(rig_count_files(rig, line), 1, 3);
                /* Nothing else is lost. */
                sequence = rig->engine->sequence_load(rig->self, "sender", &number);
                observers = rig->observers_restored;
                resources = rig->n_stored;
                if (i % 3 != 0)
                        assert_int_equal(resources, BODIES);
                if (i % 3 != 1)
                        assert_int_equal(observers, 4);
                if (i % 3 != 2)
                        assert_int_equal(sequence, 0);
                check_bodies(rig);
                /* And the new store works. */
                fill(rig);
                rig_stop(rig);
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_int_equal(check_bodies(rig), 0);
                assert_in_range(rig->observers_restored, 4, 8);
                assert_string_equal(strstr(rig->log, "error") ? rig->log : "", "");
                rig_deinit(rig);
                rig_init(rig);
        }
}

static void refuses_when_told_to(void **state)
{
        struct rig *rig = *state;

        rig->conf.bad_file = CONF_BAD_FILE_REFUSE;
        for (size_t i = 0; i < ARRAY_LEN(bad_files) * 3; i++) {
                const char *name = rig->files[i % 3];
                char line[256];

                start_and_fill(rig, NULL);
                rig_stop(rig);
                bad_files[i / 3].spoil(rig, name);
                rig_context(rig, "127.0.0.1");
                assert_int_equal(rig_engine(rig, "sqlite"), -EUCLEAN);
                snprintf(line, sizeof line, "error   %s%.12s", name, bad_files[i / 3].reason);
                assert_true(rig_logged(rig, line));
                assert_true(rig_logged(rig, "; not starting, as persist.bad_file asks"));
                assert_int_equal(rig_count_files(rig, ".bad-"), 0);
                rig_deinit(rig);
                rig_init(rig);
                rig->conf.bad_file = CONF_BAD_FILE_REFUSE;
        }
}

/* A page of the middle, and all that is behind a cut. */
static void saves_what_can_be_read(void **state)
{
        enum { PAGE = 4096, LEAST_IN_A_PAGE = 5 };
        struct rig *rig = *state;
        uint8_t *data;
        size_t n;

        for (int cut = 0; cut <= 1; cut++) {
                start_and_fill(rig, NULL);
                rig_stop(rig);
                data = read_file(rig->files[0], &n);
                assert_in_range(n, 7 * PAGE, 20 * PAGE);
                if (!cut)
                        memset(data + n - 3 * PAGE, 0xff, PAGE);
                write_file(rig->files[0], data, cut ? n - PAGE : n);
                free(data);
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_true(rig_logged(rig, " rows of it are saved"));
                assert_in_range(rig->n_stored, BODIES - LEAST_IN_A_PAGE - 1, BODIES - 1);
                check_bodies(rig);
                rig_deinit(rig);
                rig_init(rig);
        }
}

/* --- hundreds of them --- */

struct image {
        uint8_t *data[6]; /* of the three files, and of their logs */
        size_t n[6];
};

static const char *image_name(const struct rig *rig, size_t i)
{
        return rig_file(rig, i % 3, i < 3 ? "" : "-wal");
}

static void load_image(const struct rig *rig, struct image *image)
{
        for (size_t i = 0; i < ARRAY_LEN(image->data); i++)
                image->data[i] = read_file(image_name(rig, i), &image->n[i]);
}

static void restore_image(const struct rig *rig, const struct image *image)
{
        char command[128];

        snprintf(command, sizeof command, "rm -rf %s/*", rig->folder);
        assert_int_equal(system(command), 0);
        for (size_t i = 0; i < ARRAY_LEN(image->data); i++)
                if (image->data[i])
                        write_file(image_name(rig, i), image->data[i], image->n[i]);
}

static void free_image(struct image *image)
{
        for (size_t i = 0; i < ARRAY_LEN(image->data); i++)
                free(image->data[i]);
}

static uint32_t seed;

static uint32_t random_below(size_t n)
{
        seed = seed * 1664525 + 1013904223;
        return (uint32_t)((uint64_t)(seed >> 8) * n >> 24);
}

/* Returns false where nothing can tell the result from a file that was never longer: a log cut between records. */
static bool mutate(const struct rig *rig, const struct image *image)
{
        bool visible = true;
        size_t i, n, at, flips = 1 + random_below(4);
        uint8_t *data;

        do
                i = random_below(ARRAY_LEN(image->data));
        while (!image->data[i] || image->n[i] == 0);
        n = image->n[i];
        data = malloc(n);
        memcpy(data, image->data[i], n);
        switch (random_below(4)) {
        case 0: /* flipped bits */
                while (flips--)
                        data[random_below(n)] ^= (uint8_t)(1 << random_below(8));
                break;
        case 1: /* cut off */
                n = random_below(n);
                visible =
                        i < 3 || (n > 32 && (n - 32) % (24 + (i == 3 ? 4096U : 1024U)) != 0) || (n && n < 32);
                break;
        case 2: /* a sector of zeros, or of another place */
                at = random_below(n) & ~511U;
                if (random_below(2))
                        memset(data + at, 0, MIN((size_t)512, n - at));
                else
                        memmove(data + at, data + (random_below(n - MIN((size_t)512, n - at) + 1) & ~511U),
                                MIN((size_t)512, n - at));
                break;
        default: /* a byte that is something else */
                data[random_below(n)] = (uint8_t)random_below(256);
        }
        write_file(image_name(rig, i), data, n);
        free(data);
        return visible;
}

static void survive(struct rig *rig, const struct image *image, int round, size_t *ret_hurt)
{
        size_t missing;
        bool told, visible;

        restore_image(rig, image);
        visible = mutate(rig, image);
        rig_start(rig, "sqlite", "127.0.0.1");
        missing = check_bodies(rig);
        told = rig_logged(rig, "is damaged") || rig_logged(rig, "set aside") ||
               rig_logged(rig, "not whole") || rig_logged(rig, "stopped after");
        if ((missing || rig->observers_restored != 4) && !told && visible)
                fail_msg("round %d: %zu resources missing, %zu observers, and not a word:\n%s", round,
                         missing, rig->observers_restored, rig->log);
        *ret_hurt += told;
        /* It works, whatever it found. */
        assert_int_equal(put(rig, "r0", SPAN_LITERAL("new")), 0);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        for (size_t i = 0; i < rig->n_stored; i++)
                if (strcmp(rig->stored[i].path, "r0") == 0)
                        assert_memory_equal(rig->stored[i].body, "new", 3);
        rig_stop(rig);
}

static void survives_damage(void **state)
{
        struct rig *rig = *state;
        const char *rounds = getenv("COAPD_DAMAGE_ROUNDS");
        struct image clean = { 0 }, killed = { 0 };
        size_t hurt = 0;

        start_and_fill(rig, NULL);
        rig_stop(rig);
        load_image(rig, &clean);
        restore_image(rig, &(struct image){ 0 });
        /* With everything still in the logs. */
        rig_killed(rig, start_and_fill, NULL);
        load_image(rig, &killed);
        assert_non_null(killed.data[3]);
        for (int round = 0; round < (rounds ? atoi(rounds) : 600); round++) {
                seed = (uint32_t)round;
                survive(rig, round % 2 ? &killed : &clean, round, &hurt);
        }
        print_message("damage was told in %zu rounds\n", hurt);
        assert_in_range(hurt, 200, SIZE_MAX);
        free_image(&clean);
        free_image(&killed);
}

/*
 * The power fails while the log is folded in: the first page, which counts them all, is in the file already, and
 * the last ones are not. The log still has everything.
 */
static void a_checkpoint_that_was_cut_is_no_damage(void **state)
{
        enum { PAGE = 4096 };
        struct rig *rig = *state;
        struct image image = { 0 };
        struct stat before;

        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(stat(rig->files[0], &before), 0);
        fill(rig);
        rig_sql(rig, 0, "PRAGMA wal_checkpoint(PASSIVE)");
        load_image(rig, &image);
        rig_stop(rig);
        /* What the file has grown by is in the log, and only that may be missing. */
        assert_in_range(image.n[0], before.st_size + 2 * PAGE, SIZE_MAX);
        assert_in_range(image.n[3], 1, SIZE_MAX);
        image.n[0] -= PAGE;
        restore_image(rig, &image);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_string_equal(strstr(rig->log, "error") ? rig->log : "", "");
        assert_int_equal(rig_count_files(rig, ".bad-"), 0);
        assert_int_equal(check_bodies(rig), 0);
        assert_int_equal(rig->observers_restored, 4);
        free_image(&image);
}

/* --- the engine libcoap's files --- */

static void run_libcoap(struct rig *rig, int clients[2])
{
        /* PUT x, Content-Format 50, Uri-Query rt=s, body {} */
        static const uint8_t create[] = { 0xb1, 'x', 0x11, 50, 0x34, 'r', 't', '=', 's', 0xff, '{', '}' };

        rig_start(rig, "libcoap", "127.0.0.1");
        rig_send(rig, clients[0], COAP_REQUEST_CODE_PUT, "p", create, sizeof create);
        assert_non_null(rig_resource(rig, "x"));
        assert_in_range(rig_observe(rig, clients[0], "a", "one"), 0, 0xffffff);
        assert_in_range(rig_observe(rig, clients[1], "b", "two"), 0, 0xffffff);
}

static void takes_libcoaps_files_over(void **state)
{
        struct rig *rig = *state;
        int clients[2] = { rig_client(rig, "127.0.0.1"), rig_client(rig, "127.0.0.1") }, last = 0;

        run_libcoap(rig, clients);
        for (int i = 0; i < 57; i++) {
                rig_notify(rig, "a");
                last = rig_next(rig, clients[0], "one");
        }
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        for (size_t i = 0; i < 3; i++) {
                assert_true(rig_logged(rig, rig_file(rig, i, ": was a file of the engine libcoap; ")));
                assert_int_equal(rig_count_files(rig, strrchr(rig_file(rig, i, ".libcoap-"), '/') + 1), 1);
        }
        assert_int_equal(rig->observers_restored, 2);
        rig_notify(rig, "a");
        assert_true(rig_newer(last, rig_next(rig, clients[0], "one")));
        assert_int_equal(rig->n_stored, 1);
        assert_string_equal(rig->stored[0].path, "x");
        assert_int_equal(rig->stored[0].content_format, 50);
        assert_string_equal(rig->stored[0].attributes, "rt=s");
        assert_int_equal(rig->stored[0].body_n, 2);
        assert_memory_equal(rig->stored[0].body, "{}", 2);
        rig_stop(rig);
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_int_equal(rig->observers_restored, 2);
        assert_int_equal(rig->n_stored, 1);
        close(clients[0]);
        close(clients[1]);
}

/* Cut at any byte: what is whole comes over, the rest is left out, and nothing falls over. */
static void takes_over_what_is_whole(void **state)
{
        struct rig *rig = *state;
        int clients[2] = { rig_client(rig, "127.0.0.1"), rig_client(rig, "127.0.0.1") };
        uint8_t *data[3];
        size_t n[3];

        run_libcoap(rig, clients);
        rig_stop(rig);
        for (size_t i = 0; i < 3; i++)
                data[i] = read_file(rig->files[i], &n[i]);
        for (size_t cut = 1; cut < MAX(MAX(n[0], n[1]), n[2]); cut += cut < 64 ? 1 : 7) {
                restore_image(rig, &(struct image){ 0 });
                for (size_t i = 0; i < 3; i++)
                        write_file(rig->files[i], data[i], n[i] - MIN(n[i], cut));
                rig_start(rig, "sqlite", "127.0.0.1");
                assert_in_range(rig->observers_restored, 0, 1);
                assert_int_equal(rig->n_stored, 0);
                rig_stop(rig);
        }
        for (size_t i = 0; i < 3; i++)
                free(data[i]);
        close(clients[0]);
        close(clients[1]);
}

static void gives_libcoap_our_stores(void **state)
{
        struct rig *rig = *state;
        int clients[2] = { rig_client(rig, "127.0.0.1"), rig_client(rig, "127.0.0.1") }, last = 0;
        char name[16];

        rig_start(rig, "sqlite", "127.0.0.1");
        fill(rig);
        assert_in_range(rig_observe(rig, clients[0], "a", "one"), 0, 0xffffff);
        assert_in_range(rig_observe(rig, clients[1], "b", "a-token"), 0, 0xffffff);
        for (int i = 0; i < 57; i++) {
                rig_notify(rig, "a");
                last = rig_next(rig, clients[0], "one");
        }
        rig_stop(rig);
        rig_start(rig, "libcoap", "127.0.0.1");
        for (size_t i = 0; i < 3; i++) {
                assert_true(rig_logged(rig, rig_file(rig, i, ": was a store of the engine sqlite; ")));
                assert_int_equal(rig_count_files(rig, strrchr(rig_file(rig, i, ".sqlite-"), '/') + 1), 1);
        }
        for (size_t i = 0; i < BODIES; i++) {
                snprintf(name, sizeof name, "r%zu", i);
                assert_non_null(rig_resource(rig, name));
        }
        for (int i = 0; i < 2; i++) {
                rig_notify(rig, "a");
                assert_true(rig_newer(last, rig_next(rig, clients[0], "one")));
                rig_notify(rig, "b");
                assert_in_range(rig_next(rig, clients[1], "a-token"), 0, 0xffffff);
                rig_stop(rig);
                rig_start(rig, "libcoap", "127.0.0.1");
        }
        rig_stop(rig);
        /* And back again: all that libcoap was given is in its files still, as nobody made or deleted any. */
        rig_start(rig, "sqlite", "127.0.0.1");
        assert_in_range(rig->observers_restored, 2, 6);
        assert_int_equal(rig->n_stored, BODIES);
        close(clients[0]);
        close(clients[1]);
}

/* What is a database and none of ours must not reach libcoap. */
static void libcoap_gets_no_bad_file(void **state)
{
        struct rig *rig = *state;

        start_and_fill(rig, NULL);
        rig_stop(rig);
        make_foreign(rig, rig->files[0]);
        make_newer(rig, rig->files[1]);
        make_folder(rig, rig->files[2]);
        rig->conf.bad_file = CONF_BAD_FILE_REFUSE;
        rig_context(rig, "127.0.0.1");
        assert_int_equal(rig_engine(rig, "libcoap"), -EINVAL);
        assert_true(rig_logged(rig, "is a database of another application"));
        rig_stop(rig);
        rig->conf.bad_file = CONF_BAD_FILE_START_EMPTY;
        rig_start(rig, "libcoap", "127.0.0.1");
        assert_true(rig_logged(rig, "has the schema version 7"));
        assert_true(rig_logged(rig, "is a folder; set aside as "));
        assert_int_equal(rig_count_files(rig, ".bad-"), 3);
        rig_stop(rig);
        /* Which opening for reading would wait at. */
        unlink(rig->files[1]);
        assert_int_equal(mkfifo(rig->files[1], 0600), 0);
        rig_start(rig, "libcoap", "127.0.0.1");
        assert_true(rig_logged(rig, "is no regular file; set aside as "));
        assert_int_equal(rig_count_files(rig, ".bad-"), 4);
}

static void holds(const char *name, const char *text)
{
        size_t n;
        uint8_t *data = read_file(name, &n);

        assert_true(span_equal_string(span_of(data, n), text));
        free(data);
}

/* Twice within a second, too, and with the log that another process may keep alive. */
static void what_is_replaced_stays_beside(void **state)
{
        struct rig *rig = *state;
        const char *path = rig->files[0];
        char *asides[2] = { NULL, NULL }, log[160];

        write_file(path, "old", 3);
        write_file(rig_file(rig, 0, "-wal"), "log", 3);
        write_file(rig_file(rig, 0, ".new"), "new", 3);
        assert_int_equal(persist_file_replace(path, rig_file(rig, 0, ".new"), "tag", &asides[0]), 0);
        holds(path, "new");
        holds(asides[0], "old");
        snprintf(log, sizeof log, "%s-wal", asides[0]);
        holds(log, "log");
        assert_int_equal(access(rig_file(rig, 0, "-wal"), F_OK), -1);
        write_file(rig_file(rig, 0, ".new"), "newer", 5);
        assert_int_equal(persist_file_replace(path, rig_file(rig, 0, ".new"), "tag", &asides[1]), 0);
        holds(path, "newer");
        holds(asides[1], "new");
        holds(asides[0], "old");
        /* Where it does not succeed, everything is where it was. */
        assert_int_equal(persist_file_replace(path, rig_file(rig, 0, ".none"), "tag", &asides[1]), -ENOENT);
        holds(path, "newer");
        assert_int_equal(rig_count_files(rig, ".tag-"), 3);
        free(asides[0]);
        free(asides[1]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, rig_set_up, rig_tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(sets_bad_files_aside),
                TEST(refuses_when_told_to),
                TEST(saves_what_can_be_read),
                TEST(survives_damage),
                TEST(a_checkpoint_that_was_cut_is_no_damage),
                TEST(takes_libcoaps_files_over),
                TEST(takes_over_what_is_whole),
                TEST(gives_libcoap_our_stores),
                TEST(libcoap_gets_no_bad_file),
                TEST(what_is_replaced_stays_beside),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
