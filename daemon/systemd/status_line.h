/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line that `systemctl status` shows, kept up to date: told a second after something in it has changed, and at
 * most once a second; again a second later where the manager did not read it. While nothing changes it does not wake
 * the daemon.
 */
#ifndef COAPD_SYSTEMD_STATUS_LINE_H
#define COAPD_SYSTEMD_STATUS_LINE_H

#include <stdbool.h>
#include <stdint.h>

#include <systemd/sd-event.h>

struct status_numbers {
        uint64_t endpoints;
        uint64_t sessions;
        uint64_t observers;
        uint64_t configured; /* resources */
        uint64_t dynamic;
        bool store_refuses; /* the last change did not go in */
};

struct status_line;

/* Takes a reference of `event`. Tells nothing yet. 0 or -errno. */
int status_line_new(sd_event *event, struct status_line **ret_line);

/* Tells it now. */
void status_line_tell(struct status_line *line, const struct status_numbers *numbers);

/* The numbers are these: cheap, and meant to be called in every turn of the loop. */
void status_line_touch(struct status_line *line, const struct status_numbers *numbers);

/* Accepts NULL. */
void status_line_free(struct status_line *line);

#endif
