/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcoap's I/O by the batch; see pump.h.
 *
 * libcoap reads one datagram for each ready event that coap_io_do_epoll() is given, and ends every such call
 * with a walk over all sessions, which costs as much as hundreds of requests once there are thousands of them.
 * So a turn hands it many copies of an endpoint's one event. Behind each copy libcoap calls recvmsg(), that is
 * pump_receive(), which reads by the batch and first sends the answers gathered so far. When nothing is left
 * to read, the remaining copies are struck out. A turn lasts a few times as long as the walk has been taking,
 * so that the walk's part of the time is bounded, whatever the number of peers.
 */
#include "endpoints/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "base/util.h"
#include "endpoints/lane.h"
#include "endpoints/stream_gate.h"

#define USEC(n) ((uint64_t)(n) * 1000)
#define MSEC(n) ((uint64_t)(n) * 1000000)

enum {
        READY_MOST = 64,
        COPIES_LEAST = 16, /* of an endpoint's event in a turn */
        COPIES_MOST = 1024,
        WALKS_IN_A_TURN = 4, /* a turn is that many times as long as the walk at its end */
};

#define TURN_LEAST MSEC(1)
#define TURN_MOST MSEC(8)
#define LINGER_LEAST USEC(50) /* a walk that takes less is not worth waiting for */
#define TIMER_SLACK MSEC(250) /* how much too early libcoap's timer may fire */
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
        struct stream_gate *gate;
        unsigned generation; /* of the sockets that have lanes */

        const struct pump_guard *guard; /* NULL: none */

        bool in_turn;
        bool yield;        /* somebody else waits for the end of this turn */
        bool over;         /* nothing is read any more in this turn */
        unsigned handled;  /* datagrams in this turn */
        uint64_t deadline; /* of this turn */
        uint64_t ended;    /* when the last look for datagrams was */
        uint64_t walk;     /* nanoseconds that libcoap's walk takes, about */
        struct epoll_event events[READY_MOST + COPIES_MOST];
        size_t n_events;

        int timer_fd;
        struct socket_io timer_io;
        struct itimerspec wanted; /* by libcoap, in this turn */
        bool timer_touched;
        uint64_t armed; /* when the timer fires; 0: never, or not known */
};

static uint64_t now_ns(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return MSEC(t.tv_sec * 1000) + (uint64_t)t.tv_nsec;
}

/* libcoap re-arms its timer in every turn, mostly to the same time and a little. */
static int pump_set_time(void *userdata, const struct itimerspec *value)
{
        struct pump *pump = userdata;

        if (!pump->in_turn) {
                pump->armed = 0;
                return sockets_raw_settime(pump->timer_fd, value);
        }
        pump->wanted = *value;
        pump->timer_touched = true;
        return 0;
}

static void pump_arm(struct pump *pump)
{
        uint64_t delay = MSEC(pump->wanted.it_value.tv_sec * 1000) + (uint64_t)pump->wanted.it_value.tv_nsec;
        uint64_t now = now_ns();
        uint64_t due = delay ? now + delay : 0;

        if (!pump->timer_touched)
                return;
        pump->timer_touched = false;
        if (pump->armed > now && due >= pump->armed && due - pump->armed < TIMER_SLACK)
                return;
        if (sockets_raw_settime(pump->timer_fd, &pump->wanted) == 0)
                pump->armed = due;
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

/* Nothing more is read in this turn: libcoap need not come back for it. */
static void pump_end_reading(struct pump *pump)
{
        pump->over = true;
        for (size_t i = 0; i < pump->n_lanes; i++) {
                if (!inbox_is_empty(pump->lanes[i]->inbox))
                        return;
        }
        for (size_t i = 0; i < pump->n_events; i++)
                pump->events[i].events = 0;
}

/*
 * All is read and answered, and what is left of the turn is the walk. Where that takes long, waiting a little
 * for more requests costs less: they would come in the middle of it. Returns whether `lane` has some now.
 */
static bool pump_linger(struct pump *pump, struct lane *lane, uint64_t now)
{
        uint64_t most = MIN(pump->walk / 2, pump->deadline - now);
        const struct timespec timeout = { .tv_nsec = (long)most };
        struct pollfd fd = { .fd = pump->epoll_fd, .events = POLLIN };
        struct epoll_event ready[READY_MOST];
        int n = 0;

        if (pump->walk < LINGER_LEAST || pump->handled < COPIES_LEAST || ppoll(&fd, 1, &timeout, NULL) <= 0)
                return false;
        n = epoll_wait(pump->epoll_fd, ready, READY_MOST, 0);
        for (int i = 0; i < n; i++) {
                struct lane *other = pump_lane_of(pump, ready[i].data.ptr);

                if (!other || other->copies == 0)
                        return false; /* that takes a new turn */
                other->dry = false;
        }
        pump->ended = now_ns();
        return !lane->dry && lane_fill(lane, lane->copies + 1) > 0;
}

/* Sends the answers to what was read so far, and reads more. */
static bool pump_refill(struct pump *pump, struct lane *lane)
{
        if (pump->over || lane->dry)
                return false;
        pump_flush(pump);
        pump->ended = now_ns();
        if (pump->ended < pump->deadline && !pump->yield) {
                if (lane_fill(lane, lane->copies + 1) > 0)
                        return true;
                lane->dry = true;
                for (size_t i = 0; i < pump->n_lanes; i++) {
                        if (pump->lanes[i]->copies > 0 && !pump->lanes[i]->dry)
                                return false;
                }
                if (pump_linger(pump, lane, pump->ended))
                        return true;
        }
        pump_end_reading(pump);
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

/* libcoap's recvmsg(). The datagrams read ahead are never more than the copies of the event left. */
static ssize_t pump_receive(void *userdata, struct msghdr *into)
{
        struct lane *lane = userdata;
        struct pump *pump = lane->owner;

        if (!pump->in_turn || lane->copies == 0) {
                /* Somebody else's coap_io_process(). */
                if (inbox_is_empty(lane->inbox) && lane_fill(lane, 1) == 0) {
                        errno = EAGAIN;
                        return -1;
                }
                return pump_take(pump, lane, into);
        }
        lane->copies--;
        if (inbox_is_empty(lane->inbox) && !pump_refill(pump, lane))
                return lane_take_nothing(into);
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
                grown[pump->n_lanes]->share = COPIES_LEAST;
                pump->n_lanes++;
        }
        sockets_set_stream_io(pump->epoll_fd, stream_gate_io(pump->gate));
        pump->generation = sockets_generation();
}

/* Other events first, then the endpoints' by turns, so that none waits for another's queue to end. */
static void pump_lay_out(struct pump *pump, const struct epoll_event *ready, size_t n)
{
        struct lane *lanes[READY_MOST];
        size_t n_lanes = 0, left = 0;

        pump->n_events = 0;
        for (size_t i = 0; i < n; i++) {
                struct lane *lane = pump_lane_of(pump, ready[i].data.ptr);

                if (lane && (ready[i].events & EPOLLIN))
                        lanes[n_lanes++] = lane;
                else if (lane)
                        lane_clear_error(lane);
                else
                        pump->events[pump->n_events++] = ready[i];
        }
        for (size_t k = 0; k < n_lanes; k++) {
                lanes[k]->dry = false;
                lanes[k]->copies = lanes[k]->share = MIN(lanes[k]->share, COPIES_MOST / (unsigned)n_lanes);
                left += lanes[k]->share;
        }
        for (unsigned round = 0; left > 0; round++) {
                for (size_t k = 0; k < n_lanes; k++) {
                        if (round >= lanes[k]->share)
                                continue;
                        pump->events[pump->n_events++] = (struct epoll_event){
                                .events = EPOLLIN,
                                .data.ptr = lanes[k]->watch.tag,
                        };
                        left--;
                }
        }
}

/* As many copies next time as could be of use: each one too many costs a little, one too few a walk. */
static void pump_adapt(struct pump *pump)
{
        for (size_t i = 0; i < pump->n_lanes; i++) {
                struct lane *lane = pump->lanes[i];
                unsigned used = lane->share - lane->copies;

                if (lane->copies == 0 && used == lane->share)
                        lane->share = MIN(lane->share * 2, COPIES_MOST);
                else if (used < lane->share / 4)
                        lane->share = MAX(lane->share / 2, COPIES_LEAST);
                lane->copies = 0;
        }
}

/* A walk that also sent a round of notifications is no measure for the next: it moves the figure by a little. */
static void pump_measure_walk(struct pump *pump)
{
        uint64_t walk = now_ns() - pump->ended;

        walk = MIN(walk, 2 * pump->walk + USEC(20));
        pump->walk = (pump->walk * 7 + walk) / 8;
}

static void pump_turn(struct pump *pump)
{
        struct epoll_event ready[READY_MOST];
        int n;

        pump_adopt(pump);
        n = epoll_wait(pump->epoll_fd, ready, READY_MOST, 0);
        if (n <= 0)
                return;
        pump_lay_out(pump, ready, (size_t)n);
        pump->in_turn = true;
        pump->over = pump->yield = false;
        pump->handled = 0;
        pump->ended = now_ns();
        pump->deadline = pump->ended + MIN(MAX(WALKS_IN_A_TURN * pump->walk, TURN_LEAST), TURN_MOST);
        coap_io_do_epoll(pump->context, pump->events, pump->n_events);
        if (pump->over)
                pump_measure_walk(pump);
        pump_adapt(pump);
        pump_flush(pump);
        pump->in_turn = false;
        pump_arm(pump);
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
        pump_arm(pump);
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
        pump->timer_fd = sockets_timer_of(epoll_fd);
        pump->timer_io = (struct socket_io){ .set_time = pump_set_time, .userdata = pump };
        sockets_set_io(pump->timer_fd, &pump->timer_io);
        /* libcoap opens both without: they are not for what an `exec` resource starts. */
        fcntl(epoll_fd, F_SETFD, FD_CLOEXEC);
        fcntl(pump->timer_fd, F_SETFD, FD_CLOEXEC);
        r = stream_gate_new(event, &pump->in_turn, &pump->gate);
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
        uint64_t end = now_ns() + DRAIN_MOST;
        struct epoll_event ready;

        while (now_ns() < end && epoll_wait(pump->epoll_fd, &ready, 1, 0) > 0)
                pump_turn(pump);
        for (size_t i = 0; i < pump->n_lanes; i++) {
                struct lane *lane = pump->lanes[i];
                struct pollfd fd = { .fd = lane->watch.fd, .events = POLLOUT };

                while (!outbox_is_empty(lane->outbox) && now_ns() < end) {
                        poll(&fd, 1, 10);
                        lane_flush(lane);
                }
        }
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
        sockets_set_io(pump->timer_fd, NULL);
        sd_event_source_disable_unref(pump->source);
        sd_event_unref(pump->event);
        free(pump);
}
