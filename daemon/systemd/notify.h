/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the service manager is told: sd_notify(3), in the words of the daemon. Without a manager every
 * function does nothing. A manager that does not read is not waited for, and what it was told is lost; but for
 * READY=1, without which it would end the daemon.
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

/* One line for `systemctl status`. 0, or -errno where it was not told: -EAGAIN, the manager does not read. */
int notify_status(const char *fmt, ...) PRINTF_LIKE(1, 2);

/* The current step may take `usec` more microseconds before the manager gives up on it. */
void notify_extend_timeout(uint64_t usec);

/*
 * Lets the loop feed the manager's watchdog, twice in its period. Returns 1 when the manager has one, 0 when it has
 * not, or -errno. sd_event_set_watchdog() would do, if it did not wait for a manager that does not read.
 */
int notify_watchdog(sd_event *event);

#endif
