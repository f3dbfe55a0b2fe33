/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that come twice (RFC 7252, 4.5): a client that saw no answer sends its message again, and what it
 * asks for must not happen twice. libcoap leaves this to the server.
 *
 * Remembered are the answers to POST, PUT, DELETE, PATCH and iPATCH over datagram transports, the newest few
 * thousand of them, each for EXCHANGE_LIFETIME. GET and FETCH are safe: they are served anew, as the RFC allows.
 */
#ifndef COAPD_RESOURCES_DUPLICATES_H
#define COAPD_RESOURCES_DUPLICATES_H

#include <sys/socket.h>

#include "resources/message.h"

struct duplicates;

/* Memory for at most `max_answers`, of 160 bytes, and 128 bytes more for each that is larger, on an average. */
int duplicates_new(size_t max_answers, struct duplicates **ret_duplicates);
void duplicates_free(struct duplicates *duplicates);
void duplicates_clear(struct duplicates *duplicates);

/*
 * Whether this message was answered before, to this `sender` as in struct message, and of DTLS in this very session
 * (RFC 7252, 9.1.1); then `response` gets the same answer again.
 */
bool duplicates_answer(struct duplicates *duplicates, const coap_session_t *session, uint64_t sender,
                       const coap_pdu_t *request, coap_pdu_t *response);

/* The same question of a datagram that libcoap has not seen yet, a well-formed one of plain CoAP. */
bool duplicates_know(struct duplicates *duplicates, const struct msghdr *message, struct span datagram);

/*
 * Remembers the finished answer to a request that came with `mid`. There is room for so many bytes of large
 * ones: the oldest of these keep their code alone.
 */
void duplicates_remember(struct duplicates *duplicates, const coap_session_t *session, uint64_t sender,
                         const coap_pdu_t *request, coap_mid_t mid, const coap_pdu_t *response);

#endif
