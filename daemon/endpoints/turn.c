/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A turn of the pump.
 *
 * libcoap reads one datagram for each ready event that coap_io_do_epoll() is given, and ends every such call
 * with a walk over all sessions of its context. So datagrams are read by the batch and sorted by the context that
 * they are for, and each context is handed as many copies of its endpoints' events as it has datagrams. Behind each
 * copy libcoap calls recvmsg(), that is turn_receive(), which gives it one. The answers of all contexts are sent by
 * the batch.
 *
 * Where only one context has anything to do, what has become ready meanwhile is written onto the rest of its tape of
 * events. So one call, with one walk, goes on for as long as there is work, up to a few times as long as the walk has
 * been taking: its part of the time is bounded, whatever the number of peers.
 */
#include "endpoints/turn.h"

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "base/util.h"

enum {
        FEW = 4,             /* datagrams that are not worth a look for more */
        BLIND_MOST = 8,      /* batches read on the guess that there is one, without asking what is ready */
        WALKS_IN_A_TURN = 4, /* a call is that many times as long as the walk at its end */
};

#define CALL_LEAST MSEC(1)
#define CALL_MOST MSEC(8)
#define WALK_CHEAP USEC(5)   /* as cheap as the system calls of another turn */
#define WALK_COSTLY USEC(50) /* worth waiting a little for more to do before it */

void turn_flush(struct pump *pump)
{
        for (size_t i = 0; i < pump->n_lanes; i++)
                lane_flush(pump->lanes[i]);
        stream_gate_flush(pump->gate);
}

/* ---------------------------------------------------------------- more to do in the same call */

/*
 * When all is answered and the walk is what would come next: where that is dear, it costs less to wait a
 * little for what would else come in the middle of it.
 */
static bool look_before_walk(struct pump *pump)
{
        uint64_t walk = pump->current->walk;
        uint64_t wait = MIN(walk / 2, pump->deadline - pump->ended);
        struct pollfd fd = { .fd = pump->shard[0].epoll_fd, .events = POLLIN };

        if (walk <= WALK_CHEAP)
                return false;
        if (turn_look(pump))
                return true;
        if (walk < WALK_COSTLY || pump->handled < FEW ||
            ppoll(&fd, 1, &(struct timespec){ .tv_nsec = (long)wait }, NULL) <= 0)
                return false;
        return turn_look(pump);
}

/* Where the last look found a good deal, there is likely more. */
static bool guess(struct pump *pump)
{
        if (pump->blind++ >= BLIND_MOST)
                return false;
        for (size_t i = 0; i < pump->n_lanes; i++) {
                struct lane *lane = pump->lanes[i];

                lane->ready |= lane->filled > FEW;
        }
        if (!turn_any_is_ready(pump))
                return false;
        turn_read(pump);
        return pump->mailroom.n > 0;
}

/* ---------------------------------------------------------------- one call of libcoap */

/* Does anybody but this one wait? */
static bool others_are_due(const struct pump *pump, const struct shard *shard)
{
        return pump->n_due > (shard->due ? 1 : 0);
}

/* An event of its own that libcoap reads nothing behind: any endpoint's. NULL: it has none. */
static void *blank_of(const struct pump *pump, const struct shard *shard)
{
        size_t i = (size_t)(shard - pump->shard);

        for (size_t k = 0; k < pump->n_lanes; k++) {
                if (pump->lanes[k]->tags[i])
                        return pump->lanes[k]->tags[i];
        }
        return NULL;
}

/*
 * Everything that the context has onto its tape, and at the end one more read, to look for more then, and to know that
 * libcoap has come there: without an endpoint, of its timer.
 */
static void write_tape(struct pump *pump, struct shard *shard, void *blank)
{
        size_t i = (size_t)(shard - pump->shard);

        turn_write_streams(pump, shard);
        for (const struct parcel *p = shard->mail.first; p && tape_room(&pump->tape) > 1; p = p->next)
                tape_write(&pump->tape,
                           (struct epoll_event){ .events = EPOLLIN, .data.ptr = p->lane->tags[i] });
        tape_write(&pump->tape, (struct epoll_event){ .events = EPOLLIN, .data.ptr = blank });
}

static bool has_unready(const struct shard *shard)
{
        for (const struct parcel *p = shard->mail.first; p; p = p->next) {
                if (p->unready)
                        return true;
        }
        return false;
}

/* Sends the answers to all that was read; then goes on with what is ready now, if it is not time to end. */
static void go_on(struct pump *pump)
{
        struct shard *shard = pump->current;

        turn_flush(pump);
        tape_rewrite(&pump->tape);
        pump->over = true;
        pump->ended = clock_now_ns();
        if (shard->mail.first || pump->ended >= pump->deadline || tape_room(&pump->tape) <= OTHERS_MOST)
                return;
        if (!guess(pump) && !look_before_walk(pump)) {
                pump->ended = clock_now_ns();
                return;
        }
        if (has_unready(shard))
                return;
        pump->over = others_are_due(pump, shard);
        write_tape(pump, shard, pump->tape.blank);
}

static ssize_t give(struct pump *pump, struct lane *lane, struct msghdr *into, size_t n)
{
        const struct pump_guard *guard = pump->guard;

        pump->handled++;
        if (guard && !guard->admit(guard->userdata, lane->watch.fd, into, &n))
                return lane_take_nothing(into);
        if (pump->current && piggyback_receive(&pump->piggyback, lane, into, n))
                return lane_take_nothing(into);
        return (ssize_t)n;
}

/* Somebody else's coap_io_process(). */
static ssize_t receive_outside(struct pump *pump, struct lane *lane, struct msghdr *into)
{
        ssize_t n;

        if (inbox_is_empty(lane->inbox) && lane_fill(lane, 1) == 0) {
                errno = EAGAIN;
                return -1;
        }
        n = lane_take(lane, into);
        return n > 0 ? give(pump, lane, into, (size_t)n) : n;
}

/* The last read is there to see the end, and finds nothing. */
static bool may_give(const struct pump *pump)
{
        return !pump->yield && !tape_is_over(&pump->tape);
}

static void note_end(struct pump *pump)
{
        if (tape_is_over(&pump->tape))
                pump->reading = false;
}

ssize_t turn_receive(void *userdata, struct msghdr *into)
{
        struct lane *lane = userdata;
        struct pump *pump = lane->owner;
        struct shard *shard = pump->current;
        size_t n;

        if (!shard)
                return receive_outside(pump, lane, into);
        piggyback_settle(&pump->piggyback);
        tape_pass(&pump->tape, lane->tags[shard - pump->shard]);
        if (may_give(pump) && mail_take(&shard->mail, &pump->mailroom, lane, into, &n))
                return give(pump, lane, into, n);
        if (pump->over || pump->yield)
                pump->ended = clock_now_ns();
        else
                go_on(pump);
        if (may_give(pump) && mail_take(&shard->mail, &pump->mailroom, lane, into, &n))
                return give(pump, lane, into, n);
        note_end(pump);
        return lane_take_nothing(into);
}

void turn_on_timer_read(struct pump *pump)
{
        tape_pass(&pump->tape, NULL);
        note_end(pump);
}

/* A walk that also sent notifications, or was interrupted, is no measure: the figure rises slowly. */
static void measure_walk(struct pump *pump, struct shard *shard)
{
        uint64_t walk = clock_now_ns() - pump->ended;

        if (walk > shard->walk)
                walk = (shard->walk * 15 + MIN(walk, 2 * shard->walk + USEC(20))) / 16;
        shard->walk = walk;
}

/* libcoap's notifications are made at the end of each of its calls. */
static void leave(struct pump *pump, struct shard *shard)
{
        piggyback_settle(&pump->piggyback);
        pump->current = NULL;
        pump->reading = false;
        if (shard->urgent)
                pump->n_urgent--;
        shard->urgent = false;
        if (shard->mail.first)
                turn_make_due(pump, shard);
}

static void call(struct pump *pump, struct shard *shard, bool timer)
{
        void *blank = blank_of(pump, shard);
        bool alone = blank && !timer && !others_are_due(pump, shard);
        bool streams = shard->n_others > 0;

        pump->current = shard;
        pump->reading = true;
        pump->over = !alone;
        pump->ended = 0;
        pump->handled = pump->blind = 0;
        pump->deadline = clock_now_ns() + MIN(MAX(WALKS_IN_A_TURN * shard->walk, CALL_LEAST), CALL_MOST);
        if (alone)
                tape_begin(&pump->tape, blank, pump->mailroom.n + 2 * OTHERS_MOST);
        else
                tape_begin_closed(&pump->tape, blank);
        if (timer)
                tape_write(&pump->tape, (struct epoll_event){ .events = EPOLLIN, .data.ptr = NULL });
        write_tape(pump, shard, blank);
        coap_io_do_epoll(shard->context, pump->tape.v,
                         alone ? pump->tape.length : tape_close(&pump->tape, streams));
        tape_end(&pump->tape);
        if (pump->ended)
                measure_walk(pump, shard);
        leave(pump, shard);
}

static void prepare(struct pump *pump, struct shard *shard)
{
        for (struct parcel *p = shard->mail.first; p; p = p->next) {
                if (p->unready)
                        pump->guard->prepare(pump->guard->userdata, (size_t)(shard - pump->shard),
                                             parcel_span(p));
                p->unready = false;
        }
}

/* ---------------------------------------------------------------- a turn */

static void run_due(struct pump *pump)
{
        while (pump->n_due > 0 && !pump->yield) {
                struct shard *shard = pump->due[--pump->n_due];

                shard->due = false;
                if (!shard->mail.first && shard->n_others == 0)
                        continue;
                prepare(pump, shard);
                call(pump, shard, false);
        }
}

void turn_run(struct pump *pump)
{
        uint64_t end = clock_now_ns() + CALL_MOST;

        run_due(pump);
        while (!pump->yield && turn_any_is_ready(pump) && clock_now_ns() < end) {
                turn_read(pump);
                run_due(pump);
        }
}

void turn_run_timer(struct pump *pump, struct shard *shard)
{
        prepare(pump, shard);
        call(pump, shard, true);
}

void turn_act(struct pump *pump, struct shard *shard)
{
        coap_tick_t now;

        pump->current = shard;
        coap_ticks(&now);
        coap_io_prepare_epoll(shard->context, now);
        leave(pump, shard);
}
