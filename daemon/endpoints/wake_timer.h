/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The timer that wakes libcoap. It sets it at the end of every turn, mostly to the same time and a little, so
 * that here most of those calls end.
 */
#ifndef COAPD_ENDPOINTS_WAKE_TIMER_H
#define COAPD_ENDPOINTS_WAKE_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "endpoints/sockets.h"

struct wake_timer {
        int fd;
        struct socket_io io;
        const bool *holding;      /* while it is, the last setting counts, at wake_timer_settle() */
        struct itimerspec wanted; /* since then */
        bool touched;
        uint64_t due; /* CLOCK_MONOTONIC, nanoseconds, when it fires; 0: never, or not known */
};

/* Of the libcoap context with this epoll set; one without a timer is none. `timer` must stay where it is. */
void wake_timer_attach(struct wake_timer *timer, int epoll_fd, const bool *holding);
void wake_timer_detach(struct wake_timer *timer);

/* It may fire up to a quarter of a second too early: libcoap then finds nothing to do and sets it again. */
void wake_timer_settle(struct wake_timer *timer);

#endif
