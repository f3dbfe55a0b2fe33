/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same for WebSockets over TLS, where what libcoap calls is gnutls_record_recv() and gnutls_deinit(): the
 * executable's own definitions of them do as GnuTLS's, but for the sessions that are guarded.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_TLS_H
#define COAPD_ENDPOINTS_WEBSOCKET_TLS_H

#include <stdbool.h>

#include <coap3/coap.h>
#include <gnutls/gnutls.h>

/*
 * To be called when the TLS handshake of a session is done (COAP_EVENT_DTLS_CONNECTED), for every session.
 * Without memory the session is guarded all the same: nothing can be read from it.
 */
void websocket_tls_guard(coap_session_t *session);

/* Asked before each read of any session, secure datagrams included: true lets libcoap hear that the peer has
 * closed. */
void websocket_tls_ask(bool (*peer_has_closed)(gnutls_session_t session));

#endif
