/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that come twice (RFC 7252, 4.5): a client that saw no answer sends its message again, and what it
 * asks for must not happen twice. libcoap leaves this to the server.
 *
 * Remembered are the answers to POST, PUT, DELETE, PATCH and iPATCH over datagram transports, each for
 * EXCHANGE_LIFETIME. GET and FETCH are safe: they are served anew, as the RFC allows. There is room for a few
 * thousand; then the oldest is forgotten of the address that has the most of them, so that nobody pushes out what
 * others are about to ask for again.
 */
#ifndef COAPD_RESOURCES_DUPLICATES_H
#define COAPD_RESOURCES_DUPLICATES_H

#include <sys/socket.h>

#include "resources/message.h"

struct duplicates;

/*
 * Memory for at most `max_answers` to senders with keys, of DTLS or OSCORE, and as many to others. Those of more than
 * 160 bytes, of at most 1280, have room of their own, for an eighth as many, which is divided likewise.
 */
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
 * Remembers the finished answer to a request that came with `mid`. One that is larger, or whose room was taken by
 * another large one, keeps its code alone.
 */
void duplicates_remember(struct duplicates *duplicates, const coap_session_t *session, uint64_t sender,
                         const coap_pdu_t *request, coap_mid_t mid, const coap_pdu_t *response);

#endif
