/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that libcoap has closed, until their peers have what was sent.
 *
 * close() where bytes of the peer's are unread, or come later, makes the kernel send a reset and forget what the peer
 * has not acknowledged; and many a peer forgets what it has not read when a reset comes. It would lose its last
 * answers and the Close frame that says what is wrong. RFC 8323 (5.5) wants them to arrive, and RFC 6455 (7.1.1) names
 * the way: what is left is sent, then the end, and all that comes is thrown away until the peer closes.
 *
 * Not for ever, and not for many: after some seconds, or when there are too many, the first one is closed as it is.
 */
#ifndef COAPD_ENDPOINTS_LINGER_H
#define COAPD_ENDPOINTS_LINGER_H

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "base/buf.h"

struct lingerers;

int linger_new(sd_event *event, struct lingerers **ret_linger);

/* Closes them all. Accepts NULL. */
void linger_free(struct lingerers *linger);

/*
 * The descriptor of a connection, non-blocking and in no epoll set; `rest` is still to be sent, from its byte `from`
 * on. Returns whether both are the linger's from here on; else there is nothing to wait for, and it is to be closed
 * now.
 */
bool linger_take(struct lingerers *linger, int fd, struct buf *rest, size_t from);

#endif
