/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys of an OSCORE security context (RFC 8613, 3.2): derived here a second time, so that a key which
 * libcoap uses can be told to be whose it is.
 */
#ifndef COAPD_SECURITY_OSCORE_KEYS_H
#define COAPD_SECURITY_OSCORE_KEYS_H

#include "base/span.h"

#define OSCORE_KEY_SIZE 16   /* AES-CCM-16-64-128, the one that is mandatory and libcoap's default */
#define OSCORE_NONCE_SIZE 13 /* the same */
#define OSCORE_ID_MAX 7      /* what such a nonce has room for */
#define OSCORE_NAME_SIZE 33

struct oscore_master {
        struct span secret, salt;
        struct span id_context; /* empty: none */
};

/* 0, or -EIO when GnuTLS fails. */
int oscore_derive_key(const struct oscore_master *master, struct span id, uint8_t ret_key[OSCORE_KEY_SIZE]);
int oscore_derive_common_iv(const struct oscore_master *master, uint8_t ret_iv[OSCORE_NONCE_SIZE]);

/* A sender's sequence numbers are counted in three ranges: over UDP, and two by turns for all else. */
enum oscore_range { OSCORE_DATAGRAMS, OSCORE_STREAMS, OSCORE_STREAMS_TOO };

/* A name for the numbers of a range that tells nothing of the sender's key, and changes when the key does. */
int oscore_sequence_name(const uint8_t sender_key[OSCORE_KEY_SIZE], enum oscore_range range,
                         char ret_name[OSCORE_NAME_SIZE]);

/* Whether `nonce` has a Partial IV that the owner of `id` has chosen (RFC 8613, 5.2); if so, which. */
bool oscore_nonce_is_of(const uint8_t nonce[OSCORE_NONCE_SIZE], const uint8_t common_iv[OSCORE_NONCE_SIZE],
                        struct span id, uint64_t *ret_partial_iv);

#endif
