/* SPDX-License-Identifier: BSD-2-Clause */
/* The pump's lanes, one for each datagram endpoint, and what may leave by them; see turn.h. */
#include <errno.h>
#include <stdlib.h>

#include "endpoints/turn.h"

bool pump_may_send(void *userdata)
{
        struct pump *pump = userdata;

        if (!pump->guard || !pump->guard->may_send || pump->guard->may_send(pump->guard->userdata))
                return true;
        for (size_t i = 0; i < pump->n_lanes; i++)
                outbox_discard(pump->lanes[i]->outbox);
        stream_gate_discard(pump->gate);
        piggyback_forget(&pump->piggyback);
        return false;
}

static bool pump_on_send(void *userdata, const struct lane *lane, const struct msghdr *message)
{
        struct pump *pump = userdata;

        if (piggyback_send(&pump->piggyback, lane, message)) {
                errno = PIGGYBACK_REFUSED;
                return false;
        }
        /* What acknowledges it shall come back to the context that sent it. */
        if (lane->divided && pump->current)
                router_note_sent(&pump->router, (size_t)(pump->current - pump->shard), message->msg_name,
                                 span_of(message->msg_iov[0].iov_base, message->msg_iov[0].iov_len));
        return true;
}

static int pump_add_lane(struct pump *pump, const struct socket_watch *watch)
{
        struct lane **grown = reallocarray(pump->lanes, pump->n_lanes + 1, sizeof(struct lane *));
        struct lane *lane;
        int r;

        if (!grown)
                return -ENOMEM;
        pump->lanes = grown;
        r = lane_new(watch, pump->event, pump->metrics, &pump->in_turn, turn_receive, &lane);
        if (r < 0)
                return r;
        lane->tags = calloc(pump->n, sizeof(void *));
        if (!lane->tags) {
                lane_free(lane);
                return -ENOMEM;
        }
        lane->tags[0] = watch->tag;
        lane->owner = pump;
        lane->may_send = pump_may_send;
        lane->on_send = pump_on_send;
        lane->filled = INBOX_MOST;
        grown[pump->n_lanes++] = lane;
        return 0;
}

static int pump_list_listeners(struct pump *pump)
{
        struct socket_watch watch;
        int cursor = 0;

        pump->n_listeners = 0;
        while (sockets_next_listener(pump->shard[0].epoll_fd, &cursor, &watch)) {
                struct listener *grown = reallocarray(pump->listeners, pump->n_listeners + 1, sizeof *grown);

                if (!grown)
                        return -ENOMEM;
                pump->listeners = grown;
                grown[pump->n_listeners++] = (struct listener){ watch.fd, watch.tag };
        }
        return 0;
}

void pump_adopt(struct pump *pump)
{
        struct socket_watch watch;
        int cursor = 0;

        if (pump->generation == sockets_generation())
                return;
        while (sockets_next(pump->shard[0].epoll_fd, &cursor, &watch)) {
                if (!turn_lane_of(pump, watch.tag) && pump_add_lane(pump, &watch) < 0)
                        return;
        }
        if (pump_list_listeners(pump) < 0)
                return;
        for (size_t i = 0; i < pump->n_lanes; i++) {
                struct lane *lane = pump->lanes[i];

                for (size_t k = 1; k < pump->n; k++)
                        lane->tags[k] = sockets_tag(lane->watch.fd, pump->shard[k].epoll_fd);
                lane->divided = pump->n > 1 && lane->tags[pump->n - 1];
        }
        sockets_set_stream_io(pump->shard[0].epoll_fd, stream_gate_io(pump->gate));
        pump->generation = sockets_generation();
}
