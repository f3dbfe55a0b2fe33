/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor of CoAP over TCP (RFC 8323): one recv() and one send() for what waits at a connection, each message in it
 * sent back with the code 2.05. Messages of signalling (class 7) are dropped.
 */
#include "echo.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAM_SIZE = 65536, CLASS_SIGNAL = 7 };

struct stream {
        int fd;
        size_t (*answer)(uint8_t *bytes, size_t n, size_t *ret_taken);
        size_t n;
        uint8_t bytes[STREAM_SIZE];
};

/* How long the message is, and where its code; 0: not all of it is there. */
static size_t measure(const uint8_t *p, size_t n, size_t *ret_code)
{
        static const size_t offset[] = { 0, 13, 269, 65805 };
        size_t field = n > 0 ? p[0] >> 4 : 0;
        size_t extended = field < 13 ? 0 : (size_t)1 << (field - 13);
        size_t length = field < 13 ? field : offset[field - 12];
        size_t more = 0;

        if (n < 2 + extended)
                return 0;
        for (size_t i = 0; i < extended; i++)
                more = more << 8 | p[1 + i];
        length += more + 2 + extended + (p[0] & 15);
        *ret_code = 1 + extended;
        return length <= n ? length : 0;
}

size_t echo_answer_tcp(uint8_t *bytes, size_t n, size_t *ret_taken)
{
        size_t at = 0, kept = 0, code, length;

        while ((length = measure(bytes + at, n - at, &code)) > 0) {
                if (bytes[at + code] >> 5 != CLASS_SIGNAL) {
                        bytes[at + code] = CODE_CONTENT;
                        if (kept < at)
                                memmove(bytes + kept, bytes + at, length);
                        kept += length;
                }
                at += length;
        }
        *ret_taken = at;
        return kept;
}

static void serve(struct stream *stream)
{
        ssize_t n = recv(stream->fd, stream->bytes + stream->n, STREAM_SIZE - stream->n, 0);
        size_t taken, answers;

        if (n <= 0) {
                if (n == 0 || errno != EAGAIN) {
                        close(stream->fd);
                        free(stream);
                }
                return;
        }
        stream->n += (size_t)n;
        answers = stream->answer(stream->bytes, stream->n, &taken);
        if (answers > 0 && send(stream->fd, stream->bytes, answers, MSG_NOSIGNAL) != (ssize_t)answers)
                perror("echo: send");
        stream->n -= taken;
        memmove(stream->bytes, stream->bytes + taken, stream->n);
}

static void welcome(int epoll, int listener, size_t (*answer)(uint8_t *bytes, size_t n, size_t *ret_taken))
{
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;
        struct stream *stream = fd >= 0 ? malloc(sizeof *stream) : NULL;
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = stream };

        if (!stream) {
                if (fd >= 0)
                        close(fd);
                return;
        }
        stream->fd = fd;
        stream->answer = answer;
        stream->n = 0;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

void echo_stream(int fd, size_t (*answer)(uint8_t *bytes, size_t n, size_t *ret_taken))
{
        int epoll = epoll_create1(EPOLL_CLOEXEC), n = 0;
        struct epoll_event events[ECHO_BATCH] = { { .events = EPOLLIN } };

        if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, events) < 0) {
                perror("echo: epoll");
                return;
        }
        while (n >= 0 || errno == EINTR) {
                n = epoll_wait(epoll, events, ECHO_BATCH, -1);
                for (int i = 0; i < n; i++) {
                        if (events[i].data.ptr)
                                serve(events[i].data.ptr);
                        else
                                welcome(epoll, fd, answer);
                }
        }
}
