/* SPDX-License-Identifier: BSD-2-Clause */
/* A list through a table of descriptors; see ahead.h. */
#include "endpoints/ahead.h"

#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

enum { AHEAD_LAST = -1, AHEAD_OUT = -2, FDS_LEAST = 64 };

void ahead_init(struct ahead *ahead)
{
        *ahead = (struct ahead){ .first = AHEAD_LAST, .last = AHEAD_LAST };
}

void ahead_deinit(struct ahead *ahead)
{
        free(ahead->by_fd);
        ahead_init(ahead);
}

static int grow(struct ahead *ahead, int fd)
{
        int n = MAX(MAX(fd + 1, ahead->n_fds * 2), FDS_LEAST);
        struct ahead_stream *grown;

        if (fd < ahead->n_fds)
                return 0;
        grown = reallocarray(ahead->by_fd, (size_t)n, sizeof *grown);
        if (!grown)
                return -ENOMEM;
        for (int i = ahead->n_fds; i < n; i++)
                grown[i] = (struct ahead_stream){ .next = AHEAD_OUT };
        ahead->by_fd = grown;
        ahead->n_fds = n;
        return 0;
}

int ahead_put(struct ahead *ahead, int fd, void *tag)
{
        if (grow(ahead, fd) < 0)
                return -ENOMEM;
        if (ahead->by_fd[fd].next != AHEAD_OUT)
                return 0;
        ahead->by_fd[fd] = (struct ahead_stream){ .next = AHEAD_LAST, .tag = tag };
        if (ahead->last == AHEAD_LAST)
                ahead->first = fd;
        else
                ahead->by_fd[ahead->last].next = fd;
        ahead->last = fd;
        return 0;
}

static void take_out(struct ahead *ahead, int fd, int before)
{
        int next = ahead->by_fd[fd].next;

        if (before == AHEAD_LAST)
                ahead->first = next;
        else
                ahead->by_fd[before].next = next;
        if (next == AHEAD_LAST)
                ahead->last = before;
        ahead->by_fd[fd].next = AHEAD_OUT;
}

bool ahead_take(struct ahead *ahead, int *ret_fd, void **ret_tag)
{
        int fd = ahead->first;

        if (fd == AHEAD_LAST)
                return false;
        *ret_fd = fd;
        *ret_tag = ahead->by_fd[fd].tag;
        take_out(ahead, fd, AHEAD_LAST);
        return true;
}

void ahead_drop(struct ahead *ahead, int fd)
{
        int before = AHEAD_LAST;

        if (fd >= ahead->n_fds || ahead->by_fd[fd].next == AHEAD_OUT)
                return;
        for (int at = ahead->first; at != fd; at = ahead->by_fd[at].next)
                before = at;
        take_out(ahead, fd, before);
}

bool ahead_is_empty(const struct ahead *ahead)
{
        return ahead->first == AHEAD_LAST;
}
