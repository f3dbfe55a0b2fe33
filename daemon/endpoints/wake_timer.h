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
        const bool *holding;          /* while it is, the last setting counts, at wake_timer_settle() */
        void (*at_once)(void *owner); /* instead of a timer that would fire at once */
        void (*reads)(void *owner);   /* the moment before libcoap reads it */
        void *owner;
        struct itimerspec wanted; /* since then */
        bool touched;
        size_t *n_touched; /* counts those that are */
        uint64_t due;      /* CLOCK_MONOTONIC, nanoseconds, when it fires; 0: never, or not known */
};

/* Of the libcoap context with this epoll set; one without a timer is none. `timer` must stay where it is. */
void wake_timer_attach(struct wake_timer *timer, int epoll_fd, const bool *holding, size_t *n_touched,
                       void (*at_once)(void *owner), void (*reads)(void *owner), void *owner);
void wake_timer_detach(struct wake_timer *timer);

/* It may fire up to a quarter of a second too early: libcoap then finds nothing to do and sets it again. */
void wake_timer_settle(struct wake_timer *timer);

/* Whether it has fired, or will within a millisecond. */
bool wake_timer_is_due(const struct wake_timer *timer, uint64_t now);

#endif
