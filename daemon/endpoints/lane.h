/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One datagram endpoint under the pump: what was read ahead for libcoap, what libcoap has sent and the kernel
 * has not got yet, and what went wrong.
 */
#ifndef COAPD_ENDPOINTS_LANE_H
#define COAPD_ENDPOINTS_LANE_H

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "base/log.h"
#include "base/metrics.h"
#include "endpoints/datagrams.h"
#include "endpoints/sockets.h"

struct lane {
        struct socket_watch watch;
        struct socket_io io;
        struct inbox *inbox;
        struct outbox *outbox;
        struct metrics *metrics;
        sd_event *event;
        sd_event_source *writable; /* on while the kernel takes no more */
        const bool *holding;       /* what libcoap sends waits for lane_flush() */
        uint32_t overflows;
        struct log_gate refused, cut, dropped;
        /* The pump's, for its turn. */
        void *owner;
        bool (*may_send)(void *owner); /* asked before a flush; on false all that waits was discarded */
        /* libcoap sends a message. False: it is told that it cannot, with errno set. NULL: nobody wants to know. */
        bool (*on_send)(void *owner, const struct lane *lane, const struct msghdr *message);
        void **tags;     /* of its events in each context; NULL: that one has no such endpoint */
        bool divided;    /* among all contexts, not the first one's alone */
        unsigned filled; /* how many datagrams the last look found */
        bool ready;      /* and not read to its end */
};

/*
 * `receive` stands in for libcoap's recvmsg(), with the lane as its userdata. While *holding, sends are
 * gathered. `metrics` and `holding` must outlive the lane.
 */
int lane_new(const struct socket_watch *watch, sd_event *event, struct metrics *metrics, const bool *holding,
             ssize_t (*receive)(void *lane, struct msghdr *into), struct lane **ret_lane);

/* Sends what it can and gives the descriptor back. Accepts NULL. */
void lane_free(struct lane *lane);

/* Reads ahead, when nothing is left of the last time. Returns how many datagrams. */
unsigned lane_fill(struct lane *lane, unsigned most);

/* The oldest datagram that was read ahead, as recvmsg() gives it. One that is no message comes as nothing. */
ssize_t lane_take(struct lane *lane, struct msghdr *into);

/* An empty datagram from nowhere: libcoap ignores it without a word. */
ssize_t lane_take_nothing(struct msghdr *into);

/* What libcoap's sendmsg() does, but that nobody is asked. Returns the length, or -1 and errno. */
ssize_t lane_put(struct lane *lane, const struct msghdr *message);

void lane_flush(struct lane *lane);

/* Waits for the kernel to take all of it, but not beyond `end` (CLOCK_MONOTONIC, nanoseconds). */
void lane_flush_until(struct lane *lane, uint64_t end);

/* Takes a pending error off the socket, which would keep it ready for ever. */
void lane_clear_error(struct lane *lane);

#endif
