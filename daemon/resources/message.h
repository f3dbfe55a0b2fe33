/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between libcoap's PDUs and the kinds: a request with its options read once, and a response written back with
 * the options that RFC 7252, 7959 and 7641 ask for.
 */
#ifndef COAPD_RESOURCES_MESSAGE_H
#define COAPD_RESOURCES_MESSAGE_H

#include <coap3/coap.h>

#include "base/buf.h"
#include "resources/echo.h"
#include "resources/kind.h"

struct observed;

enum { MAX_ETAGS = 8 };

struct etag_list {
        struct etag v[MAX_ETAGS];
        size_t n;
        bool any; /* If-Match with an empty value: whatever exists */
};

struct message {
        struct request request;
        const char *host; /* a name of the config that it is for; NULL: none of them. Set by serve.c */
        coap_session_t *session;
        uint64_t address; /* the client's: client_address() */
        /*
         * Whose it is of all that come in this session, by its key of OSCORE; 0: under none. Behind a proxy there are
         * several, and to one of them nothing may be what another one has begun. Set by serve.c.
         */
        uint64_t sender;
        const coap_pdu_t *pdu;
        coap_bin_const_t token;
        struct observed *observers; /* of the resource; NULL: they are not counted */
        struct etag_list etags;
        struct etag_list if_match;
        bool if_none_match;
        bool has_block1, has_block2, wants_size2;
        bool q_block1, q_block2; /* they came as Q-Block1 and Q-Block2 (RFC 9177); see qblock.h */
        coap_block_b_t block1, block2;
        uint64_t operation; /* of a block: equal in all that are of one operation (RFC 9175, 3.3) */
        uint64_t size1;
        struct span request_tag;
        size_t datagram_body; /* bytes of the body that came with this very message */
        size_t most;   /* bytes that the answer may have, as far as blocks can do that; 0: any number */
        bool has_echo; /* the answer gets this Echo option (RFC 9175) */
        uint8_t echo[ECHO_SIZE];
};

/*
 * Reads the options. The spans point into `pdu` and `path`. Returns 0, or the code to answer with after
 * filling the diagnostic of `response`.
 */
uint8_t message_parse(coap_session_t *session, const coap_pdu_t *pdu, struct span path,
                      struct message *message, struct response *response);

/* What is the same in all blocks of one operation, and hardly ever in another's. */
uint64_t message_operation(const coap_pdu_t *pdu);

/* GET and FETCH (RFC 7252, 5.1; RFC 8132, 2): to do it twice is to do it once. */
bool message_is_safe(const struct message *message);

/* Whether the client wants no answer with such a code (RFC 7967). */
bool message_silences(const struct message *message, uint8_t code);

/* The first option of that number; NULL: there is none. */
coap_opt_t *message_option(const coap_pdu_t *pdu, coap_option_num_t number);

/* A copy with another value of an option that it has, a number. `size`: of the message. NULL: no memory. */
coap_pdu_t *message_copy_with(const coap_pdu_t *pdu, size_t size, coap_option_num_t number, uint32_t value);

/* The message as it stands in a datagram (RFC 7252, 3; long tokens by RFC 8974). */
void message_encode(const coap_pdu_t *pdu, struct buf *out);

/* Whether the list holds the tag. */
bool etag_list_has(const struct etag_list *list, const struct etag *etag);

/*
 * Writes `response` into the PDU that libcoap will send: code, ETag, Content-Format, Max-Age, Location-Path,
 * Block1 and Block2 and Size options, and the block of the body that was asked for (RFC 7959; BERT of RFC 8323
 * over reliable transports). Blocks are cut from the present representation, so no state is kept between them;
 * the ETag tells a client that it changed in the middle.
 *
 * Returns the code that was sent.
 */
uint8_t message_respond(const struct message *message, const struct response *response, coap_pdu_t *pdu);

#endif
