/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The same for WebSockets over TLS, where what libcoap calls is gnutls_record_recv() and gnutls_deinit(): the
 * executable's own definitions of them do as GnuTLS's, but for the sessions that are guarded. That of
 * gnutls_record_send() is in tls_send.c.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_TLS_H
#define COAPD_ENDPOINTS_WEBSOCKET_TLS_H

#include <coap3/coap.h>
#include <gnutls/gnutls.h>

struct websocket_origins;

/*
 * To be called when the TLS handshake of a session is done (COAP_EVENT_DTLS_CONNECTED), for every session.
 * `origins` as websocket_new() has them. Without memory the session is guarded all the same: nothing can be read from
 * it.
 */
void websocket_tls_guard(coap_session_t *session, struct websocket_origins *origins);

/* What is to be written where libcoap writes `bytes`; as many. Good until the next call. */
const void *websocket_tls_written(gnutls_session_t session, const void *bytes, size_t n);

#endif
