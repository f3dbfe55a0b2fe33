/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many observers of one resource, each a peer of its own. They register as RFC 7641 and RFC 7252 ask of a
 * client (confirmable, sent again after 2, 6, 14, 30 s), acknowledge what wants it, and judge every
 * notification:
 *
 * - stale: its Observe value is not newer than what the observer has had (RFC 7641, 3.4), or its body (a
 * number that grows, such as seconds) had been superseded for longer than a round when it came;
 * - duplicate: the Observe value of the one before; a confirmable one sent again although we acknowledged;
 * - fresh: neither. The time between two fresh ones is the observer's gap.
 *
 * Without Observe, the same registers plain sessions: peers that asked once and are idle.
 */
#ifndef COAPD_BENCH_LOAD_OBSERVE_H
#define COAPD_BENCH_LOAD_OBSERVE_H

#include "load_histogram.h"
#include "load_links.h"

struct observe_setup {
        struct links *links;
        struct request_shape shape;
        uint32_t window; /* registrations under way */
        uint64_t round;  /* ns between two changes of the resource */
};

struct observe_result {
        uint32_t registered, refused, failed; /* refused: answered without Observe, or with an error */
        uint64_t retransmissions;
        uint64_t notifications, confirmable, fresh, duplicate, stale_observe, stale_body, ended, strange;
        struct histogram registration, gap, delay; /* delay: after the first observer had the same body; ns */
        uint64_t max_gap;                          /* counts the time since the last one too */
};

struct observers;

/* 0 or -errno after a line on stderr. `links` are borrowed. */
int observers_new(const struct observe_setup *setup, struct observers **ret);
void observers_free(struct observers *self);

/* Sends what is due. Returns when it wants to be called again; UINT64_MAX when all is settled. */
uint64_t observers_pump(struct observers *self, uint64_t now);
/* Who has not been asked for yet stays out; who has not answered counts as failed. */
void observers_stop_asking(struct observers *self);
bool observers_settled(const struct observers *self);

/* From here on notifications count. */
void observers_measure(struct observers *self, uint64_t now);
/* Ends the gaps that are open. */
void observers_conclude(struct observers *self, uint64_t now);

const struct observe_result *observers_result(const struct observers *self);
void observers_print(const struct observers *self, double registration_seconds, double seconds, FILE *out);

#endif
