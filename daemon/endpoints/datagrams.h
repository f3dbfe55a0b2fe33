/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams by the batch: an inbox that reads many with one recvmmsg() and gives them out one by one, an
 * outbox that takes them one by one and sends many with one sendmmsg(), those to one peer as one datagram that the
 * kernel cuts apart. Both keep the order of what is from one peer, or to one.
 */
#ifndef COAPD_ENDPOINTS_DATAGRAMS_H
#define COAPD_ENDPOINTS_DATAGRAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
        INBOX_MOST = 64, /* datagrams in one call */
        OUTBOX_MOST = 64,
        DATAGRAM_SIZE = 1536, /* libcoap reads at most 1472 bytes; more than that is marked as cut */
};

struct inbox;

/* NULL when there is no memory. `overflows`: what the kernel has counted up to now, as inbox_overflows(). */
struct inbox *inbox_new(uint32_t overflows);
void inbox_free(struct inbox *inbox);

/*
 * Reads up to `most` datagrams without waiting; only into an empty inbox. Returns how many, 0 when none is
 * there, or -errno.
 */
int inbox_fill(struct inbox *inbox, int fd, unsigned most);

bool inbox_is_empty(const struct inbox *inbox);

/*
 * Gives out the oldest one as recvmsg() would: into the caller's name, buffer, and of the control messages
 * the address that it was sent to. Returns its length; MSG_TRUNC is in msg_flags when it was longer than the
 * buffer.
 */
size_t inbox_take(struct inbox *inbox, struct msghdr *into);

/* The kernel's count of datagrams that found the receive buffer full, as of the last inbox_take(). */
uint32_t inbox_overflows(const struct inbox *inbox);

struct outbox;

struct outbox *outbox_new(void);
void outbox_free(struct outbox *outbox);

/* Copies the message. False when there is no room: flush, or send it alone. */
bool outbox_put(struct outbox *outbox, const struct msghdr *message);

bool outbox_is_empty(const struct outbox *outbox);

/* What waits is never sent. */
void outbox_discard(struct outbox *outbox);

/* Told for each datagram that the kernel refuses; it is then out of the way. */
typedef void outbox_refused(void *userdata, const struct msghdr *message, int error);

/*
 * Sends without waiting. Returns how many left, and in *ret_blocked whether the kernel takes no more for now;
 * the rest then stays queued.
 */
unsigned outbox_flush(struct outbox *outbox, int fd, outbox_refused *refused, void *userdata,
                      bool *ret_blocked);

#endif
