/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generator's loop: one epoll, and sources that are told when their descriptor is ready. It never spins:
 * the server's core is another one, but the machine may be shared.
 */
#ifndef COAPD_BENCH_LOAD_LOOP_H
#define COAPD_BENCH_LOAD_LOOP_H

#include <stdint.h>

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL

struct source {
        void (*ready)(struct source *self);
        int fd;
};

struct loop {
        int epoll;
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

/* 0 or -errno. */
int loop_init(struct loop *self);
void loop_deinit(struct loop *self);

/* Watches for reading; `source` must outlive the loop or its descriptor. 0 or -errno. */
int loop_add(struct loop *self, struct source *source);

/* Waits until something is ready or `until` has come, calls what is ready. 0 or -errno. */
int loop_turn(struct loop *self, uint64_t until);

#endif
