/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor: what a server costs that does nothing. One datagram per epoll_wait(), recvmsg() and sendmsg(),
 * sent back as it came but for the type (ACK) and the code (2.05), so that the load generator takes it for an
 * answer. With --batch, up to 64 datagrams per recvmmsg() and sendmmsg(): the floor of a server that batches. --tcp,
 * --ws and --dtls are the floors of those transports.
 */
#include "echo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVE_BUFFER = 4 << 20, ACK_WITH_TOKEN = 0x60 };

bool echo_answer(uint8_t *p, size_t n)
{
        if (n < 4 || p[1] == 0)
                return false;
        p[0] = (uint8_t)(ACK_WITH_TOKEN | (p[0] & 15));
        p[1] = CODE_CONTENT;
        return true;
}

static void serve_one(int fd)
{
        static uint8_t data[ECHO_SIZE];
        struct sockaddr_in peer;
        struct iovec piece = { data, sizeof(data) };
        struct msghdr header = {
                .msg_name = &peer, .msg_namelen = sizeof(peer), .msg_iov = &piece, .msg_iovlen = 1
        };
        ssize_t n = recvmsg(fd, &header, 0);

        if (n <= 0 || !echo_answer(data, (size_t)n))
                return;
        piece.iov_len = (size_t)n;
        if (sendmsg(fd, &header, 0) < 0)
                perror("echo: sendmsg");
}

int echo_receive(int fd, struct echo_batch *batch)
{
        for (unsigned i = 0; i < ECHO_BATCH; i++) {
                batch->pieces[i] = (struct iovec){ batch->data[i], ECHO_SIZE };
                batch->headers[i].msg_hdr = (struct msghdr){ .msg_name = &batch->peers[i],
                                                             .msg_namelen = sizeof(batch->peers[i]),
                                                             .msg_iov = &batch->pieces[i],
                                                             .msg_iovlen = 1 };
        }
        return recvmmsg(fd, batch->headers, ECHO_BATCH, MSG_DONTWAIT, NULL);
}

static void serve_batch(int fd)
{
        static struct echo_batch batch;
        int n = echo_receive(fd, &batch), kept = 0;

        for (int i = 0; i < n; i++) {
                if (!echo_answer(batch.data[i], batch.headers[i].msg_len))
                        continue;
                batch.pieces[i].iov_len = batch.headers[i].msg_len;
                batch.headers[kept++] = batch.headers[i];
        }
        if (kept && sendmmsg(fd, batch.headers, (unsigned)kept, 0) < 0)
                perror("echo: sendmmsg");
}

int echo_bind(int type, uint16_t port)
{
        struct sockaddr_in at = { .sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = RECEIVE_BUFFER, on = 1;

        if (fd < 0)
                return -1;
        if (type == SOCK_DGRAM)
                setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        else
                setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
            (type == SOCK_STREAM && listen(fd, 1024) < 0)) {
                close(fd);
                return -1;
        }
        return fd;
}

static void echo_udp(int fd, void (*serve)(int fd))
{
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN };

        if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
                perror("echo: epoll");
                return;
        }
        while (epoll_wait(epoll, &event, 1, -1) >= 0 || errno == EINTR)
                serve(fd);
}

int main(int argc, char **argv)
{
        const char *how = argc > 2 ? argv[2] : "";
        bool tcp = strcmp(how, "--tcp") == 0, ws = strcmp(how, "--ws") == 0,
             dtls = strcmp(how, "--dtls") == 0 && argc > 3;
        int fd = argc > 1 ? echo_bind(tcp || ws ? SOCK_STREAM : SOCK_DGRAM, (uint16_t)atoi(argv[1])) : -1;

        if (fd < 0) {
                fprintf(stderr, "usage: echo PORT [--batch | --tcp | --ws | --dtls KEY]: %s\n",
                        strerror(errno));
                return 2;
        }
        puts("ready");
        fflush(stdout);
        if (tcp || ws)
                echo_stream(fd, ws ? echo_answer_ws : echo_answer_tcp);
        else if (dtls)
                echo_dtls(fd, argv[3]);
        else
                echo_udp(fd, strcmp(how, "--batch") == 0 ? serve_batch : serve_one);
        return EXIT_FAILURE;
}
