/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Datagrams that were read and wait for the context of their peer, each context's in the order in which they came.
 */
#ifndef COAPD_ENDPOINTS_MAIL_H
#define COAPD_ENDPOINTS_MAIL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/span.h"

struct lane;

struct parcel {
        struct parcel *next;
        struct lane *lane; /* that it came in by */
        bool unready;      /* something has to be made for it, outside of libcoap */
        uint16_t n, name_n, control_n;
        union {
                struct sockaddr any;
                struct sockaddr_in6 six;
        } name;
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        uint8_t bytes[];
};

/* One context's. */
struct mail {
        struct parcel *first, *last;
};

/* Everybody's: parcels lie one behind the other, until all are gone. */
struct mailroom {
        uint8_t *arena;
        size_t used;
        unsigned n; /* parcels that wait */
};

/* 0 or -ENOMEM. */
int mailroom_init(struct mailroom *room);
void mailroom_deinit(struct mailroom *room);

/* Whether `n` more datagrams fit, of whatever length. */
bool mailroom_fits(const struct mailroom *room, unsigned n);

/* Where the next datagram goes: `ret_message` is for a recvmsg(). Given up unless it is put somewhere. */
struct parcel *mailroom_open(struct mailroom *room, struct iovec *piece, struct msghdr *ret_message);

/* `message` as recvmsg() has filled it, `n` bytes. */
void mail_put(struct mail *mail, struct mailroom *room, struct parcel *parcel, const struct msghdr *message,
              size_t n);

/* The oldest, if it came in by `lane`: as recvmsg() gives it. False: there is none, or it has come in elsewhere. */
bool mail_take(struct mail *mail, struct mailroom *room, const struct lane *lane, struct msghdr *into,
               size_t *ret_n);

static inline struct span parcel_span(const struct parcel *parcel)
{
        return span_of(parcel->bytes, parcel->n);
}

#endif
