/* SPDX-License-Identifier: BSD-2-Clause */
/* The interposed calls: as libc's for everybody, with additions for the descriptors that were planned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "endpoints/sockets.h"

static struct socket_plan new_plan(int type)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        struct socket_plan plan = { .type = type, .address_size = sizeof a, .kept = -1, .shared = -1 };

        memcpy(&plan.address, &a, sizeof a);
        return plan;
}

static int option(int fd, int level, int name)
{
        int value = -1;

        assert_int_equal(getsockopt(fd, level, name, &value, &(socklen_t){ sizeof value }), 0);
        return value;
}

/* As libcoap opens an endpoint. */
static int open_planned(struct socket_plan *plan)
{
        int fd;

        sockets_plan(plan);
        fd = socket(AF_INET, plan->type, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        assert_int_equal(bind(fd, (struct sockaddr *)&plan->address, plan->address_size), 0);
        if (plan->type == SOCK_STREAM)
                assert_int_equal(listen(fd, 5), 0);
        sockets_plan(NULL);
        return fd;
}

static struct sockaddr_in name_of(int fd)
{
        struct sockaddr_in a;

        getsockname(fd, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        return a;
}

static ssize_t receive_planted(void *userdata, struct msghdr *into)
{
        (void)into;
        ++*(int *)userdata;
        return 0;
}

static ssize_t send_planted(void *userdata, const struct msghdr *message)
{
        (void)message;
        *(int *)userdata += 10;
        return 7;
}

static void leaves_others_alone(void **state)
{
        int pair[2], epoll_fd = epoll_create1(EPOLL_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, 0);
        struct iovec piece = { (void *)"text", 4 };
        struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
        struct epoll_event event = { .events = EPOLLIN, .data.fd = 77 };
        char text[8] = "";

        (void)state;
        assert_int_equal(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP), -1);
        assert_int_equal(errno, EPROTONOSUPPORT);
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
        assert_int_equal(sendmsg(pair[0], &m, MSG_NOSIGNAL), 4);
        piece.iov_base = text;
        assert_int_equal(recvmsg(pair[1], &m, MSG_DONTWAIT), 4);
        assert_string_equal(text, "text");
        assert_int_equal(recvmsg(pair[1], &m, MSG_DONTWAIT), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(recvmsg(-1, &m, 0), -1);
        assert_int_equal(errno, EBADF);
        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &event), 0);
        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &event), -1);
        assert_int_equal(errno, EEXIST);
        assert_int_equal(timerfd_settime(timer, 0, &(struct itimerspec){ .it_value.tv_nsec = 1 }, NULL), 0);
        assert_int_equal(epoll_wait(epoll_fd, &event, 1, 1000), 1);
        assert_int_equal(event.data.fd, 77);
        close(pair[0]);
        close(pair[1]);
        close(timer);
        close(epoll_fd);
}

static void is_for_the_planned_one_only(void **state)
{
        struct socket_plan plan = new_plan(SOCK_DGRAM);
        int other, fd, third;

        (void)state;
        sockets_plan(&plan);
        other = socket(AF_INET, SOCK_STREAM, 0);
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        third = socket(AF_INET, SOCK_DGRAM, 0);
        assert_int_equal(plan.fd, fd);
        setsockopt(third, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        assert_int_equal(bind(third, (struct sockaddr *)&plan.address, plan.address_size), 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&plan.address, plan.address_size), 0);
        sockets_plan(NULL);
        assert_int_equal(option(third, SOL_SOCKET, SO_REUSEADDR), 1);
        assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(third, F_GETFD), 0);
        sockets_forget(fd);
        close(other);
        close(fd);
        close(third);
}

static void sizes_buffers(void **state)
{
        struct socket_plan plan = new_plan(SOCK_DGRAM);
        int fd;

        (void)state;
        plan.receive_buffer = 50000;
        plan.send_buffer = 60000;
        fd = open_planned(&plan);
        assert_int_equal(option(fd, SOL_SOCKET, SO_RCVBUF), 100000);
        assert_int_equal(option(fd, SOL_SOCKET, SO_SNDBUF), 120000);
        sockets_forget(fd);
        close(fd);
}

static void prepares_listeners(void **state)
{
        struct socket_plan plan = new_plan(SOCK_STREAM);
        int fd = open_planned(&plan), client = socket(AF_INET, SOCK_STREAM, 0), accepted;
        struct sockaddr_in a = name_of(fd);
        struct tcp_info info;

        (void)state;
        /* Of a listener the kernel says here how many may wait; never more than net.core.somaxconn. */
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){ sizeof info });
        assert_true(info.tcpi_sacked >= 128);
        assert_int_equal(option(fd, SOL_SOCKET, SO_REUSEADDR), 1); /* past TIME_WAIT */
        assert_int_equal(connect(client, (struct sockaddr *)&a, sizeof a), 0);
        accepted = accept(fd, NULL, NULL);
        assert_int_equal(option(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
        assert_int_equal(fcntl(accepted, F_GETFD), FD_CLOEXEC);
        sockets_forget(fd);
        close(accepted);
        close(client);
        close(fd);
}

/* In a process of its own, for the limit of descriptors. Returns 0 when all is well. */
static int accept_at_the_limit(void)
{
        struct socket_plan plan = new_plan(SOCK_STREAM);
        int fd = open_planned(&plan), client[3];
        struct sockaddr_in a = name_of(fd);
        struct rlimit limit;
        char byte;

        alarm(10); /* what fails here hangs */
        fcntl(fd, F_SETFL, O_NONBLOCK);
        for (size_t i = 0; i < ARRAY_LEN(client); i++) {
                client[i] = socket(AF_INET, SOCK_STREAM, 0);
                if (connect(client[i], (struct sockaddr *)&a, sizeof a) < 0)
                        return 1;
        }
        close(accept(fd, NULL, NULL));
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = (rlim_t)dup(0); /* the lowest free one, and what is above it */
        close((int)limit.rlim_cur);
        setrlimit(RLIMIT_NOFILE, &limit);
        if (accept(fd, NULL, NULL) != -1 || errno != EMFILE)
                return 2;
        if (recv(client[1], &byte, 1, 0) != 0) /* taken off the queue and closed */
                return 3;
        if (accept(fd, NULL, NULL) != -1 || errno != EMFILE || recv(client[2], &byte, 1, 0) != 0)
                return 4;
        return accept(fd, NULL, NULL) == -1 && errno == EAGAIN ? 0 : 5;
}

static void takes_connections_off_at_the_limit(void **state)
{
        pid_t pid = fork();
        int status;

        (void)state;
        if (pid == 0)
                _exit(accept_at_the_limit());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

static void stands_in_for_planned_ones(void **state)
{
        struct socket_plan plan = new_plan(SOCK_DGRAM);
        int fd = open_planned(&plan), calls = 0, epoll_fd = epoll_create1(0), cursor = 0;
        unsigned generation = sockets_generation();
        struct socket_io io = { .receive = receive_planted, .send = send_planted, .userdata = &calls };
        struct iovec piece = { (void *)"text", 4 };
        struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
        struct socket_watch watch;

        (void)state;
        assert_false(sockets_next(epoll_fd, &cursor, &watch));
        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .data.ptr = &plan }),
                         0);
        assert_int_not_equal(sockets_generation(), generation);
        cursor = 0;
        assert_true(sockets_next(epoll_fd, &cursor, &watch));
        assert_int_equal(watch.fd, fd);
        assert_ptr_equal(watch.tag, &plan);
        assert_false(sockets_next(epoll_fd, &cursor, &watch));

        sockets_set_io(fd, &io);
        assert_int_equal(recvmsg(fd, &m, 0), 0);
        assert_int_equal(sendmsg(fd, &m, 0), 7);
        assert_int_equal(calls, 11);
        assert_int_equal(recvmsg(fd, &m, MSG_DONTWAIT), -1); /* libcoap uses no flags */
        assert_int_equal(calls, 11);
        sockets_set_io(fd, NULL);
        assert_int_equal(sendmsg(fd, &m, 0), -1);
        assert_int_equal(errno, EDESTADDRREQ);
        sockets_forget(fd);
        sockets_set_io(fd, &io); /* not known any more */
        assert_int_equal(sendmsg(fd, &m, 0), -1);
        close(epoll_fd);
        close(fd);
}

/* Who waits until the kernel takes more is none of libcoap's contexts. */
static void lets_others_watch_it_too(void **state)
{
        struct socket_plan plan = new_plan(SOCK_DGRAM);
        int fd = open_planned(&plan), epoll_fd = epoll_create1(0), other_fd = epoll_create1(0);
        struct epoll_event event = { .events = EPOLLOUT, .data.ptr = &other_fd };

        (void)state;
        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .data.ptr = &plan }),
                         0);
        assert_int_equal(epoll_ctl(other_fd, EPOLL_CTL_ADD, fd, &event), 0);
        assert_null(sockets_tag(fd, other_fd));
        assert_int_equal(epoll_wait(other_fd, &event, 1, 0), 1);
        assert_ptr_equal(event.data.ptr, &other_fd);
        sockets_forget(fd);
        close(epoll_fd);
        close(other_fd);
        close(fd);
}

static int set_time_planted(void *userdata, const struct itimerspec *value)
{
        *(long *)userdata = value->it_value.tv_sec;
        return 0;
}

static void knows_the_timer_of_a_context(void **state)
{
        int epoll_fd = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
        long seconds = 0;
        struct socket_io io = { .set_time = set_time_planted, .userdata = &seconds };

        (void)state;
        assert_int_equal(sockets_timer_of(epoll_fd), -1);
        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &(struct epoll_event){ .data.ptr = NULL }),
                         0);
        assert_int_equal(sockets_timer_of(epoll_fd), timer);
        sockets_set_io(timer, &io);
        timerfd_settime(timer, 0, &(struct itimerspec){ .it_value.tv_sec = 5 }, NULL);
        assert_int_equal(seconds, 5);
        sockets_forget(timer);
        assert_int_equal(sockets_timer_of(epoll_fd), -1);
        close(timer);
        close(epoll_fd);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(leaves_others_alone),
                cmocka_unit_test(is_for_the_planned_one_only),
                cmocka_unit_test(sizes_buffers),
                cmocka_unit_test(prepares_listeners),
                cmocka_unit_test(takes_connections_off_at_the_limit),
                cmocka_unit_test(stands_in_for_planned_ones),
                cmocka_unit_test(lets_others_watch_it_too),
                cmocka_unit_test(knows_the_timer_of_a_context),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
