/* SPDX-License-Identifier: BSD-2-Clause */
/* Time as one number of nanoseconds, for deadlines and durations within the process. */
#ifndef COAPD_BASE_CLOCK_H
#define COAPD_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define USEC(n) ((uint64_t)(n) * 1000)
#define MSEC(n) ((uint64_t)(n) * 1000000)

static inline uint64_t clock_ns_of(const struct timespec *t)
{
        return MSEC(t->tv_sec * 1000) + (uint64_t)t->tv_nsec;
}

/* CLOCK_MONOTONIC. */
static inline uint64_t clock_now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return clock_ns_of(&t);
}

#endif
