/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OSCORE (RFC 8613): security contexts for libcoap, which protects and checks messages with them, and what
 * libcoap leaves open.
 *
 * - Who has sent a message. libcoap marks the session, for good, when one message of it was protected; the
 *   next one may come unprotected from whoever forges the address. So we watch the decryption itself: libcoap
 *   calls gnutls_aead_cipher_decrypt(), and the executable's own function of that name takes precedence. The
 *   key tells who, and the plain text which request: the one that reaches a handler is compared with it, as long as
 *   no other message was read since. Many a one never reaches a handler.
 * - What an answer belongs to. On a session that has ever had a protected message libcoap protects every answer for
 *   which it finds a token: also that to an unprotected message with the token of an observation, or of a request that
 *   waits, which would be opened as what these are told. Nothing is encrypted while a message is at hand that came in
 *   the clear.
 * - What cannot be taken back. A libcoap context keeps an OSCORE context for good, finds the first of those that
 *   have a recipient id, and takes new recipients into the very first only; sessions point to its recipients, so
 *   that none is ever deleted. For datagrams each OSCORE context has a libcoap context of its own, as far as there
 *   are enough, and oscore_home() tells which; the config may then change any. Streams and DTLS are in the first
 *   libcoap context with a copy of each OSCORE context, and after a change that it cannot take new sessions begin in
 *   the next one, with another copy: oscore_streams(). Each copy has sequence numbers of its own.
 * - No nonce twice. Sequence numbers are stored ahead of their use, and while that fails nothing that would
 *   need a new one is sent. A response may use its request's nonce once: libcoap would do so again for
 *   whoever repeats an observer's token unprotected.
 */
#ifndef COAPD_SECURITY_OSCORE_H
#define COAPD_SECURITY_OSCORE_H

#include <coap3/coap.h>

#include "base/buf.h"
#include "base/shards.h"
#include "security/identity.h"
#include "security/secrets.h"
#include "security/security.h"

struct oscore;

/* *ret_oscore is never NULL, also without any context. 0, -ENOMEM, or -EINVAL with the errors reported. */
int oscore_load(const struct config *config, struct key_errors *errors, struct oscore **ret_oscore);
size_t oscore_count(const struct oscore *oscore); /* security contexts */

/* Gives the contexts to libcoap. `store` may be NULL. 0 or -errno, logged. */
int oscore_open(struct oscore *oscore, struct shards shards, const struct security_store *store);

/* Takes over `fresh`. What no libcoap context can take is logged, and refused until a restart. */
void oscore_replace(struct oscore *oscore, struct oscore *fresh);

/*
 * The shard whose libcoap context has the OSCORE context for a datagram with this option (RFC 8613, 6.1); 0: none has.
 */
size_t oscore_home(const struct oscore *oscore, struct span option);

/* Whether a request was opened since this was asked last: whoever sent it has a key. */
bool oscore_has_opened(struct oscore *oscore);

/* The shard for new sessions of streams and DTLS. */
size_t oscore_streams(const struct oscore *oscore);

/* The same as oscore_home() for a recipient's observations. */
size_t oscore_home_of(const struct oscore *oscore, struct span recipient_id, struct span id_context);

/* As security_next_message(), security_answers() and security_turn_is_over() have it. */
void oscore_next_message(struct oscore *oscore);
void oscore_answers(struct oscore *oscore, bool protected);
uint64_t oscore_protected_by(const struct oscore *oscore);

/* As security_begin(), security_end() and security_identify() have it; false: not an OSCORE message. */
void oscore_begin(struct oscore *oscore, const coap_session_t *session, const coap_pdu_t *request,
                  bool is_notification);
void oscore_end(struct oscore *oscore);
bool oscore_identify(const struct oscore *oscore, const coap_session_t *session, struct identity *who);
/* Whether the message at hand is from somebody whom the config has known and does not know any more. */
bool oscore_is_revoked(const struct oscore *oscore, const coap_session_t *session);

bool oscore_restore_observer(struct oscore *oscore, const coap_address_t *remote, struct span request,
                             struct span recipient_id, struct span id_context);
void oscore_session_gone(struct oscore *oscore, const coap_session_t *session);

/* After the libcoap context is freed. Accepts NULL. */
void oscore_free(struct oscore *oscore);

#endif
