/* SPDX-License-Identifier: BSD-2-Clause */
/* What a turn of the pump begins with: which endpoints are ready, and for which context their datagrams are. */
#include "endpoints/turn.h"

#include "base/util.h"

struct lane *turn_lane_of(const struct pump *pump, const void *tag)
{
        for (size_t i = 0; i < pump->n_lanes; i++) {
                if (pump->lanes[i]->watch.tag == tag)
                        return pump->lanes[i];
        }
        return NULL;
}

void turn_make_due(struct pump *pump, struct shard *shard)
{
        if (!shard->due)
                pump->due[pump->n_due++] = shard;
        shard->due = true;
}

static void sort_one(struct pump *pump, struct lane *lane)
{
        struct msghdr message;
        struct iovec piece;
        struct parcel *parcel = mailroom_open(&pump->mailroom, &piece, &message);
        ssize_t n = lane_take(lane, &message);
        bool observes = false;
        struct shard *shard;
        size_t i = 0;

        if (n <= 0)
                return; /* no message, and libcoap would not say a word about it */
        if (lane->divided)
                i = router_find(&pump->router, &parcel->name.any, span_of(parcel->bytes, (size_t)n),
                                &observes);
        else if (pump->streams > 0)
                i = turn_find_session(pump, lane, &message);
        shard = &pump->shard[i];
        parcel->lane = lane;
        mail_put(&shard->mail, &pump->mailroom, parcel, &message, (size_t)n);
        if (observes && i > 0 && pump->guard && pump->guard->wants_preparing)
                parcel->unready = pump->guard->wants_preparing(pump->guard->userdata, i, parcel_span(parcel));
        turn_make_due(pump, shard);
}

/* By turns, so that none waits for another's queue to end. */
void turn_read(struct pump *pump)
{
        bool more = true;

        while (more) {
                more = false;
                for (size_t i = 0; i < pump->n_lanes && mailroom_fits(&pump->mailroom, INBOX_MOST); i++) {
                        struct lane *lane = pump->lanes[i];

                        if (!lane->ready)
                                continue;
                        lane->filled = lane_fill(lane, INBOX_MOST);
                        lane->ready = lane->filled == INBOX_MOST;
                        more |= lane->ready;
                        while (!inbox_is_empty(lane->inbox))
                                sort_one(pump, lane);
                }
                more = more && mailroom_fits(&pump->mailroom, INBOX_MOST);
        }
}

bool turn_any_is_ready(const struct pump *pump)
{
        for (size_t i = 0; i < pump->n_lanes; i++) {
                if (pump->lanes[i]->ready)
                        return true;
        }
        return false;
}

static void note_ready(struct pump *pump, struct shard *shard, const struct epoll_event *ready, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct lane *lane = turn_lane_of(pump, ready[i].data.ptr);

                if (!lane)
                        turn_note_stream(pump, shard, &ready[i]);
                else if (ready[i].events & EPOLLIN)
                        lane->ready = true;
                else
                        lane_clear_error(lane);
        }
}

static bool look_at(struct pump *pump, struct shard *shard)
{
        struct epoll_event ready[READY_MOST];
        int room = READY_MOST - (int)pump->n_others;
        int n = room > 0 ? epoll_wait(shard->epoll_fd, ready, room, 0) : 0;

        note_ready(pump, shard, ready, (size_t)MAX(n, 0));
        return n > 0;
}

/* Streams that wait for one more event come behind the kernel's, which may be of anybody. */
bool turn_look(struct pump *pump)
{
        bool any = false;

        pump->blind = 0;
        for (size_t i = 0; i <= pump->streams; i++)
                any |= look_at(pump, &pump->shard[(pump->look_next + i) % (pump->streams + 1)]);
        if (pump->streams > 0)
                pump->look_next++;
        any |= turn_take_ahead(pump);
        turn_read(pump);
        return any;
}
