/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interposed calls; see sockets.h.
 *
 * They have no user data, so that this file keeps the one mutable table of the program: which descriptors are
 * libcoap's, by number. Descriptors are a property of the process just the same. What is behind one, rings
 * and counters, hangs on an object of its owner; a call for any other descriptor costs one look into the
 * table and goes to the kernel by number, which also keeps clear of a sanitizer's own interposition.
 */
#include "endpoints/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "endpoints/websocket.h"

#define INTERPOSED __attribute__((used, visibility("default")))

enum {
        /* Others are left to the kernel alone. A table of fixed size costs only the pages that are touched,
         * and other threads may look into it. */
        FD_MOST = 1 << 17,
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
        bool websockets;             /* of a listener: what it accepts are some */
        struct websocket *websocket; /* of a stream, owned; NULL: it is none */
        struct twin *twins;          /* of an endpoint */
        unsigned n_twins;
};

static struct {
        struct socket_plan *plan;
        struct known by_fd[FD_MOST];
        int end; /* behind the highest that was ever known */
        unsigned generation;
        int spare; /* kept to be given up for an accept() at the limit of descriptors */
        int last_recv;
} sockets = { .spare = -1, .last_recv = -1 };

static struct known *find(int fd)
{
        if (fd < 0 || fd >= FD_MOST || sockets.by_fd[fd].kind == KNOWN_NOT)
                return NULL;
        return &sockets.by_fd[fd];
}

static const struct socket_io *io_of(int fd)
{
        struct known *known = find(fd);

        return known ? known->io : NULL;
}

static void remember(int fd, const struct known *known)
{
        if (fd < 0 || fd >= FD_MOST)
                return;
        sockets.by_fd[fd] = *known;
        if (fd >= sockets.end)
                sockets.end = fd + 1;
}

void sockets_plan(struct socket_plan *plan)
{
        if (plan) {
                plan->fd = -1;
                plan->error = 0;
        }
        sockets.plan = plan;
}

static void forget(struct known *known)
{
        free(known->twins);
        *known = (struct known){ .kind = KNOWN_NOT };
}

void sockets_forget(int fd)
{
        struct known *known = find(fd);

        if (known && known->open > 1)
                known->io = NULL;
        else if (known)
                forget(known);
}

void sockets_set_io(int fd, const struct socket_io *io)
{
        struct known *known = find(fd);

        if (known)
                known->io = io;
}

void sockets_set_stream_io(int epoll_fd, const struct socket_io *io)
{
        for (int fd = 0; fd < sockets.end; fd++) {
                struct known *known = &sockets.by_fd[fd];

                if (known->kind == KNOWN_LISTENER && known->epoll_fd == epoll_fd)
                        known->io = io;
        }
}

void sockets_tell_more(int fd)
{
        const struct known *known = find(fd);

        if (known && known->kind == KNOWN_STREAM && known->io && known->io->on_more)
                known->io->on_more(known->io->userdata, fd, known->tag);
}

void sockets_watch_recv(void)
{
        sockets.last_recv = -1;
}

int sockets_last_recv(void)
{
        return sockets.last_recv;
}

void sockets_set_websockets(int fd)
{
        struct known *known = find(fd);

        if (known)
                known->websockets = true;
}

void sockets_revoke_io(const struct socket_io *io)
{
        for (int fd = 0; fd < sockets.end; fd++) {
                if (sockets.by_fd[fd].io == io)
                        sockets.by_fd[fd].io = NULL;
        }
}

int sockets_timer_of(int epoll_fd)
{
        for (int fd = 0; fd < sockets.end; fd++) {
                if (sockets.by_fd[fd].kind == KNOWN_TIMER && sockets.by_fd[fd].epoll_fd == epoll_fd)
                        return fd;
        }
        return -1;
}

static struct twin *find_twin(const struct known *known, int epoll_fd)
{
        for (unsigned i = 0; i < known->n_twins; i++) {
                if (known->twins[i].epoll_fd == epoll_fd)
                        return &known->twins[i];
        }
        return NULL;
}

void *sockets_tag(int fd, int epoll_fd)
{
        const struct known *known = find(fd);
        const struct twin *twin = known ? find_twin(known, epoll_fd) : NULL;

        return twin ? twin->tag : NULL;
}

unsigned sockets_generation(void)
{
        return sockets.generation;
}

static bool next_of(int kind, int epoll_fd, int *cursor, struct socket_watch *ret_watch)
{
        while (*cursor < sockets.end) {
                int fd = (*cursor)++;
                const struct known *known = &sockets.by_fd[fd];

                if ((int)known->kind == kind && known->epoll_fd == epoll_fd) {
                        *ret_watch = (struct socket_watch){ fd, known->tag };
                        return true;
                }
        }
        return false;
}

bool sockets_next(int epoll_fd, int *cursor, struct socket_watch *ret_watch)
{
        return next_of(KNOWN_DATAGRAM, epoll_fd, cursor, ret_watch);
}

bool sockets_next_listener(int epoll_fd, int *cursor, struct socket_watch *ret_watch)
{
        return next_of(KNOWN_LISTENER, epoll_fd, cursor, ret_watch);
}

int sockets_epoll_of(int fd)
{
        const struct known *known = find(fd);

        return known ? known->epoll_fd : -1;
}

static bool is_endpoint(const struct known *known)
{
        return known->kind == KNOWN_DATAGRAM || known->kind == KNOWN_LISTENER;
}

static bool is_planned(int fd)
{
        return sockets.plan && sockets.plan->fd >= 0 && fd == sockets.plan->fd;
}

INTERPOSED int socket(int domain, int type, int protocol)
{
        struct socket_plan *plan = sockets.plan;

        if (!plan || plan->fd >= 0 || domain != plan->address.ss_family || type != plan->type)
                return (int)syscall(SYS_socket, domain, type, protocol);
        if (plan->shared >= 0 && find(plan->shared))
                find(plan->shared)->open++;
        return plan_socket(plan, protocol);
}

INTERPOSED int bind(int fd, const struct sockaddr *address, socklen_t size)
{
        struct socket_plan *plan = sockets.plan;
        int r;

        if (!is_planned(fd))
                return (int)syscall(SYS_bind, fd, address, size);
        r = plan_bind(plan);
        if (r == 0 && plan->shared < 0)
                remember(fd, &(struct known){
                                     .kind = plan->type == SOCK_DGRAM ? KNOWN_DATAGRAM : KNOWN_LISTENER,
                                     .epoll_fd = -1,
                                     .open = 1,
                             });
        return r;
}

INTERPOSED int listen(int fd, int backlog)
{
        return is_planned(fd) ? plan_listen(sockets.plan) : (int)syscall(SYS_listen, fd, backlog);
}

/*
 * At the limit of descriptors a connection can not be taken off the queue, and the loop would turn without
 * end. Giving up the spare descriptor for a moment takes it off, so that the peer sees it closed.
 */
static int accept_at_limit(int fd)
{
        int error = errno;
        int taken;

        if (sockets.spare >= 0) {
                close(sockets.spare);
                taken = (int)syscall(SYS_accept4, fd, NULL, NULL, SOCK_CLOEXEC);
                error = taken < 0 ? errno : error;
                if (taken >= 0)
                        close(taken);
                sockets.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        }
        errno = error;
        return -1;
}

/* False when there is no memory; then it is closed. */
static bool remember_stream(int fd, const struct known *listener)
{
        struct known stream = { .kind = KNOWN_STREAM, .epoll_fd = -1, .io = listener->io };

        if (!listener->io && !listener->websockets)
                return true;
        stream.websocket = listener->websockets && fd < FD_MOST
                                   ? websocket_new(listener->io && listener->io->on_more)
                                   : NULL;
        if (listener->websockets && !stream.websocket) {
                close(fd);
                errno = ENOMEM;
                return false;
        }
        remember(fd, &stream);
        return true;
}

INTERPOSED int accept(int fd, struct sockaddr *address, socklen_t *size)
{
        struct known *known = find(fd);
        bool ours = known && known->kind == KNOWN_LISTENER;
        int r;

        if (ours && sockets.spare < 0)
                sockets.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
        r = (int)syscall(SYS_accept4, fd, address, size, ours ? SOCK_CLOEXEC : 0);
        if (r < 0 && ours && (errno == EMFILE || errno == ENFILE))
                return accept_at_limit(fd);
        return r < 0 || !ours || remember_stream(r, known) ? r : -1;
}

static ssize_t read_stream(void *below, void *to, size_t n)
{
        return syscall(SYS_recvfrom, *(const int *)below, to, n, 0, NULL, NULL);
}

INTERPOSED ssize_t recv(int fd, void *to, size_t n, int flags)
{
        struct known *known = find(fd);
        ssize_t r;

        sockets.last_recv = fd;
        if (known && known->kind == KNOWN_STREAM && known->io && known->io->on_read)
                known->io->on_read(known->io->userdata);
        if (!known || !known->websocket)
                return syscall(SYS_recvfrom, fd, to, n, flags, NULL, NULL);
        r = websocket_read(known->websocket, read_stream, &fd, to, n);
        if (r == WEBSOCKET_CUT) {
                errno = ECONNRESET;
                return -1;
        }
        if (websocket_has_more(known->websocket, 0))
                sockets_tell_more(fd);
        return r;
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
        const struct socket_io *io = io_of(fd);

        if (!io || !io->write || flags != MSG_NOSIGNAL)
                return sockets_raw_send(fd, bytes, n, flags);
        return io->write(io->userdata, fd, bytes, n);
}

INTERPOSED int close(int fd)
{
        struct known *known = find(fd);

        if (known && known->kind == KNOWN_STREAM) {
                if (known->io)
                        known->io->on_close(known->io->userdata, fd, known->tag);
                websocket_free(known->websocket);
                *known = (struct known){ .kind = KNOWN_NOT };
        }
        if (known && is_endpoint(known)) {
                if (--known->open > 0)
                        return 0;
                forget(known);
        }
        return (int)syscall(SYS_close, fd);
}

/* One that is being opened, or has been; not whoever else waits for the same descriptor, for example to send. */
static bool is_twin(const struct known *known, int epoll_fd)
{
        return is_endpoint(known) && known->epoll_fd >= 0 && known->epoll_fd != epoll_fd &&
               (sockets.plan || find_twin(known, epoll_fd));
}

/* The endpoint of another context: its epoll set only believes that it watches the descriptor. */
static int control_twin(struct known *known, int epoll_fd, int operation, const struct epoll_event *event)
{
        struct twin *twin = find_twin(known, epoll_fd);
        struct twin *grown;

        if (operation == EPOLL_CTL_DEL && twin) {
                *twin = known->twins[--known->n_twins];
                sockets.generation++;
        }
        if (operation != EPOLL_CTL_ADD)
                return 0;
        grown = reallocarray(known->twins, known->n_twins + 1, sizeof *grown);
        if (!grown)
                return -1;
        known->twins = grown;
        grown[known->n_twins++] = (struct twin){ epoll_fd, event->data.ptr };
        sockets.generation++;
        return 0;
}

/* libcoap marks an endpoint's events with its own pointer, and those of its one timer with none. */
INTERPOSED int epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
        struct known *known = find(fd);
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
                sockets.generation += known->kind != KNOWN_STREAM;
        } else if (!event->data.ptr) {
                /* One left over from a context that had the same number for its set. */
                sockets_forget(sockets_timer_of(epoll_fd));
                remember(fd, &(struct known){ .kind = KNOWN_TIMER, .epoll_fd = epoll_fd });
        }
        return r;
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
