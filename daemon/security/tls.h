/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The GnuTLS sessions below libcoap's DTLS and TLS sessions.
 *
 * libcoap sets each of them up itself and offers no call to give it credentials. But while doing so it calls
 * gnutls_handshake_set_post_client_hello_function(), and the executable's own function of that name takes
 * precedence over the one of the shared GnuTLS: there our credentials go in, and a struct peer with them,
 * that lives as long as the GnuTLS session. For libcoap the context has pre-shared keys, whatever there
 * really is.
 */
#ifndef COAPD_SECURITY_TLS_H
#define COAPD_SECURITY_TLS_H

#include <coap3/coap.h>

#include "security/identity.h"
#include "security/keys.h"
#include "security/peers.h"

struct tls;

/* What keys_load() wants. */
gnutls_psk_server_credentials_function2 tls_give_key;
gnutls_certificate_verify_function tls_verify;

/* Sessions of the `n` contexts take their keys from `keys` (a reference is taken). Borrows `contexts`. 0 or -errno. */
int tls_attach(struct keys *keys, coap_context_t *const *contexts, size_t n, struct tls **ret_tls);

/* New handshakes use `keys`; sessions that would not be let in again are closed. Returns their number. */
size_t tls_replace(struct tls *tls, struct keys *keys);

/* The one that has the datagram session of `at`; `n`: none has. */
size_t tls_home(const struct tls *tls, const struct peer_address *at);

/* What the peer has proved; leaves *who alone when it is nothing. */
void tls_identify(const coap_session_t *session, struct identity *who);

/* A ClientHello whose sender is where it says has come from `at`, and goes to libcoap now. */
void tls_hello_is_good(struct tls *tls, const struct peer_address *at, struct span random);

/*
 * With more handshakes on their way than that, ends some that take the room of others, and returns how many. Not from
 * within libcoap.
 */
size_t tls_tidy(struct tls *tls, size_t most_handshakes);

/* Once the contexts are freed, and with them every session. Accepts NULL. */
void tls_detach(struct tls *tls);

#endif
