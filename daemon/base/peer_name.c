/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of addresses; see peer_name.h. */
#include "base/peer_name.h"

#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static struct sockaddr_in unmapped(const struct sockaddr_in6 *six)
{
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = six->sin6_port };

        memcpy(&four.sin_addr, six->sin6_addr.s6_addr + sizeof six->sin6_addr - sizeof four.sin_addr,
               sizeof four.sin_addr);
        return four;
}

const char *peer_name(const struct sockaddr *address, char out[static PEER_NAME])
{
        const struct sockaddr_in6 *six = (const void *)address; /* if the family says so */
        sa_family_t family = address ? address->sa_family : AF_UNSPEC;
        char host[INET6_ADDRSTRLEN + IF_NAMESIZE], port[sizeof "65535"];
        struct sockaddr_in four;

        if (family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
                four = unmapped(six);
                address = (const struct sockaddr *)&four;
                family = AF_INET;
        }
        if ((family != AF_INET && family != AF_INET6) ||
            getnameinfo(address, family == AF_INET ? sizeof four : sizeof *six, host, sizeof host, port,
                        sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
                snprintf(out, PEER_NAME, "?");
        else
                snprintf(out, PEER_NAME, family == AF_INET ? "%s:%s" : "[%s]:%s", host, port);
        return out;
}
