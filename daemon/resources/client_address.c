/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses as clients have them; see client_address.h. */
#include "resources/client_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

/* libcoap's addresses are not aligned for what they are cast to. */
uint64_t client_address(const coap_address_t *peer)
{
        uint64_t address = 0;
        struct sockaddr_in6 six;
        struct sockaddr_in four;

        if (peer->addr.sa.sa_family == AF_INET) {
                memcpy(&four, &peer->addr, sizeof four);
                return (uint64_t)four.sin_addr.s_addr << 16 | 1;
        }
        if (peer->addr.sa.sa_family != AF_INET6)
                return 0;
        memcpy(&six, &peer->addr, sizeof six);
        if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr)) {
                memcpy(&four.sin_addr, six.sin6_addr.s6_addr + 12, sizeof four.sin_addr);
                return (uint64_t)four.sin_addr.s_addr << 16 | 1;
        }
        memcpy(&address, six.sin6_addr.s6_addr, sizeof address);
        return address ? address : 2;
}

bool client_address_is_loopback(const coap_address_t *peer)
{
        struct sockaddr_in6 six;
        struct sockaddr_in four;

        if (peer->addr.sa.sa_family == AF_INET) {
                memcpy(&four, &peer->addr, sizeof four);
                return ntohl(four.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
        }
        memcpy(&six, &peer->addr, sizeof six);
        return peer->addr.sa.sa_family == AF_INET6 &&
               (IN6_IS_ADDR_LOOPBACK(&six.sin6_addr) ||
                (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) && six.sin6_addr.s6_addr[12] == IN_LOOPBACKNET));
}
