/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the service manager is told: sd_notify(3), in the words of the daemon. Without a manager every
 * function does nothing.
 */
#ifndef COAPD_SYSTEMD_NOTIFY_H
#define COAPD_SYSTEMD_NOTIFY_H

#include <stdint.h>

#include <systemd/sd-event.h>

#include "base/util.h"

/* Start-up is complete; or the reload that notify_reloading() announced. */
void notify_ready(void);

/* Carries MONOTONIC_USEC=, which Type=notify-reload asks for. */
void notify_reloading(void);

void notify_stopping(void);

/* One line for `systemctl status`. */
void notify_status(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The current step may take `usec` more microseconds before the manager gives up on it. */
void notify_extend_timeout(uint64_t usec);

/*
 * Lets the loop feed the manager's watchdog. Returns 1 when the manager has one, 0 when it has not, or
 * -errno.
 */
int notify_watchdog(sd_event *event);

#endif
