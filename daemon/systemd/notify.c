/* SPDX-License-Identifier: BSD-2-Clause */
/* The service manager's ear; see notify.h. A failed notification is nothing that the daemon could mend. */
#include "systemd/notify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <systemd/sd-daemon.h>

void notify_ready(void)
{
        sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                   (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
}

void notify_stopping(void)
{
        sd_notify(0, "STOPPING=1");
}

void notify_status(const char *fmt, ...)
{
        char text[256];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        for (char *newline = strchr(text, '\n'); newline; newline = strchr(newline, '\n'))
                *newline = ' '; /* the next line would be another assignment */
        sd_notifyf(0, "STATUS=%s", text);
}

void notify_extend_timeout(uint64_t usec)
{
        sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRIu64, usec);
}

int notify_watchdog(sd_event *event)
{
        return sd_event_set_watchdog(event, 1);
}
