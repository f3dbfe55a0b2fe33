/* SPDX-License-Identifier: BSD-2-Clause */
/* One epoll: see load_loop.h. */
#include "load_loop.h"

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"

enum { EVENTS = 256, FEW = 16 };

uint64_t now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int loop_init(struct loop *self)
{
        self->urgent = -1;
        self->epoll = epoll_create1(EPOLL_CLOEXEC);
        return self->epoll < 0 ? -errno : 0;
}

void loop_deinit(struct loop *self)
{
        closep(&self->epoll);
        closep(&self->urgent);
        self->epoll = self->urgent = -1;
}

static int watch(int epoll, int fd, struct source *source)
{
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = source };

        return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *self, struct source *source, bool urgent)
{
        int r = 0;

        if (urgent && self->urgent < 0) {
                self->urgent = epoll_create1(EPOLL_CLOEXEC);
                r = self->urgent < 0 ? -errno : watch(self->epoll, self->urgent, NULL);
        }
        return r < 0 ? r : watch(urgent ? self->urgent : self->epoll, source->fd, source);
}

static void call(const struct epoll_event *events, int n)
{
        for (int i = 0; i < n; i++) {
                struct source *source = events[i].data.ptr;

                if (source)
                        source->ready(source);
        }
}

int loop_turn(struct loop *self, uint64_t until)
{
        struct epoll_event events[EVENTS];
        uint64_t now = now_ns();
        uint64_t wait = until > now ? until - now : 0;
        struct timespec timeout = { .tv_sec = (time_t)(wait / NS_PER_S), .tv_nsec = (long)(wait % NS_PER_S) };
        struct epoll_event first[FEW];
        int n = epoll_pwait2(self->epoll, events, self->urgent < 0 ? EVENTS : FEW, &timeout, NULL);

        if (n < 0)
                return errno == EINTR ? 0 : -errno;
        if (self->urgent >= 0)
                call(first, epoll_wait(self->urgent, first, FEW, 0));
        call(events, n);
        return 0;
}
