/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The access rules: which one decides, and for whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "security/access.h"

#define MAX_RULES 8
#define MAX_WORDS 4

struct rule_text {
        const char *path;
        const char *methods[MAX_WORDS];
        const char *allow[MAX_WORDS];
};

struct fixture {
        struct conf_access_rule rules[MAX_RULES];
        struct config config;
        struct access *access;
};

static struct conf_strings strings(const char *const *words)
{
        struct conf_strings s = { .v = (char **)words };

        while (s.n < MAX_WORDS && words[s.n])
                s.n++;
        return s;
}

static void fill(struct fixture *f, const struct rule_text *text, size_t n)
{
        *f = (struct fixture){ .config.file = (char *)"test.conf" };
        for (size_t i = 0; i < n; i++)
                f->rules[i] = (struct conf_access_rule){ .at = { "test.conf", (unsigned)i + 1 },
                                                         .path = (char *)text[i].path,
                                                         .methods = strings(text[i].methods),
                                                         .allow = strings(text[i].allow) };
        f->config.access = (struct conf_list){ f->rules, n };
}

static void compile(struct fixture *f, const struct rule_text *text, size_t n)
{
        fill(f, text, n);
        assert_int_equal(access_compile(&f->config, stderr, &f->access), 0);
}

static struct identity from(const char *address)
{
        struct identity who = { .kind = IDENTITY_NONE };
        struct sockaddr_in in = { .sin_family = AF_INET };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };

        if (inet_pton(AF_INET, address, &in.sin_addr) == 1)
                identity_set_address(&who, (struct sockaddr *)&in);
        else if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1)
                identity_set_address(&who, (struct sockaddr *)&in6);
        return who;
}

static struct identity known(enum identity_kind kind, const char *name)
{
        return (struct identity){ .kind = kind, .name = span_of_string(name) };
}

/* The number of the rule that decided from 1 on, 0 for none; negative when it was a no. */
static int decide(const struct fixture *f, struct identity who, const char *path, unsigned methods)
{
        const struct conf_access_rule *rule = NULL;
        enum access_answer answer = access_decide(f->access, &who, span_of_string(path), methods, &rule);
        int number = rule ? (int)rule->at.line : 0;

        if (answer == ACCESS_ALLOWED)
                return number;
        assert_int_equal(answer, who.kind == IDENTITY_NONE ? ACCESS_STRANGER : ACCESS_DENIED);
        return number ? -number : -100;
}

#define NOBODY from("192.0.2.1")

static void without_rules_all_but_creating_is_allowed(void **state)
{
        const struct conf_access_rule *rule = NULL;
        struct fixture f;

        (void)state;
        compile(&f, NULL, 0);
        assert_int_equal(decide(&f, NOBODY, "a/b", ACCESS_PUT), 0);
        assert_int_equal(decide(&f, NOBODY, "a/b", ACCESS_GET | ACCESS_OBSERVE), 0);
        assert_int_equal(decide(&f, NOBODY, "a/b", ACCESS_PUT | ACCESS_CREATE), -100);
        assert_int_equal(decide(&f, known(IDENTITY_PSK, "boss"), "a/b", ACCESS_PUT | ACCESS_CREATE), -100);
        assert_true(access_strangers_may_write(f.access, &rule));
        assert_null(rule);
        assert_false(access_somebody_may_create(f.access));
        access_free(f.access);
}

static void the_first_match_decides(void **state)
{
        static const struct rule_text text[] = {
                { "/secret/**", { "GET" }, { "psk:boss" } },
                { "/closed", { "*" }, { NULL } },
                { "/**", { "GET", "OBSERVE" }, { "anyone" } },
                { "/secret/x", { "get", "Put" }, { "anyone" } },
        };
        struct fixture f;

        (void)state;
        compile(&f, text, ARRAY_LEN(text));
        assert_int_equal(decide(&f, NOBODY, "secret/x", ACCESS_GET), -1);
        assert_int_equal(decide(&f, known(IDENTITY_PSK, "boss"), "secret/x", ACCESS_GET), 1);
        assert_int_equal(decide(&f, known(IDENTITY_PSK, "boss2"), "secret/x", ACCESS_GET), -1);
        assert_int_equal(decide(&f, NOBODY, "secret/x", ACCESS_PUT), 4);
        assert_int_equal(decide(&f, NOBODY, "secret/x", ACCESS_OBSERVE), 3);
        assert_int_equal(decide(&f, NOBODY, "secret/x", ACCESS_GET | ACCESS_OBSERVE), -1);
        assert_int_equal(decide(&f, known(IDENTITY_PSK, "boss"), "closed", ACCESS_GET), -2);
        assert_int_equal(decide(&f, NOBODY, "other", ACCESS_GET | ACCESS_OBSERVE), 3);
        assert_int_equal(decide(&f, NOBODY, "other", ACCESS_PUT), -100);
        assert_int_equal(decide(&f, known(IDENTITY_PSK, "boss"), "other", ACCESS_DELETE), -100);
        assert_int_equal(decide(&f, NOBODY, "", ACCESS_GET), 3);
        access_free(f.access);
}

static void paths_match_by_segments(void **state)
{
        static const struct {
                const char *glob, *path;
                bool matches;
        } cases[] = {
                { "/**", "", true },
                { "/**", "a/b/c", true },
                { "/", "", true },
                { "/", "a", false },
                { "/a", "a", true },
                { "/a", "a/b", false },
                { "/a", "ab", false },
                { "/a", "A", false },
                { "/a/**", "a", true },
                { "/a/**", "a/", true },
                { "/a/**", "a/b", true },
                { "/a/**", "a/b/c", true },
                { "/a/**", "ab/c", false },
                { "/*", "a", true },
                { "/*", "a/b", false },
                { "/a/*/c", "a/b/c", true },
                { "/a/*/c", "a//c", true },
                { "/a/*/c", "a/b/b/c", false },
                { "/a/**/c", "a/c", true },
                { "/a/**/c", "a/b/b/c", true },
                { "/a/**/c", "a/b/b/d", false },
                { "/**/c/**", "a/b/c/d", true },
                { "/**/c/**", "a/b/d", false },
                { "/**/**", "", true },
                { "/a*", "abc", true },
                { "/a*c*e", "abcde", true },
                { "/a*c*e", "abcd", false },
                { "/*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false },
                { "/b c", "b%20c", true },
                { "/a/b", "a%2Fb", false }, /* an encoded slash is part of its segment */
                { "/a*", "a%2Fb", true },
                { "/100%", "100%25", true },
                { "/100%", "100%", true },
                { "/\xc3\xa9", "%c3%A9", true },
                { "/a/", "a/", true },
                { "/a/", "a", false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct rule_text text = { cases[i].glob, { "GET" }, { "anyone" } };
                struct fixture f;

                compile(&f, &text, 1);
                if (decide(&f, NOBODY, cases[i].path, ACCESS_GET) != (cases[i].matches ? 1 : -100))
                        fail_msg("\"%s\" and \"%s\"", cases[i].glob, cases[i].path);
                access_free(f.access);
        }
}

/* The search looks at eight bytes first. */
static void segments_that_begin_alike_are_told_apart(void **state)
{
        static const struct rule_text rules[] = {
                { "/sensors-2", { "GET" }, { "anyone" } },
                { "/sensors-", { "GET" }, { "anyone" } },
                { "/sensors", { "GET" }, { "anyone" } },
                { "/sensors-10", { "GET" }, { "anyone" } },
                { "/s", { "GET" }, { "anyone" } },
                { "/sensors-1", { "GET" }, { "anyone" } },
                { "/\xff\xff\xff\xff\xff\xff\xff\xff", { "GET" }, { "anyone" } },
                { "/\x7f", { "GET" }, { "anyone" } },
        };
        struct fixture f;

        (void)state;
        compile(&f, rules, ARRAY_LEN(rules));
        for (size_t i = 0; i < ARRAY_LEN(rules); i++)
                assert_int_equal(decide(&f, NOBODY, rules[i].path + 1, ACCESS_GET), i + 1);
        assert_int_equal(decide(&f, NOBODY, "sensors-3", ACCESS_GET), -100);
        assert_int_equal(decide(&f, NOBODY, "sensors-1%00", ACCESS_GET), -100);
        assert_int_equal(decide(&f, NOBODY, "s%00", ACCESS_GET), -100);
        assert_int_equal(decide(&f, NOBODY, "%73ensors-10", ACCESS_GET), 4);
        access_free(f.access);
}

static void a_segment_longer_than_the_protocol_has_is_denied(void **state)
{
        static const struct rule_text text[] = { { "/**", { "GET" }, { "anyone" } } };
        char path[3 * 256 + 1];
        struct fixture f;

        (void)state;
        memset(path, 'a', sizeof(path));
        path[255] = '\0';
        compile(&f, text, 1);
        assert_int_equal(decide(&f, NOBODY, path, ACCESS_GET), 1);
        path[255] = 'a';
        path[256] = '\0';
        assert_int_equal(decide(&f, NOBODY, path, ACCESS_GET), -100);
        access_free(f.access);
}

static void subjects_name_peers(void **state)
{
        static const struct span parts[] = { { (const uint8_t *)"CN=ops", 6 },
                                             { (const uint8_t *)"O=Example", 9 },
                                             { (const uint8_t *)"DNS=a.example", 13 } };
        struct identity cert = {
                .kind = IDENTITY_CERT, .name = SPAN_LITERAL("CN=ops,O=Example"), .names = parts, .n_names = 3
        };
        static const char hash[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
        struct identity psk = known(IDENTITY_PSK, "sensor-1"), rpk = known(IDENTITY_RPK, hash);
        struct identity oscore = known(IDENTITY_OSCORE, "0a"), home = from("10.1.2.3"),
                        six = from("2001:db8:1::5");
        const struct {
                const char *subject;
                const struct identity *who;
                bool matches;
        } cases[] = {
                { "anyone", &home, true },
                { "anyone", &psk, true },
                { "authenticated", &home, false },
                { "authenticated", &psk, true },
                { "authenticated", &cert, true },
                { "authenticated", &rpk, true },
                { "authenticated", &oscore, true },
                { "psk:sensor-1", &psk, true },
                { "psk:sensor-1", &home, false },
                { "psk:sensor", &psk, false },
                { "psk:sensor-12", &psk, false },
                { "psk:0a", &oscore, false },
                { "psk:*", &psk, true },
                { "psk:*", &cert, false },
                { "cert:*", &cert, true },
                { "cert:CN=ops", &cert, true },
                { "cert:cn=ops", &cert, true },
                { "cert:CN=op", &cert, false },
                { "cert:CN=opsy", &cert, false },
                { "cert:DNS=a.example", &cert, true },
                { "cert:O=Example,CN=ops", &cert, true },
                { "cert:CN=ops,O=Other", &cert, false },
                { "cert:CN=ops", &psk, false },
                { "rpk:00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff", &rpk, true },
                { "rpk:10112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff", &rpk, false },
                { "rpk:*", &rpk, true },
                { "oscore:0A", &oscore, true },
                { "oscore:0B", &oscore, false },
                { "oscore:*", &oscore, true },
                { "net:10.0.0.0/8", &home, true },
                { "net:10.1.2.3", &home, true },
                { "net:10.1.2.2/31", &home, true },
                { "net:10.1.2.4/31", &home, false },
                { "net:10.1.2.0/31", &home, false },
                { "net:10.0.0.0/15", &home, true },
                { "net:10.2.0.0/15", &home, false },
                { "net:11.0.0.0/8", &home, false },
                { "net:0.0.0.0/0", &home, true },
                { "net:0.0.0.0/0", &six, false },
                { "net:::/0", &six, true },
                { "net:::/0", &home, true },
                { "net:2001:db8::/32", &six, true },
                { "net:2001:db8:2::/48", &six, false },
                { "net:10.0.0.0/8", &psk, false }, /* has no address here */
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct rule_text text = { "/**", { "GET" }, { cases[i].subject } };
                struct fixture f;

                compile(&f, &text, 1);
                if (decide(&f, *cases[i].who, "a", ACCESS_GET) != (cases[i].matches ? 1 : -1))
                        fail_msg("%zu: \"%s\"", i, cases[i].subject);
                access_free(f.access);
        }
}

static void mistakes_are_told_with_their_line(void **state)
{
        static const struct rule_text text[] = {
                { "a", { "GET" }, { "anyone" } },
                { "/a**", { "GET" }, { "anyone" } },
                { "/a", { "GOT" }, { "anyone" } },
                { "/a", { "GET" }, { "someone", "psk:", "cert:ops" } },
                { "/a", { "GET" }, { "net:10.0.0.0/33", "net:10.0.0", "net:10.0.0.0/8x" } },
                { "/a", { "GET" }, { "rpk:00", "oscore:0", "oscore:0011223344556677" } },
        };
        static const char *const expected[] = {
                "test.conf:1: access.path: \"a\"",
                "test.conf:2: access.path: \"/a**\"",
                "test.conf:3: access.methods: \"GOT\"",
                "test.conf:4: access.allow: \"someone\"",
                "test.conf:4: access.allow: \"psk:\"",
                "test.conf:4: access.allow: \"cert:ops\"",
                "test.conf:5: access.allow: \"net:10.0.0.0/33\"",
                "test.conf:5: access.allow: \"net:10.0.0\"",
                "test.conf:5: access.allow: \"net:10.0.0.0/8x\"",
                "test.conf:6: access.allow: \"rpk:00\"",
                "test.conf:6: access.allow: \"oscore:0\"",
                "test.conf:6: access.allow: \"oscore:0011223344556677\"",
        };
        char *errors = NULL, *line;
        size_t n;
        FILE *out = open_memstream(&errors, &n);
        struct fixture f;

        (void)state;
        fill(&f, text, ARRAY_LEN(text));
        assert_int_equal(access_compile(&f.config, out, &f.access), -EINVAL);
        fclose(out);
        line = strtok(errors, "\n");
        for (size_t i = 0; i < ARRAY_LEN(expected); i++, line = strtok(NULL, "\n")) {
                assert_non_null(line);
                if (strncmp(line, expected[i], strlen(expected[i])) != 0 || !strstr(line, ", expected "))
                        fail_msg("\"%s\" instead of \"%s\"", line, expected[i]);
        }
        assert_null(line);
        free(errors);
}

static void open_writing_is_noticed(void **state)
{
        static const struct {
                struct rule_text rule;
                bool open, creators;
        } cases[] = {
                { { "/**", { "GET", "OBSERVE", "FETCH" }, { "anyone" } }, false, false },
                { { "/**", { "PUT" }, { "anyone" } }, true, false },
                { { "/**", { "CREATE" }, { "net:0.0.0.0/0" } }, true, true },
                { { "/**", { "*" }, { "authenticated", "psk:*" } }, false, true },
                { { "/**", { "*" }, { NULL } }, false, false },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                const struct conf_access_rule *rule = NULL;
                struct fixture f;

                compile(&f, &cases[i].rule, 1);
                assert_int_equal(access_strangers_may_write(f.access, &rule), cases[i].open);
                assert_ptr_equal(rule, cases[i].open ? f.rules : NULL);
                assert_int_equal(access_somebody_may_create(f.access), cases[i].creators);
                access_free(f.access);
        }
}

/* The rule of the two that the second one stands behind in vain. */
static bool is_dead(const struct rule_text *first, const struct rule_text *second)
{
        const struct rule_text text[] = { *first, *second };
        const struct conf_access_rule *rule;
        struct fixture f;

        compile(&f, text, ARRAY_LEN(text));
        assert_null(access_covered_by(f.access, 0));
        rule = access_covered_by(f.access, 1);
        assert_true(!rule || rule == f.rules);
        access_free(f.access);
        return rule;
}

static void rules_that_never_decide_are_found(void **state)
{
        static const struct {
                const char *wide, *narrow;
                bool covered;
        } paths[] = {
                { "/**", "/a", true },       { "/**", "/", true },        { "/**", "/**", true },
                { "/a/**", "/a", true },     { "/a/**", "/a/b/c", true }, { "/a/**", "/a/**/b", true },
                { "/a/*", "/a/b", true },    { "/a/*", "/a/b*", true },   { "/**/b", "/a/b", true },
                { "/a/**/b", "/a/b", true }, { "/a/*", "/a/**", false },  { "/a/*", "/a/b/c", false },
                { "/a/*", "/a", false },     { "/a", "/**", false },      { "/a/**", "/b", false },
                { "/**/b", "/a/c", false },  { "/a/**", "/ab", false },   { "/*", "/", false },
                { "/**/b", "/**/c", false },
        };
        static const struct rule_text get = { "/**", { "GET" }, { "psk:a" } },
                                      all = { "/**", { "*" }, { "psk:a" } };
        static const struct rule_text together[] = { { "/a/**", { "GET" }, { "psk:a" } },
                                                     { "/**", { "PUT" }, { NULL } },
                                                     { "/a/b", { "GET", "PUT" }, { "psk:b" } },
                                                     { "/b", { "GET", "PUT" }, { "psk:b" } } };
        struct fixture f;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                struct rule_text first = { paths[i].wide, { "GET", "PUT" }, { "psk:a" } };
                struct rule_text second = { paths[i].narrow, { "PUT" }, { "psk:b" } };

                if (is_dead(&first, &second) != paths[i].covered)
                        fail_msg("%s and %s", paths[i].wide, paths[i].narrow);
        }
        assert_true(is_dead(&all, &get));
        assert_false(is_dead(&get, &all));
        compile(&f, together, ARRAY_LEN(together));
        assert_ptr_equal(access_covered_by(f.access, 2), &f.rules[1]);
        assert_null(access_covered_by(f.access, 3));
        access_free(f.access);
}

/* Processor time of a decision with n rules, one per device, in nanoseconds; each device asks for its own. */
static double time_decisions(size_t n)
{
        struct conf_access_rule *rules = calloc(n, sizeof(*rules));
        struct config config = { .file = (char *)"test.conf", .access = { rules, n } };
        char *methods[] = { (char *)"GET", (char *)"PUT" };
        char(*texts)[2][64] = calloc(n, sizeof(*texts));
        char **allow = calloc(n, sizeof(*allow));
        struct timespec before, after;
        struct access *access;

        for (size_t i = 0; i < n; i++) {
                snprintf(texts[i][0], sizeof(texts[i][0]), "/devices/%zu/**", i);
                snprintf(texts[i][1], sizeof(texts[i][1]), "psk:device-%zu", i);
                allow[i] = texts[i][1];
                rules[i] = (struct conf_access_rule){ .at = { "test.conf", 1 },
                                                      .path = texts[i][0],
                                                      .methods = { methods, 2 },
                                                      .allow = { &allow[i], 1 } };
        }
        assert_int_equal(access_compile(&config, stderr, &access), 0);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
        for (size_t i = 0; i < 20000; i++) {
                size_t device = i * 7919 % n;
                struct identity who = known(IDENTITY_PSK, texts[device][1] + 4);
                char path[48];
                int length = snprintf(path, sizeof(path), "devices/%zu/state", device);

                assert_int_equal(access_decide(access, &who, span_of(path, (size_t)length), ACCESS_PUT, NULL),
                                 ACCESS_ALLOWED);
        }
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
        access_free(access);
        free(rules);
        free(texts);
        free(allow);
        return ((double)(after.tv_sec - before.tv_sec) * 1e9 + (double)(after.tv_nsec - before.tv_nsec)) /
               20000;
}

static void the_cost_does_not_grow_with_the_rules(void **state)
{
        double few = time_decisions(10), many = time_decisions(10000);

        (void)state;
        print_message("a decision: %.0f ns with 10 rules, %.0f ns with 10,000\n", few, many);
        /* Linear would be a factor of 1,000; caches and a busy machine excuse some. */
        assert_true(many < 30 * few);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_rules_all_but_creating_is_allowed),
                cmocka_unit_test(the_first_match_decides),
                cmocka_unit_test(paths_match_by_segments),
                cmocka_unit_test(segments_that_begin_alike_are_told_apart),
                cmocka_unit_test(a_segment_longer_than_the_protocol_has_is_denied),
                cmocka_unit_test(subjects_name_peers),
                cmocka_unit_test(mistakes_are_told_with_their_line),
                cmocka_unit_test(open_writing_is_noticed),
                cmocka_unit_test(rules_that_never_decide_are_found),
                cmocka_unit_test(the_cost_does_not_grow_with_the_rules),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
