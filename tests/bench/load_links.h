/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links: N client sessions with the server, over whatever transport. Who uses them (requests, observers)
 * hands over datagrams and gets messages back, and need not know whether they travel as such, as records or
 * in a stream.
 *
 * A transport embeds `struct links` as its first member.
 */
#ifndef COAPD_BENCH_LOAD_LINKS_H
#define COAPD_BENCH_LOAD_LINKS_H

#include <netinet/in.h>
#include <stdint.h>

#include "load_loop.h"
#include "load_message.h"

struct links;

struct links_setup {
        struct loop *loop;
        struct sockaddr_in server;
        uint32_t n;
        /*
         * How the server tells the sessions apart: each a port of its own (and a socket, so the load costs
         * more), or all one port and each an address of 127/8 of its own (one socket for all, cheap for the
         * generator).
         */
        bool by_address;
        bool urgent;                     /* see loop_add() */
        uint32_t first;                  /* the number of the first, so that two sets get other addresses */
        const char *host, *psk, *oscore; /* where the transport asks for them; see load_options.h */
};

struct links_ops {
        void (*send)(struct links *self, uint32_t link, const uint8_t *datagram, size_t n);
        /* What send() held back leaves now. */
        void (*flush)(struct links *self);
        /* Datagrams that the kernel dropped for lack of room on our side; NULL: cannot happen. */
        uint64_t (*drops)(struct links *self);
        void (*close)(struct links *self);
};

struct links {
        const struct links_ops *ops;
        struct loop *loop;
        uint32_t n;
        uint64_t send_errors, bad_messages;
        /* Called for each message that came; it may send. */
        void (*receive)(void *user, uint32_t link, const struct message *message);
        void *user;
};

/* Each: 0 or -errno after a line on stderr. */
int udp_open(const struct links_setup *setup, struct links **ret);
int tcp_open(const struct links_setup *setup, struct links **ret);
int websocket_open(const struct links_setup *setup, struct links **ret);
int dtls_open(const struct links_setup *setup, struct links **ret);
/* Wraps and owns `under`, on failure too: `*ret` is then to be closed. */
int oscore_wrap(struct links *under, const char *keys, struct links **ret);

#endif
