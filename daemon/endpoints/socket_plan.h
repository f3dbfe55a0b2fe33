/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How the socket of an endpoint is to be opened, where libcoap has no say or no call: buffers, the backlog,
 * an address of its own, TCP_NODELAY; or that it is open already.
 */
#ifndef COAPD_ENDPOINTS_SOCKET_PLAN_H
#define COAPD_ENDPOINTS_SOCKET_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/* Another endpoint of ours, open already. */
struct socket_peer {
        int fd;
        int type;
        struct sockaddr_storage address;
};

struct socket_plan {
        struct sockaddr_storage address;
        socklen_t address_size;
        int type;           /* SOCK_DGRAM or SOCK_STREAM */
        bool v6only;        /* the IPv4 side of "::" is another endpoint's */
        int receive_buffer; /* bytes; 0: the kernel's default */
        int send_buffer;
        bool patient; /* the manager is just closing sockets that may be in the way */
        int kept;     /* -1, or a descriptor from the last run, bound as this plan wants it */
        int shared; /* -1, or the descriptor of this very endpoint in another context: then it is that one */
        const struct socket_peer *peers;
        size_t n_peers;
        int fd;                 /* out: the descriptor, owned by libcoap; -1 while there is none */
        int got_receive_buffer; /* out: bytes, where the kernel gave less than asked for, else 0 */
        int got_send_buffer;
        int error; /* out: errno of the system call that failed, or 0 */
};

/*
 * Is `fd` a socket of the plan's type, bound to its very address? Then it can be `kept`, and with it what the
 * kernel has queued.
 */
bool plan_fits(const struct socket_plan *plan, int fd);

/* Each does as the system call of its name, for `plan`: -1 and errno on failure, also kept in plan->error. */
int plan_socket(struct socket_plan *plan, int protocol);
int plan_bind(struct socket_plan *plan);
int plan_listen(struct socket_plan *plan);

#endif
