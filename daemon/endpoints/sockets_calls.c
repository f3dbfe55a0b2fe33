/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interposed calls; see sockets.h. A call for a descriptor that is not libcoap's costs one look into the table of
 * sockets.c and goes to the kernel by number, which also keeps clear of a sanitizer's own interposition.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "endpoints/sockets_internal.h"
#include "endpoints/websocket.h"

#define INTERPOSED __attribute__((used, visibility("default")))

static struct {
        struct socket_plan *plan;
        int spare; /* kept to be given up for an accept() at the limit of descriptors */
        int last_recv;
} calls = { .spare = -1, .last_recv = -1 };

void sockets_plan(struct socket_plan *plan)
{
        if (plan) {
                plan->fd = -1;
                plan->error = 0;
        }
        calls.plan = plan;
}

void sockets_watch_recv(void)
{
        calls.last_recv = -1;
}

int sockets_last_recv(void)
{
        return calls.last_recv;
}

static const struct socket_io *io_of(int fd)
{
        struct known *known = known_find(fd);

        return known ? known->io : NULL;
}

static bool is_endpoint(const struct known *known)
{
        return known->kind == KNOWN_DATAGRAM || known->kind == KNOWN_LISTENER;
}

static bool is_planned(int fd)
{
        return calls.plan && calls.plan->fd >= 0 && fd == calls.plan->fd;
}

INTERPOSED int socket(int domain, int type, int protocol)
{
        struct socket_plan *plan = calls.plan;

        if (!plan || plan->fd >= 0 || domain != plan->address.ss_family || type != plan->type)
                return (int)syscall(SYS_socket, domain, type, protocol);
        if (plan->shared >= 0 && known_find(plan->shared))
                known_find(plan->shared)->open++;
        return plan_socket(plan, protocol);
}

INTERPOSED int bind(int fd, const struct sockaddr *address, socklen_t size)
{
        struct socket_plan *plan = calls.plan;
        int r;

        if (!is_planned(fd))
                return (int)syscall(SYS_bind, fd, address, size);
        r = plan_bind(plan);
        if (r == 0 && plan->shared < 0)
                known_set(fd, &(struct known){
                                      .kind = plan->type == SOCK_DGRAM ? KNOWN_DATAGRAM : KNOWN_LISTENER,
                                      .epoll_fd = -1,
                                      .open = 1,
                              });
        return r;
}

INTERPOSED int listen(int fd, int backlog)
{
        return is_planned(fd) ? plan_listen(calls.plan) : (int)syscall(SYS_listen, fd, backlog);
}

/*
 * At the limit of descriptors a connection cannot be taken off the queue, and the loop would turn without
 * end. Giving up the spare descriptor for a moment takes it off, so that the peer sees it closed.
 */
static int accept_at_limit(int fd)
{
        int error = errno;
        int taken;

        if (calls.spare >= 0) {
                close(calls.spare);
                taken = (int)syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC);
                error = taken < 0 ? errno : error;
                if (taken >= 0)
                        close(taken);
                calls.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        errno = error;
        return -1;
}

/* False when there is no memory; then it is closed. */
static bool remember_stream(int fd, const struct known *listener)
{
        struct known stream = {
                .kind = KNOWN_STREAM, .epoll_fd = -1, .io = listener->io, .whole = listener->whole
        };

        if (!listener->io && !listener->websockets)
                return true;
        stream.websocket = listener->websockets && fd < KNOWN_FD_MOST
                                   ? websocket_new(listener->io && listener->io->on_more, listener->origins)
                                   : NULL;
        if (listener->websockets && !stream.websocket) {
                close(fd);
                errno = ENOMEM;
                return false;
        }
        known_set(fd, &stream);
        return true;
}

INTERPOSED int accept(int fd, struct sockaddr *address, socklen_t *size)
{
        struct known *known = known_find(fd);
        bool ours = known && known->kind == KNOWN_LISTENER;
        int r;

        if (ours && calls.spare < 0)
                calls.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        r = (int)syscall(SYS_accept4, fd, address, size, ours ? SOCK_CLOEXEC : 0);
        if (r < 0 && ours && (errno == EMFILE || errno == ENFILE))
                return accept_at_limit(fd);
        return r < 0 || !ours || remember_stream(r, known) ? r : -1;
}

static ssize_t read_stream(void *below, void *to, size_t n)
{
        ssize_t r = syscall(SYS_recvfrom, *(const int *)below, to, n, 0, NULL, NULL);

        return r < 0 && errno == EAGAIN ? WEBSOCKET_AGAIN : r;
}

/* Not behind what the peer does not read: it is told more of, when that has gone. */
static void send_pong(int fd, struct websocket *websocket)
{
        struct span pong = websocket_pong(websocket);

        if (pong.n == 0 || sockets_is_behind(fd))
                return;
        if (send(fd, pong.p, pong.n, MSG_NOSIGNAL) >= 0)
                websocket_pong_is_sent(websocket);
}

INTERPOSED ssize_t recv(int fd, void *to, size_t n, int flags)
{
        struct known *known = known_find(fd);
        ssize_t r;

        calls.last_recv = fd;
        if (known && known->kind == KNOWN_STREAM && known->io && known->io->on_read)
                known->io->on_read(known->io->userdata);
        if (!known || !known->websocket)
                return syscall(SYS_recvfrom, fd, to, n, flags, NULL, NULL);
        r = websocket_read(known->websocket, read_stream, &fd, to, n);
        send_pong(fd, known->websocket);
        if (websocket_has_more(known->websocket, 0))
                sockets_tell_more(fd);
        if (r != WEBSOCKET_AGAIN)
                return r;
        errno = EAGAIN;
        return -1;
}

INTERPOSED ssize_t read(int fd, void *to, size_t n)
{
        const struct known *known = known_find(fd);

        if (known && known->kind == KNOWN_TIMER && known->io && known->io->on_read)
                known->io->on_read(known->io->userdata);
        return syscall(SYS_read, fd, to, n);
}

INTERPOSED ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
        const struct socket_io *io = io_of(fd);

        if (!io || !io->receive || flags != 0)
                return sockets_raw_recvmsg(fd, message, flags);
        return io->receive(io->userdata, message);
}

INTERPOSED ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
        const struct socket_io *io = io_of(fd);

        if (!io || !io->send || flags != 0)
                return sockets_raw_sendmsg(fd, message, flags);
        return io->send(io->userdata, message);
}

INTERPOSED ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
        const struct known *known = known_find(fd);
        const struct socket_io *io = known ? known->io : NULL;

        if (known && known->websocket)
                bytes = websocket_written(known->websocket, span_of(bytes, n)).p;
        if (!io || !io->write || flags != MSG_NOSIGNAL)
                return sockets_raw_send(fd, bytes, n, flags);
        return io->write(io->userdata, fd, known->whole, bytes, n);
}

/* Returns whether it stays open. */
static bool close_stream(struct known *known, int fd)
{
        int epoll_fd = known->epoll_fd; /* may become that of who keeps it */
        bool kept = known->io && known->io->on_close(known->io->userdata, fd, known->tag);

        /* What closing it would do, should libcoap not have done so: the tag is about to be nobody's. */
        if (kept && epoll_fd >= 0)
                syscall(SYS_epoll_ctl, epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        websocket_free(known->websocket);
        *known = (struct known){ .kind = KNOWN_NOT };
        return kept;
}

INTERPOSED int close(int fd)
{
        struct known *known = known_find(fd);

        if (known && known->kind == KNOWN_STREAM && close_stream(known, fd))
                return 0;
        if (known && is_endpoint(known)) {
                if (--known->open > 0)
                        return 0;
                known_forget(known);
        }
        return (int)syscall(SYS_close, fd);
}

/* One that is being opened, or has been; not whoever else waits for the same descriptor, for example to send. */
static bool is_twin(const struct known *known, int epoll_fd)
{
        return is_endpoint(known) && known->epoll_fd >= 0 && known->epoll_fd != epoll_fd &&
               (calls.plan || known_twin(known, epoll_fd));
}

/* The endpoint of another context: its epoll set only believes that it watches the descriptor. */
static int control_twin(struct known *known, int epoll_fd, int operation, const struct epoll_event *event)
{
        struct twin *twin = known_twin(known, epoll_fd);
        struct twin *grown;

        if (operation == EPOLL_CTL_DEL && twin) {
                *twin = known->twins[--known->n_twins];
                sockets_changed();
        }
        if (operation != EPOLL_CTL_ADD)
                return 0;
        grown = reallocarray(known->twins, known->n_twins + 1, sizeof *grown);
        if (!grown)
                return -1;
        known->twins = grown;
        grown[known->n_twins++] = (struct twin){ epoll_fd, event->data.ptr };
        sockets_changed();
        return 0;
}

/* libcoap marks an endpoint's events with its own pointer, and those of its one timer with none. */
INTERPOSED int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
        struct known *known = known_find(fd);
        int r;

        if (known && is_twin(known, epoll_fd))
                return control_twin(known, epoll_fd, operation, event);
        r = (int)syscall(SYS_epoll_ctl, epoll_fd, operation, fd, event);
        if (r < 0 || operation != EPOLL_CTL_ADD)
                return r;
        if (known && known->kind != KNOWN_TIMER) {
                if (known->epoll_fd >= 0)
                        return r; /* libcoap's comes first */
                known->epoll_fd = epoll_fd;
                known->tag = event->data.ptr;
                if (known->kind != KNOWN_STREAM)
                        sockets_changed();
        } else if (!event->data.ptr) {
                /* One left over from a context that had the same number for its set. */
                sockets_forget(sockets_timer_of(epoll_fd));
                known_set(fd, &(struct known){ .kind = KNOWN_TIMER, .epoll_fd = epoll_fd });
        }
        return r;
}

void sockets_pause(int fd, bool pause)
{
        const struct known *known = known_find(fd);
        struct epoll_event event = { .events = pause ? 0 : EPOLLIN };

        if (!known || known->kind != KNOWN_STREAM || known->epoll_fd < 0)
                return;
        event.data.ptr = known->tag;
        syscall(SYS_epoll_ctl, known->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

/*
 * Only libcoap calls it in this process, and only where it closes a WebSocket: for up to 5 ms it reads what
 * the peer still sends, into 100 bytes of its stack, as many bytes as the peer's frame header has announced.
 * So a frame over 1472 bytes, which makes it close, overwrites the stack (4.3.4 and 4.3.5). There is never
 * anything to read here.
 */
INTERPOSED int select(int n, fd_set *readable, fd_set *writable, fd_set *failed, struct timeval *timeout)
{
        (void)n, (void)readable, (void)writable, (void)failed, (void)timeout;
        return 0;
}

#if defined(__LP64__)
/* Where time_t has two sizes the library calls another name, and all that is lost is a call saved. */
INTERPOSED int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *old)
{
        const struct socket_io *io = io_of(fd);

        if (!io || !io->set_time || flags != 0 || old)
                return (int)syscall(SYS_timerfd_settime, fd, flags, value, old);
        return io->set_time(io->userdata, value);
}
#endif
