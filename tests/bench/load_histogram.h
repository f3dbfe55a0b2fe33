/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A histogram of durations with logarithmic buckets: 64 to each power of two, so that a percentile is right
 * within 1.6 % from a nanosecond to hours, in a fixed amount of memory and constant time for each value.
 */
#ifndef COAPD_BENCH_LOAD_HISTOGRAM_H
#define COAPD_BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

enum { HISTOGRAM_SUB_BITS = 6, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS };

struct histogram {
        uint64_t count, min, max;
        double sum;
        uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *self, uint64_t value);

/* `part` of 0 to 1. The upper bound of the bucket, never above the greatest value seen; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *self, double part);

/* As a JSON object, values divided by 1000: nanoseconds go in, microseconds come out. */
void histogram_print(const struct histogram *self, FILE *out);

#endif
