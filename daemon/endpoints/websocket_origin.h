/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which web pages may connect (RFC 6455, 10.2). A browser lets the script of any page connect to any server, with the
 * user's address and certificate, and tells where the page is from: it is the server that has to look.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_ORIGIN_H
#define COAPD_ENDPOINTS_WEBSOCKET_ORIGIN_H

#include "base/span.h"
#include "config/config.h"

/*
 * For the handshakes from now on. "*" stands for every page; NULL: they all may. Borrowed until the next call: as with the
 * calls that libcoap makes, who reads a handshake has nowhere to keep it.
 */
void websocket_allow_origins(const struct conf_strings *origins);

/* Whether a page of `origin`, the value of its header, may; who may not is named in the log. */
bool websocket_allows_origin(struct span origin);

#endif
