/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libcoap's I/O by the batch; see pump.h. A turn is in turn.c; here is what begins one.
 */
#include "endpoints/pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/util.h"
#include "endpoints/turn.h"

#define DRAIN_MOST MSEC(200)

/* Whether there is something left to do, that no event of the kernel's will tell of. */
static void pump_come_back(struct pump *pump, bool again)
{
        if (pump->coming_back == again)
                return;
        if (sd_event_source_set_enabled(pump->soon, again ? SD_EVENT_ON : SD_EVENT_OFF) < 0)
                log_error("no more turns of the loop: notifications wait for the next datagram");
        else
                pump->coming_back = again;
}

static bool something_is_left(const struct pump *pump)
{
        return pump->n_due > 0 || pump->n_urgent > 0 || !ahead_is_empty(&pump->ahead);
}

static void pump_begin(struct pump *pump)
{
        pump_adopt(pump);
        pump->in_turn = true;
        pump->yield = false;
}

static void pump_end(struct pump *pump)
{
        if (pump->wants_end) {
                pump->wants_end = false;
                pump->guard->turn_ends(pump->guard->userdata);
        }
        turn_flush(pump);
        pump->in_turn = false;
        for (size_t i = 0; i < pump->n && pump->n_touched > 0; i++) {
                if (!pump->shard[i].timer.touched)
                        continue;
                wake_timer_settle(&pump->shard[i].timer);
                pump->n_touched--;
        }
        pump->n_touched = 0;
        pump_come_back(pump, something_is_left(pump));
        if (pump->guard)
                pump->guard->turn_is_over(pump->guard->userdata);
}

/* One context's notifications. In which order is all the same, but none twice before all. */
static void pump_act_urgent(struct pump *pump)
{
        while (pump->n_urgent > 0) {
                struct shard *shard = &pump->shard[pump->next_urgent++ % pump->n];

                if (!shard->urgent)
                        continue;
                turn_act(pump, shard);
                return;
        }
}

static void pump_turn(struct pump *pump)
{
        pump_begin(pump);
        if (turn_look(pump) || pump->n_due > 0 || pump->n_urgent > 0) {
                turn_run(pump);
                pump_act_urgent(pump);
        }
        pump_end(pump);
}

static int pump_on_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        (void)source, (void)fd, (void)events;
        pump_turn(userdata);
        return 0;
}

static int pump_on_soon(sd_event_source *source, void *userdata)
{
        (void)source;
        pump_turn(userdata);
        return 0;
}

static int pump_on_timer(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct shard *shard = userdata;
        struct pump *pump = shard->pump;

        (void)source, (void)fd, (void)events;
        pump_begin(pump);
        turn_run_timer(pump, shard);
        pump_end(pump);
        return 0;
}

static void pump_on_at_once(void *owner)
{
        struct shard *shard = owner;

        pump_kick_soon(shard->pump, (size_t)(shard - shard->pump->shard));
}

/* ---------------------------------------------------------------- for others */

void pump_set_guard(struct pump *pump, const struct pump_guard *guard)
{
        pump->guard = guard;
        pump->router.oscore = guard ? guard->route_oscore : NULL;
        pump->router.userdata = guard ? guard->userdata : NULL;
        pump->piggyback.has_opened = guard ? guard->has_opened : NULL;
        pump->piggyback.userdata = guard ? guard->userdata : NULL;
}

void pump_kick_soon(struct pump *pump, size_t i)
{
        struct shard *shard = &pump->shard[i];

        if (!shard->urgent)
                pump->n_urgent++;
        shard->urgent = true;
        if (!pump->in_turn)
                pump_come_back(pump, true);
}

void pump_kick(struct pump *pump)
{
        uint64_t now = clock_now_ns();

        if (pump->in_turn)
                return;
        pump_begin(pump);
        for (size_t i = 0; i < pump->n; i++) {
                struct shard *shard = &pump->shard[i];

                if (shard->urgent || wake_timer_is_due(&shard->timer, now))
                        turn_act(pump, shard);
        }
        pump_end(pump);
}

int pump_use_streams(struct pump *pump, size_t i)
{
        while (pump->streams < i) {
                struct shard *shard = &pump->shard[pump->streams + 1];
                sd_event_source *source;
                int r = sd_event_add_io(pump->event, &source, shard->epoll_fd, EPOLLIN, pump_on_ready, pump);

                if (r < 0)
                        return r;
                sd_event_source_disable_unref(shard->source);
                shard->source = source;
                pump->streams++;
        }
        return 0;
}

size_t pump_shard(const struct pump *pump)
{
        return pump->current ? (size_t)(pump->current - pump->shard) : 0;
}

bool pump_more_waiting(const struct pump *pump)
{
        return pump->in_turn && !pump->yield && pump->mailroom.n > 0;
}

bool pump_is_reading(const struct pump *pump)
{
        return pump->reading;
}

void pump_want_end(struct pump *pump)
{
        pump->wants_end = true;
}

void pump_yield(struct pump *pump)
{
        pump->yield = true;
}

static void pump_on_timer_read(void *owner)
{
        const struct shard *shard = owner;

        if (shard->pump->current == shard)
                turn_on_timer_read(shard->pump);
}

static int pump_add_shard(struct pump *pump, size_t i)
{
        struct shard *shard = &pump->shard[i];
        int epoll_fd = coap_context_get_coap_fd(pump->router.shards.v[i]);
        int r;

        *shard = (struct shard){
                .pump = pump,
                .context = pump->router.shards.v[i],
                .epoll_fd = epoll_fd,
                .timer.fd = -1,
        };
        if (epoll_fd < 0)
                return -ENOTSUP;
        fcntl(epoll_fd, F_SETFD, FD_CLOEXEC);
        wake_timer_attach(&shard->timer, epoll_fd, &pump->in_turn, &pump->n_touched, pump_on_at_once,
                          pump_on_timer_read, shard);
        if (i == 0)
                r = sd_event_add_io(pump->event, &shard->source, epoll_fd, EPOLLIN, pump_on_ready, pump);
        else /* There is nothing else in its epoll set, until pump_use_streams(). */
                r = sd_event_add_io(pump->event, &shard->source, shard->timer.fd, EPOLLIN, pump_on_timer,
                                    shard);
        return MIN(r, 0);
}

static int pump_init(struct pump *pump, struct shards shards)
{
        int r = stream_gate_new(pump->event, &pump->in_turn, &pump->gate);

        if (r < 0 || (r = mailroom_init(&pump->mailroom)) < 0 ||
            (r = piggyback_init(&pump->piggyback, shards.seed)) < 0)
                return r;
        stream_gate_set_clearance(pump->gate, pump_may_send, pump);
        stream_gate_set_reader(pump->gate,
                               &(struct stream_reader){ turn_on_read, turn_on_more, turn_on_gone, pump });
        router_init(&pump->router, shards);
        pump->shard = calloc(shards.n, sizeof *pump->shard);
        pump->due = calloc(shards.n, sizeof(struct shard *));
        if (!pump->shard || !pump->due)
                return -ENOMEM;
        r = sd_event_add_defer(pump->event, &pump->soon, pump_on_soon, pump);
        if (r < 0)
                return r;
        sd_event_source_set_enabled(pump->soon, SD_EVENT_OFF);
        /* What others have put off to the end of this turn of the loop comes first. */
        sd_event_source_set_priority(pump->soon, SD_EVENT_PRIORITY_NORMAL + 1);
        for (r = 0; pump->n < shards.n && r == 0; pump->n++)
                r = pump_add_shard(pump, pump->n);
        return r;
}

int pump_attach(sd_event *event, struct shards shards, struct metrics *metrics, struct pump **ret_pump)
{
        struct pump *pump = calloc(1, sizeof *pump);
        int r;

        if (!pump)
                return -ENOMEM;
        pump->metrics = metrics ? metrics : &pump->uncounted;
        pump->event = sd_event_ref(event);
        ahead_init(&pump->ahead);
        r = pump_init(pump, shards);
        if (r < 0) {
                pump_free(pump);
                return r;
        }
        /* libcoap arms its timer at the end of a turn, so that there has to be a first one. */
        pump_begin(pump);
        for (size_t i = 0; i < pump->n; i++)
                turn_act(pump, &pump->shard[i]);
        pump_end(pump);
        *ret_pump = pump;
        return 0;
}

static bool something_is_ready(const struct pump *pump)
{
        struct epoll_event ready;
        bool any = false;

        for (size_t i = 0; i <= pump->streams; i++)
                any |= epoll_wait(pump->shard[i].epoll_fd, &ready, 1, 0) > 0;
        return any;
}

void pump_drain(struct pump *pump)
{
        uint64_t end = clock_now_ns() + DRAIN_MOST;

        while (clock_now_ns() < end && (something_is_left(pump) || something_is_ready(pump)))
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
        free(pump->listeners);
        if (pump->n > 0)
                sockets_set_stream_io(pump->shard[0].epoll_fd, NULL);
        stream_gate_free(pump->gate);
        ahead_deinit(&pump->ahead);
        for (size_t i = 0; i < pump->n; i++) {
                wake_timer_detach(&pump->shard[i].timer);
                sd_event_source_disable_unref(pump->shard[i].source);
        }
        free(pump->shard);
        free(pump->due);
        sd_event_source_disable_unref(pump->soon);
        sd_event_unref(pump->event);
        mailroom_deinit(&pump->mailroom);
        router_deinit(&pump->router);
        piggyback_deinit(&pump->piggyback);
        free(pump);
}
