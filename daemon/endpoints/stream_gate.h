/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libcoap writes to its stream sessions, gathered: a WebSocket message is two writes, several requests in one
 * segment have several answers, and the kernel's part of one session's after the other's costs less than each between
 * two requests.
 */
#ifndef COAPD_ENDPOINTS_STREAM_GATE_H
#define COAPD_ENDPOINTS_STREAM_GATE_H

#include <stdbool.h>

#include <systemd/sd-event.h>

#include "endpoints/sockets.h"

struct stream_gate;

/*
 * While *holding, writes are gathered, until stream_gate_flush(), the end of a session, or there are too many.
 * `holding` must outlive the gate.
 */
int stream_gate_new(sd_event *event, const bool *holding, struct stream_gate **ret_gate);

/* Asked before anything is written; on false stream_gate_discard() was called. Once, before the first write. */
void stream_gate_set_clearance(struct stream_gate *gate, bool (*may_send)(void *owner), void *owner);

/*
 * Who reads: a session is about to be read; it has more to be read than the kernel knows of, or is closed. `tag`: of
 * its events.
 */
struct stream_reader {
        void (*on_read)(void *owner);
        void (*on_more)(void *owner, int fd, void *tag);
        void (*on_gone)(void *owner, int fd, void *tag);
        void *owner;
};

/* Once, before the first session. */
void stream_gate_set_reader(struct stream_gate *gate, const struct stream_reader *reader);

/* What was gathered is never sent; its sessions end, since a stream cannot have a hole. */
void stream_gate_discard(struct stream_gate *gate);

/*
 * Stands in for send() and close() of the sessions that a listener with this io accepts. What was written arrives after
 * close() as well, see linger.h.
 */
const struct socket_io *stream_gate_io(const struct stream_gate *gate);

void stream_gate_flush(struct stream_gate *gate);

/* Sends what it can and gives the descriptors back. Accepts NULL. */
void stream_gate_free(struct stream_gate *gate);

#endif
