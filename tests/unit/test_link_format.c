/* SPDX-License-Identifier: BSD-2-Clause */
/* The link format (RFC 6690) and URI references (RFC 3986). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/utf8.h"
#include "resources/link_format.h"
#include "resources/uri_reference.h"

/* Reads all of it and writes what it understood: "target|name=value|flag,"; or -EINVAL. */
static int read_all(struct span document, struct buf *out)
{
        CLEANUP(buf_deinit) struct buf scratch = { 0 };
        struct link_parameter parameter;
        struct link_value link;
        int r;

        while ((r = link_next(&document, &link)) > 0) {
                struct span rest = link.parameters;

                buf_append_span(out, link.target);
                while ((r = link_parameter_next(&rest, &parameter)) > 0) {
                        buf_append_byte(out, '|');
                        buf_append_span(out, parameter.name);
                        if (parameter.has_value)
                                buf_append_byte(out, '=');
                        buf_append_span(out, link_parameter_value(&parameter, &scratch));
                }
                assert_int_equal(r, 0);
                buf_append_byte(out, ',');
        }
        return r;
}

static void reads_what_is_in_order(void **state)
{
        static const char *const cases[][2] = {
                { "", "" },
                { "<>", "," },
                { "</a>", "/a," },
                { "</a>,</b>", "/a,/b," },
                { "</a>;rt=\"x y\";if=z;obs,<b>;ct=40", "/a|rt=x y|if=z|obs,b|ct=40," },
                { "</a>;title=\"a,b;c<d>\"", "/a|title=a,b;c<d>," },
                { "</a>;title=\"a \\\"b\\\" \\\\\"", "/a|title=a \"b\" \\," },
                { "</a>;title*=UTF-8'en'x%20y", "/a|title*=UTF-8'en'x%20y," },
                { "</a>;rt=\"\"", "/a|rt=," },
                { "<coap://[::1]/a?b=c,d>;anchor=\"/\"", "coap://[::1]/a?b=c,d|anchor=/," },
                { "</a>;title=\"\303\244\"", "/a|title=\303\244," },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                CLEANUP(buf_deinit) struct buf out = { 0 };

                assert_int_equal(read_all(span_of_string(cases[i][0]), &out), 0);
                assert_string_equal(buf_string(&out), cases[i][1]);
        }
}

static void refuses_what_is_not(void **state)
{
        static const char *const cases[] = {
                "/a",
                "<",
                "</a",
                "</a>,",
                "</a>,,</b>",
                ",</a>",
                "</a> ",
                "</a>, </b>",
                "</a>; rt=x",
                "</a>;",
                "</a>;;rt=x",
                "</a>;=x",
                "</a>;rt=",
                "</a>;rt=\"",
                "</a>;rt=\"x",
                "</a>;rt=\"x\\",
                "</a>;rt=x y",
                "</a>;rt=\"x\"y",
                "</a>;r t=x",
                "</a></b>",
                "</a>;rt=a,b",
                "</a>;rt=\"\n\"",
                "</a>;rt=x\\",
                "</a>;rt = x",
                "</a>;\303\244=x",
                "hello",
                "[]",
                "</a>;rt=\"a\\\001\"",
        };
        struct span nul = span_of("</a>;rt=\0", 9), in_name = span_of("</a>;r\0t", 8);

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                CLEANUP(buf_deinit) struct buf out = { 0 };

                assert_int_equal(read_all(span_of_string(cases[i]), &out), -EINVAL);
        }
        for (size_t i = 0; i < 2; i++) {
                CLEANUP(buf_deinit) struct buf out = { 0 };

                assert_int_equal(read_all(i ? nul : in_name, &out), -EINVAL);
        }
}

/* Cut anywhere, it is read or refused; nothing behind its end is looked at (under ASan). */
static void takes_every_prefix(void **state)
{
        static const char whole[] = "</a>;rt=\"x \\\" y\";if=z;obs,<b>;ct=40;title*=UTF-8''x";

        (void)state;
        for (size_t n = 0; n < sizeof whole; n++) {
                CLEANUP(buf_deinit) struct buf out = { 0 };
                CLEANUP(freep) char *copy = malloc(n ? n : 1);

                memcpy(copy, whole, n);
                (void)read_all(span_of(copy, n), &out);
        }
}

static void keeps_a_parameter_as_it_stands(void **state)
{
        struct span document = SPAN_LITERAL("</a>;rt=\"x \\\"\";obs;ct=40,</b>");
        struct link_parameter parameter;
        struct link_value link;
        struct span rest;

        (void)state;
        assert_int_equal(link_next(&document, &link), 1);
        rest = link.parameters;
        assert_int_equal(link_parameter_next(&rest, &parameter), 1);
        assert_true(span_equal_string(parameter.whole, "rt=\"x \\\"\""));
        assert_int_equal(link_parameter_next(&rest, &parameter), 1);
        assert_true(span_equal_string(parameter.whole, "obs"));
        assert_int_equal(link_parameter_next(&rest, &parameter), 1);
        assert_true(span_equal_string(parameter.whole, "ct=40"));
        assert_int_equal(link_parameter_next(&rest, &parameter), 0);
}

static void matches_patterns(void **state)
{
        static const struct {
                const char *value, *pattern;
                bool whole, word;
        } cases[] = {
                { "a b", "a b", true, false }, { "a b", "b", false, true },  { "ab cd", "c*", false, true },
                { "ab", "*", true, true },     { "", "*", true, false },     { "", "", true, false },
                { "a", "a*", true, true },     { "a", "ab*", false, false }, { "a*", "a*", true, true },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct span value = span_of_string(cases[i].value),
                            pattern = span_of_string(cases[i].pattern);

                assert_int_equal(link_matches(value, pattern), cases[i].whole);
                assert_int_equal(link_matches_word(value, pattern), cases[i].word);
        }
}

/* RFC 3986, 5.4, and what registrations have. */
static void resolves_references(void **state)
{
        static const char *const cases[][3] = {
                { "coap://h:61616", "/temp", "coap://h:61616/temp" },
                { "coap://h", "temp", "coap://h/temp" },
                { "coap://h", "", "coap://h" },
                { "coap://h/", "", "coap://h/" },
                { "coap://[2001:db8::1]", "/a/../b", "coap://[2001:db8::1]/b" },
                { "coap://[2001:db8::1]:61616", "/a?x=1", "coap://[2001:db8::1]:61616/a?x=1" },
                { "coap://h", "//other/x", "coap://other/x" },
                { "coap://h", "http://www.example.com/x", "http://www.example.com/x" },
                { "coap://h", "HTTP://www/../x", "HTTP://www/../x" },
                { "coap://h/a/b", "c", "coap://h/a/c" },
                { "coap://h/a/b", "../c", "coap://h/c" },
                { "coap://h/a/b", "../../../c", "coap://h/c" },
                { "coap://h/a/b?q", "?y", "coap://h/a/b?y" },
                { "coap://h/a/b", "#f", "coap://h/a/b#f" },
                { "coap://h", "/%41%2f", "coap://h/%41%2f" },
                { "coap://h", "urn:x:y", "urn:x:y" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                CLEANUP(buf_deinit) struct buf out = { 0 };

                assert_int_equal(uri_resolve(span_of_string(cases[i][0]), span_of_string(cases[i][1]), &out),
                                 0);
                assert_string_equal(buf_string(&out), cases[i][2]);
        }
}

static void refuses_what_is_no_uri(void **state)
{
        static const char *const references[] = { "a b", "%4", "/\"", "http://[::1", "/\303\244", "<", "a^" };
        static const char *const no_bases[] = { "",          "/a",  "coap:",  "//h",
                                                "coap:///x", "a b", "h:5683", "urn:x" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(references); i++) {
                CLEANUP(buf_deinit) struct buf out = { 0 };

                assert_false(uri_reference_is_valid(span_of_string(references[i])));
                assert_int_equal(uri_resolve(SPAN_LITERAL("coap://h"), span_of_string(references[i]), &out),
                                 -EINVAL);
        }
        assert_false(uri_reference_is_valid(span_of("/a\0b", 4)));
        assert_true(uri_reference_is_valid((struct span){ 0 }));
        for (size_t i = 0; i < ARRAY_LEN(no_bases); i++)
                assert_false(uri_is_base(span_of_string(no_bases[i])));
        assert_true(uri_is_base(SPAN_LITERAL("coap://h")));
        assert_true(uri_is_base(SPAN_LITERAL("coap+tcp://[::1]:7/x")));
        assert_true(uri_is_link_local(SPAN_LITERAL("coap://[fe80::1]")));
        assert_true(uri_is_link_local(SPAN_LITERAL("coap://[febf::1]:1")));
        assert_true(uri_is_link_local(SPAN_LITERAL("coap://169.254.1.1")));
        assert_false(uri_is_link_local(SPAN_LITERAL("coap://[fec0::1]")));
        assert_false(uri_is_link_local(SPAN_LITERAL("coap://fe80")));
}

static void knows_utf8(void **state)
{
        static const char *const good[] = { "",        "a", "\303\244", "\342\202\254", "\360\237\230\200",
                                            "\302\240" };
        static const char *const bad[] = { "\303",         "\200",         "\300\200",
                                           "\340\200\200", "\355\240\200", "\364\220\200\200",
                                           "\377",         "\360\237\230" };
        static const char *const unprintable[] = { "\001", "\177", "\302\205", "a\tb" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++)
                assert_true(utf8_is_valid(span_of_string(good[i])) &&
                            utf8_is_printable(span_of_string(good[i])));
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(utf8_is_valid(span_of_string(bad[i])));
        for (size_t i = 0; i < ARRAY_LEN(unprintable); i++)
                assert_true(utf8_is_valid(span_of_string(unprintable[i])) &&
                            !utf8_is_printable(span_of_string(unprintable[i])));
        assert_false(utf8_is_printable(span_of("a\0", 2)));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_what_is_in_order), cmocka_unit_test(refuses_what_is_not),
                cmocka_unit_test(takes_every_prefix),     cmocka_unit_test(keeps_a_parameter_as_it_stands),
                cmocka_unit_test(matches_patterns),       cmocka_unit_test(resolves_references),
                cmocka_unit_test(refuses_what_is_no_uri), cmocka_unit_test(knows_utf8),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
