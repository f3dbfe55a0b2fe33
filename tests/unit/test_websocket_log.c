/* SPDX-License-Identifier: BSD-2-Clause */
/* The snprintf() that libcoap finds writes what libc's would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "endpoints/websocket_log.h"

/* Whatever libc's own header makes of it, it is not the function under test. */
static int plain(char *to, size_t n, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int plain(char *to, size_t n, const char *format, ...)
{
        va_list args;
        int r;

        va_start(args, format);
        r = vsnprintf(to, n, format, args);
        va_end(args);
        return r;
}

#define SAME(n, ...)                                                                                         \
        do {                                                                                                 \
                char ours[64], theirs[64];                                                                   \
                                                                                                             \
                memset(ours, 'x', sizeof ours);                                                              \
                memset(theirs, 'x', sizeof theirs);                                                          \
                assert_int_equal(websocket_log_snprintf(ours, n, 1, sizeof ours, __VA_ARGS__),               \
                                 plain(theirs, n, __VA_ARGS__));                                             \
                assert_memory_equal(ours, theirs, sizeof ours);                                              \
        } while (0)

static void writes_every_byte(void **state)
{
        (void)state;
        for (unsigned i = 0; i <= UINT8_MAX; i++)
                SAME(4, " %02x", i);
}

static void leaves_the_rest_to_libc(void **state)
{
        (void)state;
        SAME(4, " %02x", 256U);
        SAME(4, " %02x", ~0U);
        SAME(3, " %02x", 10U);
        SAME(64, " %02x", 10U);
        SAME(4, " %02x ", 10U);
        SAME(4, " %02X", 10U);
        SAME(4, "%s", "some text");
        SAME(64, "%s: %d of %zu", "some text", -3, (size_t)7);
}

/* Else all of this would be for nothing, in silence. */
static void is_what_libcoap_finds(void **state)
{
        void *found = dlsym(RTLD_DEFAULT, "__snprintf_chk");
        int (*ours)(char *, size_t, int, size_t, const char *, ...) = websocket_log_snprintf;

        (void)state;
        assert_memory_equal(&found, &ours, sizeof found);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(writes_every_byte),
                cmocka_unit_test(leaves_the_rest_to_libc),
                cmocka_unit_test(is_what_libcoap_finds),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
