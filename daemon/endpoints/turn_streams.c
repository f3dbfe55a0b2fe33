/* SPDX-License-Identifier: BSD-2-Clause */
/* Events of streams: those of the kernel, and those of what was read ahead; see turn.h. */
#include "endpoints/turn.h"

#include <errno.h>

static struct other *find_other(struct pump *pump, const struct shard *shard, const void *tag)
{
        for (size_t i = 0; i < pump->n_others; i++) {
                if (pump->others[i].event.data.ptr == tag && pump->others[i].shard == shard)
                        return &pump->others[i];
        }
        return NULL;
}

/* The kernel tells the first of connections; the endpoint of another one on the same descriptor is to accept them. */
static void pass_connection(struct pump *pump, struct shard **shard, struct epoll_event *event)
{
        struct shard *taker = &pump->shard[pump->streams];

        for (size_t i = 0; pump->streams > 0 && i < pump->n_listeners; i++) {
                void *tag = pump->listeners[i].tag == event->data.ptr
                                    ? sockets_tag(pump->listeners[i].fd, taker->epoll_fd)
                                    : NULL;

                if (!tag)
                        continue;
                event->data.ptr = tag;
                *shard = taker;
                return;
        }
}

void turn_note_stream(struct pump *pump, struct shard *shard, const struct epoll_event *told)
{
        struct epoll_event event = *told;
        struct other *noted;

        if (shard == &pump->shard[0])
                pass_connection(pump, &shard, &event);
        turn_make_due(pump, shard);
        /* It may have been left from the last turn. The first of two can be the end of its session. */
        noted = find_other(pump, shard, event.data.ptr);
        if (noted) {
                noted->event.events |= event.events;
                return;
        }
        pump->others[pump->n_others++] = (struct other){ event, shard };
        shard->n_others++;
}

static void take_out(struct pump *pump, struct other *other)
{
        other->shard->n_others--;
        *other = pump->others[--pump->n_others];
}

void turn_write_streams(struct pump *pump, struct shard *shard)
{
        size_t kept = 0;

        if (shard->n_others == 0)
                return;
        for (size_t i = 0; i < pump->n_others; i++) {
                if (pump->others[i].shard == shard)
                        tape_write(&pump->tape, pump->others[i].event);
                else
                        pump->others[kept++] = pump->others[i];
        }
        pump->n_others = kept;
        shard->n_others = 0;
}

static struct shard *shard_of(struct pump *pump, int fd)
{
        int epoll_fd = sockets_epoll_of(fd);
        size_t i = pump->streams;

        while (i > 0 && pump->shard[i].epoll_fd != epoll_fd)
                i--;
        return &pump->shard[i];
}

size_t turn_find_session(const struct pump *pump, const struct lane *lane, const struct msghdr *message)
{
        const struct pump_guard *guard = pump->guard;
        size_t i = guard && guard->route_session
                           ? guard->route_session(guard->userdata, lane->watch.fd, message)
                           : 0;

        return lane->tags[i] ? i : 0;
}

bool turn_take_ahead(struct pump *pump)
{
        bool any = false;
        void *tag;
        int fd;

        for (int i = 0; i < AHEAD_MOST && pump->n_others < OTHERS_MOST; i++) {
                if (!ahead_take(&pump->ahead, &fd, &tag))
                        break;
                turn_note_stream(pump, shard_of(pump, fd),
                                 &(struct epoll_event){ .events = EPOLLIN, .data.ptr = tag });
                any = true;
        }
        return any;
}

void turn_on_read(void *userdata)
{
        const struct pump *pump = userdata;

        if (pump->guard && pump->guard->reads_stream)
                pump->guard->reads_stream(pump->guard->userdata);
}

void turn_on_more(void *userdata, int fd, void *tag)
{
        struct pump *pump = userdata;

        if (!pump->yield && tape_repeat(&pump->tape, tag))
                return;
        if (!pump->in_turn)
                pump_kick_soon(pump, (size_t)(shard_of(pump, fd) - pump->shard));
        if (ahead_put(&pump->ahead, fd, tag) < 0) {
                static struct log_gate log_gate = { .burst = 3, .interval_s = 60 };

                /* The kernel tells of the end again and again, until all of what was read is taken. */
                log_gated(&log_gate, LOG_WARNING, NULL,
                          "a stream session ends: no memory to come back to it");
                shutdown(fd, SHUT_RDWR);
        }
}

void turn_on_gone(void *userdata, int fd, void *tag)
{
        struct pump *pump = userdata;
        struct other *noted = find_other(pump, shard_of(pump, fd), tag);

        /* What is on the tape libcoap passes over: it frees a session only at the end of a call. */
        ahead_drop(&pump->ahead, fd);
        if (noted)
                take_out(pump, noted);
}
