/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Request bodies that arrive block by block (Block1, RFC 7959, 2.5), put together within bounds.
 *
 * coapd does this itself because libcoap reserves what a client claims in Size1 before a byte of it came, and
 * 4.3.5 crashes where Size1 is missing. Here memory grows only with what was received, at most `max_body` for
 * one transfer, `max_transfers` and `max_bytes` for all; when there is no room, the transfer that was idle for
 * the longest gives way. Bodies by Q-Block1 (qblock1.h) are among them, of which blocks may come up to 32 ahead of what
 * is missing.
 */
#ifndef COAPD_RESOURCES_BLOCKWISE_H
#define COAPD_RESOURCES_BLOCKWISE_H

#include "resources/message.h"

struct blockwise;

int blockwise_new(size_t max_transfers, size_t max_bytes, struct blockwise **ret_blockwise);

/* New bounds; what is beyond them gives way with the next block that comes. */
void blockwise_set_bounds(struct blockwise *blockwise, size_t max_transfers, size_t max_bytes);
void blockwise_free(struct blockwise *blockwise);

/*
 * Takes the block that `message` brings. Returns
 *   0                the body is complete: message->request.body is all of it, valid until the next call
 *   CODE_CONTINUE    go on (2.31)
 *   CODE_INCOMPLETE  a block is missing (4.08); the transfer is forgotten
 *   CODE_TOO_LARGE   more than `max_body` (4.13), with response->size1
 *   another error    with its diagnostic
 */
uint8_t blockwise_take(struct blockwise *blockwise, struct message *message, size_t max_body,
                       struct response *response);

/* The session ends: its transfers are forgotten. */
void blockwise_forget(struct blockwise *blockwise, const coap_session_t *session);

#endif
