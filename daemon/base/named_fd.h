/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An open descriptor and the name that it goes by between two runs of the daemon: systemd keeps such pairs in
 * its descriptor store.
 */
#ifndef COAPD_BASE_NAMED_FD_H
#define COAPD_BASE_NAMED_FD_H

struct named_fd {
        int fd; /* -1: taken over by somebody */
        char *name;
};

#endif
