/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests that libcoap hands in once more. Their client has an empty acknowledgement meanwhile, and gets the answer
 * as a message of its own (RFC 7252, 5.2.2). Either the answer is what is waited for, see resource_answer_later() in
 * kind.h; or the request only comes again in the next moment, to a resource that is there now.
 *
 * libcoap keeps the request and the session, and acknowledges what comes with the same token again by itself.
 */
#ifndef COAPD_RESOURCES_PENDING_H
#define COAPD_RESOURCES_PENDING_H

#include <coap3/coap.h>

#include "resources/message.h"

struct pendings;
struct registry;

int pendings_new(struct registry *registry, struct pendings **ret_pendings);
/* Nobody is answered any more. Accepts NULL. */
void pendings_free(struct pendings *pendings);

/* Has libcoap hand a request in again right away. Returns whether it will. */
bool pending_put_off(struct pendings *pendings, coap_session_t *session, const coap_pdu_t *request);

/* Whether any is about to. */
bool pending_any_comes(const struct pendings *pendings);

/* A request that has come again. */
struct pending_request {
        struct resource *resource; /* that was asked; NULL: it is gone, or none was */
        uint64_t sender;           /* as in struct message */
        bool answered;             /* then this is the answer: */
        struct response response;
        coap_mid_t mid; /* it came with at first */
};

/*
 * Whether `request` is one that came before. The content of the response is the caller's then; all else of it holds
 * until pending_done().
 */
bool pending_came_again(struct pendings *pendings, const coap_session_t *session, const coap_pdu_t *request,
                        struct pending_request *ret_request);
void pending_done(struct pendings *pendings);

/* What came, header included, of a request that libcoap hands in again without; empty: it is none of these. */
struct span pending_whole(const struct pendings *pendings, const coap_session_t *session,
                          struct span headless);

/* The state of a resource goes: whoever waits for it is told 5.03. */
void pending_abandon(struct pendings *pendings, const struct resource *resource);
void pending_forget_session(struct pendings *pendings, const coap_session_t *session);

#endif
