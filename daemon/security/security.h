/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who is there: the keys and certificates of the config, handed to libcoap's sessions, and the identity that
 * each peer has proved with them.
 *
 * DTLS and TLS belong to GnuTLS below libcoap, and the credentials here are GnuTLS's own, installed on each
 * session as libcoap sets it up (tls.c): so pre-shared keys, certificates and raw public keys are offered
 * side by side, lists of revocations hold, client certificates may be optional, and nothing is parsed again
 * for a handshake. OSCORE belongs to libcoap (oscore.c).
 */
#ifndef COAPD_SECURITY_SECURITY_H
#define COAPD_SECURITY_SECURITY_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

#include <coap3/coap.h>

#include "base/buf.h"
#include "base/shards.h"
#include "base/span.h"
#include "config/config.h"
#include "security/identity.h"

struct security;

/*
 * Reads and checks every key and certificate that the config names, and changes nothing else: `--check` does
 * it too. Each mistake is a line "FILE:LINE: KEY: what is wrong, what is expected" in `errors`. Warns in the
 * log of certificates near their end. Returns 0; -EINVAL when there was a mistake; -ENOMEM.
 */
int security_load(const struct config *config, FILE *errors, struct security **ret_security);

/*
 * Gives the keys to those of the contexts that may have sessions of DTLS and streams, before their endpoints are
 * opened; once. `security` must outlive the contexts, and shards.v be there as long. Returns 0 or -errno (logged).
 */
int security_attach(struct security *security, struct shards shards);

/*
 * A reload. From here on handshakes use the keys of `fresh`; living sessions go on, except those whose peer
 * would no longer be let in: its identity is gone, its key another one, its certificate revoked or ended.
 * Those are closed, and their observations with them; OSCORE has no sessions, but security_is_revoked(). Not to be
 * called from a callback of libcoap. Takes `fresh` over. Returns how many sessions were closed.
 */
size_t security_replace(struct security *security, struct security *fresh);

/*
 * Where OSCORE keeps how far it has counted: numbers by name, 32 characters. `load` gives a number that was
 * never used, -ENOENT for a new name, -ENOTSUP when nothing is kept. `save` has taken `number` and above away
 * for good when it returns 0. `shard` is the one that libcoap works for at the moment; NULL: there is only one.
 */
struct security_store {
        int (*load)(void *user, const char *name, uint64_t *ret_number);
        int (*save)(void *user, const char *name, uint64_t number);
        void *user;
        size_t (*shard)(void *user);
};

/*
 * Gives the OSCORE contexts to libcoap, once the store is open and before observers are restored. `shards` are those of
 * security_attach(). `store` is borrowed for good; NULL: the clock stands in for it.
 * Returns 0 or -errno (logged).
 */
int security_open_oscore(struct security *security, struct shards shards, const struct security_store *store);

/* Which shard's context has what a datagram with this OSCORE option needs. Calls nothing of libcoap. */
size_t security_oscore_home(const struct security *security, struct span option);

/*
 * Which shard's context new sessions of DTLS and streams are to begin in: after a reload that no other one could be
 * given OSCORE contexts of, it is another one.
 */
size_t security_streams(const struct security *security);

/* Whether OSCORE has opened a request since this was asked last. */
bool security_has_opened(struct security *security);

/* Which one has the DTLS session of who has sent a datagram, as security_admit() has it, or is for a new one. */
size_t security_session_home(const struct security *security, int fd, const struct msghdr *message);

/*
 * Whether endpoints of coaps, coaps+tcp and coaps+ws can be served, and how many security contexts of OSCORE there
 * are.
 */
bool security_has_tls(const struct security *security);
size_t security_count_oscore(const struct security *security);

/*
 * A datagram that has come in on an endpoint's descriptor, before libcoap sees it, as recvmsg() gave it:
 * false when it is not to see it, because it is the first word of a DTLS handshake and was answered here,
 * without remembering anything of its sender. Whatever libcoap does not get this way it checks by itself.
 */
bool security_admit(struct security *security, int fd, const struct msghdr *message, size_t n);

/* To be called once in a while, and not from within libcoap: makes room among unfinished handshakes. */
size_t security_tidy(struct security *security);

/*
 * libcoap is about to read something else: the message before it is over and done with, whether it came to a handler
 * or not. For streams; a datagram comes by security_admit().
 */
void security_next_message(struct security *security);

/* libcoap reads nothing any more for now; what it does on its own account is none of the last message's. */
void security_turn_is_over(struct security *security);

/*
 * To be called first thing in every handler of requests that libcoap calls: says whose message is at hand.
 * With OSCORE that is a matter of each single message, not of the session, and libcoap does not tell.
 */
void security_begin(struct security *security, const coap_session_t *session, const coap_pdu_t *request,
                    bool is_notification);

/* And last thing. */
void security_end(struct security *security);

/* Between the two: a number for the key of OSCORE that it is under, as long as the daemon runs; 0: under none. */
uint64_t security_protected_by(const struct security *security);

/* Instead of the two, when what libcoap hands in was begun and ended before, and is answered now. */
void security_answers(struct security *security, bool protected);

/*
 * An observation under OSCORE over UDP is about to be restored, that `request` has begun, header included: its
 * notifications will be the recipient's, as they were before. False when there is no such recipient: then libcoap
 * would go on in the clear. It belongs to the context of security_observer_home().
 */
bool security_restore_observer(struct security *security, const coap_address_t *remote, struct span request,
                               struct span recipient_id, struct span id_context);

size_t security_observer_home(const struct security *security, struct span recipient_id,
                              struct span id_context);

/* COAP_EVENT_SERVER_SESSION_DEL. */
void security_session_gone(struct security *security, const coap_session_t *session);

/*
 * Who the peer of a session is; within a handler, who has sent the request. Cheap: the names of a session are
 * read from its keys once. The spans in *ret_who live until the session ends or the next security_replace().
 */
void security_identify(struct security *security, const coap_session_t *session, struct identity *ret_who);

/*
 * Whether it was sent, or an observation begun, under an OSCORE key that a reload has taken out: it is to be refused,
 * whatever anyone else may do. Within a handler.
 */
bool security_is_revoked(const struct security *security, const coap_session_t *session);

/* After the context was freed. Wipes every key. Accepts NULL. */
void security_free(struct security *security);

#endif
