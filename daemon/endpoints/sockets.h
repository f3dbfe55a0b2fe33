/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors under libcoap's endpoints.
 *
 * libcoap opens its sockets itself and has no call to hand it an open one, to size its buffers or to refuse a
 * shared address. But the executable's own socket(), bind() and listen() take precedence over those of libc
 * when the shared libcoap calls them. Those here do as libc's do, except while sockets_plan() announces
 * that the next one is an endpoint of ours.
 */
#ifndef COAPD_ENDPOINTS_SOCKETS_H
#define COAPD_ENDPOINTS_SOCKETS_H

#include <stdbool.h>
#include <sys/socket.h>

/* What the next endpoint's socket shall be like. */
struct socket_plan {
        struct sockaddr_storage address;
        int type;       /* SOCK_DGRAM or SOCK_STREAM */
        bool v6only;    /* the IPv4 side of "::" is another endpoint's */
        int receive_buffer; /* bytes; 0: the kernel's default */
        int send_buffer;
        int fd;    /* out: the descriptor; -1 while there is none */
        int error; /* out: errno of the system call that failed, or 0 */
};

/* From here on until sockets_plan(NULL) the next matching socket() is for `plan`. */
void sockets_plan(struct socket_plan *plan);

/* Before the descriptor is closed: forgets that it is an endpoint's. */
void sockets_forget(int fd);

#endif
