/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcoap's I/O by the batch; see pump.h.
 *
 * libcoap reads one datagram for each ready event that coap_io_do_epoll() is given, and ends every such call
 * with a walk over all sessions, which costs as much as hundreds of requests once there are thousands of
 * them. So a turn hands it many copies of an endpoint's one event. Behind each copy libcoap calls recvmsg(),
 * that is pump_receive(), which gives it datagrams that were read by the batch. When all are given out, the
 * answers are sent by the batch, and what has become ready meanwhile, datagrams and streams, is written onto
 * the rest of the tape of events. So one turn, with one walk, goes on for as long as there is work, up to a
 * few times as long as the walk has been taking: its part of the time is bounded, whatever the number of
 * peers.
 */
#include "endpoints/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "endpoints/lane.h"
#include "endpoints/stream_gate.h"
#include "endpoints/tape.h"
#include "endpoints/wake_timer.h"

enum {
        READY_MOST = 48,     /* events taken from the kernel at a time */
        FEW = 4,             /* datagrams that are not worth a look for more */
        BLIND_MOST = 8,      /* batches read on the guess that there is one, without asking what is ready */
        WALKS_IN_A_TURN = 4, /* a turn is that many times as long as the walk at its end */
};

#define TURN_LEAST MSEC(1)
#define TURN_MOST MSEC(8)
#define WALK_CHEAP USEC(5)   /* as cheap as the system calls of another turn */
#define WALK_COSTLY USEC(50) /* worth waiting a little for more to do before it */
#define DRAIN_MOST MSEC(200)

struct pump {
        coap_context_t *context;
        sd_event *event;
        sd_event_source *source;
        struct metrics *metrics;
        struct metrics uncounted; /* where there are none */
        int epoll_fd;             /* libcoap's */
        struct lane **lanes;
        size_t n_lanes;
        unsigned generation; /* of the sockets that have lanes */
        struct stream_gate *gate;
        struct wake_timer timer;

        const struct pump_guard *guard; /* NULL: none */

        bool in_turn;
        bool yield;        /* somebody else waits for the end of this turn */
        bool over;         /* nothing more is read in this turn */
        unsigned handled;  /* datagrams in this turn */
        unsigned blind;    /* batches since the last question what is ready */
        uint64_t deadline; /* of this turn */
        uint64_t ended;    /* when it was over */
        uint64_t walk;     /* nanoseconds that libcoap's walk takes, about */
        struct tape tape;
};

static bool pump_may_send(void *userdata)
{
        struct pump *pump = userdata;

        if (!pump->guard || !pump->guard->may_send || pump->guard->may_send(pump->guard->userdata))
                return true;
        for (size_t i = 0; i < pump->n_lanes; i++)
                outbox_discard(pump->lanes[i]->outbox);
        stream_gate_discard(pump->gate);
        return false;
}

static void pump_flush(struct pump *pump)
{
        for (size_t i = 0; i < pump->n_lanes; i++)
                lane_flush(pump->lanes[i]);
        stream_gate_flush(pump->gate);
}

static struct lane *pump_lane_of(const struct pump *pump, const void *tag)
{
        for (size_t i = 0; i < pump->n_lanes; i++) {
                if (pump->lanes[i]->watch.tag == tag)
                        return pump->lanes[i];
        }
        return NULL;
}

static void pump_write_copy(struct pump *pump, struct lane *lane)
{
        tape_write(&pump->tape, (struct epoll_event){ .events = EPOLLIN, .data.ptr = lane->watch.tag });
        lane->copies++;
}

/* Of endpoints that are ready, by turns, so that none waits for another's queue to end. */
static void pump_write_copies(struct pump *pump)
{
        bool more = true;

        for (unsigned round = 0; more; round++) {
                more = false;
                for (size_t i = 0; i < pump->n_lanes; i++) {
                        struct lane *lane = pump->lanes[i];

                        if (!lane->ready || round >= MIN(2 * (lane->filled + FEW), INBOX_MOST))
                                continue;
                        if (tape_room(&pump->tape) <= 1)
                                return;
                        pump_write_copy(pump, lane);
                        more = true;
                }
        }
}

/* What is ready onto the tape, behind where libcoap is; and at its end a copy, to look for more then. */
static void pump_write_tape(struct pump *pump, const struct epoll_event *ready, size_t n)
{
        for (size_t i = 0; i < pump->n_lanes; i++)
                pump->lanes[i]->copies = 0;
        for (size_t i = 0; i < n; i++) {
                struct lane *lane = pump_lane_of(pump, ready[i].data.ptr);

                if (!lane)
                        tape_write(&pump->tape, ready[i]);
                else if (ready[i].events & EPOLLIN)
                        lane->ready = true;
                else
                        lane_clear_error(lane);
        }
        pump_write_copies(pump);
        if (pump->n_lanes > 0)
                pump_write_copy(pump, pump->lanes[0]);
}

/*
 * When all is answered and the walk is what would come next: where that is dear, it costs less to wait a
 * little for what would else come in the middle of it.
 */
static int pump_look(struct pump *pump, struct epoll_event *ready, int most)
{
        int n = epoll_wait(pump->epoll_fd, ready, most, 0);
        uint64_t wait = MIN(pump->walk / 2, pump->deadline - pump->ended);
        struct pollfd fd = { .fd = pump->epoll_fd, .events = POLLIN };

        if (n != 0 || pump->walk < WALK_COSTLY || pump->handled < FEW ||
            ppoll(&fd, 1, &(struct timespec){ .tv_nsec = (long)wait }, NULL) <= 0)
                return n;
        return epoll_wait(pump->epoll_fd, ready, most, 0);
}

/* Where the last look found a good deal, there is likely more. */
static bool pump_guess(struct pump *pump)
{
        bool any = false;

        if (pump->blind++ >= BLIND_MOST)
                return false;
        for (size_t i = 0; i < pump->n_lanes; i++) {
                struct lane *lane = pump->lanes[i];

                lane->ready = lane->filled > FEW;
                any |= lane->ready;
        }
        return any;
}

/* Sends the answers to all that was read; then goes on with what is ready now, if it is not time to end. */
static void pump_go_on(struct pump *pump)
{
        struct epoll_event ready[READY_MOST];
        int n = 0;

        pump_flush(pump);
        tape_rewrite(&pump->tape);
        pump->ended = clock_now_ns();
        if (!pump->yield && pump->ended < pump->deadline && tape_room(&pump->tape) > READY_MOST) {
                if (pump_guess(pump)) {
                        pump_write_tape(pump, ready, 0);
                        return;
                }
                if (pump->walk > WALK_CHEAP)
                        n = pump_look(pump, ready, READY_MOST);
        }
        pump->blind = 0;
        if (n > 0) {
                pump_write_tape(pump, ready, (size_t)n);
        } else {
                pump->over = true;
                pump->ended = clock_now_ns();
        }
}

/* Will any of them have something to give out before the end of the tape? */
static bool pump_has_more(const struct pump *pump)
{
        for (size_t i = 0; i < pump->n_lanes; i++) {
                const struct lane *lane = pump->lanes[i];

                if (lane->copies > 0 && ((lane->ready && !pump->yield) || !inbox_is_empty(lane->inbox)))
                        return true;
        }
        return false;
}

static ssize_t pump_take(struct pump *pump, struct lane *lane, struct msghdr *into)
{
        const struct pump_guard *guard = pump->guard;
        ssize_t n = lane_take(lane, into);

        if (n > 0 && guard && !guard->admit(guard->userdata, lane->watch.fd, into, (size_t)n))
                return lane_take_nothing(into);
        return n;
}

/* No more than there are copies, this one included, so that nothing is left over when the turn ends. */
static bool pump_read(const struct pump *pump, struct lane *lane)
{
        if (!lane->ready || pump->yield)
                return false;
        lane->ready = false;
        lane->filled = lane_fill(lane, lane->copies + 1);
        return lane->filled > 0;
}

/* libcoap's recvmsg(). */
static ssize_t pump_receive(void *userdata, struct msghdr *into)
{
        struct lane *lane = userdata;
        struct pump *pump = lane->owner;

        if (!pump->in_turn) {
                /* Somebody else's coap_io_process(). */
                if (inbox_is_empty(lane->inbox) && lane_fill(lane, 1) == 0) {
                        errno = EAGAIN;
                        return -1;
                }
                return pump_take(pump, lane, into);
        }
        tape_pass(&pump->tape, lane->watch.tag);
        if (lane->copies > 0)
                lane->copies--;
        if (inbox_is_empty(lane->inbox) && !pump_read(pump, lane)) {
                if (pump->over || pump_has_more(pump))
                        return lane_take_nothing(into);
                pump_go_on(pump);
                if (!pump_read(pump, lane))
                        return lane_take_nothing(into);
        }
        pump->handled++;
        return pump_take(pump, lane, into);
}

/* Endpoints come with the configuration and with a reload. */
static void pump_adopt(struct pump *pump)
{
        struct socket_watch watch;
        int cursor = 0;

        if (pump->generation == sockets_generation())
                return;
        while (sockets_next(pump->epoll_fd, &cursor, &watch)) {
                struct lane **grown;

                if (pump_lane_of(pump, watch.tag))
                        continue;
                grown = reallocarray(pump->lanes, pump->n_lanes + 1, sizeof(struct lane *));
                if (!grown)
                        return;
                pump->lanes = grown;
                if (lane_new(&watch, pump->event, pump->metrics, &pump->in_turn, pump_receive,
                             &grown[pump->n_lanes]) < 0)
                        return;
                grown[pump->n_lanes]->owner = pump;
                grown[pump->n_lanes]->may_send = pump_may_send;
                grown[pump->n_lanes]->filled = INBOX_MOST;
                pump->n_lanes++;
        }
        sockets_set_stream_io(pump->epoll_fd, stream_gate_io(pump->gate));
        pump->generation = sockets_generation();
}

/* A walk that also sent notifications, or was interrupted, is no measure: the figure rises slowly. */
static void pump_measure_walk(struct pump *pump)
{
        uint64_t walk = clock_now_ns() - pump->ended;

        if (walk > pump->walk)
                walk = (pump->walk * 15 + MIN(walk, 2 * pump->walk + USEC(20))) / 16;
        pump->walk = walk;
}

static void pump_turn(struct pump *pump)
{
        struct epoll_event ready[READY_MOST];
        int n;

        pump_adopt(pump);
        n = epoll_wait(pump->epoll_fd, ready, READY_MOST, 0);
        if (n <= 0)
                return;
        tape_begin(&pump->tape, pump->n_lanes > 0 ? pump->lanes[0]->watch.tag : NULL);
        pump_write_tape(pump, ready, (size_t)n);
        pump->in_turn = true;
        pump->over = pump->yield = false;
        pump->handled = pump->blind = 0;
        pump->deadline = clock_now_ns() + MIN(MAX(WALKS_IN_A_TURN * pump->walk, TURN_LEAST), TURN_MOST);
        /* Without a datagram endpoint there is nobody to go on: libcoap would take blanks for its timer. */
        coap_io_do_epoll(pump->context, pump->tape.v, pump->n_lanes > 0 ? pump->tape.length : pump->tape.end);
        if (pump->over)
                pump_measure_walk(pump);
        pump_flush(pump);
        pump->in_turn = false;
        wake_timer_settle(&pump->timer);
        if (pump->guard)
                pump->guard->turn_is_over(pump->guard->userdata);
}

static int pump_on_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        (void)source, (void)fd, (void)events;
        pump_turn(userdata);
        return 0;
}

void pump_set_guard(struct pump *pump, const struct pump_guard *guard)
{
        pump->guard = guard;
}

void pump_kick(struct pump *pump)
{
        coap_tick_t now;

        if (pump->in_turn)
                return;
        pump_adopt(pump);
        pump->in_turn = true;
        coap_ticks(&now);
        coap_io_prepare_epoll(pump->context, now);
        pump_flush(pump);
        pump->in_turn = false;
        wake_timer_settle(&pump->timer);
}

bool pump_more_waiting(const struct pump *pump)
{
        if (!pump->in_turn)
                return false;
        for (size_t i = 0; i < pump->n_lanes; i++)
                if (!inbox_is_empty(pump->lanes[i]->inbox))
                        return true;
        return false;
}

void pump_yield(struct pump *pump)
{
        pump->yield = true;
}

int pump_attach(sd_event *event, coap_context_t *context, struct metrics *metrics, struct pump **ret_pump)
{
        int epoll_fd = coap_context_get_coap_fd(context);
        struct pump *pump;
        int r;

        if (epoll_fd < 0)
                return -ENOTSUP;
        pump = calloc(1, sizeof *pump);
        if (!pump)
                return -ENOMEM;
        pump->context = context;
        pump->metrics = metrics ? metrics : &pump->uncounted;
        pump->event = sd_event_ref(event);
        pump->epoll_fd = epoll_fd;
        wake_timer_attach(&pump->timer, epoll_fd, &pump->in_turn);
        fcntl(epoll_fd, F_SETFD, FD_CLOEXEC);
        r = stream_gate_new(event, &pump->in_turn, &pump->gate);
        if (r >= 0)
                stream_gate_set_clearance(pump->gate, pump_may_send, pump);
        if (r >= 0)
                r = sd_event_add_io(event, &pump->source, epoll_fd, EPOLLIN, pump_on_ready, pump);
        if (r < 0) {
                pump_free(pump);
                return r;
        }
        /* libcoap arms its timer at the end of a turn, so that there has to be a first one. */
        pump_kick(pump);
        *ret_pump = pump;
        return 0;
}

void pump_drain(struct pump *pump)
{
        uint64_t end = clock_now_ns() + DRAIN_MOST;
        struct epoll_event ready;

        while (clock_now_ns() < end && epoll_wait(pump->epoll_fd, &ready, 1, 0) > 0)
                pump_turn(pump);
        for (size_t i = 0; i < pump->n_lanes; i++)
                lane_flush_until(pump->lanes[i], end);
}

void pump_free(struct pump *pump)
{
        if (!pump)
                return;
        for (size_t i = 0; i < pump->n_lanes; i++)
                lane_free(pump->lanes[i]);
        free(pump->lanes);
        sockets_set_stream_io(pump->epoll_fd, NULL);
        stream_gate_free(pump->gate);
        wake_timer_detach(&pump->timer);
        sd_event_source_disable_unref(pump->source);
        sd_event_unref(pump->event);
        free(pump);
}
