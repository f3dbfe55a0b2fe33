/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Representations on their way out block by block (Block2, RFC 7959, 2.4), for kinds whose content differs with
 * every look: all blocks are cut from what the first one was cut from, else no client ever had them all.
 *
 * Bounded in number and bytes; the oldest gives way of the address that has the most, so that nobody ends what others
 * are at. A client of one that did sees the ETag of another representation, and begins again.
 */
#ifndef COAPD_RESOURCES_OUTGOING_H
#define COAPD_RESOURCES_OUTGOING_H

#include "resources/message.h"

struct outgoing;

int outgoing_new(struct outgoing **ret_outgoing);
/* Accepts NULL. */
void outgoing_free(struct outgoing *outgoing);

/* The answer to the first block of a transfer: its content is kept for the others. */
void outgoing_keep(struct outgoing *outgoing, const struct resource *resource, const struct message *message,
                   const struct response *response);

/* Answers a request for a later block. False: there is nothing of this transfer, and `response` is untouched. */
bool outgoing_answer(struct outgoing *outgoing, const struct resource *resource,
                     const struct message *message, struct response *response);

/* The session ends, or the resource: what belongs to either is let go. */
void outgoing_forget_session(struct outgoing *outgoing, const coap_session_t *session);
void outgoing_forget_resource(struct outgoing *outgoing, const struct resource *resource);

#endif
