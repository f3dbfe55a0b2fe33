/* SPDX-License-Identifier: BSD-2-Clause */
/* One epoll: see load_loop.h. */
#include "load_loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256 };

uint64_t now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int loop_init(struct loop *self)
{
        self->epoll = epoll_create1(EPOLL_CLOEXEC);
        return self->epoll < 0 ? -errno : 0;
}

void loop_deinit(struct loop *self)
{
        if (self->epoll >= 0)
                close(self->epoll);
        self->epoll = -1;
}

int loop_add(struct loop *self, struct source *source)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

        return epoll_ctl(self->epoll, EPOLL_CTL_ADD, source->fd, &event) < 0 ? -errno : 0;
}

int loop_turn(struct loop *self, uint64_t until)
{
        struct epoll_event events[EVENTS];
        uint64_t now = now_ns();
        uint64_t wait = until > now ? until - now : 0;
        struct timespec timeout = { .tv_sec = (time_t)(wait / NS_PER_S), .tv_nsec = (long)(wait % NS_PER_S) };
        int n = epoll_pwait2(self->epoll, events, EVENTS, &timeout, NULL);

        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        for (int i = 0; i < n; i++) {
                struct source *source = events[i].data.ptr;

                source->ready(source);
        }
        return 0;
}
