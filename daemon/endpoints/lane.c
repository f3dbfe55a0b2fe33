/* SPDX-License-Identifier: BSD-2-Clause */
/* A datagram endpoint's two batches and its counters; see lane.h. */
#include "endpoints/lane.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/message_ids.h"
#include "base/peer_name.h"
#include "base/util.h"

/* What the kernel refuses is lost, as it could be on its way; but the operator is to hear of it. */
static void lane_on_refused(void *userdata, const struct msghdr *message, int error)
{
        struct lane *lane = userdata;
        char peer[PEER_NAME];

        lane->metrics->datagrams_refused++;
        log_gated(&lane->refused, LOG_WARNING, NULL, "a datagram to %s could not be sent: %s",
                  peer_name(message->msg_name, peer), strerror(error));
}

static int lane_on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        (void)source, (void)fd, (void)events;
        lane_flush(userdata);
        return 0;
}

static void lane_watch_writable(struct lane *lane, bool on)
{
        int r = 0;

        if (!lane->writable && on) {
                r = sd_event_add_io(lane->event, &lane->writable, lane->watch.fd, EPOLLOUT, lane_on_writable,
                                    lane);
                if (r < 0)
                        LOG_RARELY(LOG_WARNING, NULL, "cannot wait for a socket to take more: %s",
                                   strerror(-r));
        }
        if (lane->writable)
                sd_event_source_set_enabled(lane->writable, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* False: what waited was discarded. */
static bool flush(struct lane *lane)
{
        bool blocked;

        if (outbox_is_empty(lane->outbox))
                return true;
        if (lane->may_send && !lane->may_send(lane->owner))
                return false;
        lane->metrics->datagrams_sent +=
                outbox_flush(lane->outbox, lane->watch.fd, lane_on_refused, lane, &blocked);
        if (blocked || lane->writable)
                lane_watch_writable(lane, blocked);
        return true;
}

void lane_flush(struct lane *lane)
{
        flush(lane);
}

void lane_flush_until(struct lane *lane, uint64_t end)
{
        struct pollfd fd = { .fd = lane->watch.fd, .events = POLLOUT };

        for (lane_flush(lane); !outbox_is_empty(lane->outbox) && clock_now_ns() < end; lane_flush(lane))
                poll(&fd, 1, 10);
}

ssize_t lane_put(struct lane *lane, const struct msghdr *message)
{
        ssize_t length = 0;
        ssize_t n;

        for (size_t i = 0; i < message->msg_iovlen; i++)
                length += (ssize_t)message->msg_iov[i].iov_len;
        if (*lane->holding || !outbox_is_empty(lane->outbox)) {
                if (outbox_put(lane->outbox, message))
                        return length;
                /* It belongs to what waited, and goes its way. */
                if (!flush(lane))
                        return length;
                if (outbox_put(lane->outbox, message))
                        return length;
                if (!outbox_is_empty(lane->outbox)) {
                        /* libcoap would forget a message that fails here; one that is lost it sends again. */
                        lane_on_refused(lane, message, EAGAIN);
                        return length;
                }
        }
        n = sockets_raw_sendmsg(lane->watch.fd, message, MSG_NOSIGNAL);
        if (n >= 0)
                lane->metrics->datagrams_sent++;
        else
                lane->metrics->datagrams_refused++;
        return n;
}

/*
 * libcoap resets a message that it cannot take also where that came to a group, to which no Reset may be the answer
 * (RFC 7252, 8.1): each of the group would send one at once. What it sends from the address of a group has no packet
 * info.
 */
static bool is_reset_of_group(const struct msghdr *message)
{
        enum { SIZE = 4, TYPE = 3 << 4 };
        const uint8_t *p = message->msg_iov[0].iov_base;

        return message->msg_controllen == 0 && message->msg_iovlen == 1 &&
               message->msg_iov[0].iov_len == SIZE && (p[0] & TYPE) == TYPE && p[1] == 0;
}

static ssize_t lane_send(void *userdata, const struct msghdr *message)
{
        struct lane *lane = userdata;

        if (is_reset_of_group(message))
                return (ssize_t)message->msg_iov[0].iov_len;
        if (lane->on_send && !lane->on_send(lane->owner, lane, message))
                return -1;
        return lane_put(lane, message);
}

unsigned lane_fill(struct lane *lane, unsigned most)
{
        int n = inbox_fill(lane->inbox, lane->watch.fd, most);

        if (n < 0) {
                log_gated(&lane->dropped, LOG_WARNING, NULL, "a socket cannot be read: %s", strerror(-n));
                return 0;
        }
        lane->metrics->datagrams_received += (unsigned)n;
        return (unsigned)n;
}

static void lane_count_overflows(struct lane *lane)
{
        uint32_t lost = inbox_overflows(lane->inbox) - lane->overflows;
        unsigned before;

        if (lost == 0)
                return;
        lane->overflows += lost;
        lane->metrics->datagrams_dropped += lost;
        if (log_gate_pass(&lane->dropped, &before))
                log_message(
                        LOG_WARNING, &(struct log_fields){ .message_id = MESSAGE_DATAGRAMS_DROPPED },
                        "the kernel dropped %u datagrams: server.receive_buffer is too small for the load",
                        lost);
}

ssize_t lane_take(struct lane *lane, struct msghdr *into)
{
        size_t n = inbox_take(lane->inbox, into);
        char peer[PEER_NAME];

        lane_count_overflows(lane);
        if (!(into->msg_flags & MSG_TRUNC))
                return (ssize_t)n;
        /* libcoap does not look at the flag and would take the rest of it for all. */
        lane->metrics->datagrams_cut++;
        log_gated(&lane->cut, LOG_NOTICE, NULL,
                  "a datagram from %s is longer than any message and was ignored",
                  peer_name(into->msg_name, peer));
        return lane_take_nothing(into);
}

ssize_t lane_take_nothing(struct msghdr *into)
{
        /* Without a packet info libcoap asks the kernel for the local address, for nothing. */
        struct cmsghdr *c = into->msg_control;

        into->msg_namelen = 0;
        into->msg_flags = 0;
        into->msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo));
        memset(c, 0, CMSG_SPACE(sizeof(struct in_pktinfo)));
        *c = (struct cmsghdr){
                .cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo)),
                .cmsg_level = IPPROTO_IP,
                .cmsg_type = IP_PKTINFO,
        };
        return 0;
}

void lane_clear_error(struct lane *lane)
{
        int error = 0;

        getsockopt(lane->watch.fd, SOL_SOCKET, SO_ERROR, &error, &(socklen_t){ sizeof error });
        log_gated(&lane->dropped, LOG_WARNING, NULL, "a socket reports: %s", strerror(error));
}

/* A socket that outlived a restart has been counting all along. */
static uint32_t overflows_so_far(int fd)
{
        uint32_t info[SK_MEMINFO_VARS] = { 0 };

        getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &(socklen_t){ sizeof info });
        return info[SK_MEMINFO_DROPS];
}

int lane_new(const struct socket_watch *watch, sd_event *event, struct metrics *metrics, const bool *holding,
             ssize_t (*receive)(void *lane, struct msghdr *into), struct lane **ret_lane)
{
        static const struct log_gate gate = { .burst = 3, .interval_s = 60 };
        struct lane *lane = calloc(1, sizeof *lane);
        uint32_t overflows = overflows_so_far(watch->fd);

        if (!lane)
                return -ENOMEM;
        *lane = (struct lane){
                .watch = *watch,
                .io = { .receive = receive, .send = lane_send, .userdata = lane },
                .inbox = inbox_new(overflows),
                .outbox = outbox_new(),
                .metrics = metrics,
                .event = sd_event_ref(event),
                .holding = holding,
                .overflows = overflows,
                .refused = gate,
                .cut = gate,
                .dropped = gate,
        };
        if (!lane->inbox || !lane->outbox) {
                lane_free(lane);
                return -ENOMEM;
        }
        setsockopt(watch->fd, SOL_SOCKET, SO_RXQ_OVFL, &(int){ 1 }, sizeof(int));
        sockets_set_io(watch->fd, &lane->io);
        *ret_lane = lane;
        return 0;
}

void lane_free(struct lane *lane)
{
        if (!lane)
                return;
        if (lane->outbox)
                lane_flush(lane);
        sockets_set_io(lane->watch.fd, NULL);
        setsockopt(lane->watch.fd, SOL_SOCKET, SO_RXQ_OVFL, &(int){ 0 }, sizeof(int));
        sd_event_source_disable_unref(lane->writable);
        sd_event_unref(lane->event);
        inbox_free(lane->inbox);
        outbox_free(lane->outbox);
        free(lane->tags);
        free(lane);
}
