/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `time`: the clock of the machine, observable every second. It wakes at the start of each second, and
 * only while somebody observes it.
 */
#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/content_format.h"
#include "resources/kind.h"

enum { US_PER_S = 1000000 };

struct clock_resource {
        struct resource *resource;
        time_t made_for; /* the second that the two representations show */
        struct representation *text;
        struct representation *seconds;
};

static int time_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        struct clock_resource *clock = calloc(1, sizeof *clock);

        (void)conf;
        if (!clock)
                return -ENOMEM;
        clock->resource = resource;
        *ret_self = clock;
        return 0;
}

static void time_destroy(void *self)
{
        struct clock_resource *clock = self;

        representation_unref(clock->text);
        representation_unref(clock->seconds);
        free(clock);
}

/* Not time(2): its coarse clock may still be in the second before when the tick comes. */
static time_t this_second(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return now.tv_sec;
}

/* Made once a second, however many observers there are. */
static void make_for(struct clock_resource *clock, time_t now)
{
        char text[64];
        struct tm tm;

        if (clock->text && clock->seconds && clock->made_for == now)
                return;
        representation_unref(TAKE(clock->text));
        representation_unref(TAKE(clock->seconds));
        gmtime_r(&now, &tm);
        strftime(text, sizeof text, "%b %d %H:%M:%S", &tm);
        clock->text = representation_new(span_of_string(text), CONTENT_FORMAT_TEXT);
        snprintf(text, sizeof text, "%lld", (long long)now);
        clock->seconds = representation_new(span_of_string(text), CONTENT_FORMAT_TEXT);
        clock->made_for = now;
}

static void time_get(void *self, const struct request *request, struct response *response)
{
        struct clock_resource *clock = self;
        struct representation *rep;
        bool seconds = false;

        for (size_t i = 0; i < request->n_queries; i++) {
                if (!span_equal_string(request->queries[i], "secs")) {
                        response_error(response, CODE_BAD_REQUEST, "the only query here is \"secs\"");
                        return;
                }
                seconds = true;
        }
        make_for(clock, this_second());
        rep = seconds ? clock->seconds : clock->text;
        if (!rep) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        response->code = CODE_CONTENT;
        response->content = representation_ref(rep);
        response->max_age = 1;
}

static void tick_at_next_second(struct clock_resource *clock)
{
        resource_wake_at(clock->resource, ((uint64_t)this_second() + 1) * US_PER_S);
}

static void time_observed(void *self)
{
        tick_at_next_second(self);
}

static void time_wake(void *self, uint64_t now_us)
{
        struct clock_resource *clock = self;

        (void)now_us;
        if (resource_changed(clock->resource))
                tick_at_next_second(clock);
}

static size_t time_formats(void *self, int formats[], size_t max)
{
        (void)self;
        (void)max;
        formats[0] = CONTENT_FORMAT_TEXT;
        return 1;
}

const struct kind kind_time = {
        .name = "time",
        .doc = "The clock of this machine in UTC, as text; with the query \"secs\" as seconds since 1970. "
               "Observers are told at the start of each second.",
        .resource_type = "coapd.time",
        .create = time_create,
        .destroy = time_destroy,
        .handle = { [METHOD_GET] = time_get },
        .observed = time_observed,
        .wake = time_wake,
        .formats = time_formats,
};
