/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports of this machine, and clients of them. */
#ifndef COAPD_TESTS_UNIT_PORTS_H
#define COAPD_TESTS_UNIT_PORTS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * One that nobody has, over IPv4 and IPv6, for datagrams and for streams: connections that ended a while ago keep some
 * of the kernel's range. Whoever is quick may still take it.
 */
static inline uint16_t free_port(void)
{
        struct sockaddr_in6 a;
        bool bound;

        do {
                int tcp = socket(AF_INET6, SOCK_STREAM, 0), udp = socket(AF_INET6, SOCK_DGRAM, 0);

                a = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
                assert_int_equal(bind(tcp, (struct sockaddr *)&a, sizeof a), 0);
                assert_int_equal(getsockname(tcp, (struct sockaddr *)&a, &(socklen_t){ sizeof a }), 0);
                bound = bind(udp, (struct sockaddr *)&a, sizeof a) == 0;
                close(tcp);
                close(udp);
        } while (!bound);
        return ntohs(a.sin6_port);
}

/* A UDP socket that sends to the port of 127.0.0.1, and never waits. */
static inline int new_client(uint16_t port)
{
        struct sockaddr_in a = { .sin_family = AF_INET,
                                 .sin_addr = { htonl(INADDR_LOOPBACK) },
                                 .sin_port = htons(port) };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        return fd;
}

#endif
