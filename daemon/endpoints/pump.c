/* SPDX-License-Identifier: BSD-2-Clause */
/* libcoap's descriptor as one event source; see pump.h. */
#include "endpoints/pump.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/util.h"

struct pump {
        coap_context_t *context;
        sd_event *event;
        sd_event_source *source;
        struct metrics *metrics;
        bool in_turn;
};

static void pump_turn(struct pump *pump)
{
        if (pump->in_turn)
                return;
        pump->in_turn = true;
        coap_io_process(pump->context, COAP_IO_NO_WAIT);
        pump->in_turn = false;
}

static int pump_on_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        (void)source, (void)fd, (void)events;
        pump_turn(userdata);
        return 0;
}

int pump_attach(sd_event *event, coap_context_t *context, struct metrics *metrics, struct pump **ret_pump)
{
        struct pump *pump;
        int fd = coap_context_get_coap_fd(context);
        int r;

        if (fd < 0)
                return -ENOTSUP;
        pump = calloc(1, sizeof *pump);
        if (!pump)
                return -ENOMEM;
        pump->context = context;
        pump->metrics = metrics;
        pump->event = sd_event_ref(event);
        r = sd_event_add_io(event, &pump->source, fd, EPOLLIN, pump_on_ready, pump);
        if (r < 0) {
                pump_free(pump);
                return r;
        }
        /* libcoap arms its timer at the end of a turn, so that there has to be a first one. */
        pump_kick(pump);
        *ret_pump = pump;
        return 0;
}

void pump_kick(struct pump *pump)
{
        pump_turn(pump);
}

void pump_drain(struct pump *pump)
{
        enum { MOST = 4096 };

        for (int i = 0; i < MOST; i++) {
                struct epoll_event ready;

                if (epoll_wait(coap_context_get_coap_fd(pump->context), &ready, 1, 0) <= 0)
                        return;
                pump_turn(pump);
        }
}

void pump_free(struct pump *pump)
{
        if (!pump)
                return;
        sd_event_source_disable_unref(pump->source);
        sd_event_unref(pump->event);
        free(pump);
}
