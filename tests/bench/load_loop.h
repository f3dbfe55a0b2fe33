/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generator's loop: one epoll, and sources that are told when their descriptor is ready. It never spins:
 * the server's core is another one, but the machine may be shared.
 */
#ifndef COAPD_BENCH_LOAD_LOOP_H
#define COAPD_BENCH_LOAD_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_S 1000000000ULL
#define NS_PER_MS 1000000ULL

struct source {
        void (*ready)(struct source *self);
        int fd;
};

struct loop {
        int epoll;
        int urgent; /* those that go first; -1: there are none */
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

/* 0 or -errno. */
int loop_init(struct loop *self);
void loop_deinit(struct loop *self);

/*
 * Watches for reading; `source` must outlive the loop or its descriptor. One that is urgent is asked again after every
 * few of the others: with 10,000 ready at once it would wait for all of them, and that is not the server's doing.
 * 0 or -errno.
 */
int loop_add(struct loop *self, struct source *source, bool urgent);

/* Waits until something is ready or `until` has come, calls what is ready, or some of it. 0 or -errno. */
int loop_turn(struct loop *self, uint64_t until);

#endif
