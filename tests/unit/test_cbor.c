/* SPDX-License-Identifier: BSD-2-Clause */
/* CBOR as RFC 8949, appendix A, spells it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/cbor.h"

static void assert_written(struct buf *buf, const char *hex)
{
        char found[64] = "";

        assert_true(buf_ok(buf));
        for (size_t i = 0; i < buf->n && i < 30; i++)
                snprintf(found + 2 * i, 3, "%02x", buf->p[i]);
        assert_string_equal(found, hex);
        buf_reset(buf);
}

static void numbers(void **state)
{
        static const struct {
                uint64_t number;
                const char *hex;
        } cases[] = {
                { 0, "00" },
                { 23, "17" },
                { 24, "1818" },
                { 255, "18ff" },
                { 256, "190100" },
                { 65535, "19ffff" },
                { 65536, "1a00010000" },
                { 4294967295, "1affffffff" },
                { 4294967296, "1b0000000100000000" },
                { UINT64_MAX, "1bffffffffffffffff" },
        };
        struct buf buf = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                cbor_uint(&buf, cases[i].number);
                assert_written(&buf, cases[i].hex);
        }
        buf_deinit(&buf);
}

static void others(void **state)
{
        struct buf buf = { 0 };

        (void)state;
        cbor_bool(&buf, false);
        cbor_bool(&buf, true);
        assert_written(&buf, "f4f5");
        cbor_text(&buf, SPAN_LITERAL(""));
        cbor_text(&buf, SPAN_LITERAL("IETF"));
        assert_written(&buf, "606449455446");
        cbor_text(&buf, SPAN_LITERAL("aaaaaaaaaaaaaaaaaaaaaaaa"));
        assert_written(&buf, "7818616161616161616161616161616161616161616161616161");
        cbor_map(&buf, 0);
        cbor_map(&buf, 25);
        assert_written(&buf, "a0b819");
        buf_deinit(&buf);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers),
                cmocka_unit_test(others),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
