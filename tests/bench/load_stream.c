/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Links over streams: CoAP over TCP, and over WebSocket (RFC 8323). What is sent within a turn of the loop
 * leaves in one write a connection, as a client that pipelines would do it; Nagle's algorithm is off.
 *
 * Frames to the server are masked, as RFC 6455 wants, with a mask of zeros: the server does the same work for
 * it.
 */
#include "load_links.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "load_udp.h"

enum {
        BUFFER = 65536,
        FRAME_HEAD_MAX = 8, /* two bytes, a 16-bit length, the mask */
        FRAME_FINAL_BINARY = 0x82,
        FRAME_MASKED = 0x80,
        FRAME_LENGTH_16 = 126,
        CSM = 7 << 5 | 1, /* capabilities and settings, 7.01 */
        HANDSHAKE_SECONDS = 5,
};

struct stream {
        struct source source; /* first */
        struct stream_links *links;
        uint32_t link;
        size_t n_in, n_out;
        uint8_t in[BUFFER], out[BUFFER];
};

struct stream_links {
        struct links links; /* first */
        bool websocket;
        struct stream streams[];
};

/* --- out --- */

static size_t frame_head(size_t n, uint8_t *out)
{
        uint8_t *at = out;

        *at++ = FRAME_FINAL_BINARY;
        if (n < FRAME_LENGTH_16) {
                *at++ = (uint8_t)(FRAME_MASKED | n);
        } else {
                *at++ = FRAME_MASKED | FRAME_LENGTH_16;
                *at++ = (uint8_t)(n >> 8);
                *at++ = (uint8_t)n;
        }
        memset(at, 0, 4);
        return (size_t)(at - out) + 4;
}

/* Of RFC 8323, 8.1: the length field is 0, the frame's own counts. */
static size_t message_to_frame(const uint8_t *p, size_t n, uint8_t *out)
{
        size_t head = frame_head(n - 2, out);

        out[head] = p[0] & 15;
        out[head + 1] = p[1];
        memcpy(out + head + 2, p + HEADER_SIZE, n - HEADER_SIZE);
        return head + n - 2;
}

static void write_out(struct stream *stream)
{
        size_t done = 0;

        while (done < stream->n_out) {
                ssize_t n = send(stream->source.fd, stream->out + done, stream->n_out - done, MSG_NOSIGNAL);

                if (n > 0) {
                        done += (size_t)n;
                } else if (n < 0 && errno == EAGAIN) {
                        break;
                } else if (errno != EINTR) {
                        stream->links->links.send_errors++;
                        done = stream->n_out;
                }
        }
        memmove(stream->out, stream->out + done, stream->n_out - done);
        stream->n_out -= done;
}

static void stream_send(struct links *links, uint32_t link, const uint8_t *datagram, size_t n)
{
        struct stream_links *self = (struct stream_links *)links;
        struct stream *stream = &self->streams[link];

        if (stream->n_out + n + FRAME_HEAD_MAX > BUFFER)
                write_out(stream);
        if (stream->n_out + n + FRAME_HEAD_MAX > BUFFER || datagram[1] == 0) {
                links->send_errors += datagram[1] != 0; /* empty messages have no place in a stream */
                return;
        }
        stream->n_out += (self->websocket ? message_to_frame
                                          : message_to_stream)(datagram, n, stream->out + stream->n_out);
}

static void stream_flush(struct links *links)
{
        struct stream_links *self = (struct stream_links *)links;

        for (uint32_t i = 0; i < links->n; i++)
                if (self->streams[i].n_out)
                        write_out(&self->streams[i]);
}

/* --- in --- */

/* Like message_read_stream(), for one frame of the server (never masked, never in pieces here). */
static int64_t read_frame(const uint8_t *p, size_t n, struct message *ret)
{
        size_t head = 2, length;

        if (n < 2)
                return 0;
        length = p[1];
        if (length >= FRAME_LENGTH_16) {
                if (length > FRAME_LENGTH_16)
                        return -EBADMSG;
                if (n < 4)
                        return 0;
                length = (size_t)p[2] << 8 | p[3];
                head = 4;
        }
        if (n < head + length)
                return 0;
        *ret = (struct message){ .type = MESSAGE_ACK };
        if ((p[0] & 15) == 2 && message_read_frame(p + head, length, ret) < 0)
                return -EBADMSG;
        return (int64_t)(head + length);
}

static void take_messages(struct stream *stream)
{
        struct stream_links *self = stream->links;
        size_t at = 0;

        while (at < stream->n_in) {
                struct message message;
                int64_t n = (self->websocket ? read_frame : message_read_stream)(stream->in + at,
                                                                                 stream->n_in - at, &message);

                if (n < 0) {
                        self->links.bad_messages++;
                        at = stream->n_in;
                        break;
                }
                if (n == 0)
                        break;
                at += (size_t)n;
                if (message.code >> 5 != 7)
                        self->links.receive(self->links.user, stream->link, &message);
        }
        memmove(stream->in, stream->in + at, stream->n_in - at);
        stream->n_in -= at;
}

static void stream_ready(struct source *source)
{
        struct stream *stream = (struct stream *)source;
        ssize_t n = recv(source->fd, stream->in + stream->n_in, BUFFER - stream->n_in, MSG_DONTWAIT);

        if (n > 0) {
                stream->n_in += (size_t)n;
                take_messages(stream);
        } else if (n == 0) {
                /* The server hung up: its requests will time out and show as lost. */
                stream->links->links.bad_messages++;
                close(source->fd);
                source->fd = -1;
        }
}

/* --- connections --- */

static int upgrade(int fd, const char *host, struct stream *stream)
{
        char text[512];
        int n = snprintf(text, sizeof(text),
                         "GET /.well-known/coap HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                         "Sec-WebSocket-Protocol: coap\r\nSec-WebSocket-Version: 13\r\n\r\n",
                         host);
        const char *end = NULL;

        if (send(fd, text, (size_t)n, MSG_NOSIGNAL) != n)
                return -EIO;
        while (!end) {
                ssize_t got = recv(fd, stream->in + stream->n_in, BUFFER - stream->n_in, 0);

                if (got <= 0)
                        return -EPROTO;
                stream->n_in += (size_t)got;
                end = memmem(stream->in, stream->n_in, "\r\n\r\n", 4);
        }
        if (stream->n_in < 12 || memcmp(stream->in + 9, "101", 3) != 0)
                return -EPROTO;
        stream->n_in -= (size_t)(end + 4 - (const char *)stream->in);
        memmove(stream->in, end + 4, stream->n_in);
        return 0;
}

/* Our CSM, with a Max-Message-Size of 1152: libcoap drops WebSocket messages of two bytes, as an empty one
 * would be. */
static void put_csm(struct stream *stream)
{
        static const uint8_t csm[] = { 0x40, CSM, 0, 0, 0x22, 0x04, 0x80 };

        stream_send(&stream->links->links, stream->link, csm, sizeof(csm));
}

static int connect_stream(struct stream *stream, const struct links_setup *setup)
{
        int on = 1, r = 0;
        struct timeval limit = { .tv_sec = HANDSHAKE_SECONDS };
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        stream->source = (struct source){ .ready = stream_ready, .fd = fd };
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        if (connect(fd, (const struct sockaddr *)&setup->server, sizeof(setup->server)) < 0)
                return -errno;
        if (stream->links->websocket)
                r = upgrade(fd, setup->host, stream);
        if (r < 0)
                return r;
        put_csm(stream);
        write_out(stream);
        return loop_add(setup->loop, &stream->source, setup->urgent);
}

static void stream_close(struct links *links)
{
        struct stream_links *self = (struct stream_links *)links;

        for (uint32_t i = 0; i < links->n; i++)
                if (self->streams[i].source.fd >= 0)
                        close(self->streams[i].source.fd);
        free(self);
}

static int open_all(const struct links_setup *setup, bool websocket, struct links **ret)
{
        static const struct links_ops ops = { stream_send, stream_flush, NULL, stream_close };
        struct stream_links *self = calloc(1, sizeof(*self) + setup->n * sizeof(self->streams[0]));
        int r = self ? raise_file_limit(setup->n) : -ENOMEM;

        for (uint32_t i = 0; self && i < setup->n; i++) {
                self->streams[i].source.fd = -1;
                self->streams[i].links = self;
                self->streams[i].link = i;
        }
        if (self) {
                self->links = (struct links){ .ops = &ops, .loop = setup->loop, .n = setup->n };
                self->websocket = websocket;
        }
        for (uint32_t i = 0; r == 0 && i < setup->n; i++)
                r = connect_stream(&self->streams[i], setup);
        if (r < 0) {
                fprintf(stderr, "load: cannot connect: %s\n", strerror(-r));
                if (self)
                        stream_close(&self->links);
                return r;
        }
        *ret = &self->links;
        return 0;
}

int tcp_open(const struct links_setup *setup, struct links **ret)
{
        return open_all(setup, false, ret);
}

int websocket_open(const struct links_setup *setup, struct links **ret)
{
        return open_all(setup, true, ret);
}
