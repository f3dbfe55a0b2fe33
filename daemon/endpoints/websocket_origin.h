/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which web pages may connect (RFC 6455, 10.2). A browser lets the script of any page connect to any server, with the
 * user's address and certificate, and tells where the page is from: it is the server that has to look.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_ORIGIN_H
#define COAPD_ENDPOINTS_WEBSOCKET_ORIGIN_H

#include "base/log.h"
#include "base/span.h"
#include "config/config.h"

/* The listeners and WebSockets that look at it borrow it: it outlives libcoap's contexts. Zeroed: every page may. */
struct websocket_origins {
        const struct conf_strings *allowed; /* borrowed; "*" stands for every page. NULL: they all may */
        struct log_gate refusals;
};

/* For the handshakes that are read from now on. `allowed` is borrowed until the next call. */
void websocket_allow_origins(struct websocket_origins *origins, const struct conf_strings *allowed);

/*
 * Whether a page of `origin`, the value of its header, may; who may not is named in the log. `origins` NULL: they all
 * may.
 */
bool websocket_allows_origin(struct websocket_origins *origins, struct span origin);

#endif
