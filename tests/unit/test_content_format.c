/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of content formats: by name, by number, by file name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/content_format.h"
#include "base/util.h"

static void finds_by_name(void **state)
{
        static const struct {
                const char *name;
                int number;
        } cases[] = {
                { "text/plain", 0 },
                { "text/plain;charset=utf-8", 0 },
                { "Text/Plain; Charset=UTF-8", 0 },
                { "text/plain; charset=\"utf-8\"", 0 },
                { "text/plain;charset=latin1", -1 },
                { "application/json", 50 },
                { "application/json;charset=utf-8", 50 },
                { "application/jso", -1 },
                { "application/json5", -1 },
                { "application/cose", -1 },
                { "application/cose; cose-type=\"cose-sign1\"", 18 },
                { "application/cose;cose-type=cose-sign", 98 },
                { "application/concise-problem-details+cbor", 257 },
                { "text/javascript", 10002 },
                { "0", 0 },
                { "50", 50 },
                { "00050", 50 },
                { "65000", 65000 },
                { "65535", 65535 },
                { "65536", -1 },
                { "100000", -1 },
                { "-1", -1 },
                { "5 ", -1 },
                { "", -1 },
                { ";charset=utf-8", -1 },
                { "\"", -1 },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                if (content_format_by_name(span_of_string(cases[i].name)) != cases[i].number)
                        fail_msg("%s: got %d, expected %d", cases[i].name,
                                 content_format_by_name(span_of_string(cases[i].name)), cases[i].number);
        /* Bytes of the wire: a NUL is no end. */
        assert_int_equal(content_format_by_name(SPAN_LITERAL("text/plain\0")), -1);
}

static void names_lead_back(void **state)
{
        unsigned known = 0;

        (void)state;
        assert_string_equal(content_format_name(0), "text/plain;charset=utf-8");
        assert_string_equal(content_format_name(40), "application/link-format");
        assert_null(content_format_name(1));
        assert_null(content_format_name(65536));
        for (unsigned number = 0; number <= CONTENT_FORMAT_MAX; number++) {
                const char *name = content_format_name(number);

                if (!name)
                        continue;
                known++;
                if (content_format_by_name(span_of_string(name)) != (int)number)
                        fail_msg("%s does not lead back to %u", name, number);
        }
        assert_in_range(known, 70, 200);
}

static void finds_by_extension(void **state)
{
        (void)state;
        assert_int_equal(content_format_by_extension("a/b.c/readme.TXT"), 0);
        assert_int_equal(content_format_by_extension(".json"), 50);
        assert_int_equal(content_format_by_extension("x.tar.cbor"), 60);
        assert_int_equal(content_format_by_extension("a.json/noextension"), -1);
        assert_int_equal(content_format_by_extension("noextension"), -1);
        assert_int_equal(content_format_by_extension("dot."), -1);
        assert_int_equal(content_format_by_extension(NULL), -1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_by_name),
                cmocka_unit_test(names_lead_back),
                cmocka_unit_test(finds_by_extension),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
