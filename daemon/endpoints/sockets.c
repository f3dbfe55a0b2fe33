/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which descriptors are libcoap's; see sockets.h.
 *
 * The interposed calls have no user data, so that this file keeps the one mutable table of the program, by number.
 * Descriptors are a property of the process just the same. What is behind one, rings and counters, hangs on an object
 * of its owner.
 */
#include "endpoints/sockets_internal.h"

#include <stdlib.h>

static struct {
        struct known by_fd[KNOWN_FD_MOST];
        int end; /* behind the highest that was ever known */
        unsigned generation;
} sockets;

struct known *known_find(int fd)
{
        if (fd < 0 || fd >= KNOWN_FD_MOST || sockets.by_fd[fd].kind == KNOWN_NOT)
                return NULL;
        return &sockets.by_fd[fd];
}

void known_set(int fd, const struct known *known)
{
        if (fd < 0 || fd >= KNOWN_FD_MOST)
                return;
        sockets.by_fd[fd] = *known;
        if (fd >= sockets.end)
                sockets.end = fd + 1;
}

void known_forget(struct known *known)
{
        free(known->twins);
        *known = (struct known){ .kind = KNOWN_NOT };
}

void sockets_forget(int fd)
{
        struct known *known = known_find(fd);

        if (known && known->open > 1)
                known->io = NULL;
        else if (known)
                known_forget(known);
}

void sockets_set_io(int fd, const struct socket_io *io)
{
        struct known *known = known_find(fd);

        if (known)
                known->io = io;
}

void sockets_set_stream_io(int epoll_fd, const struct socket_io *io)
{
        for (int fd = 0; fd < sockets.end; fd++) {
                struct known *known = &sockets.by_fd[fd];

                if (known->kind == KNOWN_LISTENER && known->epoll_fd == epoll_fd)
                        known->io = io;
        }
}

void sockets_tell_more(int fd)
{
        const struct known *known = known_find(fd);

        if (known && known->kind == KNOWN_STREAM && known->io && known->io->on_more)
                known->io->on_more(known->io->userdata, fd, known->tag);
}

bool sockets_is_behind(int fd)
{
        const struct known *known = known_find(fd);

        return known && known->kind == KNOWN_STREAM && known->io && known->io->is_behind &&
               known->io->is_behind(known->io->userdata, fd);
}

/* A Pong may have waited for it: it is written when the stream is read. */
void sockets_caught_up(int fd)
{
        const struct known *known = known_find(fd);

        if (known && known->whole)
                sockets_tell_more(fd);
}

void sockets_set_whole(int fd)
{
        struct known *known = known_find(fd);

        if (known)
                known->whole = true;
}

void sockets_set_websockets(int fd, struct websocket_origins *origins)
{
        struct known *known = known_find(fd);

        if (!known)
                return;
        known->websockets = true;
        known->origins = origins;
}

void sockets_revoke_io(const struct socket_io *io)
{
        for (int fd = 0; fd < sockets.end; fd++) {
                if (sockets.by_fd[fd].io == io)
                        sockets.by_fd[fd].io = NULL;
        }
}

int sockets_timer_of(int epoll_fd)
{
        for (int fd = 0; fd < sockets.end; fd++) {
                if (sockets.by_fd[fd].kind == KNOWN_TIMER && sockets.by_fd[fd].epoll_fd == epoll_fd)
                        return fd;
        }
        return -1;
}

struct twin *known_twin(const struct known *known, int epoll_fd)
{
        for (unsigned i = 0; i < known->n_twins; i++) {
                if (known->twins[i].epoll_fd == epoll_fd)
                        return &known->twins[i];
        }
        return NULL;
}

void *sockets_tag(int fd, int epoll_fd)
{
        const struct known *known = known_find(fd);
        const struct twin *twin = known ? known_twin(known, epoll_fd) : NULL;

        return twin ? twin->tag : NULL;
}

void sockets_changed(void)
{
        sockets.generation++;
}

unsigned sockets_generation(void)
{
        return sockets.generation;
}

static bool next_of(int kind, int epoll_fd, int *cursor, struct socket_watch *ret_watch)
{
        while (*cursor < sockets.end) {
                int fd = (*cursor)++;
                const struct known *known = &sockets.by_fd[fd];

                if ((int)known->kind == kind && known->epoll_fd == epoll_fd) {
                        *ret_watch = (struct socket_watch){ fd, known->tag };
                        return true;
                }
        }
        return false;
}

bool sockets_next(int epoll_fd, int *cursor, struct socket_watch *ret_watch)
{
        return next_of(KNOWN_DATAGRAM, epoll_fd, cursor, ret_watch);
}

bool sockets_next_listener(int epoll_fd, int *cursor, struct socket_watch *ret_watch)
{
        return next_of(KNOWN_LISTENER, epoll_fd, cursor, ret_watch);
}

int sockets_epoll_of(int fd)
{
        const struct known *known = known_find(fd);

        return known ? known->epoll_fd : -1;
}
