/* SPDX-License-Identifier: BSD-2-Clause */
/* The service manager's ear; see notify.h. A failed notification is nothing that the daemon could mend. */
#include "systemd/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

/*
 * As sd_notify(), which waits where the manager does not read: its socket has room for a few hundred messages, and one
 * that hangs must not take the daemon along. 0 or -errno.
 */
static int tell(const char *text)
{
        const char *path = getenv("NOTIFY_SOCKET");
        struct sockaddr_un to = { .sun_family = AF_UNIX };
        size_t n = path ? strlen(path) : 0;
        ssize_t sent;
        int fd;

        if (n == 0)
                return 0;
        /* What else it may be is a socket of a virtual machine's. */
        if ((path[0] != '/' && path[0] != '@') || n > sizeof to.sun_path)
                return MIN(sd_notify(0, text), 0);
        memcpy(to.sun_path, path, n);
        if (path[0] == '@')
                to.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&to,
                      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
        n = sent < 0 ? (size_t)errno : 0;
        close(fd);
        return -(int)n;
}

void notify_ready(void)
{
        sd_notify(0, "READY=1");
}

void notify_reloading(void)
{
        struct timespec now;
        char text[64];

        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
                 (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000);
        tell(text);
}

void notify_stopping(void)
{
        tell("STOPPING=1");
}

int notify_status(const char *fmt, ...)
{
        static const char prefix[] = "STATUS=";
        enum { PREFIX = sizeof prefix - 1 };
        char text[256];
        va_list ap;

        memcpy(text, prefix, PREFIX);
        va_start(ap, fmt);
        vsnprintf(text + PREFIX, sizeof text - PREFIX, fmt, ap);
        va_end(ap);
        for (char *newline = strchr(text, '\n'); newline; newline = strchr(newline, '\n'))
                *newline = ' '; /* the next line would be another assignment */
        return tell(text);
}

void notify_extend_timeout(uint64_t usec)
{
        char text[64];

        snprintf(text, sizeof text, "EXTEND_TIMEOUT_USEC=%" PRIu64, usec);
        tell(text);
}

/* --- the watchdog --- */

static int feed(sd_event_source *source, uint64_t usec, void *user)
{
        uint64_t period;
        int r = sd_watchdog_enabled(0, &period);

        (void)usec, (void)user;
        if (r <= 0)
                return r;
        tell("WATCHDOG=1");
        r = sd_event_source_set_time_relative(source, period / 2);
        return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int notify_watchdog(sd_event *event)
{
        sd_event_source *source = NULL;
        uint64_t period;
        int r = sd_watchdog_enabled(0, &period);

        if (r <= 0)
                return r;
        r = sd_event_add_time(event, &source, CLOCK_MONOTONIC, 0, period / 8, feed, NULL);
        /* Before what peers send: a daemon that has much to do is not one that is stuck. */
        if (r >= 0)
                r = sd_event_source_set_priority(source, SD_EVENT_PRIORITY_IMPORTANT);
        if (r >= 0)
                r = sd_event_source_set_floating(source, 1);
        sd_event_source_unref(source);
        return r < 0 ? r : 1;
}
