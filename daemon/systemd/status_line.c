/* SPDX-License-Identifier: BSD-2-Clause */
/* One line about the daemon; see status_line.h. */
#include "systemd/status_line.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/util.h"
#include "systemd/notify.h"

enum { DELAY_US = 1000000 };

struct status_line {
        sd_event_source *timer;
        struct status_numbers told;
        struct status_numbers now;
        bool waiting;
        bool owed; /* the manager did not take the last one */
};

static bool same(const struct status_numbers *a, const struct status_numbers *b)
{
        return a->endpoints == b->endpoints && a->sessions == b->sessions && a->observers == b->observers &&
               a->configured == b->configured && a->dynamic == b->dynamic &&
               a->store_refuses == b->store_refuses;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
        struct status_line *line = user;

        (void)source;
        (void)usec;
        line->waiting = false;
        /* It may have changed back meanwhile. */
        if (line->owed || !same(&line->now, &line->told))
                status_line_tell(line, &line->now);
        return 0;
}

int status_line_new(sd_event *event, struct status_line **ret_line)
{
        struct status_line *line = calloc(1, sizeof *line);
        int r;

        if (!line)
                return -ENOMEM;
        r = sd_event_add_time(event, &line->timer, CLOCK_MONOTONIC, UINT64_MAX, DELAY_US / 2, on_timer, line);
        if (r < 0) {
                free(line);
                return r;
        }
        *ret_line = line;
        return 0;
}

static void tell_later(struct status_line *line)
{
        line->waiting = sd_event_source_set_time_relative(line->timer, DELAY_US) >= 0 &&
                        sd_event_source_set_enabled(line->timer, SD_EVENT_ONESHOT) >= 0;
}

void status_line_tell(struct status_line *line, const struct status_numbers *numbers)
{
        int r;

        line->now = line->told = *numbers;
        r = notify_status("Serving %" PRIu64 " endpoints to %" PRIu64 " sessions: %" PRIu64
                          " observers, %" PRIu64 " configured and %" PRIu64 " dynamic resources%s",
                          numbers->endpoints, numbers->sessions, numbers->observers, numbers->configured,
                          numbers->dynamic, numbers->store_refuses ? "; the store refuses changes" : "");
        line->owed = r == -EAGAIN;
        if (line->owed)
                tell_later(line);
}

void status_line_touch(struct status_line *line, const struct status_numbers *numbers)
{
        line->now = *numbers;
        if (!line->waiting && !same(&line->now, &line->told))
                tell_later(line);
}

void status_line_free(struct status_line *line)
{
        if (!line)
                return;
        sd_event_source_disable_unref(line->timer);
        free(line);
}
