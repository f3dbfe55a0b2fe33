/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcoap's I/O on the sd_event loop. It wakes for packets and for libcoap's own deadlines, never else.
 */
#ifndef COAPD_ENDPOINTS_PUMP_H
#define COAPD_ENDPOINTS_PUMP_H

#include <stdbool.h>
#include <sys/socket.h>

#include <coap3/coap.h>
#include <systemd/sd-event.h>

#include "base/metrics.h"
#include "base/shards.h"
#include "base/span.h"

struct pump;

/* The contexts, and `metrics` unless NULL, must outlive the pump. Takes a reference of `event`. */
int pump_attach(sd_event *event, struct shards shards, struct metrics *metrics, struct pump **ret_pump);

/* Who stands between the network and libcoap. */
struct pump_guard {
        /*
         * Whether libcoap is to see a datagram, as recvmsg() gave it, or what is made of it, which may be shorter;
         * else it is as if it had never come.
         */
        bool (*admit)(void *userdata, int fd, const struct msghdr *message, size_t *n);
        /* libcoap is about to read from a stream. NULL: that is of no interest. */
        void (*reads_stream)(void *userdata);
        /*
         * Which context has the security context of a datagram, by the value of its OSCORE option; not to call anything
         * of libcoap, as wants_preparing(). NULL: the first.
         */
        size_t (*route_oscore)(void *userdata, struct span option);
        /*
         * Whether OSCORE has opened a request since this was asked last, from within libcoap. NULL: nobody knows.
         */
        bool (*has_opened)(void *userdata);
        /*
         * Which context has the DTLS session of who has sent a datagram, as admit() has it; that of pump_use_streams()
         * where there is none. Not to call anything of libcoap. Only asked when several may. NULL: the first.
         */
        size_t (*route_session)(void *userdata, int fd, const struct msghdr *message);
        /*
         * A request that registers an observation has been read, for a context that may not be the first. Whether
         * prepare() is to be called before libcoap sees it. From within libcoap, also where it holds its lock:
         * nothing of libcoap may be called. NULL: never.
         */
        bool (*wants_preparing)(void *userdata, size_t shard, struct span request);
        void (*prepare)(void *userdata, size_t shard, struct span request); /* outside of libcoap */
        /*
         * Answers are about to leave. On false all that waits is discarded instead, as if the network had lost
         * it: confirmable requests come again.
         */
        bool (*may_send)(void *userdata);
        /*
         * A turn of libcoap's ends, for which pump_want_end() has asked: what is sent now leaves with the rest of its
         * answers, and behind them. Outside of libcoap.
         */
        void (*turn_ends)(void *userdata);
        /* It is over: time for what must not happen within. */
        void (*turn_is_over)(void *userdata);
        void *userdata;
};

/* One at a time; `guard` is borrowed for good. */
void pump_set_guard(struct pump *pump, const struct pump_guard *guard);

/*
 * Lets libcoap act now, for a caller outside of its callbacks: pending notifications leave, for example after
 * coap_resource_notify_observers(). Inside of them it does nothing.
 */
void pump_kick(struct pump *pump);

/* Lets one context act soon, and others and requests in between: a round of notifications is one for each context. */
void pump_kick_soon(struct pump *pump, size_t shard);

/*
 * New sessions of DTLS and streams begin in that context, of shards_for_streams(); at first it is the first. Those that
 * stand stay where they are. Outside of libcoap. 0 or -errno.
 */
int pump_use_streams(struct pump *pump, size_t shard);

/* Which context libcoap is at work in; the first where it is in none. */
size_t pump_shard(const struct pump *pump);

/* Whether more requests have been read already and are handed to libcoap before any answer leaves. */
bool pump_more_waiting(const struct pump *pump);

/*
 * From inside of libcoap's callbacks: whether it is at something that it has read. Else it makes notifications, or
 * comes back to a request that was put off.
 */
bool pump_is_reading(const struct pump *pump);

/*
 * From inside of libcoap's callbacks: something waits for its turn in the event loop, so that no more
 * datagrams are read before.
 */
void pump_yield(struct pump *pump);

/* From inside of libcoap's callbacks: turn_ends() is to be called, once. */
void pump_want_end(struct pump *pump);

/*
 * For the end of the daemon: answers what has already arrived and sends what is still queued, for at most a
 * fifth of a second. The pump stays usable.
 */
void pump_drain(struct pump *pump);

/* Before coap_free_context(), whose last messages then go out unbatched. Accepts NULL. */
void pump_free(struct pump *pump);

#endif
