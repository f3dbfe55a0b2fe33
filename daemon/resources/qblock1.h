/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Request bodies that arrive by Q-Block1 (RFC 9177, 4.3): in any order, many blocks at a time, of which only one in
 * MAX_PAYLOADS is answered. They are put together within the bounds of blockwise.h.
 */
#ifndef COAPD_RESOURCES_QBLOCK1_H
#define COAPD_RESOURCES_QBLOCK1_H

#include "resources/blockwise.h"

/* RFC 9177, 7.2; the clock of transfers is one of whole seconds, and it is never to be less. */
enum { FORMAT_MISSING_BLOCKS = 272, NON_RECEIVE_TIMEOUT_S = 4 + 1, NON_MAX_RETRANSMIT = 4 };

/*
 * As blockwise_take(), and 2.31 for a set of blocks that is whole, with the number of its last one in message->block1;
 * 4.08 with response->content where some are missing. response->later: this block needs no answer.
 */
uint8_t qblock1_take(struct blockwise *blockwise, struct message *message, size_t max_body,
                     struct response *response);

/*
 * Asks for the blocks that have not come within NON_RECEIVE_TIMEOUT (RFC 9177, 7.2), and drops what has been asked for
 * often enough. Outside of libcoap. After how many seconds there may be more to do; 0: nothing is waited for.
 */
unsigned qblock1_ask(struct blockwise *blockwise);

/* A request was answered with `code`: if it completed a body, that is what its last block gets should it come again. */
void qblock1_answered(struct blockwise *blockwise, const struct message *message,
                      const struct response *response, uint8_t code);

#endif
