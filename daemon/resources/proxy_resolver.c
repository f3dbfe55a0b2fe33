/* SPDX-License-Identifier: BSD-2-Clause */
/* Names looked up without holding up the loop: by a thread of libc's, asked now and then whether it is done. */
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>

#include "resources/proxy_internal.h"

enum { ASK_FIRST_US = 2000, ASK_MOST_US = 100000 };

struct resolver {
        struct gaicb request;
        char *host;
        struct addrinfo hints;
        sd_event_source *timer;
        uint64_t pause_us;
        void (*found)(void *user, struct addrinfo *list);
        void *user;
};

static int on_time(sd_event_source *source, uint64_t usec, void *user)
{
        struct resolver *resolver = user;

        if (gai_error(&resolver->request) == EAI_INPROGRESS) {
                resolver->pause_us = MIN(2 * resolver->pause_us, (uint64_t)ASK_MOST_US);
                sd_event_source_set_time(source, usec + resolver->pause_us);
                sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
                return 0;
        }
        resolver->found(resolver->user, TAKE(resolver->request.ar_result));
        return 0;
}

static void release(struct resolver *resolver)
{
        if (resolver->request.ar_result)
                freeaddrinfo(resolver->request.ar_result);
        free(resolver->host);
        free(resolver);
}

int resolver_start(sd_event *event, const char *host, void (*found)(void *user, struct addrinfo *list),
                   void *user, struct resolver **ret_resolver)
{
        struct resolver *resolver = calloc(1, sizeof *resolver);
        struct gaicb *list[1];
        uint64_t now = 0;

        if (!resolver)
                return -ENOMEM;
        resolver->host = strdup(host);
        resolver->hints = (struct addrinfo){ .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG };
        resolver->request = (struct gaicb){ .ar_name = resolver->host, .ar_request = &resolver->hints };
        resolver->pause_us = ASK_FIRST_US;
        resolver->found = found;
        resolver->user = user;
        list[0] = &resolver->request;
        sd_event_now(event, CLOCK_MONOTONIC, &now);
        if (!resolver->host ||
            sd_event_add_time(event, &resolver->timer, CLOCK_MONOTONIC, now + ASK_FIRST_US, 1, on_time,
                              resolver) < 0 ||
            getaddrinfo_a(GAI_NOWAIT, list, 1, NULL) != 0) {
                sd_event_source_disable_unref(resolver->timer);
                release(resolver);
                return -ENOMEM;
        }
        *ret_resolver = resolver;
        return 0;
}

void resolver_free(struct resolver *resolver)
{
        if (!resolver)
                return;
        sd_event_source_disable_unref(TAKE(resolver->timer));
        /* Its thread may be in the middle of it and would write to it still: that much memory is left behind. */
        if (gai_cancel(&resolver->request) == EAI_NOTCANCELED)
                return;
        release(resolver);
}
