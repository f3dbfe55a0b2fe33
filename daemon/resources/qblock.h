/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Q-Block1 and Q-Block2 (RFC 9177) on their way past libcoap, which refuses requests with them unless it is to put all
 * bodies of all sessions together itself. So they are taken out of a request's datagram before libcoap reads it, and
 * their values wait for the request to come by. Over plain UDP only; what is under OSCORE is refused as ever.
 */
#ifndef COAPD_RESOURCES_QBLOCK_H
#define COAPD_RESOURCES_QBLOCK_H

#include <sys/socket.h>

#include "resources/message.h"

enum { MAX_PAYLOADS = 10 }; /* RFC 9177, 7.2 */

/* What was taken out of the last datagram. */
struct qblock_values {
        bool any, has_q_block1;
        bool mixed;    /* with Block1 or Block2 */
        bool disorder; /* of the blocks that are asked for */
        uint8_t n_q_block2;
        uint8_t token_length;
        uint8_t token[8];
        uint16_t mid;
        uint32_t q_block1;
        uint32_t q_block2[MAX_PAYLOADS]; /* more of them are not served */
        uint32_t last;                   /* of all */
        coap_address_t peer;
};

/*
 * Takes them out of a datagram, which gets shorter, if it is a request with any. What is malformed, or with OSCORE,
 * stays as it is for libcoap to refuse.
 */
void qblock_take_out(struct qblock_values *values, const struct msghdr *message, size_t *n);

/* Gives them to the request that they came with, alone. False: the response says why it is not served. */
bool qblock_give_back(struct qblock_values *values, struct message *message, struct response *response);

/*
 * The blocks that follow the first, in messages of their own, which leave behind it: at the end of the turn of the
 * loop.
 */
struct qblock_burst;

int qblock_burst_new(struct qblock_burst **ret_burst);
/* Nothing more leaves. Accepts NULL. */
void qblock_burst_free(struct qblock_burst *burst);

/*
 * `first` is the answer to `message`, with the first block of those that `values` ask for: the others, each once, at
 * most MAX_PAYLOADS with it. Whether any waits to be sent.
 */
bool qblock_burst_add(struct qblock_burst *burst, const struct message *message,
                      const struct response *response, const struct qblock_values *values,
                      const coap_pdu_t *first);

/* Outside of libcoap. */
void qblock_burst_send(struct qblock_burst *burst);
void qblock_burst_forget(struct qblock_burst *burst, const coap_session_t *session);

#endif
