/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Gathering writes; see stream_gate.h.
 *
 * libcoap is told that all of a write has left when it has been gathered. Where the kernel then takes only a
 * part, the rest becomes the backlog of its descriptor, and until that has gone libcoap is told EAGAIN, upon
 * which it keeps its messages itself. So a peer that does not read costs one buffer and no more. To others all is
 * written whole, see sockets_set_whole(): its backlog grows, and while it is long nothing more is read of it.
 */
#include "endpoints/stream_gate.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/util.h"
#include "endpoints/linger.h"

enum {
        GATHERED_MOST = 64 * 1024,
        PIECES_MOST = 64,
        BACKLOG_LONG = 1024 * 1024,
        BACKLOG_MOST = 16 * 1024 * 1024,
};

/* What the kernel would not take yet of one session. */
struct backlog {
        struct stream_gate *gate;
        struct backlog *next;
        sd_event_source *writable;
        int fd;
        bool paused; /* nothing is read of it meanwhile */
        struct buf bytes;
        size_t from;
};

/* Gathered bytes of one session. There may be more behind those of others. */
struct piece {
        int fd;
        size_t from, n;
};

struct stream_gate {
        struct socket_io io;
        sd_event *event;
        const bool *holding;
        bool (*may_send)(void *owner);
        void *owner;
        struct stream_reader reader;
        struct backlog *backlogs;
        struct lingerers *linger;
        struct piece pieces[PIECES_MOST];
        size_t n_pieces;
        size_t n;
        uint8_t bytes[GATHERED_MOST];
};

static struct backlog **find_backlog(struct stream_gate *gate, int fd)
{
        struct backlog **link = &gate->backlogs;

        while (*link && (*link)->fd != fd)
                link = &(*link)->next;
        return link;
}

static bool gate_is_behind(void *userdata, int fd)
{
        return *find_backlog(userdata, fd) != NULL;
}

static void drop_backlog(struct stream_gate *gate, int fd)
{
        struct backlog **link = find_backlog(gate, fd);
        struct backlog *backlog = *link;

        if (!backlog)
                return;
        *link = backlog->next;
        if (backlog->paused)
                sockets_pause(fd, false);
        sd_event_source_disable_unref(backlog->writable);
        buf_deinit(&backlog->bytes);
        free(backlog);
}

/* Returns how many bytes the kernel took. A session that broke takes all: libcoap learns of it by reading. */
static size_t push(int fd, const uint8_t *bytes, size_t n)
{
        ssize_t sent = sockets_raw_send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0)
                return errno == EAGAIN || errno == EINTR ? 0 : n;
        return (size_t)sent;
}

/* Returns whether there is none any more. */
static bool push_backlog(struct stream_gate *gate, int fd)
{
        struct backlog *backlog = *find_backlog(gate, fd);

        if (!backlog)
                return true;
        backlog->from += push(fd, backlog->bytes.p + backlog->from, backlog->bytes.n - backlog->from);
        if (backlog->from < backlog->bytes.n)
                return false;
        drop_backlog(gate, fd);
        sockets_caught_up(fd);
        return true;
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
        struct backlog *backlog = userdata;

        (void)source, (void)events;
        push_backlog(backlog->gate, fd);
        return 0;
}

/* A stream with a hole in it is of no use to anybody. */
static void give_up(int fd, const char *why)
{
        static struct log_gate log_gate = { .burst = 3, .interval_s = 60 };

        log_gated(&log_gate, LOG_WARNING, NULL,
                  "a stream session ends: what it should get cannot be kept: %s", why);
        shutdown(fd, SHUT_RDWR);
}

static void add_backlog(struct stream_gate *gate, int fd, const uint8_t *bytes, size_t n)
{
        struct backlog *backlog = calloc(1, sizeof *backlog);
        int r = -ENOMEM;

        if (backlog) {
                *backlog = (struct backlog){ .gate = gate, .next = gate->backlogs, .fd = fd };
                buf_append(&backlog->bytes, bytes, n);
        }
        if (backlog && buf_ok(&backlog->bytes))
                r = sd_event_add_io(gate->event, &backlog->writable, fd, EPOLLOUT, on_writable, backlog);
        if (r == 0) {
                gate->backlogs = backlog;
                return;
        }
        give_up(fd, strerror(-r));
        if (backlog)
                buf_deinit(&backlog->bytes);
        free(backlog);
}

/* Behind what waits already. NULL, or why it cannot be. */
static const char *append(struct backlog *backlog, const uint8_t *bytes, size_t n)
{
        size_t left = backlog->bytes.n - backlog->from;

        if (left + n > BACKLOG_MOST)
                return "its peer does not read it";
        if (backlog->from > left) {
                memcpy(backlog->bytes.p, backlog->bytes.p + backlog->from, left);
                backlog->bytes.n = left;
                backlog->from = 0;
        }
        buf_append(&backlog->bytes, bytes, n);
        return buf_ok(&backlog->bytes) ? NULL : strerror(ENOMEM);
}

static void grow_backlog(struct stream_gate *gate, int fd, const uint8_t *bytes, size_t n)
{
        struct backlog *backlog = *find_backlog(gate, fd);
        const char *why = append(backlog, bytes, n);

        if (why) {
                drop_backlog(gate, fd);
                give_up(fd, why);
        } else if (!backlog->paused && backlog->bytes.n - backlog->from > BACKLOG_LONG) {
                sockets_pause(fd, true);
                backlog->paused = true;
        }
}

void stream_gate_set_clearance(struct stream_gate *gate, bool (*may_send)(void *owner), void *owner)
{
        gate->may_send = may_send;
        gate->owner = owner;
}

void stream_gate_discard(struct stream_gate *gate)
{
        for (size_t i = 0; i < gate->n_pieces; i++)
                shutdown(gate->pieces[i].fd, SHUT_RDWR);
        gate->n_pieces = gate->n = 0;
}

static bool may_send(const struct stream_gate *gate)
{
        return !gate->may_send || gate->may_send(gate->owner);
}

static void write_whole(struct stream_gate *gate, int fd, const uint8_t *bytes, size_t n)
{
        size_t sent = push(fd, bytes, n);

        if (sent < n)
                add_backlog(gate, fd, bytes + sent, n - sent);
}

void stream_gate_flush(struct stream_gate *gate)
{
        size_t n = gate->n_pieces;

        if (n == 0 || !may_send(gate))
                return;
        gate->n_pieces = gate->n = 0;
        for (size_t i = 0; i < n; i++) {
                const struct piece *piece = &gate->pieces[i];

                if (gate_is_behind(gate, piece->fd)) /* since the piece before */
                        grow_backlog(gate, piece->fd, gate->bytes + piece->from, piece->n);
                else
                        write_whole(gate, piece->fd, gate->bytes + piece->from, piece->n);
        }
}

/* The last piece, if it is of that session: it goes on. NULL: there is to be another. */
static struct piece *last_piece(struct stream_gate *gate, int fd)
{
        struct piece *last = gate->n_pieces > 0 ? &gate->pieces[gate->n_pieces - 1] : NULL;

        return last && last->fd == fd ? last : NULL;
}

static bool has_room(struct stream_gate *gate, int fd, size_t n)
{
        return n <= GATHERED_MOST - gate->n && (gate->n_pieces < PIECES_MOST || last_piece(gate, fd));
}

static void gather(struct stream_gate *gate, int fd, const uint8_t *bytes, size_t n)
{
        struct piece *piece = last_piece(gate, fd);

        if (!piece) {
                piece = &gate->pieces[gate->n_pieces++];
                *piece = (struct piece){ .fd = fd, .from = gate->n };
        }
        memcpy(gate->bytes + gate->n, bytes, n);
        piece->n += n;
        gate->n += n;
}

static ssize_t gate_write(void *userdata, int fd, bool whole, const void *bytes, size_t n)
{
        struct stream_gate *gate = userdata;

        if (!*gate->holding || !has_room(gate, fd, n))
                stream_gate_flush(gate);
        if (!push_backlog(gate, fd)) {
                if (whole) {
                        grow_backlog(gate, fd, bytes, n);
                        return (ssize_t)n;
                }
                errno = EAGAIN;
                return -1;
        }
        if (!*gate->holding || n > GATHERED_MOST) {
                if (!may_send(gate))
                        shutdown(fd, SHUT_RDWR);
                else if (!whole)
                        return sockets_raw_send(fd, bytes, n, MSG_NOSIGNAL);
                else
                        write_whole(gate, fd, bytes, n);
                return (ssize_t)n;
        }
        gather(gate, fd, bytes, n);
        return (ssize_t)n;
}

static void gate_on_read(void *userdata)
{
        struct stream_gate *gate = userdata;

        gate->reader.on_read(gate->reader.owner);
}

static void gate_on_more(void *userdata, int fd, void *tag)
{
        struct stream_gate *gate = userdata;

        gate->reader.on_more(gate->reader.owner, fd, tag);
}

/* Returns whether the descriptor is kept open until the peer has all. */
static bool gate_on_close(void *userdata, int fd, void *tag)
{
        struct stream_gate *gate = userdata;
        struct backlog *backlog;
        struct buf rest = { 0 };
        size_t from = 0;
        bool kept;

        stream_gate_flush(gate);
        if (gate->reader.on_gone)
                gate->reader.on_gone(gate->reader.owner, fd, tag);
        backlog = *find_backlog(gate, fd);
        if (backlog) {
                rest = backlog->bytes;
                from = backlog->from;
                backlog->bytes = (struct buf){ 0 };
                drop_backlog(gate, fd);
        }
        kept = linger_take(gate->linger, fd, &rest, from);
        buf_deinit(&rest);
        return kept;
}

void stream_gate_set_reader(struct stream_gate *gate, const struct stream_reader *reader)
{
        gate->reader = *reader;
        gate->io.on_more = gate_on_more;
        gate->io.on_read = reader->on_read ? gate_on_read : NULL;
}

int stream_gate_new(sd_event *event, const bool *holding, struct stream_gate **ret_gate)
{
        struct stream_gate *gate = malloc(sizeof *gate);
        int r;

        if (!gate)
                return -ENOMEM;
        r = linger_new(event, &gate->linger);
        if (r < 0) {
                free(gate);
                return r;
        }
        gate->io = (struct socket_io){
                .write = gate_write, .on_close = gate_on_close, .is_behind = gate_is_behind, .userdata = gate
        };
        gate->event = sd_event_ref(event);
        gate->holding = holding;
        gate->may_send = NULL;
        gate->reader = (struct stream_reader){ 0 };
        gate->backlogs = NULL;
        gate->n_pieces = gate->n = 0;
        *ret_gate = gate;
        return 0;
}

const struct socket_io *stream_gate_io(const struct stream_gate *gate)
{
        return &gate->io;
}

void stream_gate_free(struct stream_gate *gate)
{
        if (!gate)
                return;
        stream_gate_flush(gate);
        sockets_revoke_io(&gate->io);
        while (gate->backlogs)
                drop_backlog(gate, gate->backlogs->fd);
        linger_free(gate->linger);
        sd_event_unref(gate->event);
        free(gate);
}
