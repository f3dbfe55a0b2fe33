/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON merge patches: the test cases of RFC 7396, Appendix A, what it says of numbers, and what is no JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "resources/json_merge.h"

static int merge(const char *target, const char *patch, struct buf *out)
{
        buf_reset(out);
        return json_merge(span_of_string(target), span_of_string(patch), out);
}

static void test_rfc7396_appendix_a(void **state)
{
        static const char *const cases[][3] = {
                { "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
                { "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}" },
                { "{\"a\":\"b\"}", "{\"a\":null}", "{}" },
                { "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}" },
                { "{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}" },
                { "{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}" },
                { "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}" },
                { "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}" },
                { "[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]" },
                { "{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]" },
                { "{\"a\":\"foo\"}", "null", "null" },
                { "{\"a\":\"foo\"}", "\"bar\"", "\"bar\"" },
                { "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}" },
                { "[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}" },
                { "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}" },
        };
        CLEANUP(buf_deinit) struct buf out = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                assert_int_equal(merge(cases[i][0], cases[i][1], &out), 0);
                assert_string_equal(buf_string(&out), cases[i][2]);
        }
}

static void test_text_beyond_ascii(void **state)
{
        CLEANUP(buf_deinit) struct buf out = { 0 };

        (void)state;
        assert_int_equal(
                merge("{\"\xc3\xa9\":\"\xe2\x82\xac\"}", "{\"a\":\"\xf0\x9f\x98\x80\\\\\xc3\xa9\"}", &out),
                0);
        assert_string_equal(buf_string(&out),
                            "{\"\xc3\xa9\":\"\xe2\x82\xac\",\"a\":\"\xf0\x9f\x98\x80\\\\\xc3\xa9\"}");
        assert_int_equal(merge("{\"a\":\"\\\xc3\xa9\"}", "{}", &out), JSON_MERGE_BAD_TARGET);
        assert_int_equal(merge("{\"a\":\"\xed\xa0\x80\"}", "{}", &out), JSON_MERGE_BAD_TARGET);
        assert_int_equal(merge("{\"a\":\"\xc0\x80\"}", "{}", &out), JSON_MERGE_BAD_TARGET);
        assert_int_equal(merge("{\"a\":\"\xc3\"}", "{}", &out), JSON_MERGE_BAD_TARGET);
}

static void test_numbers_keep_their_spelling(void **state)
{
        CLEANUP(buf_deinit) struct buf out = { 0 };

        (void)state;
        assert_int_equal(merge("{\"t\":21.10,\"n\":18446744073709551615,\"u\":\"/\\u00e9\"}",
                               "{\"m\":-9007199254740993}", &out),
                         0);
        assert_string_equal(
                buf_string(&out),
                "{\"t\":21.10,\"n\":18446744073709551615,\"u\":\"/\xc3\xa9\",\"m\":-9007199254740993}");
}

static void test_not_json(void **state)
{
        static const char *const bad[] = {
                "",
                " ",
                "{",
                "{}x",
                "{} {}",

                "{\"a\":1,}",
                "nul",
                "NaN",
                "[-Infinity]",
                "1.",
                "[-1.e5]",
                "{\"a\":[NaN]}",
                "1e999",
                "[1",
                "\"\xff\"",
                "{\"a\\u0000b\":1}",
                "{\"n\":123456789012345678901234567890}",
        };
        CLEANUP(buf_deinit) struct buf out = { 0 };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                if (merge("{}", bad[i], &out) != JSON_MERGE_BAD_PATCH ||
                    merge(bad[i], "{}", &out) != JSON_MERGE_BAD_TARGET)
                        fail_msg("taken for JSON: %s", bad[i]);
                assert_int_equal(out.n, 0);
        }
        assert_int_equal(json_merge(SPAN_LITERAL("{}"), span_of("{}\0", 3), &out), JSON_MERGE_BAD_PATCH);
}

static void test_depth_is_bounded(void **state)
{
        CLEANUP(buf_deinit) struct buf deep = { 0 };
        CLEANUP(buf_deinit) struct buf out = { 0 };

        (void)state;
        for (int i = 0; i < 100000; i++)
                buf_append_byte(&deep, '[');
        for (int i = 0; i < 100000; i++)
                buf_append_byte(&deep, ']');
        assert_int_equal(json_merge(SPAN_LITERAL("{}"), buf_span(&deep), &out), JSON_MERGE_BAD_PATCH);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_rfc7396_appendix_a),
                cmocka_unit_test(test_text_beyond_ascii),
                cmocka_unit_test(test_numbers_keep_their_spelling),
                cmocka_unit_test(test_not_json),
                cmocka_unit_test(test_depth_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
