/* SPDX-License-Identifier: BSD-2-Clause */
/* Good configurations: their values and defaults, includes, where a value stands, and what changed. */
#include "config_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"

static const struct conf_endpoint *endpoint(const struct config *config, size_t i)
{
        return (const struct conf_endpoint *)config->endpoints.v + i;
}

static const struct conf_resource *resource(const struct config *config, size_t i)
{
        return (const struct conf_resource *)config->resources.v + i;
}

static void defaults(void **state)
{
        struct config *config = fixture_good(
                ENDPOINT "resources = ( { path = \"a\"; kind = \"static\"; content = \"\"; } );\n");
        const struct static_fields *fields = resource(config, 0)->fields;

        (void)state;
        assert_int_equal(config->server.log_level, 3);
        assert_int_equal(config->server.session_timeout, 300);
        assert_int_equal(config->server.max_sessions, 100000);
        assert_int_equal(config->server.receive_buffer, 4194304);
        assert_int_equal(config->server.send_buffer, 4194304);
        assert_false(config->dynamic.enable);
        assert_int_equal(config->dynamic.prefix.n, 1);
        assert_string_equal(config->dynamic.prefix.v[0], "");
        assert_int_equal(config->dynamic.max_resources, 1000);
        assert_int_equal(config->dynamic.max_size, 65536);
        assert_int_equal(config->dynamic.max_total_size, 67108864);
        assert_string_equal(config->persist.engine, "sqlite");
        assert_null(config->persist.dynamic_resources);
        assert_null(config->persist.observers);
        assert_null(config->persist.observe_counters);
        assert_int_equal(config->persist.save_frequency, 10);
        assert_int_equal(config->persist.sync, CONF_SYNC_INTERVAL);
        assert_int_equal(config->persist.sync_interval, 1000);
        assert_int_equal(config->persist.bad_file, CONF_BAD_FILE_START_EMPTY);
        assert_int_equal(config->persist.observer_max_age, 604800);
        assert_int_equal(config->security.psk.identities.n + config->security.oscore.n + config->access.n, 0);
        assert_false(config->security.pki.require_client_certificate);
        assert_true(resource(config, 0)->observable);
        assert_false(resource(config, 0)->hidden);
        assert_int_equal(resource(config, 0)->max_age, -1);
        assert_string_equal(fields->content, "");
        assert_string_equal(fields->content_format, "text/plain");
        assert_int_equal(fields->limit, 7);
        assert_string_equal(config->file, fixture_path("c"));
        config_free(config);
}

static void given_values(void **state)
{
        struct config *config = fixture_good(
                "server: { log_level = \"debug\"; session_timeout = 0x10; max_sessions = 5L; };\n" ENDPOINT
                "resources = (\n"
                "  { path = \"s/\xc3\xa9\"; kind = \"static\"; content = \"a\\n\" \"b\"; limit = -9; title = "
                "\"T\"; rt = \"x\";\n"
                "    if = [ \"y\", \"z\" ]; observable = false; hidden = TRUE; max_age = 4294967295; },\n"
                "  { path = \"f\"; kind = \"files\"; root = \"folder\"; }\n);\n"
                "dynamic: { enable = true; prefix = ( \"a/b\", \"c\" ); confirmable = \"\"; max_total_size = "
                "1099511627776; };\n"
                "persist: { engine = \"libcoap\"; sync = \"always\"; bad_file = \"refuse\";\n"
                "  dynamic_resources = \"@/d\"; observe_counters = \"n\"; };\n");
        const struct static_fields *fields = resource(config, 0)->fields;
        const struct files_fields *files = resource(config, 1)->fields;

        (void)state;
        assert_int_equal(config->server.log_level, 4);
        assert_int_equal(config->server.session_timeout, 16);
        assert_int_equal(config->server.max_sessions, 5);
        assert_string_equal(fields->content, "a\nb");
        assert_int_equal(fields->limit, -9);
        assert_string_equal(resource(config, 0)->resource_types.v[0], "x");
        assert_int_equal(resource(config, 0)->interfaces.n, 2);
        assert_false(resource(config, 0)->observable);
        assert_true(resource(config, 0)->hidden);
        assert_int_equal(resource(config, 0)->max_age, 4294967295);
        assert_string_equal(files->root, fixture_path("folder"));
        assert_int_equal(config->dynamic.prefix.n, 2);
        assert_int_equal(config->dynamic.confirmable.n, 1);
        assert_int_equal(config->dynamic.max_total_size, 1LL << 40);
        assert_int_equal(config->persist.sync, CONF_SYNC_ALWAYS);
        assert_int_equal(config->persist.bad_file, CONF_BAD_FILE_REFUSE);
        assert_string_equal(config->persist.observe_counters, fixture_path("n"));
        config_free(config);
}

static void endpoints_are_taken_apart(void **state)
{
        static const struct {
                const char *uri;
                enum transport transport;
                const char *host;
                uint16_t port;
        } cases[] = {
                { "coap://127.0.0.1", TRANSPORT_UDP, "127.0.0.1", 5683 },
                { "coap://[::]:7", TRANSPORT_UDP, "::", 7 },
                { "coap://[fe80::1%lo]", TRANSPORT_UDP, "fe80::1%lo", 5683 },
                { "coaps://[2001:db8::1]", TRANSPORT_DTLS, "2001:db8::1", 5684 },
                { "coap+tcp://localhost:65535", TRANSPORT_TCP, "localhost", 65535 },
                { "coaps+tcp://a-1.example.org", TRANSPORT_TLS, "a-1.example.org", 5684 },
                { "coap+ws://127.0.0.1", TRANSPORT_WS, "127.0.0.1", 80 },
                { "coaps+ws://127.0.0.1", TRANSPORT_WSS, "127.0.0.1", 443 },
                /* The same host and port is no clash between UDP and TCP. */
                { "coap+tcp://127.0.0.1", TRANSPORT_TCP, "127.0.0.1", 5683 },
                { "coap://[::]", TRANSPORT_UDP, "::", 5683 },
        };
        char text[1024] = "security: { rpk: { private_key = \"good.key\"; }; };\nendpoints = (\n";
        struct config *config;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
                snprintf(text + strlen(text), sizeof(text) - strlen(text), "{ uri = \"%s\"; }%s",
                         cases[i].uri, i + 1 < ARRAY_LEN(cases) ? ",\n" : ");\n");
        config = fixture_good(text);
        assert_int_equal(config->endpoints.n, ARRAY_LEN(cases));
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                assert_int_equal(endpoint(config, i)->transport, cases[i].transport);
                assert_string_equal(endpoint(config, i)->host, cases[i].host);
                assert_int_equal(endpoint(config, i)->port, cases[i].port);
                assert_int_equal(endpoint(config, i)->at.line, 3 + i);
        }
        config_free(config);
        config = fixture_good("endpoints = ( { uri = \"coap://[::]\"; multicast = ( \"ff02::fd%lo\", "
                              "\"224.0.1.187\" ); } );\n");
        assert_int_equal(endpoint(config, 0)->multicast.n, 2);
        config_free(config);
}

/* So that a file in conf.d can add a key, a rule and a resource to those of others. */
static void files_add_to_groups_and_lists(void **state)
{
        const struct conf_psk_identity *identities;
        const struct conf_resource *resources;
        const struct conf_endpoint *endpoints;
        struct config *config;

        (void)state;
        fixture_write("add/1",
                      "resources = ( { path = \"one\"; kind = \"time\"; } // the last\n );\n"
                      "security: { psk = { identities = (\n{ identity = \"1\"; key = \"a\"; }, ); } }\n",
                      0644);
        fixture_write("add/2",
                      "server = { session_timeout = 7; };\nresources = ( ); endpoints = (\n"
                      "{ uri = \"coap://127.0.0.1:\" \"2\"; } )\n"
                      "security: { psk: { identities = ( ); }; };\n",
                      0644);
        fixture_write("add/3",
                      "/* } */ security: { psk: { hint = \"h;\";\nidentities = ( { identity = \"3\";\n"
                      "key = \"c\"; } ); }; };\n"
                      "dynamic: { prefix = ( \"b\", \"c\" ); };\n"
                      "resources = (\n{ path = \"two\"; kind = \"time\"; } );",
                      0644);
        config = fixture_good("server: { max_sessions = 5; };\n" ENDPOINT "security: { };\nresources = ( );\n"
                              "dynamic: { prefix = \"a\"; };\n@include \"add/[12]\"\n");
        assert_int_equal(config->server.max_sessions, 5);
        assert_int_equal(config->server.session_timeout, 7);
        assert_int_equal(config->endpoints.n, 2);
        endpoints = config->endpoints.v;
        assert_int_equal(endpoints[0].at.line, 2);
        assert_string_equal(endpoints[1].uri, "coap://127.0.0.1:2");
        assert_string_equal(endpoints[1].at.file, fixture_path("add/2"));
        assert_int_equal(endpoints[1].at.line, 3);
        config_free(config);

        /* In the order in which they are read, each where it stands. */
        config = fixture_good("@include \"add/*\"\n" ENDPOINT);
        resources = config->resources.v;
        identities = config->security.psk.identities.v;
        assert_int_equal(config->resources.n, 2);
        assert_int_equal(config->security.psk.identities.n, 2);
        assert_int_equal(config->dynamic.prefix.n, 2);
        assert_string_equal(resources[1].path, "two");
        assert_string_equal(resources[1].at.file, fixture_path("add/3"));
        assert_int_equal(resources[1].at.line, 6);
        assert_string_equal(identities[0].identity, "1");
        assert_int_equal(identities[0].at.line, 4);
        assert_string_equal(identities[1].key, "c");
        assert_int_equal(identities[1].at.line, 2);
        assert_string_equal(config->security.psk.hint, "h;");
        assert_int_equal(config_origin(config, &config->security.psk.hint).line, 1);
        config_free(config);
}

/* Sorted, each path from the folder of the file that names it, and lines found again behind an include. */
static void includes(void **state)
{
        struct config *config = NULL;

        (void)state;
        fixture_write("inc/2.conf", "{ path = \"two\"; kind = \"time\"; }, // no newline", 0644);
        fixture_write("inc/1.conf",
                      "{ path = \"one\"; kind = \"files\"; root = \"sub\"; },\n  @include \"more/x\"\n",
                      0644);
        fixture_write("inc/more/.keep", "", 0644);
        fixture_write("inc/more/x",
                      "/* @include \"no\" */ { path = \"x\"; kind = \"static\";\ncontent = \"\n@include "
                      "\\\"no\\\"\"; },\n",
                      0644);
        config = fixture_good(
                ENDPOINT "@include \"inc/none-*.conf\"\nresources = (\n@include \"inc/*.conf\"\n"
                         "  { path = \"last\"; kind = \"time\"; } );\npersist: { observers = \"o\"; };\n");
        assert_int_equal(config->resources.n, 4);
        assert_string_equal(resource(config, 0)->path, "one");
        assert_string_equal(((struct files_fields *)resource(config, 0)->fields)->root,
                            fixture_path("inc/sub"));
        assert_string_equal(resource(config, 1)->path, "x");
        assert_string_equal(resource(config, 1)->at.file, fixture_path("inc/more/x"));
        assert_string_equal(((struct static_fields *)resource(config, 1)->fields)->content,
                            "\n@include \"no\"");
        assert_string_equal(resource(config, 2)->path, "two");
        assert_string_equal(resource(config, 2)->at.file, fixture_path("inc/2.conf"));
        assert_int_equal(resource(config, 2)->at.line, 1);
        assert_string_equal(resource(config, 3)->at.file, fixture_path("c"));
        assert_int_equal(resource(config, 3)->at.line, 5);
        config_free(config);

        /* An error is where it stands, not where it is included. */
        fixture_write("inc/2.conf", "{ path = \"two\";\n  kind = 2; },", 0644);
        assert_int_equal(
                fixture_load(ENDPOINT "resources = (\n@include \"inc/*.conf\"\n);\nservr: { };\n", &config),
                -EINVAL);
        assert_string_equal(
                fixture_errors(),
                "@/inc/2.conf:2: resources[2].kind: is an integer, expected one of \"time\", \"static\" and "
                "\"files\"\n@/c:5: servr: is not known, expected perhaps server\n");
}

/* A FIFO would stop a start, and a reload of the running daemon, for good; what is masked by a link is empty. */
static void an_included_file_is_no_pipe(void **state)
{
        struct config *config = NULL;

        (void)state;
        fixture_write("pipes/.keep", "", 0644);
        alarm(10); /* ends a test that waits for who writes into it */
        assert_int_equal(mkfifo(fixture_path("pipes/1.conf"), 0600), 0);
        assert_int_equal(symlink("/dev/null", fixture_path("pipes/2.conf")), 0);
        assert_int_equal(fixture_load(ENDPOINT "@include \"pipes/*.conf\"\n", &config), -EINVAL);
        assert_string_equal(fixture_errors(),
                            "@/c:2: @/pipes/1.conf: cannot be read (not a regular file), expected a file "
                            "of text\n");
        alarm(0);
        config_free(fixture_good(ENDPOINT "@include \"pipes/2.conf\"\n"));
}

static void origins(void **state)
{
        struct config *config = fixture_good(
                ENDPOINT "persist: {\n  observers = \"@/o\";\n};\ndynamic: {\n\n  enable = true;\n};\n");

        (void)state;
        assert_int_equal(config_origin(config, &config->persist.observers).line, 3);
        assert_string_equal(config_origin(config, &config->persist.observers).file, fixture_path("c"));
        /* Not given: its group; that not given either: the file. */
        assert_int_equal(config_origin(config, &config->persist.sync_interval).line, 2);
        assert_int_equal(config_origin(config, &config->dynamic.enable).line, 7);
        /* The first member stands where its group does in memory, but not in the file. */
        assert_int_equal(config_origin(config, &config->dynamic).line, 7);
        assert_int_equal(config_origin(config, &config->dynamic.max_size).line, 5);
        assert_int_equal(config_origin(config, &endpoint(config, 0)->uri).line, 1);
        assert_int_equal(config_origin(config, &config->server.log_level).line, 0);
        assert_string_equal(config_origin(config, &config->server.log_level).file, fixture_path("c"));
        config_free(config);
}

static void unreadable_file(void **state)
{
        struct config *config = NULL;
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        (void)state;
        assert_int_equal(config_load("/nonexistent/c", &fixture_vocabulary, out, &config), -ENOENT);
        fclose(out);
        assert_null(config);
        assert_string_equal(text, "/nonexistent/c: file: cannot be read (No such file or directory), "
                                  "expected a file of text\n");
        free(text);
        config_free(NULL);
}

/* Root can read what the service cannot. */
static void unreadable_for_another_user(void **state)
{
        struct config *config;
        char *text = NULL;
        size_t size, found;
        FILE *out = open_memstream(&text, &size);

        (void)state;
        if (geteuid() != 0)
                skip();
        fixture_write("open", "server: { };\n", 0644);
        fixture_write("shut", "dynamic: { };\n", 0600);
        config = fixture_good("@include \"open\"\n@include \"shut\"\n" ENDPOINT);
        assert_int_equal(chmod(fixture_path("."), 0755), 0);
        assert_int_equal(chmod(fixture_path("c"), 0644), 0);
        assert_int_equal(seteuid(65534), 0);
        found = config_find_unreadable(config, "nobody", out);
        assert_int_equal(seteuid(0), 0);
        fclose(out);
        assert_int_equal(found, 1);
        assert_string_equal(
                strrchr(text, '/'),
                "/shut: file: may not be read by the user nobody, expected a file that it can read\n");
        free(text);
        config_free(config);
}

static void expect_diff(const char *from, const char *to, size_t restarts, const char *expected)
{
        struct config *old = fixture_good(from);
        struct config *new = fixture_good(to);
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_int_equal(config_diff(old, new, out), restarts);
        fclose(out);
        assert_string_equal(text, expected);
        free(text);
        config_free(old);
        config_free(new);
}

static void differences(void **state)
{
        (void)state;
        expect_diff(ENDPOINT "server: { log_level = \"info\"; };\n", "/* */" ENDPOINT, 0, "");
        expect_diff(ENDPOINT, ENDPOINT "server: { log_level = \"debug\"; };\n", 0, "server.log_level\n");
        expect_diff(ENDPOINT,
                    ENDPOINT
                    "server: { max_sessions = 1; };\ndynamic: { enable = true; prefix = ( \"a\" ); };\n",
                    1, "server.max_sessions (needs a restart)\ndynamic.enable\ndynamic.prefix\n");
        /* An endpoint can be opened at any time, but closed only with everything. */
        expect_diff("endpoints = ( { uri = \"coap://127.0.0.1:1\"; }, { uri = \"coap://127.0.0.1:2\"; } );\n",
                    "endpoints = ( { uri = \"coap://127.0.0.1:2\"; }, { uri = \"coap://127.0.0.1:3\"; } );\n",
                    1,
                    "endpoints[coap://127.0.0.1:1]: removed (needs a "
                    "restart)\nendpoints[coap://127.0.0.1:3]: added\n");
        /* Groups of a list are told apart by their names, not by their places. */
        expect_diff(ENDPOINT "resources = ( { path = \"a\"; kind = \"time\"; }, { path = \"b\"; kind = "
                             "\"static\"; content = \"1\"; }, { path = \"c\"; kind = \"time\"; } );\n",
                    ENDPOINT
                    "resources = ( { path = \"d\"; kind = \"time\"; }, { path = \"b\"; kind = \"static\"; "
                    "content = \"2\"; limit = 1; }, { path = \"a\"; kind = \"time\"; title = \"A\"; } );\n",
                    1,
                    "resources[a].title\nresources[b].content\nresources[b].limit (needs a "
                    "restart)\nresources[c]: removed\nresources[d]: added\n");
        expect_diff(ENDPOINT "resources = ( { path = \"a\"; kind = \"time\"; } );\n",
                    ENDPOINT "resources = ( { path = \"a\"; kind = \"static\"; content = \"\"; } );\n", 0,
                    "resources[a].kind\n");
        expect_diff(ENDPOINT "access = ( { path = \"/a\"; methods = \"GET\"; allow = \"anyone\"; } );\n",
                    ENDPOINT
                    "access = ( { path = \"/b\"; methods = ( \"GET\", \"OBSERVE\" ); allow = ( ); } );\n",
                    0, "access[0].path\naccess[0].methods\naccess[0].allow\n");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(defaults),
                cmocka_unit_test(given_values),
                cmocka_unit_test(endpoints_are_taken_apart),
                cmocka_unit_test(includes),
                cmocka_unit_test(an_included_file_is_no_pipe),
                cmocka_unit_test(files_add_to_groups_and_lists),
                cmocka_unit_test(origins),
                cmocka_unit_test(unreadable_file),
                cmocka_unit_test(unreadable_for_another_user),
                cmocka_unit_test(differences),
        };

        return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
