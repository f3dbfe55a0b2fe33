/* SPDX-License-Identifier: BSD-2-Clause */
/* libcoap's timer, set as seldom as possible; see wake_timer.h. */
#include "endpoints/wake_timer.h"

#include <fcntl.h>

#include "base/clock.h"

#define SLACK MSEC(250)

static int on_set_time(void *userdata, const struct itimerspec *value)
{
        struct wake_timer *timer = userdata;

        /* Observers wait for their notifications: coap_update_epoll_timer(). */
        if (value->it_value.tv_sec == 0 && value->it_value.tv_nsec == 1) {
                timer->at_once(timer->owner);
                return 0;
        }
        if (!*timer->holding) {
                uint64_t delay = clock_ns_of(&value->it_value);

                timer->due = delay ? clock_now_ns() + delay : 0;
                return sockets_raw_settime(timer->fd, value);
        }
        timer->wanted = *value;
        *timer->n_touched += !timer->touched;
        timer->touched = true;
        return 0;
}

static void on_read(void *userdata)
{
        const struct wake_timer *timer = userdata;

        timer->reads(timer->owner);
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

bool wake_timer_is_due(const struct wake_timer *timer, uint64_t now)
{
        return timer->due != 0 && timer->due <= now + MSEC(1);
}

void wake_timer_attach(struct wake_timer *timer, int epoll_fd, const bool *holding, size_t *n_touched,
                       void (*at_once)(void *owner), void (*reads)(void *owner), void *owner)
{
        *timer = (struct wake_timer){
                .fd = sockets_timer_of(epoll_fd),
                .io = { .set_time = on_set_time, .on_read = on_read, .userdata = timer },
                .holding = holding,
                .n_touched = n_touched,
                .at_once = at_once,
                .reads = reads,
                .owner = owner,
        };
        sockets_set_io(timer->fd, &timer->io);
        /* libcoap opens it without: it is not for what an `exec` resource starts. */
        fcntl(timer->fd, F_SETFD, FD_CLOEXEC);
}

void wake_timer_detach(struct wake_timer *timer)
{
        sockets_set_io(timer->fd, NULL);
}
