/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers, spans, names of peers, and what becomes of a peer's bytes in the log. */
#include <arpa/inet.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/peer_name.h"

static void buffer_grows_and_is_a_string(void **state)
{
        CLEANUP(buf_deinit) struct buf b = { 0 };

        (void)state;
        assert_string_equal(buf_string(&b), "");
        for (int i = 0; i < 1000; i++)
                buf_printf(&b, "%d,", i % 10);
        assert_int_equal(b.n, 2000);
        assert_memory_equal(b.p, "0,1,2,3,4,5,6,7,8,9,0,", 22);
        assert_int_equal(strlen(buf_string(&b)), 2000);
        buf_reset(&b);
        buf_append(&b, "a\0b", 3);
        buf_append(&b, NULL, 0);
        assert_true(span_equal(buf_span(&b), SPAN_LITERAL("a\0b")));
}

static const char *name_of(int family, const char *ip, uint16_t port, uint32_t scope,
                           char out[static PEER_NAME])
{
        union {
                struct sockaddr any;
                struct sockaddr_in four;
                struct sockaddr_in6 six;
        } address = { .any.sa_family = (sa_family_t)family };

        if (family == AF_INET6) {
                address.six.sin6_port = htons(port);
                address.six.sin6_scope_id = scope;
        } else {
                address.four.sin_port = htons(port);
        }
        assert_int_equal(inet_pton(family, ip,
                                   family == AF_INET6 ? (void *)&address.six.sin6_addr
                                                      : (void *)&address.four.sin_addr),
                         1);
        return peer_name(&address.any, out);
}

static void peers_have_one_name(void **state)
{
        char name[PEER_NAME];

        (void)state;
        assert_string_equal(name_of(AF_INET, "192.0.2.1", 5683, 0, name), "192.0.2.1:5683");
        assert_string_equal(name_of(AF_INET6, "::ffff:192.0.2.1", 61616, 0, name), "192.0.2.1:61616");
        assert_string_equal(name_of(AF_INET6, "2001:db8::1", 65535, 0, name), "[2001:db8::1]:65535");
        assert_string_equal(name_of(AF_INET6, "fe80::1", 1, if_nametoindex("lo"), name), "[fe80::1%lo]:1");
        assert_string_equal(peer_name(NULL, name), "?");
        assert_string_equal(peer_name(&(struct sockaddr){ .sa_family = AF_UNIX }, name), "?");
}

static void buffer_remembers_that_it_failed(void **state)
{
        CLEANUP(buf_deinit) struct buf b = { 0 };

        (void)state;
        buf_append_string(&b, "x");
        assert_null(buf_reserve(&b, SIZE_MAX / 2));
        buf_append_string(&b, "y");
        assert_false(buf_ok(&b));
        assert_int_equal(b.n, 1);
        buf_reset(&b);
        assert_true(buf_ok(&b));
}

static void spans_compare(void **state)
{
        struct span path = SPAN_LITERAL("a/b");

        (void)state;
        assert_true(span_starts_with(path, SPAN_LITERAL("a/")));
        assert_true(span_starts_with(path, SPAN_LITERAL("")));
        assert_false(span_starts_with(path, SPAN_LITERAL("a/b/c")));
        assert_true(span_equal_string(span_skip(path, 2), "b"));
        assert_int_equal(span_skip(path, 4).n, 0);
        assert_true(span_equal(span_of(NULL, 0), SPAN_LITERAL("")));
}

static void log_escapes_what_a_peer_sent(void **state)
{
        static const struct {
                struct span in;
                const char *out;
        } cases[] = {
                { SPAN_LITERAL("plain text"), "plain text" },
                { SPAN_LITERAL("a\nMESSAGE=forged"), "a\\x0aMESSAGE=forged" },
                { SPAN_LITERAL("\x1b[31m"), "\\x1b[31m" },
                { SPAN_LITERAL("a\\x0a"), "a\\x5cx0a" },
                { SPAN_LITERAL("k\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x8c\x8a"),
                  "k\xc3\xb6ln \xe2\x82\xac \xf0\x9f\x8c\x8a" },
                { SPAN_LITERAL("\xc3"), "\\xc3" },
                { SPAN_LITERAL("\xc0\xaf"), "\\xc0\\xaf" },                   /* overlong */
                { SPAN_LITERAL("\xed\xa0\x80"), "\\xed\\xa0\\x80" },          /* surrogate */
                { SPAN_LITERAL("\xe2\x80\xae"), "\\xe2\\x80\\xae" },          /* right-to-left override */
                { SPAN_LITERAL("\xc2\x9b"), "\\xc2\\x9b" },                   /* C1 */
                { SPAN_LITERAL("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80" }, /* beyond U+10FFFF */
                { SPAN_LITERAL("a\0b"), "a\\x00b" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                assert_string_equal(LOG_ESCAPE(cases[i].in), cases[i].out);
}

static void log_cuts_what_is_too_long(void **state)
{
        char out[16];

        (void)state;
        assert_string_equal(log_escape(SPAN_LITERAL("0123456789012"), out, sizeof out), "012345678901...");
        assert_string_equal(log_escape(SPAN_LITERAL("01234567890\n1"), out, sizeof out), "01234567890...");
        assert_string_equal(log_escape(SPAN_LITERAL("012345678901"), out, sizeof out), "012345678901");
}

static void gate_lets_a_burst_through(void **state)
{
        struct log_gate gate = { .burst = 3, .interval_s = 3600 };
        unsigned suppressed, passed = 0;

        (void)state;
        for (int i = 0; i < 10; i++)
                passed += log_gate_pass(&gate, &suppressed);
        assert_int_equal(passed, 3);
        gate.window_start -= 3600;
        assert_true(log_gate_pass(&gate, &suppressed));
        assert_int_equal(suppressed, 7);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(buffer_grows_and_is_a_string),
                cmocka_unit_test(buffer_remembers_that_it_failed),
                cmocka_unit_test(peers_have_one_name),
                cmocka_unit_test(spans_compare),
                cmocka_unit_test(log_escapes_what_a_peer_sent),
                cmocka_unit_test(log_cuts_what_is_too_long),
                cmocka_unit_test(gate_lets_a_burst_through),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
