/* SPDX-License-Identifier: BSD-2-Clause */
/* systemd's descriptor store; see fdstore.h. */
#include "systemd/fdstore.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <systemd/sd-daemon.h>

#include "base/util.h"

enum { BARRIER_USEC = 5000000 };

int fdstore_take(struct named_fd **ret_fds, size_t *ret_n)
{
        char **names = NULL;
        struct named_fd *fds;
        int n = sd_listen_fds_with_names(1, &names);

        if (n < 0)
                return n;
        fds = calloc((size_t)n + 1, sizeof *fds);
        for (int i = 0; i < n; i++) {
                if (fds)
                        fds[i] = (struct named_fd){ SD_LISTEN_FDS_START + i, names[i] };
                else
                        free(names[i]);
        }
        free(names);
        if (!fds)
                return -ENOMEM;
        *ret_fds = fds;
        *ret_n = (size_t)n;
        return 0;
}

void fdstore_keep(int fd, const char *name, const char *old_name)
{
        char text[300];

        /* systemd keeps a descriptor only once, under its first name. */
        if (old_name)
                sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", old_name);
        /* FDPOLL=0: an error that the network reports on a socket is no reason to forget it. */
        snprintf(text, sizeof text, "FDSTORE=1\nFDPOLL=0\nFDNAME=%s", name);
        sd_pid_notify_with_fds(0, 0, text, &fd, 1);
}

void fdstore_drop(struct named_fd *fds, size_t n)
{
        size_t dropped = 0;

        for (size_t i = 0; i < n; i++) {
                if (fds[i].fd < 0)
                        continue;
                close(fds[i].fd);
                fds[i].fd = -1;
                sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", fds[i].name);
                dropped++;
        }
        if (dropped > 0)
                sd_notify_barrier(0, BARRIER_USEC);
}

void fdstore_free(struct named_fd *fds, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (fds[i].fd >= 0)
                        close(fds[i].fd);
                free(fds[i].name);
        }
        free(fds);
}
