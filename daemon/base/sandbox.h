/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sandbox of the unit keeps from this process, as its mounts show: for messages that tell what to do. */
#ifndef COAPD_BASE_SANDBOX_H
#define COAPD_BASE_SANDBOX_H

/*
 * To go behind a message about a path that could not be used because of `error` (an errno): "", or "; " and the
 * setting of the unit that is in the way. A filesystem that is read-only as a whole, as after an error of its disk, is
 * none of the unit's doing.
 */
const char *sandbox_hint(const char *path, int error);

/* The same of the lines of a mountinfo, see proc_pid_mountinfo(5). */
const char *sandbox_hint_of(const char *mountinfo, const char *path, int error);

#endif
