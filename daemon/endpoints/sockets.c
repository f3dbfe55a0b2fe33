/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The interposed calls; see sockets.h.
 *
 * They have no user data, so that this file keeps the program's one table of descriptors: a static, because
 * descriptors are a property of the process too. It holds only what belongs to endpoints; calls for any
 * other descriptor go straight to the kernel, which also keeps clear of a sanitizer's own interposition.
 */
#include "endpoints/sockets.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"

#define INTERPOSED __attribute__((used, visibility("default")))

struct bound {
        int fd;
        int type;
        bool v6only;
        struct sockaddr_storage address;
};

static struct {
        struct socket_plan *plan;
        struct bound *bound; /* the endpoints' descriptors */
        size_t n_bound;
} sockets;

void sockets_plan(struct socket_plan *plan)
{
        if (plan) {
                plan->fd = -1;
                plan->error = 0;
        }
        sockets.plan = plan;
}

static struct bound *sockets_find(int fd)
{
        for (size_t i = 0; i < sockets.n_bound; i++) {
                if (sockets.bound[i].fd == fd)
                        return &sockets.bound[i];
        }
        return NULL;
}

void sockets_forget(int fd)
{
        struct bound *bound = sockets_find(fd);

        if (!bound)
                return;
        *bound = sockets.bound[--sockets.n_bound];
        if (sockets.n_bound == 0) {
                free(sockets.bound);
                sockets.bound = NULL;
        }
}

static int sockets_remember(const struct socket_plan *plan)
{
        struct bound *bound;

        sockets_forget(plan->fd);
        bound = reallocarray(sockets.bound, sockets.n_bound + 1, sizeof *bound);
        if (!bound)
                return -ENOMEM;
        sockets.bound = bound;
        bound += sockets.n_bound++;
        *bound = (struct bound){
                .fd = plan->fd,
                .type = plan->type,
                .v6only = plan->v6only,
        };
        getsockname(plan->fd, (struct sockaddr *)&bound->address, &(socklen_t){ sizeof bound->address });
        return 0;
}

static in_port_t address_port(const struct sockaddr_storage *a)
{
        return a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port
                                       : ((const struct sockaddr_in6 *)a)->sin6_port;
}

/* May the same packet belong to both? Errs on the side of yes: the kernel has the last word. */
static bool overlaps(const struct bound *bound, const struct socket_plan *plan)
{
        return bound->type == plan->type && address_port(&bound->address) == address_port(&plan->address);
}

static bool same_address(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
        const struct sockaddr_in *a4 = (const void *)a, *b4 = (const void *)b;
        const struct sockaddr_in6 *a6 = (const void *)a, *b6 = (const void *)b;

        if (a->ss_family != b->ss_family)
                return false;
        if (a->ss_family == AF_INET)
                return a4->sin_addr.s_addr == b4->sin_addr.s_addr;
        return IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr) && a6->sin6_scope_id == b6->sin6_scope_id;
}

static void set_flag(int fd, int level, int option, int value)
{
        setsockopt(fd, level, option, &value, sizeof value);
}

/* Asks past the limit of net.core.[rw]mem_max first, which takes CAP_NET_ADMIN. */
static void set_buffer(int fd, int forced, int plain, int bytes, const char *what)
{
        int got = 0;

        if (bytes <= 0)
                return;
        if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) < 0)
                set_flag(fd, SOL_SOCKET, plain, bytes);
        getsockopt(fd, SOL_SOCKET, plain, &got, &(socklen_t){ sizeof got });
        /* The kernel reports twice what was asked for: socket(7). */
        if (got / 2 < bytes)
                log_notice("The %s buffer is %d bytes, not %d: net.core.%s is lower", what, got / 2, bytes,
                           plain == SO_RCVBUF ? "rmem_max" : "wmem_max");
}

static void allow_sharing(const struct socket_plan *plan, bool allow)
{
        set_flag(plan->fd, SOL_SOCKET, SO_REUSEPORT, allow);
        for (size_t i = 0; i < sockets.n_bound; i++) {
                if (overlaps(&sockets.bound[i], plan))
                        set_flag(sockets.bound[i].fd, SOL_SOCKET, SO_REUSEPORT, allow);
        }
}

/*
 * Is an endpoint of ours in the way, and can the two share the port? The kernel lets them when both say
 * SO_REUSEPORT at this moment. Saying so only now, and only in this case, keeps other processes out.
 */
static bool is_beside_ours(const struct socket_plan *plan)
{
        bool any = false;

        for (size_t i = 0; i < sockets.n_bound; i++) {
                const struct bound *bound = &sockets.bound[i];

                if (bound->fd == plan->fd || !overlaps(bound, plan))
                        continue;
                if (same_address(&bound->address, &plan->address))
                        return false;
                any = true;
        }
        return any;
}

/* bind() or listen(), which checks the address a second time, on a plan's descriptor. */
static int try_sharing(const struct socket_plan *plan, long call, long second, long third)
{
        int r = (int)syscall(call, plan->fd, second, third);
        int error = errno;

        if (r < 0 && error == EADDRINUSE && is_beside_ours(plan)) {
                allow_sharing(plan, true);
                r = (int)syscall(call, plan->fd, second, third);
                error = errno;
                allow_sharing(plan, false);
        }
        errno = error;
        return r;
}

static int bind_planned(struct socket_plan *plan, const struct sockaddr *address, socklen_t size)
{
        int r;

        if (plan->type == SOCK_DGRAM) {
                set_flag(plan->fd, SOL_SOCKET, SO_REUSEADDR, 0);
                set_buffer(plan->fd, SO_RCVBUFFORCE, SO_RCVBUF, plan->receive_buffer, "receive");
                set_buffer(plan->fd, SO_SNDBUFFORCE, SO_SNDBUF, plan->send_buffer, "send");
        } else {
                /* Accepted sockets inherit it. A WebSocket answer leaves in two writes, 44 ms apart without. */
                set_flag(plan->fd, IPPROTO_TCP, TCP_NODELAY, 1);
        }
        if (plan->v6only)
                set_flag(plan->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        r = try_sharing(plan, SYS_bind, (long)address, size);
        if (r == 0 && sockets_remember(plan) < 0) {
                errno = ENOMEM;
                r = -1;
        }
        return r;
}

INTERPOSED int socket(int domain, int type, int protocol)
{
        struct socket_plan *plan = sockets.plan;

        if (!plan || plan->fd >= 0 || domain != plan->address.ss_family || type != plan->type)
                return (int)syscall(SYS_socket, domain, type, protocol);
        plan->fd = (int)syscall(SYS_socket, domain, type | SOCK_CLOEXEC, protocol);
        if (plan->fd < 0)
                plan->error = errno;
        return plan->fd;
}

INTERPOSED int bind(int fd, const struct sockaddr *address, socklen_t size)
{
        struct socket_plan *plan = sockets.plan;
        int r;

        if (!plan || fd != plan->fd)
                return (int)syscall(SYS_bind, fd, address, size);
        r = bind_planned(plan, address, size);
        if (r < 0)
                plan->error = errno;
        return r;
}

INTERPOSED int listen(int fd, int backlog)
{
        enum { MOST = 65535 }; /* libcoap asks for 5; the kernel cuts this to net.core.somaxconn */
        struct socket_plan *plan = sockets.plan;
        int r;

        if (!plan || fd != plan->fd)
                return (int)syscall(SYS_listen, fd, backlog);
        r = try_sharing(plan, SYS_listen, MOST, 0);
        if (r < 0)
                plan->error = errno;
        return r;
}
