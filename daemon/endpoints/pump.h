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

struct pump;

/* `context`, and `metrics` unless NULL, must outlive the pump. Takes a reference of `event`. */
int pump_attach(sd_event *event, coap_context_t *context, struct metrics *metrics, struct pump **ret_pump);

/*
 * Asks `admit` about each datagram, as recvmsg() gave it, before libcoap gets it; one that is not admitted is
 * as if it had never come. One gate at a time; `userdata` must outlive the pump.
 */
void pump_set_gate(struct pump *pump,
                   bool (*admit)(void *userdata, int fd, const struct msghdr *message, size_t n), void *userdata);

/*
 * Lets libcoap act now, for a caller outside of its callbacks: pending notifications leave, for example after
 * coap_resource_notify_observers(). Inside of them it is not needed, and does nothing.
 */
void pump_kick(struct pump *pump);

/*
 * From inside of libcoap's callbacks: something waits for its turn in the event loop, so that no more datagrams
 * are read before.
 */
void pump_yield(struct pump *pump);

/*
 * For the end of the daemon: answers what has already arrived and sends what is still queued, for at most a
 * fifth of a second. The pump stays usable.
 */
void pump_drain(struct pump *pump);

/* Before coap_free_context(), whose last messages then go out unbatched. Accepts NULL. */
void pump_free(struct pump *pump);

#endif
