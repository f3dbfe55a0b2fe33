/* SPDX-License-Identifier: BSD-2-Clause */
/* What libcoap is told of an address is what its own function says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include <coap3/coap.h>

#include "base/find_real.h"
#include "base/util.h"

typedef int is_bcast(const coap_address_t *address);

static is_bcast *libcoaps(void)
{
        is_bcast *function;

        find_real("coap_is_bcast", &function);
        assert_non_null(function);
        assert_ptr_not_equal(function, coap_is_bcast);
        return function;
}

static coap_address_t address_of(const char *text)
{
        coap_address_t address;

        coap_address_init(&address);
        address.addr.sa.sa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
        assert_int_equal(inet_pton(address.addr.sa.sa_family, text,
                                   address.addr.sa.sa_family == AF_INET
                                           ? (void *)&address.addr.sin.sin_addr
                                           : (void *)&address.addr.sin6.sin6_addr),
                         1);
        return address;
}

static void assert_same(const coap_address_t *address)
{
        int theirs = libcoaps()(address);

        assert_int_equal(coap_is_bcast(address), theirs);
        assert_int_equal(coap_is_bcast(address), theirs);
}

/* More of them than are remembered, in any order. */
static void says_what_libcoap_does(void **state)
{
        static const char *const texts[] = {
                "127.0.0.1",         "0.0.0.0",  "255.255.255.255",
                "10.1.2.3",          "10.1.2.4", "224.0.1.187",
                "::ffff:10.1.2.255", "::1",      "::ffff:255.255.255.255",
                "ff02::fd",          "::",
        };
        unsigned seed = 1;

        (void)state;
        for (int i = 0; i < 1000; i++) {
                coap_address_t address = address_of(texts[(size_t)rand_r(&seed) % ARRAY_LEN(texts)]);

                assert_same(&address);
        }
        assert_int_equal(coap_is_bcast(NULL), 0);
}

static void knows_those_of_its_interfaces(void **state)
{
        coap_address_t loopback = address_of("127.0.0.1"), address = loopback;
        struct ifaddrs *all;

        (void)state;
        assert_int_equal(getifaddrs(&all), 0);
        for (const struct ifaddrs *one = all; one; one = one->ifa_next) {
                if (!one->ifa_addr || one->ifa_addr->sa_family != AF_INET ||
                    !(one->ifa_flags & IFF_BROADCAST))
                        continue;
                memcpy(&address.addr.sin, one->ifa_broadaddr, sizeof address.addr.sin);
                assert_same(&loopback);
                assert_same(&address);
        }
        freeifaddrs(all);
}

/* A request to a group is known by it. */
static void libcoap_finds_ours(void **state)
{
        coap_address_t unicast = address_of("127.0.0.1"), group = address_of("224.0.1.187"),
                       all = address_of("255.255.255.255");
        void *first = dlsym(RTLD_DEFAULT, "coap_is_bcast");
        is_bcast *ours = coap_is_bcast;

        (void)state;
        assert_memory_equal(&first, &ours, sizeof first);
        for (int i = 0; i < 2; i++) {
                assert_int_equal(coap_is_mcast(&unicast), 0);
                assert_int_equal(coap_is_mcast(&group), 1);
                assert_int_equal(coap_is_mcast(&all), 1);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(says_what_libcoap_does),
                cmocka_unit_test(knows_those_of_its_interfaces),
                cmocka_unit_test(libcoap_finds_ours),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
