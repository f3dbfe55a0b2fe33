/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * WebSocket frames (RFC 6455, 5.2) made whole before libcoap sees any byte of them.
 *
 * libcoap 4.3.4 and 4.3.5 read a frame into their stack. Of one that comes in pieces they forget the first ones:
 * what another client has sent meanwhile stands in their place. Of one that is too long they read over the end
 * when they cannot send their close frame. So what is read here are whole frames that fit, or nothing.
 *
 * They also know no frames but whole messages and Close, and end the session of who sends others. So Ping and Pong are
 * handled here, fragments are joined, and what breaks a rule becomes a Close frame, upon which libcoap sends its own:
 * with the reason that websocket_written() puts there.
 */
#ifndef COAPD_ENDPOINTS_WEBSOCKET_H
#define COAPD_ENDPOINTS_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/span.h"

/* The payload that libcoap takes, its COAP_RXBUFFER_SIZE: so long may a message be, in one frame or several. */
enum { WEBSOCKET_PAYLOAD_MOST = 1472 };

struct websocket;
struct websocket_origins;

/*
 * NULL: no memory. `ahead`: as much is read at once as is there, and who calls looks at websocket_has_more(). Else
 * never more is read from below than what is returned and the rest of one frame, so that who waits for bytes below
 * misses nothing. `origins`, borrowed for as long as the result: who may connect; NULL: everybody.
 */
struct websocket *websocket_new(bool ahead, struct websocket_origins *origins);
void websocket_free(struct websocket *websocket);

/* Nothing for now. */
enum { WEBSOCKET_AGAIN = -0x7ffffff };

/* Reads from the transport: more than 0 bytes, WEBSOCKET_AGAIN, or 0 and less as the transport has it. */
typedef ssize_t websocket_below(void *below, void *to, size_t n);

/*
 * Reads up to `n` bytes, never of two frames at once: first the lines of the HTTP handshake, of which libcoap is given
 * what it can read (websocket_handshake.h), then frames. Returns what it read; or what `read` returned if that was not
 * more than 0; or WEBSOCKET_AGAIN, also when there were many frames that libcoap is not told of: then there may be
 * more; or 0, the end, for ever behind a Close frame, and when asked for nothing.
 */
ssize_t websocket_read(struct websocket *websocket, websocket_below *read, void *below, void *to, size_t n);

/*
 * Whether there is something to read of which nothing below will tell: a frame is over, and the next has been read
 * already, or the head of one that is refused; or the transport itself has `kept` bytes that it has read.
 */
bool websocket_has_more(struct websocket *websocket, size_t kept);

/*
 * The Pong that is to be written, until websocket_pong_is_sent(); empty: none. It answers the last Ping and stands for
 * those to all Pings before it (5.5.3), so that a flood of them leaves one.
 */
struct span websocket_pong(const struct websocket *websocket);
void websocket_pong_is_sent(struct websocket *websocket);

/* What is to be written where libcoap writes `bytes`; as many. Good until the next call. */
struct span websocket_written(struct websocket *websocket, struct span bytes);

#endif
