/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lines of a WebSocket handshake (RFC 6455, 4.2.1) as libcoap can read them.
 *
 * libcoap 4.3.4 and 4.3.5 have room for 79 bytes of a line, of any: a browser's User-Agent is refused with 400. They
 * take no list where one is allowed, want a blank behind the colon, and end a line where it has no CR, too: what comes
 * behind such an end would be frames of which websocket.c knew nothing.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_HANDSHAKE_H
#define COAPD_ENDPOINTS_WEBSOCKET_HANDSHAKE_H

#include "base/span.h"
#include "endpoints/websocket_origin.h"

enum { HANDSHAKE_LINE_MOST = 79 };

/*
 * Writes what libcoap is to read instead of `line`, which is without its end: as much of it as fits, with an end; or
 * nothing where it looks for nothing there. Returns its size. `is_first`: it is the request line. Instead of the Origin
 * of a page that may not connect, by `origins`, it reads what is no line, and refuses the handshake.
 */
size_t handshake_line(struct span line, bool is_first, struct websocket_origins *origins,
                      uint8_t to[HANDSHAKE_LINE_MOST]);

#endif
