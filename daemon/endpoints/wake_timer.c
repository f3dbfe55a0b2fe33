/* SPDX-License-Identifier: BSD-2-Clause */
/* libcoap's timer, set as seldom as possible; see wake_timer.h. */
#include "endpoints/wake_timer.h"

#include <fcntl.h>

#include "base/clock.h"

#define SLACK MSEC(250)

static int on_set_time(void *userdata, const struct itimerspec *value)
{
        struct wake_timer *timer = userdata;

        if (!*timer->holding) {
                timer->due = 0;
                return sockets_raw_settime(timer->fd, value);
        }
        timer->wanted = *value;
        timer->touched = true;
        return 0;
}

void wake_timer_settle(struct wake_timer *timer)
{
        uint64_t delay = clock_ns_of(&timer->wanted.it_value);
        uint64_t now = clock_now_ns();
        uint64_t due = delay ? now + delay : 0;

        if (!timer->touched)
                return;
        timer->touched = false;
        if (timer->due > now && due >= timer->due && due - timer->due < SLACK)
                return;
        if (sockets_raw_settime(timer->fd, &timer->wanted) == 0)
                timer->due = due;
}

void wake_timer_attach(struct wake_timer *timer, int epoll_fd, const bool *holding)
{
        *timer = (struct wake_timer){
                .fd = sockets_timer_of(epoll_fd),
                .io = { .set_time = on_set_time, .userdata = timer },
                .holding = holding,
        };
        sockets_set_io(timer->fd, &timer->io);
        /* libcoap opens it without: it is not for what an `exec` resource starts. */
        fcntl(timer->fd, F_SETFD, FD_CLOEXEC);
}

void wake_timer_detach(struct wake_timer *timer)
{
        sockets_set_io(timer->fd, NULL);
}
