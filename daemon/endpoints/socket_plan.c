/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Opening an endpoint's socket; see socket_plan.h. It calls the kernel by number, because the functions of
 * libc are the ones that sockets_calls.c stands in for.
 */
#include "endpoints/socket_plan.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void set_flag(int fd, int level, int option, int value)
{
        setsockopt(fd, level, option, &value, sizeof value);
}

/* Asks past the limit of net.core.[rw]mem_max first, which takes CAP_NET_ADMIN. Returns what was too little. */
static int set_buffer(int fd, int forced, int plain, int bytes)
{
        int got = 0;

        if (bytes <= 0)
                return 0;
        if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) < 0)
                set_flag(fd, SOL_SOCKET, plain, bytes);
        getsockopt(fd, SOL_SOCKET, plain, &got, &(socklen_t){ sizeof got });
        /* The kernel reports twice what was asked for: socket(7). */
        return got / 2 < bytes ? got / 2 : 0;
}

static in_port_t port_of(const struct sockaddr_storage *a)
{
        return a->ss_family == AF_INET ? ((const struct sockaddr_in *)a)->sin_port
                                       : ((const struct sockaddr_in6 *)a)->sin6_port;
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

static bool share_port(const struct socket_plan *plan, const struct socket_peer *peer)
{
        return peer->type == plan->type && port_of(&peer->address) == port_of(&plan->address);
}

/* Is an endpoint of ours in the way, one that this one can share the port with? */
static bool is_beside_ours(const struct socket_plan *plan)
{
        bool any = false;

        for (size_t i = 0; i < plan->n_peers; i++) {
                if (!share_port(plan, &plan->peers[i]))
                        continue;
                if (same_address(&plan->peers[i].address, &plan->address))
                        return false;
                any = true;
        }
        return any;
}

/*
 * Two sockets may overlap when both say SO_REUSEPORT while the second one is bound. Saying so only then, and
 * only where an endpoint of ours is in the way, keeps other processes out.
 */
static void allow_sharing(const struct socket_plan *plan, int allow)
{
        set_flag(plan->fd, SOL_SOCKET, SO_REUSEPORT, allow);
        for (size_t i = 0; i < plan->n_peers; i++) {
                if (share_port(plan, &plan->peers[i]))
                        set_flag(plan->peers[i].fd, SOL_SOCKET, SO_REUSEPORT, allow);
        }
}

/* bind(), or listen(), which checks the address a second time. */
static int call_sharing(struct socket_plan *plan, long call, long second, long third)
{
        int r = (int)syscall(call, plan->fd, second, third);

        if (r < 0)
                plan->error = errno;
        if (r < 0 && errno == EADDRINUSE && is_beside_ours(plan)) {
                allow_sharing(plan, 1);
                r = (int)syscall(call, plan->fd, second, third);
                plan->error = r < 0 ? errno : 0;
                allow_sharing(plan, 0);
        }
        errno = plan->error;
        return r;
}

static int option(int fd, int level, int name)
{
        int value = -1;

        getsockopt(fd, level, name, &value, &(socklen_t){ sizeof value });
        return value;
}

static bool is_any6(const struct sockaddr_storage *a)
{
        return a->ss_family == AF_INET6 &&
               IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr);
}

bool plan_fits(const struct socket_plan *plan, int fd)
{
        struct sockaddr_storage address = { .ss_family = AF_UNSPEC };

        return option(fd, SOL_SOCKET, SO_TYPE) == plan->type &&
               getsockname(fd, (struct sockaddr *)&address, &(socklen_t){ sizeof address }) == 0 &&
               same_address(&address, &plan->address) && port_of(&address) == port_of(&plan->address) &&
               (!is_any6(&address) || option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == plan->v6only);
}

int plan_socket(struct socket_plan *plan, int protocol)
{
        if (plan->shared >= 0)
                plan->fd = plan->shared;
        else if (plan->kept >= 0)
                plan->fd = plan->kept;
        else
                plan->fd = (int)syscall(SYS_socket, plan->address.ss_family, plan->type | SOCK_CLOEXEC,
                                        protocol);
        if (plan->fd < 0)
                plan->error = errno;
        return plan->fd;
}

static void set_datagram_options(struct socket_plan *plan)
{
        set_flag(plan->fd, SOL_SOCKET, SO_REUSEADDR, 0);
        plan->got_receive_buffer = set_buffer(plan->fd, SO_RCVBUFFORCE, SO_RCVBUF, plan->receive_buffer);
        plan->got_send_buffer = set_buffer(plan->fd, SO_SNDBUFFORCE, SO_SNDBUF, plan->send_buffer);
        /* Only groups that this socket joined, and only on the interface where it did. */
        set_flag(plan->fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
        set_flag(plan->fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
}

/*
 * systemd closes what leaves its descriptor store in a thread of its own, and answers sd_notify_barrier() before
 * that is done: an address may be taken for a moment longer.
 */
static int bind_patiently(struct socket_plan *plan)
{
        enum { TRIES = 200 };
        const struct timespec pause = { .tv_nsec = 5000000 };
        int r = call_sharing(plan, SYS_bind, (long)&plan->address, plan->address_size);

        for (int i = 0; r < 0 && errno == EADDRINUSE && plan->patient && i < TRIES; i++) {
                nanosleep(&pause, NULL);
                r = call_sharing(plan, SYS_bind, (long)&plan->address, plan->address_size);
        }
        if (r == 0)
                plan->error = 0;
        return r;
}

int plan_bind(struct socket_plan *plan)
{
        if (plan->shared >= 0) {
                if (plan->type == SOCK_DGRAM) /* libcoap has just turned it on. */
                        set_flag(plan->fd, SOL_SOCKET, SO_REUSEADDR, 0);
                return 0;
        }
        if (plan->type == SOCK_DGRAM)
                set_datagram_options(plan);
        else /* Accepted sockets inherit it. A WebSocket answer leaves in two writes, 44 ms apart without. */
                set_flag(plan->fd, IPPROTO_TCP, TCP_NODELAY, 1);
        if (plan->kept >= 0)
                return 0;
        /* libcoap has just turned it off. */
        if (plan->v6only)
                set_flag(plan->fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        return bind_patiently(plan);
}

int plan_listen(struct socket_plan *plan)
{
        enum { BACKLOG = 65535 }; /* libcoap asks for 5; the kernel cuts this to net.core.somaxconn */

        return plan->shared >= 0 ? 0 : call_sharing(plan, SYS_listen, BACKLOG, 0);
}
