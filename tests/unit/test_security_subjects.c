/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table behind the `allow` lists: what stands in it counts for one rule, one kind of peer, one length of prefix.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/util.h"
#include "security/subjects.h"

/* So many that a look-up walks over entries of others. */
#define N_RULES 256

static struct subjects *lists(const char *const *subjects, size_t n)
{
        struct subjects *all = subjects_new(N_RULES);
        const char *expected;

        assert_non_null(all);
        for (uint32_t i = 0; i < N_RULES; i++)
                assert_int_equal(subjects_add(all, i, subjects[i % n], &expected), 0);
        return all;
}

static struct identity known(enum identity_kind kind, const char *name)
{
        return (struct identity){ .kind = kind, .name = span_of_string(name) };
}

static struct identity from(const char *address)
{
        struct identity who = { .kind = IDENTITY_NONE };
        struct sockaddr_in in = { .sin_family = AF_INET };

        assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
        identity_set_address(&who, (struct sockaddr *)&in);
        return who;
}

static void a_subject_is_of_its_rule_and_kind(void **state)
{
        static const char *const subjects[] = { "psk:0a", "psk:0b", "oscore:0a", "oscore:0b", "cert:CN=0a" };
        static const struct span certificate[] = { SPAN_LITERAL("CN=0a") };
        const struct {
                struct identity who;
                size_t subject;
        } cases[] = {
                { known(IDENTITY_PSK, "0a"), 0 },
                { known(IDENTITY_PSK, "0b"), 1 },
                { known(IDENTITY_OSCORE, "0a"), 2 },
                { known(IDENTITY_OSCORE, "0b"), 3 },
                { { .kind = IDENTITY_CERT, .names = certificate, .n_names = 1 }, 4 },
                { known(IDENTITY_PSK, "CN=0a"), SIZE_MAX },
        };
        struct subjects *all = lists(subjects, ARRAY_LEN(subjects));

        (void)state;
        for (size_t c = 0; c < ARRAY_LEN(cases); c++) {
                for (uint32_t i = 0; i < N_RULES; i++) {
                        bool expected = i % ARRAY_LEN(subjects) == cases[c].subject;

                        if (subjects_have(all, i, &cases[c].who) != expected)
                                fail_msg("case %zu, rule %u", c, i);
                }
        }
        subjects_free(all);
}

/* 10.5.5.5 cut to 8 bits is 10.0.0.0, and that is there with 16 bits only. */
static void a_network_is_of_its_length(void **state)
{
        struct subjects *all = subjects_new(N_RULES);
        struct identity inside = from("10.0.5.5"), outside = from("10.5.5.5"), other = from("11.5.5.5");
        const char *expected;

        (void)state;
        assert_non_null(all);
        for (uint32_t i = 0; i < N_RULES; i++) {
                assert_int_equal(subjects_add(all, i, "net:10.0.0.0/16", &expected), 0);
                assert_int_equal(subjects_add(all, i, "net:11.0.0.0/8", &expected), 0);
        }
        for (uint32_t i = 0; i < N_RULES; i++) {
                assert_true(subjects_have(all, i, &inside));
                assert_true(subjects_have(all, i, &other));
                assert_false(subjects_have(all, i, &outside));
        }
        subjects_free(all);
}

static void who_has_no_address_is_in_no_network(void **state)
{
        static const char *const subjects[] = { "net:::/0" };
        struct subjects *all = lists(subjects, 1);
        struct identity who = known(IDENTITY_NONE, "");

        (void)state;
        assert_false(subjects_have(all, 0, &who));
        subjects_free(all);
}

/* As GnuTLS escapes values: RFC 4514, 2.4. */
static void an_escaped_comma_divides_nothing(void **state)
{
        static const struct span names[] = { SPAN_LITERAL("CN=Doe\\, Jane"), SPAN_LITERAL("O=Example") };
        static const struct {
                const char *subject;
                bool matches;
        } cases[] = {
                { "cert:CN=Doe\\, Jane", true },           { "cert:cn=Doe\\, Jane,o=Example", true },
                { "cert:O=Example,CN=Doe\\, Jane", true }, { "cert:O=Example,CN=Doe\\, John", false },
                { "cert:CN=Doe,O=Example", false },        { "cert:CN=Doe\\, Jane,O=Other", false },
        };
        struct identity who = { .kind = IDENTITY_CERT, .names = names, .n_names = ARRAY_LEN(names) };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct subjects *all = lists(&cases[i].subject, 1);

                if (subjects_have(all, 0, &who) != cases[i].matches)
                        fail_msg("\"%s\"", cases[i].subject);
                subjects_free(all);
        }
}

static void a_comma_behind_an_escaped_backslash_divides(void **state)
{
        static const struct span names[] = { SPAN_LITERAL("CN=dir\\\\"), SPAN_LITERAL("O=Example"),
                                             SPAN_LITERAL("OU=a\\\\\\,b") };
        static const struct {
                const char *subject;
                bool matches;
        } cases[] = {
                { "cert:CN=dir\\\\", true },
                { "cert:cn=dir\\\\,o=Example", true },
                { "cert:O=Example,CN=dir\\\\", true },
                { "cert:CN=dir\\\\,O=Other", false },
                { "cert:OU=a\\\\\\,b,O=Example", true },
                { "cert:OU=a\\\\\\,b,O=Other", false },
        };
        struct identity who = { .kind = IDENTITY_CERT, .names = names, .n_names = ARRAY_LEN(names) };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct subjects *all = lists(&cases[i].subject, 1);

                if (subjects_have(all, 0, &who) != cases[i].matches)
                        fail_msg("\"%s\"", cases[i].subject);
                subjects_free(all);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_subject_is_of_its_rule_and_kind),
                cmocka_unit_test(a_network_is_of_its_length),
                cmocka_unit_test(who_has_no_address_is_in_no_network),
                cmocka_unit_test(an_escaped_comma_divides_nothing),
                cmocka_unit_test(a_comma_behind_an_escaped_backslash_divides),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
