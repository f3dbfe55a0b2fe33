/* SPDX-License-Identifier: BSD-2-Clause */
/* Events of streams: those of the kernel, and those of what was read ahead; see turn.h. */
#include "endpoints/turn.h"

#include <errno.h>

static struct epoll_event *find_other(struct pump *pump, const void *tag)
{
        for (size_t i = 0; i < pump->n_others; i++) {
                if (pump->others[i].data.ptr == tag)
                        return &pump->others[i];
        }
        return NULL;
}

void turn_note_stream(struct pump *pump, const struct epoll_event *event)
{
        /* It may have been left from the last turn. The first of two can be the end of its session. */
        struct epoll_event *noted = find_other(pump, event->data.ptr);

        if (noted)
                noted->events |= event->events;
        else
                pump->others[pump->n_others++] = *event;
}

bool turn_take_ahead(struct pump *pump)
{
        bool any = false;
        void *tag;

        for (int i = 0; i < AHEAD_MOST && pump->n_others < OTHERS_MOST; i++) {
                if (!ahead_take(&pump->ahead, &tag))
                        break;
                turn_note_stream(pump, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = tag });
                any = true;
        }
        return any;
}

void turn_on_more(void *userdata, int fd, void *tag)
{
        struct pump *pump = userdata;

        if (!pump->yield && tape_repeat(&pump->tape, tag))
                return;
        if (ahead_put(&pump->ahead, fd, tag) < 0) {
                static struct log_gate log_gate = { .burst = 3, .interval_s = 60 };
                unsigned before;

                /* The kernel tells of the end again and again, until all of what was read is taken. */
                if (log_gate_pass(&log_gate, &before))
                        log_warning("A stream session ends: no memory to come back to it (and %u before)",
                                    before);
                shutdown(fd, SHUT_RDWR);
        }
}

void turn_on_gone(void *userdata, int fd, void *tag)
{
        struct pump *pump = userdata;
        struct epoll_event *noted = find_other(pump, tag);

        /* What is on the tape libcoap passes over: it frees a session only at the end of a call. */
        ahead_drop(&pump->ahead, fd);
        if (noted)
                *noted = pump->others[--pump->n_others];
}
