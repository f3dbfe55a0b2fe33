/* SPDX-License-Identifier: BSD-2-Clause */
/* Batches of datagrams; see datagrams.h. */
#include "endpoints/datagrams.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

/* Room for both kinds of packet info, which a dual-stack socket gets for IPv4, and the overflow count. */
enum { CONTROL_SIZE = 128, ARENA_SIZE = 64 * 1024 };

/* Of a datagram that the kernel cuts into several: what IPv6 takes everywhere, and all that fits into one of IP. */
enum { SEGMENT_MOST = 1280 - 48, SEGMENTS_BYTES = 65535 - 48 };

/* Of the table of peers that a flush has. */
enum { SLOTS = 4 * OUTBOX_MOST, NONE = UINT8_MAX };

union name {
        struct sockaddr any;
        struct sockaddr_in6 six;
};

struct inbox {
        unsigned next, n;
        uint32_t overflows;
        struct mmsghdr head[INBOX_MOST];
        struct iovec piece[INBOX_MOST];
        union name name[INBOX_MOST];
        _Alignas(struct cmsghdr) uint8_t control[INBOX_MOST][CONTROL_SIZE];
        uint8_t payload[INBOX_MOST][DATAGRAM_SIZE];
};

struct outbox {
        unsigned next, n; /* of the order in which they leave */
        uint8_t order[OUTBOX_MOST];
        bool same[OUTBOX_MOST]; /* it goes where the one before it in that order goes */
        size_t used;            /* of the arena */
        unsigned apart;         /* those before it leave each on its own */
        struct mmsghdr head[OUTBOX_MOST];
        struct iovec piece[OUTBOX_MOST];
        union name name[OUTBOX_MOST];
        _Alignas(struct cmsghdr) uint8_t control[OUTBOX_MOST][CONTROL_SIZE];
        uint8_t arena[ARENA_SIZE];
};

static void inbox_reset_slot(struct inbox *inbox, unsigned i)
{
        inbox->head[i].msg_hdr.msg_namelen = sizeof inbox->name[i];
        inbox->head[i].msg_hdr.msg_controllen = CONTROL_SIZE;
        inbox->head[i].msg_hdr.msg_flags = 0;
}

struct inbox *inbox_new(uint32_t overflows)
{
        struct inbox *inbox = calloc(1, sizeof *inbox);

        if (inbox)
                inbox->overflows = overflows;
        for (unsigned i = 0; inbox && i < INBOX_MOST; i++) {
                inbox->piece[i] = (struct iovec){ inbox->payload[i], DATAGRAM_SIZE };
                inbox->head[i].msg_hdr = (struct msghdr){
                        .msg_name = &inbox->name[i],
                        .msg_iov = &inbox->piece[i],
                        .msg_iovlen = 1,
                        .msg_control = inbox->control[i],
                };
                inbox_reset_slot(inbox, i);
        }
        return inbox;
}

void inbox_free(struct inbox *inbox)
{
        free(inbox);
}

int inbox_fill(struct inbox *inbox, int fd, unsigned most)
{
        int n = recvmmsg(fd, inbox->head, MIN(most, INBOX_MOST), MSG_DONTWAIT, NULL);

        inbox->next = 0;
        inbox->n = n > 0 ? (unsigned)n : 0;
        if (n < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : -errno;
        return n;
}

static bool is_packet_info(const struct cmsghdr *c)
{
        return (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) ||
               (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO);
}

/* libcoap's buffer holds one packet info and nothing else. The first is the one that it would have got. */
static void take_control(struct inbox *inbox, struct msghdr *from, struct msghdr *into)
{
        size_t room = into->msg_controllen;

        into->msg_controllen = 0;
        for (struct cmsghdr *c = CMSG_FIRSTHDR(from); c; c = CMSG_NXTHDR(from, c)) {
                size_t payload = c->cmsg_len - CMSG_LEN(0);

                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
                        memcpy(&inbox->overflows, CMSG_DATA(c), sizeof inbox->overflows);
                } else if (is_packet_info(c) && into->msg_controllen == 0 && CMSG_SPACE(payload) <= room) {
                        memcpy(into->msg_control, c, c->cmsg_len);
                        into->msg_controllen = CMSG_SPACE(payload);
                }
        }
}

size_t inbox_take(struct inbox *inbox, struct msghdr *into)
{
        unsigned i = inbox->next++;
        struct msghdr *from = &inbox->head[i].msg_hdr;
        size_t length = inbox->head[i].msg_len;
        size_t n = MIN(length, into->msg_iov[0].iov_len);

        memcpy(into->msg_iov[0].iov_base, inbox->payload[i], n);
        into->msg_namelen = MIN(into->msg_namelen, from->msg_namelen);
        memcpy(into->msg_name, from->msg_name, into->msg_namelen);
        take_control(inbox, from, into);
        into->msg_flags = (from->msg_flags & MSG_TRUNC) | (n < length ? MSG_TRUNC : 0);
        inbox_reset_slot(inbox, i);
        return n;
}

bool inbox_is_empty(const struct inbox *inbox)
{
        return inbox->next == inbox->n;
}

uint32_t inbox_overflows(const struct inbox *inbox)
{
        return inbox->overflows;
}

struct outbox *outbox_new(void)
{
        struct outbox *outbox = malloc(sizeof *outbox);

        if (outbox)
                outbox->next = outbox->n = outbox->used = outbox->apart = 0;
        return outbox;
}

void outbox_free(struct outbox *outbox)
{
        free(outbox);
}

bool outbox_is_empty(const struct outbox *outbox)
{
        return outbox->next == outbox->n;
}

void outbox_discard(struct outbox *outbox)
{
        outbox->next = outbox->n = outbox->used = outbox->apart = 0;
}

bool outbox_put(struct outbox *outbox, const struct msghdr *m)
{
        unsigned i = outbox->n;
        size_t length = 0;

        for (size_t k = 0; k < m->msg_iovlen; k++)
                length += m->msg_iov[k].iov_len;
        if (i == OUTBOX_MOST || length > ARENA_SIZE - outbox->used || m->msg_controllen > CONTROL_SIZE ||
            m->msg_namelen > sizeof outbox->name[i])
                return false;
        outbox->piece[i] = (struct iovec){ outbox->arena + outbox->used, length };
        for (size_t k = 0; k < m->msg_iovlen; k++) {
                memcpy(outbox->arena + outbox->used, m->msg_iov[k].iov_base, m->msg_iov[k].iov_len);
                outbox->used += m->msg_iov[k].iov_len;
        }
        if (m->msg_namelen > 0)
                memcpy(&outbox->name[i], m->msg_name, m->msg_namelen);
        if (m->msg_controllen > 0)
                memcpy(outbox->control[i], m->msg_control, m->msg_controllen);
        outbox->head[i].msg_hdr = (struct msghdr){
                .msg_name = &outbox->name[i],
                .msg_namelen = m->msg_namelen,
                .msg_iov = &outbox->piece[i],
                .msg_iovlen = 1,
                .msg_control = outbox->control[i],
                .msg_controllen = m->msg_controllen,
        };
        outbox->order[outbox->n++] = (uint8_t)i;
        return true;
}

static bool go_the_same_way(const struct msghdr *a, const struct msghdr *b)
{
        return a->msg_namelen > 0 && a->msg_namelen == b->msg_namelen &&
               a->msg_controllen == b->msg_controllen &&
               memcmp(a->msg_name, b->msg_name, a->msg_namelen) == 0 &&
               memcmp(a->msg_control, b->msg_control, a->msg_controllen) == 0;
}

static unsigned slot_of(const struct msghdr *m)
{
        uint32_t word, h = 0;

        for (size_t i = 0; i + sizeof word <= m->msg_namelen; i += sizeof word) {
                memcpy(&word, (const uint8_t *)m->msg_name + i, sizeof word);
                h = (h ^ word) * 0x9e3779b1U;
                h ^= h >> 15;
        }
        return h % SLOTS;
}

/*
 * Those to one peer one behind the other, where the first of them was, so that they can be joined. Two peers that meet
 * in one slot are passed over where they alternate: their order stays.
 */
static void arrange(struct outbox *outbox)
{
        uint8_t last[SLOTS], follower[OUTBOX_MOST], first[OUTBOX_MOST];
        unsigned n_first = 0, at = outbox->next;

        memset(last, NONE, sizeof last);
        for (unsigned k = outbox->next; k < outbox->n; k++) {
                uint8_t i = outbox->order[k];
                uint8_t *slot = &last[slot_of(&outbox->head[i].msg_hdr)];

                follower[i] = NONE;
                if (*slot != NONE && go_the_same_way(&outbox->head[*slot].msg_hdr, &outbox->head[i].msg_hdr))
                        follower[*slot] = i;
                else
                        first[n_first++] = i;
                *slot = i;
        }
        for (unsigned k = 0; k < n_first; k++) {
                for (uint8_t i = first[k]; i != NONE; i = follower[i]) {
                        outbox->same[at] = i != first[k];
                        outbox->order[at++] = i;
                }
        }
}

/* How many from the `k`th on can leave as one: all of the same length, but for the last, which may be shorter. */
static unsigned count_alike(const struct outbox *outbox, unsigned k)
{
        const uint8_t *order = outbox->order + k;
        const struct msghdr *first = &outbox->head[order[0]].msg_hdr;
        size_t length = outbox->piece[order[0]].iov_len, bytes = length;
        unsigned n = 1;

        if (k < outbox->apart || length > SEGMENT_MOST ||
            first->msg_controllen + CMSG_SPACE(sizeof(uint16_t)) > CONTROL_SIZE)
                return 1;
        while (k + n < outbox->n && outbox->piece[order[n - 1]].iov_len == length) {
                size_t next = outbox->piece[order[n]].iov_len;

                if (!outbox->same[k + n] || next == 0 || next > length || bytes + next > SEGMENTS_BYTES)
                        break;
                bytes += next;
                n++;
        }
        return n;
}

/* What sendmmsg() gets. */
struct sending {
        struct mmsghdr head[OUTBOX_MOST];
        struct iovec piece[OUTBOX_MOST];
        unsigned count[OUTBOX_MOST]; /* datagrams in each */
        unsigned n;
};

/* What lies one behind the other is one piece to the kernel. */
static void add_piece(struct msghdr *message, const struct iovec *piece)
{
        struct iovec *last = message->msg_iovlen > 0 ? &message->msg_iov[message->msg_iovlen - 1] : NULL;

        if (last && (uint8_t *)last->iov_base + last->iov_len == piece->iov_base)
                last->iov_len += piece->iov_len;
        else
                message->msg_iov[message->msg_iovlen++] = *piece;
}

/*
 * Several answers to one peer take the kernel's way down only once, as one datagram, and are cut apart at its end
 * (UDP_SEGMENT of udp(7)).
 */
static void join(struct outbox *outbox, unsigned k, unsigned n, struct iovec *pieces, struct msghdr *message)
{
        unsigned i = outbox->order[k];
        struct cmsghdr *c = (void *)(outbox->control[i] + CMSG_ALIGN(message->msg_controllen));
        uint16_t length = (uint16_t)outbox->piece[i].iov_len;

        message->msg_iov = pieces;
        message->msg_iovlen = 0;
        for (unsigned j = 0; j < n; j++)
                add_piece(message, &outbox->piece[outbox->order[k + j]]);
        *c = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof length),
                .cmsg_level = IPPROTO_UDP,
                .cmsg_type = UDP_SEGMENT,
        };
        memcpy(CMSG_DATA(c), &length, sizeof length);
        message->msg_controllen = CMSG_ALIGN(message->msg_controllen) + CMSG_SPACE(sizeof length);
}

static void gather(struct outbox *outbox, struct sending *sending)
{
        sending->n = 0;
        for (unsigned k = outbox->next; k < outbox->n; k += sending->count[sending->n++]) {
                unsigned m = sending->n, n = count_alike(outbox, k);

                sending->head[m] = outbox->head[outbox->order[k]];
                sending->count[m] = n;
                if (n > 1)
                        join(outbox, k, n, &sending->piece[k], &sending->head[m].msg_hdr);
        }
}

unsigned outbox_flush(struct outbox *outbox, int fd, outbox_refused *refused, void *userdata,
                      bool *ret_blocked)
{
        unsigned sent = 0;

        *ret_blocked = false;
        arrange(outbox);
        while (outbox->next < outbox->n) {
                struct sending sending;
                int r;

                gather(outbox, &sending);
                r = sendmmsg(fd, sending.head, sending.n, MSG_DONTWAIT | MSG_NOSIGNAL);
                for (int i = 0; i < r; i++) {
                        outbox->next += sending.count[i];
                        sent += sending.count[i];
                }
                if (r > 0 || errno == EINTR)
                        continue;
                if (errno == EAGAIN) {
                        *ret_blocked = true;
                        return sent;
                }
                /* What it says is about the first one only. Joined: not every way takes that, but each alone. */
                if (sending.count[0] > 1)
                        outbox->apart = outbox->next + sending.count[0];
                else
                        refused(userdata, &outbox->head[outbox->order[outbox->next++]].msg_hdr, errno);
        }
        outbox_discard(outbox);
        return sent;
}
