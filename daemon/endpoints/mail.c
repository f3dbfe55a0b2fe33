/* SPDX-License-Identifier: BSD-2-Clause */
/* Datagrams between the socket and libcoap; see mail.h. */
#include "endpoints/mail.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

enum {
        ARENA_SIZE = 256 * 1024,
        MESSAGE_MOST = 1472, /* what libcoap reads at most; more is marked as cut */
        PARCEL_MOST = sizeof(struct parcel) + MESSAGE_MOST + _Alignof(struct parcel),
};

int mailroom_init(struct mailroom *room)
{
        *room = (struct mailroom){ .arena = malloc(ARENA_SIZE) };
        return room->arena ? 0 : -ENOMEM;
}

void mailroom_deinit(struct mailroom *room)
{
        free(room->arena);
        *room = (struct mailroom){ 0 };
}

bool mailroom_fits(const struct mailroom *room, unsigned n)
{
        return ARENA_SIZE - room->used >= (size_t)n * PARCEL_MOST;
}

struct parcel *mailroom_open(struct mailroom *room, struct iovec *piece, struct msghdr *ret_message)
{
        struct parcel *parcel = (void *)(room->arena + room->used);

        *parcel = (struct parcel){ .next = NULL };
        *piece = (struct iovec){ parcel->bytes, MESSAGE_MOST };
        *ret_message = (struct msghdr){
                .msg_name = &parcel->name,
                .msg_namelen = sizeof parcel->name,
                .msg_iov = piece,
                .msg_iovlen = 1,
                .msg_control = parcel->control,
                .msg_controllen = sizeof parcel->control,
        };
        return parcel;
}

void mail_put(struct mail *mail, struct mailroom *room, struct parcel *parcel, const struct msghdr *message,
              size_t n)
{
        size_t size = sizeof *parcel + n;

        parcel->n = (uint16_t)n;
        parcel->name_n = (uint16_t)message->msg_namelen;
        parcel->control_n = (uint16_t)message->msg_controllen;
        room->used += (size + _Alignof(struct parcel) - 1) & ~(_Alignof(struct parcel) - 1);
        room->n++;
        if (mail->first)
                mail->last->next = parcel;
        else
                mail->first = parcel;
        mail->last = parcel;
}

bool mail_take(struct mail *mail, struct mailroom *room, const struct lane *lane, struct msghdr *into,
               size_t *ret_n)
{
        struct parcel *parcel = mail->first;

        if (!parcel || parcel->lane != lane)
                return false;
        *ret_n = MIN(parcel->n, into->msg_iov[0].iov_len);
        memcpy(into->msg_iov[0].iov_base, parcel->bytes, *ret_n);
        into->msg_namelen = MIN(into->msg_namelen, parcel->name_n);
        memcpy(into->msg_name, &parcel->name, into->msg_namelen);
        into->msg_controllen = parcel->control_n <= into->msg_controllen ? parcel->control_n : 0;
        memcpy(into->msg_control, parcel->control, into->msg_controllen);
        into->msg_flags = 0;
        mail->first = parcel->next;
        if (--room->n == 0)
                room->used = 0;
        return true;
}
