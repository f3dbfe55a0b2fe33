/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same for WebSockets over TLS, where what libcoap calls is gnutls_record_recv() and gnutls_deinit(): the
 * executable's own definitions of them do as GnuTLS's, but for the sessions that are guarded.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_TLS_H
#define COAPD_ENDPOINTS_WEBSOCKET_TLS_H

#include <coap3/coap.h>

/*
 * To be called when the TLS handshake of a session is done (COAP_EVENT_DTLS_CONNECTED), for every session.
 * Without memory the session is guarded all the same: nothing can be read from it.
 */
void websocket_tls_guard(coap_session_t *session);

#endif
