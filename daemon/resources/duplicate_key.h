/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which message, of all that ever came over datagram transports: two with the same key are one that came twice (RFC
 * 7252, 4.5).
 */
#ifndef COAPD_RESOURCES_DUPLICATE_KEY_H
#define COAPD_RESOURCES_DUPLICATE_KEY_H

#include <coap3/coap.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

enum { DUPLICATE_TOKEN = 8 };

/* Who sent which message. Compared byte for byte: keys are zeroed before they are filled. */
struct duplicate_key {
        uint64_t sender;
        uint64_t session; /* of DTLS, in which another one may begin with the same numbers */
        uint8_t address[16];
        uint32_t scope;
        uint16_t port;
        uint16_t family;
        uint16_t mid;
        uint8_t type;
        uint8_t proto;
        uint16_t token_length;
        uint8_t token[DUPLICATE_TOKEN]; /* of a longer one (RFC 8974) a hash */
};

/* Of a request of this `sender`, as in struct message. False: it came over a stream, which brings nothing twice. */
bool duplicate_key_of(const coap_session_t *session, uint64_t sender, const coap_pdu_t *request,
                      struct duplicate_key *key);

/*
 * Of a datagram of plain CoAP that libcoap has not seen yet. False: it is no whole one, or none of a method that is
 * remembered.
 */
bool duplicate_key_of_datagram(const struct msghdr *message, struct span datagram, struct duplicate_key *key);

#endif
