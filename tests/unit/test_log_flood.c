/* SPDX-License-Identifier: BSD-2-Clause */
/* What a peer makes coapd say again and again is said a few times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "security/oscore_internal.h"

enum { TIMES = 1000 };

/* What goes to standard error meanwhile goes to a file. */
static int kept_stderr = -1;
static FILE *said;

static void listen_to_it(void)
{
        fflush(stderr);
        said = tmpfile();
        assert_non_null(said);
        kept_stderr = dup(STDERR_FILENO);
        assert_return_code(dup2(fileno(said), STDERR_FILENO), errno);
}

/* Lines with `text` in them; the last one is in `last`. */
static unsigned lines_with(const char *text, char last[256])
{
        char line[256];
        unsigned n = 0;

        fflush(stderr);
        dup2(kept_stderr, STDERR_FILENO);
        close(kept_stderr);
        rewind(said);
        while (fgets(line, sizeof line, said))
                if (strstr(line, text)) {
                        n++;
                        strcpy(last, line);
                }
        fclose(said);
        return n;
}

static void a_gate_says_what_it_left_out(void **state)
{
        struct log_gate gate = { .burst = 2, .interval_s = 3600 };
        unsigned written = 0;
        char last[256];

        (void)state;
        listen_to_it();
        for (int i = 0; i < TIMES; i++)
                written += log_gated(&gate, LOG_ERR, NULL, "it failed: %d", i);
        gate.window_start -= 3600;
        assert_true(log_gated(&gate, LOG_ERR, NULL, "it failed: again"));
        assert_false(log_gated(&gate, LOG_DEBUG, NULL, "it failed: too little to be told"));
        assert_int_equal(lines_with("it failed", last), 3);
        assert_non_null(strstr(last, "it failed: again (and 998 before)\n"));
        assert_int_equal(written, 2);
}

static void each_place_has_its_gate(void **state)
{
        char last[256];

        (void)state;
        listen_to_it();
        for (int i = 0; i < TIMES; i++) {
                LOG_RARELY(LOG_ERR, NULL, "one of them");
                LOG_RARELY(LOG_ERR, NULL, "the other of them");
        }
        /* A minute may end meanwhile. */
        assert_in_range(lines_with("of them", last), 10, 40);
}

static int store_result;

static int save(void *user, const char *name, uint64_t number)
{
        (void)user, (void)name, (void)number;
        return store_result;
}

/* A disk that is full and is not, by turns, as those who write to it can make it. */
static void oscore_tells_few_of_many_troubles(void **state)
{
        const struct security_store store = { .save = save };
        struct oscore owner = { .store = &store };
        struct oscore_context context = { .owner = &owner };
        struct oscore_place place = { .context = &context, .stored = true };
        char last[256];

        (void)state;
        listen_to_it();
        for (int i = 0; i < TIMES; i++) {
                store_result = -ENOSPC;
                assert_int_equal(oscore_sequence_save(100, &place), 0);
                assert_true(place.stalled);
                store_result = 0;
                assert_int_equal(oscore_sequence_save(100, &place), 1);
                assert_false(place.stalled);
        }
        assert_in_range(lines_with("OSCORE", last), 2, 40);
        assert_non_null(strstr(last, "stored again"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_gate_says_what_it_left_out),
                cmocka_unit_test(each_place_has_its_gate),
                cmocka_unit_test(oscore_tells_few_of_many_troubles),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
