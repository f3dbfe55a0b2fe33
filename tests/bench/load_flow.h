/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A flow of requests over links, in turn: closed loop (so many under way, the next leaves when one is
 * answered) or open loop (so many a second, whatever the server does; the latency counts from when the
 * request was due, so that a server that stalls is charged for the requests it kept from leaving).
 *
 * Nothing is sent twice: a request without an answer within the timeout is counted, and its place used anew.
 */
#ifndef COAPD_BENCH_LOAD_FLOW_H
#define COAPD_BENCH_LOAD_FLOW_H

#include "load_histogram.h"
#include "load_links.h"

struct flow_setup {
        struct links *links;
        struct request_shape shape;
        uint32_t window;  /* closed loop */
        double rate;      /* open loop, requests a second; 0: closed */
        uint64_t numbers; /* the running number in the path counts from 0 to numbers - 1, and again */
        uint64_t count;   /* requests at most; 0: no limit */
        uint64_t timeout; /* ns */
};

struct flow_result {
        uint64_t sent, answered, timeouts, resets, late, skipped;
        uint64_t codes[256];
        struct histogram latency; /* ns */
};

struct flow;

/* 0 or -errno after a line on stderr. `links` are borrowed. */
int flow_new(const struct flow_setup *setup, struct flow **ret);
void flow_free(struct flow *self);

/* Sends what is due. Returns when it wants to be called again. */
uint64_t flow_pump(struct flow *self, uint64_t now);

/* From here on the figures count. */
void flow_measure(struct flow *self);

/* No new requests; what is under way may still be answered. */
void flow_stop(struct flow *self);

/* All requests of `count` have ended, or it was stopped and nothing is under way. */
bool flow_done(const struct flow *self);

const struct flow_result *flow_result(const struct flow *self);
void flow_print(const struct flow *self, double seconds, FILE *out);

#endif
