/* SPDX-License-Identifier: BSD-2-Clause */
/* Configurations with a mistake in one place, each with all that must be said about it. */
#include "config_fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

static const struct fixture_case syntax_cases[] = {
        { ENDPOINT "server: { log_level = ; };\n", "@/c:2: server.log_level: has no value, expected one\n" },
        { ENDPOINT "server: {\n", "@/c:2: server: the { of this line is never closed, expected }\n" },
        { "endpoints = ( { uri = 'coap://127.0.0.1'; } );\n",
          "@/c:1: endpoints[0].uri: stands in single quotes, expected double quotes\n" },
        { "endpoints = ( { uri = \"coap://[::1]:1\" } );\nserver = { log_level = debug; core_dumps = yes;\n"
          "session_timeout = 5m; max_sessions = 10.0.0.1; };",
          "@/c:2: server.log_level: stands without quotes, expected a string in double quotes\n"
          "@/c:2: server.core_dumps: is neither true nor false, expected one of them\n"
          "@/c:3: server.session_timeout: is no number, expected one without a unit, or a string in double "
          "quotes\n"
          "@/c:3: server.max_sessions: is no number, expected one without a unit, or a string in double "
          "quotes\n" },
        { ENDPOINT
          "resources = (\n{ path = \"a\"; kind = \"time\"; }\n{ path = \"b\"; kind = [ true 1 ]; } );\n",
          "@/c:4: resources[0]: no comma stands behind it, expected one before the next\n"
          "@/c:4: resources[1].kind[0]: no comma stands behind it, expected one before the next\n" },
        { ENDPOINT "access = ( { path = \"/\"; };\n",
          "@/c:2: access[0]: a semicolon stands behind it, expected , or )\n" },
        { ENDPOINT "server: {\nlog_level = \"info\"; );\n",
          "@/c:3: server: ) closes the { of line 2, expected }\n" },
        { ENDPOINT "server: { };\n};\n", "@/c:3: syntax: } closes nothing, expected KEY = VALUE;\n" },
        { ENDPOINT "[server]\n", "@/c:2: syntax: [ stands in place of a key, expected KEY = VALUE;\n" },
        { ENDPOINT "\"server\": { };\n",
          "@/c:2: syntax: a string stands in place of a key, expected that without quotes\n" },
        { ENDPOINT "server { };\n", "@/c:2: server: has no value, expected = and one behind it\n" },
        { ENDPOINT "include \"x\"\n",
          "@/c:2: include: stands alone, expected @include \"PATH\" on a line of its own\n" },
        { ENDPOINT "server: { log_level = %; };\n",
          "@/c:2: server.log_level: % begins no value, expected one\n" },
        /* It may be a secret. */
        { ENDPOINT "security: { psk = { identities = ( { identity = \"a\"; key = hunter2; } ); }; };\n",
          "@/c:2: security.psk.identities[0].key: stands without quotes, expected a string in double "
          "quotes\n" },
        { ENDPOINT "@include \"syntax.conf\"\n",
          "@/syntax.conf:2: server.log_level: stands without quotes, expected a string in double quotes\n" },
        { ENDPOINT "server: { log_level = \"info };\n",
          "@/c:2: syntax: a string without its end, expected a double quote\n" },
        { ENDPOINT "\n/* server: { };\n", "@/c:3: syntax: a comment without its end, expected */\n" },
        { ENDPOINT "server: { max_sessions = 99999999999999999999; };\n",
          "@/c:2: syntax: a number beyond 64 bits, expected a smaller one\n" },
        { ENDPOINT "dynamic: { max_total_size = 0x100000000; };\n",
          "@/c:2: syntax: a hexadecimal number beyond 31 bits, expected it in decimal\n" },
        { ENDPOINT "resources = ( { path = \"a\"; kind = \"static\"; content = \"\\x00\"; } );\n",
          "@/c:2: syntax: \\x00 in a string, expected text\n" },
        { ENDPOINT "dynamic: { prefix = [ \"a\", 1 ]; };\n",
          "@/c:2: syntax: mismatched element type in array at or before this line, expected KEY = VALUE;\n" },
        { ENDPOINT "server: {}; @include \"x\"\n",
          "@/c:2: syntax: not an @include, expected the line to begin with @include \"PATH\" on its own\n" },
        { ENDPOINT "@include x\n",
          "@/c:2: syntax: not an @include, expected the line to begin with @include \"PATH\" on its own\n" },
        { ENDPOINT "@include \"missing.conf\"\n@include \"folder\"\n",
          "@/c:2: @/missing.conf: cannot be read (No such file or directory), expected a file of text\n"
          "@/c:3: @/folder: cannot be read (Is a directory), expected a file of text\n" },
        { ENDPOINT "@include \"none/*.conf\"\n@include \"loop/*.conf\"\n@include \"syntax.conf/*\"\n",
          "@/c:3: @/loop/*.conf: leads into a folder that cannot be read, expected one that coapd can "
          "read\n" },
        { ENDPOINT "@include \"c\"\n",
          "@/c:2: @include: nested too deep, expected at most 10 files within each other\n" },
        /* Said once: it would be read 8^10 times else. */
        { ENDPOINT "@include \"c\"\n@include \"c\"\n@include \"c\"\n@include \"c\"\n"
                   "@include \"c\"\n@include \"c\"\n@include \"c\"\n@include \"c\"\n",
          "@/c:2: @include: nested too deep, expected at most 10 files within each other\n" },
};

static const struct fixture_case key_cases[] = {
        { ENDPOINT "resources = ( { path = \"a\"; knid = \"time\"; } );\n",
          "@/c:2: resources[0].kind: is missing, expected one of \"time\", \"static\" and \"files\"\n"
          "@/c:2: resources[0].knid: is not known, expected perhaps kind\n" },
        { ENDPOINT "serve: { };\n", "@/c:2: serve: is not known, expected perhaps server\n" },
        { ENDPOINT "xyzzy = 1;\n", "@/c:2: xyzzy: is not known, expected one of server, endpoints, "
                                   "resources, limits, dynamic, persist, security, access\n" },
        { ENDPOINT "server: { loglevel = \"info\"; sesion_timeuot = 1; };\n",
          "@/c:2: server.loglevel: is not known, expected perhaps log_level\n"
          "@/c:2: server.sesion_timeuot: is not known, expected perhaps session_timeout\n" },
        { "endpoints = ( { url = \"coap://127.0.0.1\"; } );\n",
          "@/c:1: endpoints[0].uri: is missing, expected a string in double quotes\n"
          "@/c:1: endpoints[0].url: is not known, expected perhaps uri\n" },
        { ENDPOINT
          "security: {\n  psk: {\n    identities = ( { idendity = \"a\"; key = \"k\"; } );\n  };\n};\n",
          "@/c:4: security.psk.identities[0].identity: is missing, expected a string in double quotes\n"
          "@/c:4: security.psk.identities[0].idendity: is not known, expected perhaps identity\n" },
        { ENDPOINT "resources = (\n  { path = \"a\"; kind = \"time\"; content = \"x\"; },\n"
                   "  { path = \"b\"; kind = \"static\"; root = \"/\"; content = \"\"; contents = 1; }\n);\n",
          "@/c:3: resources[0].content: belongs to kind = \"static\", expected for \"time\" no key of its "
          "own\n"
          "@/c:4: resources[1].root: belongs to kind = \"files\", expected for \"static\" one of content, "
          "content_format, limit\n"
          "@/c:4: resources[1].contents: is not known, expected perhaps content\n" },
        { ENDPOINT "server: { log_level = \"info\"; };\nserver: { max_sessions = 0; };\n",
          "@/c:3: server: given twice, expected once: it stands at @/c:2 already\n"
          "@/c:3: server.max_sessions: 0 is out of range, expected an integer from 1 to 10000000 "
          "(sessions)\n" },
        { "endpoints = (\n  { uri = \"coap://[::1]\"; },\n  { uri = \"coap://127.0.0.1\";\n    uri = "
          "\"coap://127.0.0.1:1\"; }\n);\n",
          "@/c:4: endpoints[1].uri: given twice, expected once: it stands at @/c:3 already\n" },
        { ENDPOINT "@include \"dup/*.conf\"\n",
          "@/dup/b.conf:2: server.max_sessions: given twice, expected once: it stands at @/dup/b.conf:1 "
          "already\n" },
        { ENDPOINT "server: { max_sessions = 3; };\nresources = ( { path = \"a\"; kind = \"time\"; } );\n"
                   "@include \"twice/*.conf\"\n",
          "@/twice/a.conf:2: server.max_sessions: given twice, expected once: it stands at @/c:2 already\n"
          "@/twice/a.conf:4: resources: given twice, expected once: it stands at @/c:3 already\n"
          "@/twice/a.conf:4: resources: is a group, expected a list of groups: ( { ... }, { ... } )\n"
          "@/twice/b.conf:1: server: given twice, expected once: it stands at @/c:2 already\n"
          "@/twice/b.conf:1: server: is an integer, expected a group in braces: { ... }\n" },
        { ENDPOINT "resources = ( { path = \"a\"; kind = \"time\"; } );\n@include \"more.conf\"\n",
          "@/more.conf:2: resources[1].path: \"a\" is taken, expected another one: @/c:2 has it already\n" },
        { ENDPOINT "resources = ( );\nresources = ( );\n@include \"more.conf\"\n",
          "@/c:3: resources: given twice, expected once: it stands at @/c:2 already\n" },
        { ENDPOINT "@include \"more.conf\"\nresources = ( { path = \"b\"; } ;\n",
          "@/c:3: resources[0]: a semicolon stands behind it, expected , or )\n" },
};

static const struct fixture_case type_cases[] = {
        { ENDPOINT "server: { session_timeout = \"300\"; };\n",
          "@/c:2: server.session_timeout: is a string, expected an integer from 1 to 31536000 (seconds)\n" },
        { ENDPOINT "server: { session_timeout = 1.5; };\n",
          "@/c:2: server.session_timeout: is a number with a fraction, expected an integer from 1 to "
          "31536000 (seconds)\n" },
        { ENDPOINT "dynamic: { enable = 1; };\n",
          "@/c:2: dynamic.enable: is an integer, expected true or false\n" },
        { ENDPOINT "dynamic: { enable = \"true\"; };\n",
          "@/c:2: dynamic.enable: is a string, expected true or false\n" },
        { ENDPOINT "dynamic: { prefix = ( \"a\", 1, ( ) ); };\n",
          "@/c:2: dynamic.prefix[1]: is an integer, expected a string, or a list of strings such as ( \"a\", "
          "\"b\" )\n"
          "@/c:2: dynamic.prefix[2]: is a list, expected a string, or a list of strings such as ( \"a\", "
          "\"b\" )\n" },
        { ENDPOINT "server = 1;\n", "@/c:2: server: is an integer, expected a group in braces: { ... }\n" },
        { "endpoints = { uri = \"coap://127.0.0.1\"; };\n",
          "@/c:1: endpoints: is a group, expected a list of groups: ( { ... }, { ... } )\n" },
        { "endpoints = ( \"coap://127.0.0.1\" );\n",
          "@/c:1: endpoints[0]: is no group, expected a group in braces: { ... }\n" },
        { ENDPOINT "server: { log_level = 3; };\n",
          "@/c:2: server.log_level: is an integer, expected one of \"error\", \"warning\", \"notice\", "
          "\"info\" and \"debug\"\n" },
        { ENDPOINT "persist: { observers = true; };\n",
          "@/c:2: persist.observers: is true or false, expected a string in double quotes\n" },
};

static const struct fixture_case value_cases[] = {
        { ENDPOINT "server: { log_level = \"verbose\"; };\n",
          "@/c:2: server.log_level: \"verbose\" is not valid, expected one of \"error\", \"warning\", "
          "\"notice\", \"info\" and \"debug\"\n" },
        { ENDPOINT "server: { session_timeout = 0; max_sessions = 10000001; receive_buffer = -1; };\n",
          "@/c:2: server.session_timeout: 0 is out of range, expected an integer from 1 to 31536000 "
          "(seconds)\n"
          "@/c:2: server.max_sessions: 10000001 is out of range, expected an integer from 1 to 10000000 "
          "(sessions)\n"
          "@/c:2: server.receive_buffer: -1 is out of range, expected an integer from 0 to 1073741824 "
          "(bytes)\n" },
        { ENDPOINT "persist: { engine = \"redis\"; sync = \"never\"; bad_file = \"\"; };\n",
          "@/c:2: persist.engine: \"redis\" is not valid, expected one of \"sqlite\" and \"libcoap\"\n"
          "@/c:2: persist.sync: \"never\" is not valid, expected one of \"interval\" and \"always\"\n"
          "@/c:2: persist.bad_file: \"\" is not valid, expected one of \"start-empty\" and \"refuse\"\n" },
        { ENDPOINT "persist: { observers = \"\"; };\n",
          "@/c:2: persist.observers: is empty, expected a string in double quotes\n" },
        { ENDPOINT "resources = ( { path = \"a\"; kind = \"clock\"; contnet = 1; } );\n",
          "@/c:2: resources[0].kind: \"clock\" is not valid, expected one of \"time\", \"static\" and "
          "\"files\"\n"
          "@/c:2: resources[0].contnet: is not known, expected one of path, kind, host, title, rt, if, "
          "observable, "
          "confirmable, notify_interval, hidden, max_age\n" },
        { ENDPOINT
          "resources = ( { path = \"a\"; kind = \"static\"; content_format = \"html\"; limit = 10; } );\n",
          "@/c:2: resources[0].content: is missing, expected a string in double quotes\n"
          "@/c:2: resources[0].content_format: \"html\" is not valid, expected a content format such as "
          "\"text/plain\"\n"
          "@/c:2: resources[0].limit: 10 is out of range, expected an integer from -9 to 9\n" },
        { ENDPOINT
          "resources = ( { path = \"/a\"; kind = \"time\"; }, { path = \"a/../b\"; kind = \"time\"; },\n"
          "  { path = \"a%20b\"; kind = \"time\"; }, { path = \"a\\x01\\xff\"; kind = \"time\"; } );\n",
          "@/c:2: resources[0].path: \"/a\" is not valid, expected a path such as sensors/1, without a slash "
          "at either end, empty segments, . and ..\n"
          "@/c:2: resources[1].path: \"a/../b\" is not valid, expected a path such as sensors/1, without a "
          "slash at either end, empty segments, . and ..\n"
          "@/c:3: resources[2].path: \"a%20b\" is not valid, expected the character itself instead of its "
          "percent-encoding\n"
          "@/c:3: resources[3].path: \"a\\x01\\xff\" is not valid, expected UTF-8 text without control "
          "characters\n" },
        { ENDPOINT "resources = ( { path = \"a\"; kind = \"time\"; title = \"a \\\"b\\\"\"; rt = \"a b\"; if "
                   "= ( ); } );\n",
          "@/c:2: resources[0].title: \"a \"b\"\" is not valid, expected UTF-8 text without control "
          "characters, double quotes and backslashes\n"
          "@/c:2: resources[0].rt: \"a b\" is not valid, expected a word of printable ASCII without blanks, "
          "double quotes and backslashes\n"
          "@/c:2: resources[0].if: is empty, expected a string, or a list of strings such as ( \"a\", \"b\" "
          ")\n" },
        { ENDPOINT
          "access = ( { path = \"a\"; methods = ( \"GET\", \"get\" ); allow = ( \"nobody\" ); } );\n",
          "@/c:2: access[0].path: \"a\" is not valid, expected a path with a slash in front\n"
          "@/c:2: access[0].methods: \"get\" is not valid, expected GET or OBSERVE\n"
          "@/c:2: access[0].allow: \"nobody\" is not valid, expected anyone or KIND:NAME\n" },
        { ENDPOINT "access = ( { methods = ( ); allow = ( ); } );\n",
          "@/c:2: access[0].path: is missing, expected a string in double quotes\n"
          "@/c:2: access[0].methods: is empty, expected a string, or a list of strings such as ( \"a\", "
          "\"b\" )\n" },
};

/* RFC 7252, 5.10: a segment is an option of at most 255 bytes. */
static void long_segments(void **state)
{
        char segment[257], text[512], expected[512];
        struct fixture_case one = { text, expected };
        struct config *config = NULL;

        (void)state;
        memset(segment, 's', 256);
        segment[256] = '\0';
        snprintf(text, sizeof(text), ENDPOINT "resources = ( { path = \"%s\"; kind = \"time\"; } );\n",
                 segment);
        snprintf(expected, sizeof(expected),
                 "@/c:2: resources[0].path: \"%.156s...\" is not valid, expected segments of "
                 "at most 255 bytes\n",
                 segment);
        fixture_run(&one, 1);
        snprintf(text, sizeof(text), ENDPOINT "resources = ( { path = \"%s\"; kind = \"time\"; } );\n",
                 segment + 1);
        assert_int_equal(fixture_load(text, &config), 0);
        config_free(config);
}

static void syntax(void **state)
{
        (void)state;
        assert_int_equal(symlink("loop", fixture_path("loop")), 0); /* root is kept out of it, too */
        fixture_write("syntax.conf", "server: {\nlog_level = info; };", 0644);
        fixture_run(syntax_cases, ARRAY_LEN(syntax_cases));
}

static void keys(void **state)
{
        (void)state;
        fixture_write("dup/b.conf", "server: { max_sessions = 1;\nmax_sessions = 2; };\n", 0644);
        fixture_write("twice/a.conf", "server: {\nmax_sessions = 2; };\n\nresources: { };\n", 0644);
        fixture_write("twice/b.conf", "server = 1;\n", 0644);
        fixture_write("more.conf", "\nresources = ( { path = \"a\"; kind = \"time\"; } );\n", 0644);
        fixture_write("dup/c.conf", "server: { };", 0644);
        fixture_run(key_cases, ARRAY_LEN(key_cases));
}

static void types(void **state)
{
        (void)state;
        fixture_run(type_cases, ARRAY_LEN(type_cases));
}

static void values(void **state)
{
        (void)state;
        fixture_run(value_cases, ARRAY_LEN(value_cases));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(syntax), cmocka_unit_test(keys),          cmocka_unit_test(types),
                cmocka_unit_test(values), cmocka_unit_test(long_segments),
        };

        return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
