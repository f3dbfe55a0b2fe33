/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of sockets.c, as the calls of sockets_calls.c read and write it. */
#ifndef COAPD_ENDPOINTS_SOCKETS_INTERNAL_H
#define COAPD_ENDPOINTS_SOCKETS_INTERNAL_H

#include "endpoints/sockets.h"

enum {
        /* Others are left to the kernel alone. A table of fixed size costs only the pages that are touched,
         * and other threads may look into it. */
        KNOWN_FD_MOST = 1 << 17,
};

/* An endpoint of another context on the same descriptor. */
struct twin {
        int epoll_fd;
        void *tag;
};

struct known {
        enum { KNOWN_NOT, KNOWN_DATAGRAM, KNOWN_LISTENER, KNOWN_STREAM, KNOWN_TIMER } kind;
        int epoll_fd;  /* -1: in none */
        unsigned open; /* how often close() is expected, of an endpoint */
        void *tag;
        const struct socket_io *io;
        bool websockets;                   /* of a listener: what it accepts are some */
        struct websocket_origins *origins; /* who may open one, borrowed */
        bool whole;                  /* what is written, of a stream or of all that a listener accepts */
        struct websocket *websocket; /* of a stream, owned; NULL: it is none */
        struct twin *twins;          /* of an endpoint */
        unsigned n_twins;
};

/* NULL: it is none of libcoap's. */
struct known *known_find(int fd);
void known_set(int fd, const struct known *known);
void known_forget(struct known *known);

/* That of the context with this epoll set; NULL: it has none. */
struct twin *known_twin(const struct known *known, int epoll_fd);

/* The next generation begins: sockets_generation(). */
void sockets_changed(void);

#endif
