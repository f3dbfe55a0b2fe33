/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The floor: what a server costs that does nothing. One datagram per epoll_wait(), recvmsg() and sendmsg(),
 * sent back as it came but for the type (ACK) and the code (2.05), so that the load generator takes it for an
 * answer. With --batch, up to 64 datagrams per recvmmsg() and sendmmsg(): the floor of a server that batches.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 1500, RECEIVE_BUFFER = 4 << 20, ACK_WITH_TOKEN = 0x60, CODE_CONTENT = 0x45 };

static struct sockaddr_storage peers[BATCH];
static uint8_t data[BATCH][SIZE];

static bool to_answer(uint8_t *p, size_t n)
{
        if (n < 4 || p[1] == 0)
                return false;
        p[0] = (uint8_t)(ACK_WITH_TOKEN | (p[0] & 15));
        p[1] = CODE_CONTENT;
        return true;
}

static void serve_one(int fd)
{
        struct iovec piece = { data[0], SIZE };
        struct msghdr header = {
                .msg_name = &peers[0], .msg_namelen = sizeof(peers[0]), .msg_iov = &piece, .msg_iovlen = 1
        };
        ssize_t n = recvmsg(fd, &header, 0);

        if (n <= 0 || !to_answer(data[0], (size_t)n))
                return;
        piece.iov_len = (size_t)n;
        if (sendmsg(fd, &header, 0) < 0)
                perror("echo: sendmsg");
}

static void serve_batch(int fd)
{
        struct mmsghdr headers[BATCH];
        struct iovec pieces[BATCH];
        int kept = 0;

        for (unsigned i = 0; i < BATCH; i++) {
                pieces[i] = (struct iovec){ data[i], SIZE };
                headers[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i],
                                                      .msg_namelen = sizeof(peers[i]),
                                                      .msg_iov = &pieces[i],
                                                      .msg_iovlen = 1 };
        }
        int n = recvmmsg(fd, headers, BATCH, MSG_DONTWAIT, NULL);

        for (int i = 0; i < n; i++) {
                if (!to_answer(data[i], headers[i].msg_len))
                        continue;
                pieces[i].iov_len = headers[i].msg_len;
                headers[kept++] = headers[i];
        }
        if (kept && sendmmsg(fd, headers, (unsigned)kept, 0) < 0)
                perror("echo: sendmmsg");
}

static int open_socket(uint16_t port)
{
        struct sockaddr_in at = { .sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), size = RECEIVE_BUFFER;

        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
                close(fd);
                return -1;
        }
        return fd;
}

int main(int argc, char **argv)
{
        bool batch = argc > 2 && strcmp(argv[2], "--batch") == 0;
        int fd = argc > 1 ? open_socket((uint16_t)atoi(argv[1])) : -1;
        int epoll = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event event = { .events = EPOLLIN };

        if (fd < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
                fprintf(stderr, "usage: echo PORT [--batch]: %s\n", strerror(errno));
                return 2;
        }
        while (epoll_wait(epoll, &event, 1, -1) >= 0 || errno == EINTR) {
                if (batch)
                        serve_batch(fd);
                else
                        serve_one(fd);
        }
        return EXIT_FAILURE;
}
