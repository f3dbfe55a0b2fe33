/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams of which more has been read than libcoap has taken: each is to have an event that the kernel knows nothing
 * of. First come, first served, each once.
 */
#ifndef COAPD_ENDPOINTS_AHEAD_H
#define COAPD_ENDPOINTS_AHEAD_H

#include <stdbool.h>
#include <stddef.h>

struct ahead_stream {
        int next; /* the descriptor behind it; less than 0: there is none, or it is not in here */
        void *tag;
};

struct ahead {
        struct ahead_stream *by_fd;
        int n_fds;
        int first, last; /* descriptors; less than 0: none */
};

void ahead_init(struct ahead *ahead);
void ahead_deinit(struct ahead *ahead);

/* 0, also where it is in here already, or -ENOMEM. `tag`: of its events. */
int ahead_put(struct ahead *ahead, int fd, void *tag);

/* False when nobody waits. */
bool ahead_take(struct ahead *ahead, int *ret_fd, void **ret_tag);

/* It is closed. */
void ahead_drop(struct ahead *ahead, int fd);

bool ahead_is_empty(const struct ahead *ahead);

#endif
