/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers to confirmable OSCORE requests ride on the acknowledgement (RFC 7252, 5.2.1): two datagrams where libcoap
 * would have four.
 *
 * libcoap acknowledges such a request with an empty message, and sends the protected answer as a confirmable one of its
 * own, so that it is not lost: it could not make it again for a request that comes again, which OSCORE takes for a
 * replay. We keep it instead (answers.h). The empty message is refused, as a socket would on which nothing can be sent,
 * and libcoap gives the answer the acknowledgement's type and message id: these are outside of what OSCORE protects
 * (RFC 8613, 4.2). Where no answer follows at once, the empty message leaves after all, and is kept in its place.
 *
 * All else is libcoap's: requests that are not confirmable, or that OSCORE has not opened, so that whoever has no key
 * fills no memory; answers that are made later, notifications, and whatever is inside of DTLS.
 */
#ifndef COAPD_ENDPOINTS_PIGGYBACK_H
#define COAPD_ENDPOINTS_PIGGYBACK_H

#include <errno.h>

#include <coap3/coap.h>

#include "endpoints/answers.h"
#include "endpoints/lane.h"

/* What libcoap is told of a message that is refused: no socket says so. */
enum { PIGGYBACK_REFUSED = ECANCELED };

struct piggyback {
        struct answers *answers;
        uint64_t seed;
        bool (*has_opened)(void *userdata); /* as a pump_guard's */
        void *userdata;
        /* The request that libcoap is at work on, if it is one of those. */
        struct lane *lane; /* NULL: it is not */
        uint64_t peer;
        uint16_t message_id;
        struct answers_key key;
        bool opened;          /* by OSCORE */
        bool holding;         /* its empty acknowledgement, which is written down in `answers` */
        coap_log_t log_level; /* libcoap's, when it is not */
};

/* 0 or -ENOMEM. */
int piggyback_init(struct piggyback *piggyback, uint64_t seed);
void piggyback_deinit(struct piggyback *piggyback);

/*
 * libcoap is about to get a datagram, as recvmsg() has given it. True: it was answered before, and is so now; libcoap
 * is not to see it.
 */
bool piggyback_receive(struct piggyback *piggyback, struct lane *lane, const struct msghdr *message,
                       size_t n);

/* libcoap sends a message. True: it is to be told that this has failed with PIGGYBACK_REFUSED. */
bool piggyback_send(struct piggyback *piggyback, const struct lane *lane, const struct msghdr *message);

/* libcoap has done with the datagram. */
void piggyback_settle(struct piggyback *piggyback);

/* Nothing of what was answered counts any more. */
void piggyback_forget(struct piggyback *piggyback);

#endif
