/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The descriptors under libcoap's endpoints.
 *
 * libcoap opens, reads and writes its sockets itself, one datagram a call, and has no way to be handed an
 * open one. But functions of the executable take precedence over those of libc when the shared libcoap calls
 * them: socket(), bind(), listen(), accept(), recv(), recvmsg(), sendmsg(), send(), read(), close(), epoll_ctl()
 * and timerfd_settime() of this module do as those of libc for every descriptor, except for those that belong to
 * an endpoint. select() is never ready.
 */
#ifndef COAPD_ENDPOINTS_SOCKETS_H
#define COAPD_ENDPOINTS_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "endpoints/socket_plan.h"

struct websocket_origins;

/*
 * From here on until sockets_plan(NULL), the next socket() of the plan's family and type is for `plan`, and
 * is known as an endpoint's descriptor until sockets_forget().
 */
void sockets_plan(struct socket_plan *plan);
void sockets_forget(int fd);

/* What is called instead of the kernel; which of it depends on the kind of descriptor. */
struct socket_io {
        /* A datagram endpoint: recvmsg() and sendmsg() without flags. */
        ssize_t (*receive)(void *userdata, struct msghdr *into);
        ssize_t (*send)(void *userdata, const struct msghdr *message);
        /*
         * A stream that was accepted: the moment before recv(), send(), the moment before close(), and that there is
         * more to be read of it, of which the kernel knows nothing: it is to have one more event. `tag`: data.ptr of
         * its events; `whole`: it is to be written to its end, or the session is over. on_close() returns whether it
         * keeps the descriptor open and closes it later.
         */
        void (*on_read)(void *userdata);
        ssize_t (*write)(void *userdata, int fd, bool whole, const void *bytes, size_t n);
        bool (*on_close)(void *userdata, int fd, void *tag);
        void (*on_more)(void *userdata, int fd, void *tag);
        /* Whether some of what was written waits for the peer to read. */
        bool (*is_behind)(void *userdata, int fd);
        /* libcoap's timer, and the moment before read() by on_read(). */
        int (*set_time)(void *userdata, const struct itimerspec *value);
        void *userdata;
};

/* `io` is borrowed until the next call; NULL gives the descriptor back to the kernel. */
void sockets_set_io(int fd, const struct socket_io *io);

/* For all streams that the listeners of an epoll set accept from now on. */
void sockets_set_stream_io(int epoll_fd, const struct socket_io *io);

/*
 * What the listener accepts from now on are WebSockets without TLS: read by whole frames. `origins` as websocket_new()
 * has them.
 */
void sockets_set_websockets(int fd, struct websocket_origins *origins);

/*
 * What is written to what the listener accepts from now on is taken whole. Of a WebSocket libcoap takes a write that
 * was cut short for one to its end, and forgets what it could not begin; of TLS it waits for ever to go on where
 * GnuTLS has taken a part (4.3.4 and 4.3.5).
 */
void sockets_set_whole(int fd);

/* libcoap is not told that there is something to be read from a stream; and is told so again. */
void sockets_pause(int fd, bool pause);

/* on_more() of a stream. Nothing for other descriptors. */
void sockets_tell_more(int fd);

/* is_behind() of a stream; false for other descriptors. When it no longer is, sockets_caught_up() is to be called. */
bool sockets_is_behind(int fd);
void sockets_caught_up(int fd);

/* The descriptor that recv() was called with last; -1 from sockets_watch_recv() on until there is one. */
void sockets_watch_recv(void);
int sockets_last_recv(void);

/* Gives back every descriptor that has `io`. */
void sockets_revoke_io(const struct socket_io *io);

/* The timer that a libcoap context put into its epoll set; -1 when there is none. */
int sockets_timer_of(int epoll_fd);

/* An endpoint as the epoll set of its context knows it. */
struct socket_watch {
        int fd;
        void *tag; /* data.ptr of its events */
};

/*
 * An endpoint may be there in several contexts, on one and the same descriptor: only the epoll set of the first
 * one really watches it, and it is closed when the last one closes it. What another one accepts is in its own set.
 * The tag that another context has given to its epoll set, for which nothing ever comes out of that; NULL: it has no
 * such endpoint.
 */
void *sockets_tag(int fd, int epoll_fd);

/* Changes with every endpoint that is added to an epoll set. */
unsigned sockets_generation(void);

/* The datagram endpoint, or listener, behind `*cursor`, which starts at 0; false behind the last one. */
bool sockets_next(int epoll_fd, int *cursor, struct socket_watch *ret_watch);
bool sockets_next_listener(int epoll_fd, int *cursor, struct socket_watch *ret_watch);

/* The epoll set that a stream is in; -1: in none. */
int sockets_epoll_of(int fd);

/* The calls of libc past the ones above. */
ssize_t sockets_raw_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t sockets_raw_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t sockets_raw_recv(int fd, void *to, size_t n, int flags);
ssize_t sockets_raw_send(int fd, const void *bytes, size_t n, int flags);
int sockets_raw_settime(int fd, const struct itimerspec *value);

#endif
