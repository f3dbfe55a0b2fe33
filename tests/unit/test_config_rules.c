/* SPDX-License-Identifier: BSD-2-Clause */
/* Configurations whose keys are good one by one but not together, and addresses, each with what must be said.
 */
#include "config_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define URI(uri) "endpoints = ( { uri = \"" uri "\"; } );\n"
#define HOST_EXPECTED "a host: an address such as 127.0.0.1, [::] or [fe80::1%eth0], or a name"
#define PSK "security: { psk: { identities = ( { identity = \"a\"; key = \"k\"; } ); }; };\n"

static void addresses(void **state)
{
        static const struct {
                const char *uri, *expected;
        } cases[] = {
                { "http://127.0.0.1",
                  "a scheme of coap://, coaps://, coap+tcp://, coaps+tcp://, coap+ws:// or coaps+ws://" },
                { "127.0.0.1:5683",
                  "a scheme of coap://, coaps://, coap+tcp://, coaps+tcp://, coap+ws:// or coaps+ws://" },
                { "coap://127.0.0.1/", "an address only, without a user, a path or a query" },
                { "coap://127.0.0.1?x", "an address only, without a user, a path or a query" },
                { "coap://me@127.0.0.1", "an address only, without a user, a path or a query" },
                { "coap://127.0.0.1:0", "a port from 1 to 65535" },
                { "coap://127.0.0.1:65536", "a port from 1 to 65535" },
                { "coap://127.0.0.1:", "a port from 1 to 65535" },
                { "coap://127.0.0.1:5683x", "a port from 1 to 65535" },
                { "coap://::1", "an IPv6 address in brackets: coap://[::1]:5683" },
                { "coap://[::1", "a ] behind the IPv6 address" },
                { "coap://[::1]5683", "nothing but :PORT behind the host" },
                { "coap://", HOST_EXPECTED },
                { "coap://:5683", HOST_EXPECTED },
                { "coap://256.0.0.1", HOST_EXPECTED },
                { "coap://1.2.3", HOST_EXPECTED },
                { "coap://-a", HOST_EXPECTED },
                { "coap://a..b", HOST_EXPECTED },
                { "coap://a23456789-123456789-123456789-123456789-123456789-123456789-1234.b",
                  HOST_EXPECTED },
                { "coap://[::g]", HOST_EXPECTED },
                { "coap://[127.0.0.1]", HOST_EXPECTED },
                { "coap://[fe80::1%]", HOST_EXPECTED },
                { "coap://[fe80::1%a-name-of-17-chars]", HOST_EXPECTED },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char text[256], expected[512];
                struct fixture_case one = { text, expected };

                snprintf(text, sizeof(text), "endpoints = ( { uri = \"%s\"; } );\n", cases[i].uri);
                snprintf(expected, sizeof(expected),
                         "@/c:1: endpoints[0].uri: \"%s\" is not valid, expected %s\n", cases[i].uri,
                         cases[i].expected);
                fixture_run(&one, 1);
        }
}

#define NO_ORIGIN(i, value)                                                                                  \
        "@/c:2: security.websocket_origins[" #i "]: \"" value                                                \
        "\" is not valid, expected an origin such as https://panel.example.org, without a path, or \"*\"\n"

static const struct fixture_case origin_cases[] = {
        { ENDPOINT
          "security: { websocket_origins = ( \"a.example\", \"https://a.example/\", \"://a\", \"https://\", "
          "\"https://*.example\" ); };\n",
          NO_ORIGIN(0, "a.example") NO_ORIGIN(1, "https://a.example/") NO_ORIGIN(2, "://a")
                  NO_ORIGIN(3, "https://") NO_ORIGIN(4, "https://*.example") },
};

static void origins_have_a_form(void **state)
{
        (void)state;
        config_free(fixture_good(ENDPOINT "security: { websocket_origins = ( \"https://a.example\", "
                                          "\"http://[::1]:80\", \"null\", \"*\" ); };\n"));
        fixture_run(origin_cases, ARRAY_LEN(origin_cases));
}

static const struct fixture_case endpoint_cases[] = {
        { "", "@/c:1: endpoints: there is none, expected at least one such as { uri = "
              "\"coap://127.0.0.1:5683\"; }\n" },
        { "\nendpoints = ( );\n", "@/c:2: endpoints: there is none, expected at least one such as { uri = "
                                  "\"coap://127.0.0.1:5683\"; }\n" },
        { "endpoints = (\n  { uri = \"coap://127.0.0.1:5683\"; },\n  { uri = \"coap://127.0.0.1\"; }\n);\n",
          "@/c:3: endpoints[1].uri: \"coap://127.0.0.1\" is the address and port of "
          "\"coap://127.0.0.1:5683\", expected another one: @/c:2 has it already\n" },
        { PSK "endpoints = ( { uri = \"coap://[::1]:7000\"; }, { uri = \"coaps://[0:0:0:0:0:0:0:1]:7000\"; } "
              ");\n",
          "@/c:2: endpoints[1].uri: \"coaps://[0:0:0:0:0:0:0:1]:7000\" is the address and port of "
          "\"coap://[::1]:7000\", expected another one: @/c:2 has it already\n" },
        { "endpoints = ( { uri = \"coap+tcp://localhost:7000\"; }, { uri = \"coap+ws://LOCALHOST:7000\"; } "
          ");\n",
          "@/c:1: endpoints[1].uri: \"coap+ws://LOCALHOST:7000\" is the address and port of "
          "\"coap+tcp://localhost:7000\", expected another one: @/c:1 has it already\n" },
        { "endpoints = ( { uri = \"coaps://127.0.0.1\"; }, { uri = \"coaps+tcp://127.0.0.1\"; } );\n",
          "@/c:1: endpoints[0].uri: \"coaps://127.0.0.1\" needs a key, expected security.psk, security.pki "
          "or security.rpk\n"
          "@/c:1: endpoints[1].uri: \"coaps+tcp://127.0.0.1\" needs a key, expected security.psk, "
          "security.pki or security.rpk\n" },
        { "endpoints = ( { uri = \"coap://[::]\"; multicast = ( \"10.0.0.1\", \"ff02::fd%none0\", "
          "\"240.0.0.1\" ); } "
          ");\n",
          "@/c:1: endpoints[0].multicast[0]: \"10.0.0.1\" is not valid, expected a multicast address such as "
          "224.0.1.187 or ff02::fd%eth0\n"
          "@/c:1: endpoints[0].multicast[2]: \"240.0.0.1\" is not valid, expected a multicast address such "
          "as "
          "224.0.1.187 or ff02::fd%eth0\n"
          "@/c:1: endpoints[0].multicast: \"ff02::fd%none0\" names the interface none0, expected one that "
          "this machine has\n" },
        { "endpoints = ( { uri = \"coap://127.0.0.1\"; multicast = ( \"ff02::fd%lo\" ); },\n"
          "  { uri = \"coap://[::1]\"; multicast = \"224.0.1.187%lo\"; } );\n",
          "@/c:1: endpoints[0].multicast: \"ff02::fd%lo\" is not of the family of coap://127.0.0.1, expected "
          "an IPv4 group\n"
          "@/c:2: endpoints[1].multicast: \"224.0.1.187%lo\" is not of the family of coap://[::1], expected "
          "an IPv6 group\n" },
        { "endpoints = ( { uri = \"coap+tcp://127.0.0.1\"; multicast = \"224.0.1.187\"; } );\n",
          "@/c:1: endpoints[0].multicast: \"coap+tcp://127.0.0.1\" cannot join a group, expected an "
          "endpoint of the scheme coap\n" },
};

static const struct fixture_case state_cases[] = {
        { ENDPOINT
          "resources = (\n  { path = \"a/b\"; kind = \"time\"; },\n  { path = \"c\"; kind = \"time\"; },\n"
          "  { path = \"a/b\"; kind = \"files\"; root = \"/\"; },\n  { path = \".well-known/core\"; kind = "
          "\"time\"; }\n);\n",
          "@/c:5: resources[2].path: \"a/b\" is taken, expected another one: @/c:3 has it already\n"
          "@/c:6: resources[3].path: \".well-known/core\" is the list of all resources, which coapd makes "
          "itself, expected another path\n" },
        { ENDPOINT
          "resources = (\n  { path = \"a\"; kind = \"time\"; },\n"
          "  { path = \"a\"; kind = \"time\"; host = ( \"x.example\", \"y.example:5684\", \"[::1]:1\" ); },\n"
          "  { path = \"a\"; kind = \"time\"; host = ( \"z.example\", \"X.example\" ); },\n"
          "  { path = \"a\"; kind = \"time\"; host = \"y.example\"; }\n);\n",
          "@/c:5: resources[2].path: \"a\" at X.example is taken, expected another one: @/c:4 has it "
          "already\n" },
        { ENDPOINT "resources = ( { path = \"a\"; kind = \"time\"; host = ( \"a b\", \"a:0\", \"a:65536\", "
                   "\"a:\", \"[::1\", \"a/b\" ); } );\n",
          "@/c:2: resources[0].host[0]: \"a b\" is not valid, expected a host such as a.example.org, with or "
          "without :PORT\n"
          "@/c:2: resources[0].host[1]: \"a:0\" is not valid, expected a host such as a.example.org, with or "
          "without :PORT\n"
          "@/c:2: resources[0].host[2]: \"a:65536\" is not valid, expected a host such as a.example.org, "
          "with or without :PORT\n"
          "@/c:2: resources[0].host[3]: \"a:\" is not valid, expected a host such as a.example.org, with or "
          "without :PORT\n"
          "@/c:2: resources[0].host[4]: \"[::1\" is not valid, expected a host such as a.example.org, with "
          "or without :PORT\n"
          "@/c:2: resources[0].host[5]: \"a/b\" is not valid, expected a host such as a.example.org, with or "
          "without :PORT\n" },
        { ENDPOINT "dynamic: { max_size = 1000; max_total_size = 999; };\n",
          "@/c:2: dynamic.max_size: one body may be larger (1000) than all together (999), expected max_size "
          "to be at most max_total_size\n" },
        { ENDPOINT "persist: {\n  observers = \"@/state\";\n  observe_counters = \"@/folder/../state\"; };\n",
          "@/c:4: persist.observe_counters: \"@/folder/../state\" is the file of another key, expected one "
          "of its own: @/c:3 has it already\n" },
        { ENDPOINT "persist: { observers = \"@/good.key\"; dynamic_resources = \"@/hard.key\"; };\n",
          "@/c:2: persist.observers: \"@/good.key\" is the file of another key, expected one of its own: "
          "@/c:2 has it already\n" },
        { ENDPOINT "persist: { observers = \"@/nowhere/x\"; dynamic_resources = \"/dev/null\";\n"
                   "  observe_counters = \"@/good.key/x\"; };\n",
          "@/c:2: persist.dynamic_resources: \"/dev/null\" is not a regular file, expected one or none yet\n"
          "@/c:2: persist.observers: the folder of \"@/nowhere/x\" does not exist, expected one that coapd "
          "can write to\n"
          "@/c:3: persist.observe_counters: the folder of \"@/good.key/x\" does not exist, expected one that "
          "coapd can write to\n" },
        { ENDPOINT "persist: { observers = \"@/folder/x\"; dynamic_resources = \"@/folder\"; };\n",
          "@/c:2: persist.dynamic_resources: \"@/folder\" is a folder, and another file of the state is in "
          "it, "
          "expected a file\n" },
        { ENDPOINT "persist: { observers = \"/\"; dynamic_resources = \"@/folder/\"; };\n",
          "@/c:2: persist.dynamic_resources: \"@/folder/\" names a folder, expected a file\n"
          "@/c:2: persist.observers: \"/\" names a folder, expected a file\n" },
        { ENDPOINT "persist: { engine = \"libcoap\"; observers = \"@/o\"; dynamic_resources = \"@/d\"; };\n",
          "@/c:2: persist.dynamic_resources: engine = \"libcoap\" cannot keep this alone, expected both "
          "dynamic_resources and observe_counters, or neither\n" },
        { ENDPOINT "persist: { engine = \"libcoap\"; observe_counters = \"@/o\"; };\n",
          "@/c:2: persist.observe_counters: engine = \"libcoap\" cannot keep this alone, expected both "
          "dynamic_resources and observe_counters, or neither\n" },
};

static void endpoints(void **state)
{
        (void)state;
        fixture_run(endpoint_cases, ARRAY_LEN(endpoint_cases));
}

static void kept_state(void **state)
{
        (void)state;
        assert_int_equal(link(fixture_path("good.key"), fixture_path("hard.key")), 0);
        fixture_run(state_cases, ARRAY_LEN(state_cases));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(origins_have_a_form),
                cmocka_unit_test(addresses),
                cmocka_unit_test(endpoints),
                cmocka_unit_test(kept_state),
        };

        return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
