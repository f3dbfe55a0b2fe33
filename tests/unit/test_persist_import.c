/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the engine libcoap that fail while they are read; test_persist_files.c has those that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "persist/files.h"
#include "persist/import.h"

/* What becomes of the file under test when it is read. */
static struct {
        int fd; /* as the last call had it, of this file */
        long from;
        int error;     /* instead of bytes from `from` on; 0: none */
        long truncate; /* to so many bytes, before anything is read; 0: not */
} fault;

static char path[64];

/* That of the executable comes before libc's. */
ssize_t pread(int fd, void *to, size_t n, off_t at)
{
        char name[64], target[64];
        ssize_t size;

        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        size = readlink(name, target, sizeof target - 1);
        if (size <= 0 || (size_t)size != strlen(path) || memcmp(target, path, (size_t)size) != 0)
                return syscall(SYS_pread64, fd, to, n, at);
        if (fault.truncate)
                assert_int_equal(truncate(path, fault.truncate), 0);
        if (fault.error && at >= fault.from) {
                errno = fault.error;
                return -1;
        }
        if (fault.error && at + (off_t)n > fault.from)
                n = (size_t)(fault.from - at);
        return syscall(SYS_pread64, fd, to, n, at);
}

enum { COUNTERS = 60000 };

static int set_up(void **state)
{
        FILE *file;
        int fd;

        (void)state;
        memset(&fault, 0, sizeof fault);
        strcpy(path, "/tmp/coapd-import-XXXXXX");
        fd = mkstemp(path);
        file = fd < 0 ? NULL : fdopen(fd, "w");
        if (!file)
                return -1;
        for (int i = 0; i < COUNTERS; i++)
                fprintf(file, "resource-%05d 7\n", i);
        return fclose(file);
}

/* The file, what it is replaced by, and what that keeps. */
static int tear_down(void **state)
{
        char command[128];

        (void)state;
        snprintf(command, sizeof command, "rm -f %s*", path);
        return system(command);
}

static int recognises(void)
{
        return import_recognises(path, store_schema_counters.application_id);
}

static int import(void)
{
        return import_libcoap(path, &store_schema_counters);
}

static void assert_kept(enum persist_file_kind expected)
{
        enum persist_file_kind kind;

        assert_int_equal(persist_file_kind(path, &kind), 0);
        assert_int_equal(kind, expected);
}

static void reads_all_of_it(void **state)
{
        (void)state;
        assert_int_equal(recognises(), 1);
        assert_int_equal(import(), 0);
        assert_kept(PERSIST_FILE_SQLITE);
}

static int count(void)
{
        sqlite3 *db = NULL;
        sqlite3_stmt *all = NULL;
        char sql[64];
        int n;

        snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", store_schema_counters.tables[0].name);
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &all, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(all), SQLITE_ROW);
        n = sqlite3_column_int(all, 0);
        sqlite3_finalize(all);
        sqlite3_close(db);
        return n;
}

/* Nobody knows what is in it, so it is neither recognised nor somebody else's. */
static void a_bad_sector_at_the_front(void **state)
{
        (void)state;
        fault.error = EIO;
        assert_int_equal(recognises(), -EIO);
        assert_kept(PERSIST_FILE_REGULAR);
}

static void a_bad_sector_further_on(void **state)
{
        char new[80];

        (void)state;
        fault.error = EIO;
        fault.from = 600000;
        assert_int_equal(recognises(), 1);
        assert_int_equal(import(), -EIO);
        assert_kept(PERSIST_FILE_REGULAR);
        snprintf(new, sizeof new, "%s.new", path);
        assert_int_equal(access(new, F_OK), -1);
}

/* What there is of it comes over. */
static void truncated_while_it_is_read(void **state)
{
        (void)state;
        fault.truncate = 100 * (long)strlen("resource-00000 7\n");
        assert_int_equal(recognises(), 1);
        assert_int_equal(import(), 0);
        assert_int_equal(count(), 100);
}

static void too_long_to_be_one(void **state)
{
        (void)state;
        assert_int_equal(truncate(path, (1L << 30) + 1), 0);
        assert_int_equal(recognises(), 1);
        assert_int_equal(import(), -EFBIG);
        assert_kept(PERSIST_FILE_REGULAR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(reads_all_of_it),         TEST(a_bad_sector_at_the_front),
                TEST(a_bad_sector_further_on), TEST(truncated_while_it_is_read),
                TEST(too_long_to_be_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
