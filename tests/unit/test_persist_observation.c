/* SPDX-License-Identifier: BSD-2-Clause */
/* What is read from a registering request, by the short way and by libcoap's, is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "persist/observation.h"

#define BYTES(literal) ((struct span){ (const uint8_t *)(literal), sizeof(literal) - 1 })
#define GET "\x42\x01\x12\x34tt" /* and the token */
#define OBSERVE "\x60"

static int read_it(struct observation *ret, struct span request)
{
        coap_addr_tuple_t addresses;
        coap_address_t address;

        /* Whatever was in there. */
        memset(ret, 0xee, sizeof *ret);
        coap_address_init(&address);
        address.size = sizeof address.addr.sin;
        address.addr.sin.sin_family = AF_INET;
        addresses.remote = addresses.local = address;
        return observation_from_libcoap(ret, &address, &addresses, request, (struct span){ 0 });
}

static void check(struct span request, const char *path, const char *query)
{
        struct observation observation = { 0 };

        assert_int_equal(read_it(&observation, request), 0);
        assert_true(span_equal_string(observation.path, path));
        if (query)
                assert_true(span_equal_string(observation.query, query));
        else
                assert_null(observation.query.p);
        observation_deinit(&observation);
}

static void paths_and_queries_are_as_libcoap_spells_them(void **state)
{
        (void)state;
        check(BYTES(GET OBSERVE "\x51"
                                "a"),
              "a", NULL);
        check(BYTES(GET OBSERVE "\x51"
                                "a"
                                "\x02"
                                "bc"),
              "a/bc", NULL);
        check(BYTES(GET OBSERVE "\x51"
                                "a"
                                "\x43"
                                "x=1"
                                "\x01"
                                "y"),
              "a", "x=1&y");
        check(BYTES(GET OBSERVE "\x51"
                                "a"
                                "\x62\x00\x32"
                                "\x21\x06"),
              "a", NULL); /* Accept and Block2 */
        check(BYTES(GET OBSERVE), "", NULL);
        check(BYTES(GET OBSERVE "\x50"), "", NULL);
        check(BYTES(GET OBSERVE "\x51"
                                "a"
                                "\x00"),
              "a/", NULL);
        check(BYTES(GET OBSERVE "\x50"
                                "\x01"
                                "a"),
              "/a", NULL);
        check(BYTES(GET OBSERVE "\x53"
                                "a b"
                                "\x01"
                                "/"),
              "a%20b/%2F", NULL);
        check(BYTES(GET OBSERVE "\x51"
                                "\xff"),
              "%FF", NULL);
        check(BYTES(GET OBSERVE "\x51"
                                "a"
                                "\x43"
                                "a/?"
                                "\x01"
                                "&"),
              "a", "a/?&&");
        check(BYTES(GET "\x31"
                        "h"
                        "\x30"
                        "\x51"
                        "a"),
              "a", NULL); /* Uri-Host, which the short way does not know */
        check(BYTES("\x42\x05\x12\x34tt" OBSERVE "\x51"
                    "a"
                    "\xff"
                    "body"),
              "a", NULL);
}

static void long_paths_are_whole(void **state)
{
        enum { SEGMENT = 200, SEGMENTS = 3 };
        static const uint8_t head[] = GET OBSERVE;
        uint8_t request[1024], *p = request + sizeof head - 1;
        struct observation observation = { 0 };

        (void)state;
        memcpy(request, head, sizeof head - 1);
        for (int i = 0; i < SEGMENTS; i++) {
                *p++ = i == 0 ? 0x5d : 0x0d;
                *p++ = SEGMENT - 13;
                memset(p, 'a' + i, SEGMENT);
                p += SEGMENT;
        }
        assert_int_equal(read_it(&observation, span_of(request, (size_t)(p - request))), 0);
        assert_int_equal(observation.path.n, SEGMENTS * SEGMENT + SEGMENTS - 1);
        assert_int_equal(observation.path.p[SEGMENT], '/');
        assert_int_equal(observation.path.p[SEGMENTS * SEGMENT + 1], 'c');
        observation_deinit(&observation);
}

static void the_token_is_hex_digits(void **state)
{
        struct observation observation = { 0 };

        (void)state;
        assert_int_equal(read_it(&observation, BYTES("\x40\x01\x12\x34" OBSERVE "\x51"
                                                     "a")),
                         0);
        assert_string_equal(observation.token_text, "");
        observation_deinit(&observation);
        assert_int_equal(read_it(&observation, BYTES("\x43\x01\x12\x34\x00\xab\x7f" OBSERVE "\x51"
                                                     "a")),
                         0);
        assert_string_equal(observation.token_text, "00ab7f");
        assert_int_equal(observation.code, COAP_REQUEST_CODE_GET);
        observation_deinit(&observation);
        /* RFC 8974: 13 + 2 bytes. */
        assert_int_equal(read_it(&observation, BYTES("\x4d\x05\x12\x34\x02"
                                                     "123456789012345" OBSERVE "\x51"
                                                     "a")),
                         0);
        assert_string_equal(observation.token_text, "313233343536373839303132333435");
        assert_int_equal(observation.code, COAP_REQUEST_CODE_FETCH);
        observation_deinit(&observation);
}

static void what_is_none_is_refused(void **state)
{
        static const struct span bad[] = {
                BYTES(""),
                BYTES("\x42\x01\x12"),
                BYTES(GET),
                BYTES(GET "\xb1"
                          "a"),
                BYTES(GET "\x61\x01\x51"
                          "a"), /* the end of an observation */
                BYTES("\x42\x02\x12\x34tt" OBSERVE "\x51"
                      "a"), /* POST */
                BYTES("\x82\x01\x12\x34tt" OBSERVE "\x51"
                      "a"), /* another version */
                BYTES("\x4f\x01\x12\x34"
                      "123456789" OBSERVE), /* a length that is reserved */
                BYTES(GET OBSERVE "\x52"
                                  "a"),
                BYTES(GET OBSERVE "\x51"
                                  "a"
                                  "\xf0"),
                BYTES(GET OBSERVE "\x51"
                                  "a"
                                  "\xff"),
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
                struct observation observation = { 0 };
                int r = read_it(&observation, bad[i]);

                if (r != -EBADMSG)
                        fail_msg("request %zu: %d", i, r);
                observation_deinit(&observation);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(paths_and_queries_are_as_libcoap_spells_them),
                cmocka_unit_test(long_paths_are_whole),
                cmocka_unit_test(the_token_is_hex_digits),
                cmocka_unit_test(what_is_none_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
