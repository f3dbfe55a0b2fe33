/* SPDX-License-Identifier: BSD-2-Clause */
/* Joining and leaving groups by name; see multicast.h. */
#include "endpoints/multicast.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static int parse(const char *text, struct group_req *ret_request, int *ret_level)
{
        const char *percent = strchr(text, '%');
        struct group_req request = { .gr_interface = 0 };
        struct sockaddr_in *four = (struct sockaddr_in *)&request.gr_group;
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&request.gr_group;
        char address[INET6_ADDRSTRLEN];

        snprintf(address, sizeof address, "%.*s", (int)strcspn(text, "%"), text);
        if (inet_pton(AF_INET, address, &four->sin_addr) == 1)
                request.gr_group.ss_family = AF_INET;
        else if (inet_pton(AF_INET6, address, &six->sin6_addr) == 1)
                request.gr_group.ss_family = AF_INET6;
        else
                return -EINVAL;
        if (percent)
                request.gr_interface = if_nametoindex(percent + 1);
        if (percent && request.gr_interface == 0)
                return -ENODEV;
        *ret_level = request.gr_group.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
        *ret_request = request;
        return 0;
}

int multicast_join(int fd, const char *group)
{
        struct group_req request;
        int level;
        int r = parse(group, &request, &level);

        if (r == 0 && setsockopt(fd, level, MCAST_JOIN_GROUP, &request, sizeof request) < 0 &&
            errno != EADDRINUSE)
                r = -errno;
        return r;
}

void multicast_leave(int fd, const char *group)
{
        struct group_req request;
        int level;

        if (parse(group, &request, &level) == 0)
                setsockopt(fd, level, MCAST_LEAVE_GROUP, &request, sizeof request);
}

uint32_t multicast_hash(const struct conf_strings *groups)
{
        uint32_t sum = 0;

        for (size_t i = 0; i < groups->n; i++) {
                uint32_t h = 2166136261; /* FNV-1a */

                for (const char *c = groups->v[i]; *c; c++)
                        h = (h ^ (uint8_t)*c) * 16777619;
                sum += h;
        }
        return sum;
}
