/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coap_is_bcast() of libcoap, which it asks four times about the local address of each request. Its own reads the clock
 * each time, to see whether its list of broadcast addresses is more than 30 seconds old, which is a twentieth of a GET
 * where the clock is slow, as in a virtual machine. What was no broadcast address is taken for none until the next full
 * second but one, by a clock that costs nothing.
 *
 * libcoap calls it by its public name, and the dynamic linker finds the executable's first.
 */
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include <coap3/coap.h>

#include "base/find_real.h"

enum { ADDRESSES = 4 };

/* Addresses of this machine that were no broadcast addresses; as of the call, which has nowhere to keep them. */
static _Thread_local struct {
        struct {
                struct in_addr address;
                time_t until; /* CLOCK_MONOTONIC, seconds */
        } known[ADDRESSES];
        unsigned next;
} memory;

/* IPv6 has no broadcast, but is what an IPv4 peer's address looks like at an endpoint of both. */
static bool take_ipv4(const coap_address_t *address, struct in_addr *ret)
{
        const struct in6_addr *mapped = &address->addr.sin6.sin6_addr;

        if (address->addr.sa.sa_family == AF_INET)
                *ret = address->addr.sin.sin_addr;
        else if (address->addr.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(mapped))
                memcpy(ret, &mapped->s6_addr[12], sizeof *ret);
        else
                return false;
        return true;
}

__attribute__((used, visibility("default"))) int coap_is_bcast(const coap_address_t *address)
{
        static int (*real)(const coap_address_t *address);
        struct in_addr ipv4;
        struct timespec now;
        int r;

        if (!real)
                find_real("coap_is_bcast", &real);
        if (!address || !take_ipv4(address, &ipv4))
                return 0;
        clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
        for (size_t i = 0; i < ADDRESSES; i++) {
                if (memory.known[i].address.s_addr == ipv4.s_addr && now.tv_sec < memory.known[i].until)
                        return 0;
        }
        r = real(address);
        if (r == 0) {
                memory.known[memory.next].address = ipv4;
                memory.known[memory.next].until = now.tv_sec + 2;
                memory.next = (memory.next + 1) % ADDRESSES;
        }
        return r;
}
