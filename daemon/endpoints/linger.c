/* SPDX-License-Identifier: BSD-2-Clause */
/* Closing in good order; see linger.h. */
#include "endpoints/linger.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "endpoints/sockets.h"

enum {
        LINGERING_MOST = 64,
        BYTES_MOST = 16 * 1024 * 1024, /* of all of them, still to be sent */
        DISCARD_MOST = 1024 * 1024,    /* at once */
        LINGER_US = 5 * 1000 * 1000,
};

struct lingering {
        struct lingerers *linger;
        struct lingering *next; /* began later */
        sd_event_source *ready;
        uint64_t end; /* of CLOCK_MONOTONIC, in microseconds */
        int fd;
        bool peer_ended;
        struct buf rest;
        size_t from;
};

struct lingerers {
        sd_event *event;
        sd_event_source *timer;
        struct lingering *first, **last;
        size_t n, bytes;
};

static size_t owed(const struct lingering *one)
{
        return one->rest.n - one->from;
}

static bool is_later(ssize_t r)
{
        return r < 0 && (errno == EAGAIN || errno == EINTR);
}

/* Returns false when the connection is broken. */
static bool send_rest(struct lingering *one)
{
        ssize_t r =
                sockets_raw_send(one->fd, one->rest.p + one->from, owed(one), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (r < 0)
                return is_later(r);
        one->from += (size_t)r;
        if (owed(one) == 0)
                shutdown(one->fd, SHUT_WR);
        return true;
}

/* The same. With MSG_TRUNC the kernel copies nothing of it. */
static bool discard(struct lingering *one)
{
        ssize_t r = sockets_raw_recv(one->fd, NULL, DISCARD_MOST, MSG_TRUNC | MSG_DONTWAIT);

        one->peer_ended = r == 0;
        return r >= 0 || is_later(r);
}

/* Returns whether it is over. */
static bool go_on(struct lingering *one)
{
        if (owed(one) > 0 && !send_rest(one))
                return true;
        if (!one->peer_ended && !discard(one))
                return true;
        return owed(one) == 0 && one->peer_ended;
}

static uint32_t waits_for(const struct lingering *one)
{
        return (owed(one) > 0 ? EPOLLOUT : 0) | (one->peer_ended ? 0 : EPOLLIN);
}

static void end(struct lingering *one)
{
        struct lingerers *linger = one->linger;
        struct lingering **link = &linger->first;

        while (*link != one)
                link = &(*link)->next;
        *link = one->next;
        if (linger->last == &one->next)
                linger->last = link;
        linger->n--;
        linger->bytes -= one->rest.n;
        if (!linger->first)
                sd_event_source_set_enabled(linger->timer, SD_EVENT_OFF);
        sd_event_source_disable_unref(one->ready);
        close(one->fd);
        buf_deinit(&one->rest);
        free(one);
}

static int on_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct lingering *one = userdata;

        (void)fd, (void)events;
        if (go_on(one) || sd_event_source_set_io_events(source, waits_for(one)) < 0)
                end(one);
        return 0;
}

/* All linger for as long, so that the first one is the first to go. */
static int on_timer(sd_event_source *source, uint64_t now, void *userdata)
{
        struct lingerers *linger = userdata;

        while (linger->first && linger->first->end <= now)
                end(linger->first);
        if (!linger->first)
                return 0;
        sd_event_source_set_time(source, linger->first->end);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int arm(struct lingerers *linger)
{
        int r = sd_event_source_set_time(linger->timer, linger->first->end);

        return r < 0 ? r : sd_event_source_set_enabled(linger->timer, SD_EVENT_ONESHOT);
}

static struct lingering *lingering_new(struct lingerers *linger, const struct lingering *begun)
{
        struct lingering *one = malloc(sizeof *one);

        if (!one)
                return NULL;
        *one = *begun;
        if (sd_event_now(linger->event, CLOCK_MONOTONIC, &one->end) >= 0 &&
            sd_event_add_io(linger->event, &one->ready, one->fd, waits_for(one), on_ready, one) >= 0) {
                one->end += LINGER_US;
                return one;
        }
        free(one);
        return NULL;
}

bool linger_take(struct lingerers *linger, int fd, struct buf *rest, size_t from)
{
        struct lingering begun = { .linger = linger, .fd = fd, .rest = *rest, .from = from };
        struct lingering *one;

        if (owed(&begun) == 0 && shutdown(fd, SHUT_WR) < 0)
                return false;
        if (go_on(&begun) || begun.rest.n > BYTES_MOST || !(one = lingering_new(linger, &begun)))
                return false;
        while (linger->n == LINGERING_MOST || linger->bytes + one->rest.n > BYTES_MOST)
                end(linger->first);
        *rest = (struct buf){ 0 };
        linger->n++;
        linger->bytes += one->rest.n;
        *linger->last = one;
        linger->last = &one->next;
        if (linger->first == one && arm(linger) < 0)
                end(one);
        return true;
}

int linger_new(sd_event *event, struct lingerers **ret_linger)
{
        struct lingerers *linger = calloc(1, sizeof *linger);
        int r;

        if (!linger)
                return -ENOMEM;
        linger->event = sd_event_ref(event);
        linger->last = &linger->first;
        r = sd_event_add_time(event, &linger->timer, CLOCK_MONOTONIC, 0, 0, on_timer, linger);
        if (r < 0 || (r = sd_event_source_set_enabled(linger->timer, SD_EVENT_OFF)) < 0) {
                linger_free(linger);
                return r;
        }
        *ret_linger = linger;
        return 0;
}

void linger_free(struct lingerers *linger)
{
        if (!linger)
                return;
        while (linger->first)
                end(linger->first);
        sd_event_source_disable_unref(linger->timer);
        sd_event_unref(linger->event);
        free(linger);
}
