/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagram sockets in batches: what leaves is collected and goes out in one sendmmsg(), what waits comes in
 * by one recvmmsg(), so that the generator costs less than the server that it measures.
 */
#ifndef COAPD_BENCH_LOAD_UDP_H
#define COAPD_BENCH_LOAD_UDP_H

#include "load_links.h"

enum { BATCH = 64, DATAGRAM_MAX = 1500 };

/* Datagrams for one socket after another; sent when full, when the socket changes, or by outbox_flush(). */
struct outbox {
        int fd;
        unsigned n;
        uint64_t errors;
        bool no_segments; /* the kernel does not know UDP_SEGMENT */
        bool addressed;   /* each has a source and the destination `to`; else the socket is connected */
        struct sockaddr_in to;
        in_addr_t from[BATCH];
        uint16_t length[BATCH];
        uint8_t data[BATCH][DATAGRAM_MAX];
};

void outbox_put(struct outbox *self, int fd, in_addr_t from, const uint8_t *datagram, size_t n);
void outbox_flush(struct outbox *self);

/* A socket connected to the server from a port of its own, non-blocking, with large buffers when `alone`. */
int udp_connect(const struct links_setup *setup, uint32_t link, bool alone, int *ret_fd);

/* Datagrams that the kernel dropped because our socket was full. */
uint64_t udp_drops(int fd);

/* Raises the limit of open files as far as we may. */
int raise_file_limit(uint32_t needed);

#endif
