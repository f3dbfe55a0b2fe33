/* SPDX-License-Identifier: BSD-2-Clause */
/* Every MESSAGE_ID has an entry in the journal's catalog, and every entry an identifier. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { MAX_IDS = 64 };

/* The first run of 32 hex digits of each line that begins with `prefix`. */
static size_t read_ids(const char *file, const char *prefix, char ids[MAX_IDS][33])
{
        static const char digits[] = "0123456789abcdef";
        char path[512], line[512];
        size_t n = 0;
        FILE *in;

        snprintf(path, sizeof path, "%s/%s", COAPD_SOURCE_DIR, file);
        in = fopen(path, "r");
        assert_non_null(in);
        while (fgets(line, sizeof line, in) && n < MAX_IDS) {
                if (strncmp(line, prefix, strlen(prefix)) != 0)
                        continue;
                for (const char *p = line; *p; p++) {
                        if (strspn(p, digits) != 32)
                                continue;
                        snprintf(ids[n++], 33, "%.32s", p);
                        break;
                }
        }
        fclose(in);
        return n;
}

static bool has(char ids[MAX_IDS][33], size_t n, const char *id)
{
        for (size_t i = 0; i < n; i++)
                if (strcmp(ids[i], id) == 0)
                        return true;
        return false;
}

static void the_manual_lists_them_all(void **state)
{
        char defined[MAX_IDS][33], listed[MAX_IDS][33];
        size_t n_defined = read_ids("daemon/base/message_ids.h", "#define MESSAGE_", defined);
        size_t n_listed = read_ids("packaging/man/coapd.8", ".It Li ", listed);

        (void)state;
        assert_int_equal(n_defined, n_listed);
        for (size_t i = 0; i < n_defined; i++)
                if (!has(listed, n_listed, defined[i]))
                        fail_msg("%s is not in coapd(8)", defined[i]);
}

static void ids_and_entries_are_the_same(void **state)
{
        char defined[MAX_IDS][33], explained[MAX_IDS][33];
        size_t n_defined = read_ids("daemon/base/message_ids.h", "#define MESSAGE_", defined);
        size_t n_explained = read_ids("systemd/coapd.catalog", "-- ", explained);

        (void)state;
        assert_true(n_defined >= 13);
        assert_int_equal(n_defined, n_explained);
        for (size_t i = 0; i < n_defined; i++) {
                if (!has(explained, n_explained, defined[i]))
                        fail_msg("%s has no entry in the catalog", defined[i]);
                for (size_t k = 0; k < i; k++)
                        assert_string_not_equal(defined[i], defined[k]);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ids_and_entries_are_the_same),
                cmocka_unit_test(the_manual_lists_them_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
