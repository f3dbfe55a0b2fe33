/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One observation: what libcoap tells of it, what is written down, and what libcoap wants to have it back.
 * The row does not depend on the layout of any struct, so it outlives an upgrade of libcoap.
 */
#ifndef COAPD_PERSIST_OBSERVATION_H
#define COAPD_PERSIST_OBSERVATION_H

#include "persist/address.h"
#include "persist/sqlite_row.h"

enum { OBSERVATION_TOKEN = 64, OBSERVATION_TARGETS = 6, OBSERVATION_PLAIN = 255 };

struct observation {
        coap_address_t listen; /* of the endpoint */
        coap_addr_tuple_t addresses;
        struct span request; /* as it came in, header included */
        struct span oscore;  /* libcoap's notes on the security context; p is NULL where there are none */
        int64_t registered_us;
        /* Read from the request: */
        struct span path;  /* what is between its segments is a slash */
        struct span query; /* p is NULL where there is none */
        uint8_t code;
        uint8_t token[OBSERVATION_TOKEN];
        size_t token_n;
        /* The addresses as they stand in the row. */
        char listen_text[ADDRESS_TEXT], peer_text[ADDRESS_TEXT], local_text[ADDRESS_TEXT];
        char token_text[2 * OBSERVATION_TOKEN + 1]; /* hex digits */
        /* Where path and query are: */
        coap_string_t *path_string, *query_string;
        char plain[OBSERVATION_PLAIN];
};

static inline struct span observation_token(const struct observation *self)
{
        return span_of(self->token, self->token_n);
}

void observation_deinit(struct observation *self);

/*
 * Reads the request: a GET or FETCH that asks to observe, else -EBADMSG. Everything passed in is borrowed for
 * as long as `ret_self` is used; the caller calls observation_deinit(), also after an error.
 */
int observation_from_libcoap(struct observation *ret_self, const coap_address_t *listen,
                             const coap_addr_tuple_t *addresses, struct span request, struct span oscore);

void observation_to_row(const struct observation *self, struct row *ret_row);

/*
 * -EBADMSG: the row makes no sense. -EADDRNOTAVAIL: an address of it means nothing on this machine now, for
 * want of an interface.
 */
int observation_from_row(struct observation *ret_self, const struct row *row);

/* Where an endpoint may listen that a client's packets to the observation's local address arrive at. */
struct observation_target {
        coap_address_t listen;
        coap_addr_tuple_t addresses;
};

/* The likeliest first, in the order of the kernel: it gives a packet to the most specific socket. */
size_t observation_targets(const struct observation *self,
                           struct observation_target out[OBSERVATION_TARGETS]);

/*
 * The recipient id and the id context in libcoap's notes on OSCORE (a CBOR array that starts with these two,
 * the second perhaps null). False when they are not readable.
 */
bool observation_oscore_ids(struct span oscore, struct span *ret_recipient_id, struct span *ret_id_context);

#define OBSERVATION_COLUMNS                                                                                  \
        "resource, method, query, listen_address, listen_port, peer_address, peer_port, local_address, "     \
        "local_port, token, request, oscore, registered_us, checksum"

#endif
