/* SPDX-License-Identifier: BSD-2-Clause */
/* The Echo option's values, at times of the test's choice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "resources/echo.h"

enum { HOUR = 3600 };

static long late; /* seconds */

/* Stands before that of libc. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
        int r = (int)syscall(SYS_clock_gettime, clock, now);

        now->tv_sec += late;
        return r;
}

static coap_address_t address(const char *text, uint16_t port)
{
        coap_address_t a;

        coap_address_init(&a);
        if (inet_pton(AF_INET6, text, &a.addr.sin6.sin6_addr) == 1) {
                a.addr.sin6.sin6_family = AF_INET6;
                a.addr.sin6.sin6_port = htons(port);
        } else {
                assert_int_equal(inet_pton(AF_INET, text, &a.addr.sin.sin_addr), 1);
                a.addr.sin.sin_family = AF_INET;
                a.addr.sin.sin_port = htons(port);
        }
        return a;
}

static int set_up(void **state)
{
        late = 0;
        return echo_new((struct echo **)state);
}

static int tear_down(void **state)
{
        echo_free(*state);
        return 0;
}

static void a_value_is_good_for_an_hour(void **state)
{
        coap_address_t peer = address("192.0.2.1", 5683);
        uint8_t value[ECHO_SIZE] = { 0 };
        struct span echo = span_of(value, sizeof(value));

        assert_int_equal(echo_make(*state, &peer, value), 0);
        assert_true(echo_check(*state, &peer, echo));
        late = HOUR - 60;
        assert_true(echo_check(*state, &peer, echo));
        late = HOUR + 60;
        assert_false(echo_check(*state, &peer, echo));
        late = -60; /* made in the future */
        assert_false(echo_check(*state, &peer, echo));
}

static void a_value_is_good_for_one_address(void **state)
{
        static const char *const texts[] = { "192.0.2.1", "2001:db8::1" };
        static const char *const others[] = { "192.0.2.2", "2001:db8::2" };
        uint8_t value[ECHO_SIZE] = { 0 };
        struct span echo = span_of(value, sizeof(value));

        for (size_t i = 0; i < 2; i++) {
                coap_address_t peer = address(texts[i], 5683), port = address(texts[i], 5684);
                coap_address_t other = address(others[i], 5683);

                assert_int_equal(echo_make(*state, &peer, value), 0);
                assert_true(echo_check(*state, &peer, echo));
                assert_false(echo_check(*state, &port, echo));
                assert_false(echo_check(*state, &other, echo));
        }
}

/* A link-local address is another one on another link. */
static void a_value_is_good_on_one_link(void **state)
{
        coap_address_t peer = address("fe80::1", 5683), other = address("fe80::1", 5683);
        uint8_t value[ECHO_SIZE] = { 0 };

        peer.addr.sin6.sin6_scope_id = 1;
        other.addr.sin6.sin6_scope_id = 2;
        assert_int_equal(echo_make(*state, &peer, value), 0);
        assert_true(echo_check(*state, &peer, span_of(value, sizeof(value))));
        assert_false(echo_check(*state, &other, span_of(value, sizeof(value))));
}

static void no_value_can_be_made_up(void **state)
{
        coap_address_t peer = address("192.0.2.1", 5683);
        uint8_t value[ECHO_SIZE + 1] = { 0 };
        struct echo *other;

        assert_int_equal(echo_make(*state, &peer, value), 0);
        for (size_t bit = 0; bit < (size_t)8 * ECHO_SIZE; bit++) {
                value[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_false(echo_check(*state, &peer, span_of(value, ECHO_SIZE)));
                value[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        for (size_t n = 0; n <= sizeof(value); n++)
                assert_int_equal(echo_check(*state, &peer, span_of(value, n)), n == ECHO_SIZE);
        /* And not by another process, or before a restart. */
        assert_int_equal(echo_new(&other), 0);
        assert_false(echo_check(other, &peer, span_of(value, ECHO_SIZE)));
        echo_free(other);
}

int main(void)
{
#define ECHO_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                ECHO_TEST(a_value_is_good_for_an_hour),
                ECHO_TEST(a_value_is_good_for_one_address),
                ECHO_TEST(a_value_is_good_on_one_link),
                ECHO_TEST(no_value_can_be_made_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
