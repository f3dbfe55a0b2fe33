/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers that were protected by OSCORE and acknowledged their request, for when one was lost and the request comes
 * again (RFC 7252, 4.2 and 4.5): libcoap would take it for a replay. What is sent again is the very same message, so
 * that no nonce is used for another one.
 *
 * Each is kept for EXCHANGE_LIFETIME, and no longer than until its client has sent so many newer requests that
 * one of before would be out of OSCORE's replay window: that bounds what one client takes. All of them together take
 * so much memory and no more. Each step costs the same however many there are.
 */
#ifndef COAPD_ENDPOINTS_ANSWERS_H
#define COAPD_ENDPOINTS_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

enum {
        ANSWERS_WINDOW = 32,      /* of one client; as OSCORE's window is by default (RFC 8613, 3.2.2) */
        ANSWERS_BYTES = 8 << 20,  /* of all */
        ANSWERS_LIFETIME_S = 247, /* EXCHANGE_LIFETIME */
        ANSWERS_TIMES = 8,        /* one is sent again; twice MAX_RETRANSMIT */
};

struct answers;

/* Which request. */
struct answers_key {
        uint64_t place;  /* of its client, and which one of its ANSWERS_WINDOW */
        uint64_t digest; /* of all that came */
};

/* NULL: there is no memory. Takes its bytes when there is a first answer. */
struct answers *answers_new(void);
void answers_free(struct answers *answers);
void answers_clear(struct answers *answers);

/*
 * Of a request that came to `where` as recvmsg() has given it. `who` is what OSCORE calls its client by, and
 * `number` the last byte, or more, of its Partial IV.
 */
struct answers_key answers_key(const struct answers *answers, const void *where, const struct sockaddr *peer,
                               struct span who, unsigned number, struct span datagram);

/*
 * Writes an answer down, instead of what was written and is not kept yet. False: there is no room, and nothing is
 * written down then. `now`: CLOCK_MONOTONIC, nanoseconds.
 */
bool answers_write(struct answers *answers, struct answers_key key, const struct msghdr *message,
                   uint64_t now);

/* What is written down. Valid until the next call of any other function. */
struct msghdr *answers_written(struct answers *answers);

/* Keeps what is written down. */
void answers_keep(struct answers *answers, uint64_t now);

enum answers_found {
        ANSWERS_NONE,
        ANSWERS_AGAIN,  /* it is in *ret_message, valid until the next call of any other function */
        ANSWERS_ENOUGH, /* that was often enough: nothing is to be said any more */
};
enum answers_found answers_find(struct answers *answers, struct answers_key key, uint64_t now,
                                struct msghdr **ret_message);

#endif
