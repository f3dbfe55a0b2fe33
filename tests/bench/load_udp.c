/* SPDX-License-Identifier: BSD-2-Clause */
/* UDP links, by port or by address: see load_udp.h and load_links.h. */
#include "load_udp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>

#include "base/util.h"

/* Below the size of the default range of ephemeral ports: beyond that the next source address is taken. */
enum { PORTS_PER_ADDRESS = 20000, FIRST_ADDRESS = 0x7f010001, BIG_BUFFER = 8 << 20, FEW = 64 };

struct udp_source {
        struct source source; /* first */
        struct udp_links *links;
        uint32_t link;
};

struct udp_links {
        struct links links; /* first */
        uint32_t n_sources;
        bool by_address;
        unsigned batch;
        in_addr_t first_address; /* host order */
        struct outbox out;
        struct mmsghdr headers[BATCH];
        struct iovec pieces[BATCH];
        uint8_t data[BATCH][DATAGRAM_MAX];
        uint8_t control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct udp_source sources[];
};

/* --- out --- */

static void set_source(struct msghdr *header, uint8_t *control, in_addr_t from)
{
        header->msg_control = control;
        header->msg_controllen = CMSG_SPACE(sizeof(struct in_pktinfo));

        struct cmsghdr *cmsg = CMSG_FIRSTHDR(header);
        struct in_pktinfo info = { .ipi_spec_dst.s_addr = from };

        cmsg->cmsg_level = IPPROTO_IP;
        cmsg->cmsg_type = IP_PKTINFO;
        cmsg->cmsg_len = CMSG_LEN(sizeof(info));
        memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
}

/*
 * Requests of one length from one source leave as one segmented datagram: the kernel cuts it (UDP_SEGMENT) on
 * its way to the server, which still gets one datagram each. It halves what the generator pays for a request.
 */
static bool flush_segmented(struct outbox *self)
{
        struct iovec pieces[BATCH];
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = { 0 };
        struct msghdr header = { .msg_iov = pieces,
                                 .msg_iovlen = self->n,
                                 .msg_control = control,
                                 .msg_controllen = sizeof(control) };
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

        if (self->n < 2 || self->addressed || self->no_segments)
                return false;
        for (unsigned i = 0; i < self->n; i++) {
                if (self->length[i] != self->length[0])
                        return false;
                pieces[i] = (struct iovec){ self->data[i], self->length[i] };
        }
        cmsg->cmsg_level = IPPROTO_UDP;
        cmsg->cmsg_type = UDP_SEGMENT;
        cmsg->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        memcpy(CMSG_DATA(cmsg), &self->length[0], sizeof(uint16_t));
        if (sendmsg(self->fd, &header, 0) > 0)
                return true;
        self->no_segments = errno == EINVAL || errno == EIO || errno == EMSGSIZE || errno == ENOPROTOOPT;
        return false;
}

void outbox_flush(struct outbox *self)
{
        if (flush_segmented(self)) {
                self->n = 0;
                return;
        }

        struct mmsghdr headers[BATCH];
        struct iovec pieces[BATCH];
        _Alignas(struct cmsghdr) uint8_t control[BATCH][CMSG_SPACE(sizeof(struct in_pktinfo))];
        unsigned n = self->n, done = 0;

        for (unsigned i = 0; i < n; i++) {
                pieces[i] = (struct iovec){ self->data[i], self->length[i] };
                headers[i].msg_hdr = (struct msghdr){ .msg_iov = &pieces[i], .msg_iovlen = 1 };
                if (self->addressed) {
                        headers[i].msg_hdr.msg_name = &self->to;
                        headers[i].msg_hdr.msg_namelen = sizeof(self->to);
                        set_source(&headers[i].msg_hdr, control[i], self->from[i]);
                }
        }
        self->n = 0;
        while (done < n) {
                int sent = sendmmsg(self->fd, headers + done, n - done, 0);

                if (sent > 0) {
                        done += (unsigned)sent;
                } else if (errno != EINTR) {
                        /* ECONNREFUSED tells of an earlier datagram, and is cleared by being told. */
                        self->errors++;
                        done++;
                }
        }
}

void outbox_put(struct outbox *self, int fd, in_addr_t from, const uint8_t *datagram, size_t n)
{
        if (self->n && (self->fd != fd || self->n == BATCH))
                outbox_flush(self);
        if (n > DATAGRAM_MAX) {
                self->errors++;
                return;
        }
        self->fd = fd;
        self->from[self->n] = from;
        self->length[self->n] = (uint16_t)n;
        memcpy(self->data[self->n], datagram, n);
        self->n++;
}

static in_addr_t address_of(const struct udp_links *self, uint32_t link)
{
        return htonl(self->first_address + link);
}

static void udp_send(struct links *links, uint32_t link, const uint8_t *datagram, size_t n)
{
        struct udp_links *self = (struct udp_links *)links;

        if (self->by_address)
                outbox_put(&self->out, self->sources[0].source.fd, address_of(self, link), datagram, n);
        else
                outbox_put(&self->out, self->sources[link].source.fd, 0, datagram, n);
}

static void udp_flush(struct links *links)
{
        struct udp_links *self = (struct udp_links *)links;

        outbox_flush(&self->out);
        links->send_errors = self->out.errors;
}

/* --- in --- */

/* Which link a datagram is for, when all share a socket: our address that it was sent to. */
static int64_t link_of(const struct udp_links *self, struct msghdr *header)
{
        for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg; cmsg = CMSG_NXTHDR(header, cmsg)) {
                if (cmsg->cmsg_level == IPPROTO_IP && cmsg->cmsg_type == IP_PKTINFO) {
                        struct in_pktinfo info;

                        memcpy(&info, CMSG_DATA(cmsg), sizeof(info));
                        return (int64_t)ntohl(info.ipi_addr.s_addr) - self->first_address;
                }
        }
        return -1;
}

static int receive_batch(struct udp_links *self, int fd)
{
        for (unsigned i = 0; i < self->batch; i++) {
                self->pieces[i] = (struct iovec){ self->data[i], DATAGRAM_MAX };
                self->headers[i].msg_hdr = (struct msghdr){
                        .msg_iov = &self->pieces[i],
                        .msg_iovlen = 1,
                        .msg_control = self->by_address ? self->control[i] : NULL,
                        .msg_controllen = self->by_address ? sizeof(self->control[i]) : 0,
                };
        }
        return recvmmsg(fd, self->headers, self->batch, MSG_DONTWAIT, NULL);
}

static void udp_ready(struct source *source)
{
        struct udp_source *from = (struct udp_source *)source;
        struct udp_links *self = from->links;
        int n = receive_batch(self, source->fd);

        for (int i = 0; i < n; i++) {
                struct message message;
                int64_t link = self->by_address ? link_of(self, &self->headers[i].msg_hdr) : from->link;

                if (link < 0 || link >= self->links.n ||
                    message_read(self->data[i], self->headers[i].msg_len, &message) < 0)
                        self->links.bad_messages++;
                else
                        self->links.receive(self->links.user, (uint32_t)link, &message);
        }
}

/* --- sockets --- */

int raise_file_limit(uint32_t needed)
{
        struct rlimit limit;

        needed += 64;
        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -errno;
        if (limit.rlim_cur >= needed)
                return 0;
        limit.rlim_cur = needed;
        if (limit.rlim_max < needed)
                limit.rlim_max = needed; /* root may */
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

uint64_t udp_drops(int fd)
{
        uint32_t info[SK_MEMINFO_VARS] = { 0 };
        socklen_t n = sizeof(info);

        return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &n) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

static void enlarge_buffers(int fd)
{
        int size = BIG_BUFFER;

        if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
                setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
        if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
                setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

int udp_connect(const struct links_setup *setup, uint32_t link, bool alone, int *ret_fd)
{
        CLEANUP(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_in from = {
                .sin_family = AF_INET,
                .sin_addr.s_addr = htonl(INADDR_LOOPBACK + (setup->first + link) / PORTS_PER_ADDRESS * 256),
        };

        if (fd < 0)
                return -errno;
        if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
            connect(fd, (const struct sockaddr *)&setup->server, sizeof(setup->server)) < 0)
                return -errno;
        if (alone)
                enlarge_buffers(fd);
        *ret_fd = fd;
        fd = -1;
        return 0;
}

static int open_shared(int *ret_fd)
{
        CLEANUP(closep) int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        struct sockaddr_in any = { .sin_family = AF_INET };
        int on = 1;

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0 ||
            bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0)
                return -errno;
        enlarge_buffers(fd);
        *ret_fd = fd;
        fd = -1;
        return 0;
}

static uint64_t udp_count_drops(struct links *links)
{
        struct udp_links *self = (struct udp_links *)links;
        uint64_t sum = 0;

        for (uint32_t i = 0; i < self->n_sources; i++)
                sum += udp_drops(self->sources[i].source.fd);
        return sum;
}

static void udp_close(struct links *links)
{
        struct udp_links *self = (struct udp_links *)links;

        for (uint32_t i = 0; i < self->n_sources; i++)
                if (self->sources[i].source.fd >= 0)
                        close(self->sources[i].source.fd);
        free(self);
}

static int udp_open_sources(struct udp_links *self, const struct links_setup *setup)
{
        for (uint32_t i = 0; i < self->n_sources; i++) {
                struct udp_source *source = &self->sources[i];
                int r = self->by_address ? open_shared(&source->source.fd)
                                         : udp_connect(setup, i, setup->n <= FEW, &source->source.fd);

                if (r < 0)
                        return r;
                source->source.ready = udp_ready;
                source->links = self;
                source->link = i;
                r = loop_add(setup->loop, &source->source, setup->urgent);
                if (r < 0)
                        return r;
        }
        return 0;
}

int udp_open(const struct links_setup *setup, struct links **ret)
{
        static const struct links_ops ops = { udp_send, udp_flush, udp_count_drops, udp_close };
        uint32_t n_sources = setup->by_address ? 1 : setup->n;
        struct udp_links *self = calloc(1, sizeof(*self) + n_sources * sizeof(self->sources[0]));
        int r = self ? raise_file_limit(n_sources) : -ENOMEM;

        if (r == 0) {
                self->links = (struct links){ .ops = &ops, .loop = setup->loop, .n = setup->n };
                self->n_sources = n_sources;
                self->by_address = setup->by_address;
                self->first_address = FIRST_ADDRESS + setup->first;
                self->batch = setup->by_address || setup->n <= FEW ? BATCH : 4;
                self->out.addressed = setup->by_address;
                self->out.to = setup->server;
                for (uint32_t i = 0; i < n_sources; i++)
                        self->sources[i].source.fd = -1;
                r = udp_open_sources(self, setup);
        }
        if (r < 0) {
                fprintf(stderr, "load: cannot open %u sockets: %s%s\n", n_sources, strerror(-r),
                        r == -EPERM ? " (the limit of open files; by address one is enough)" : "");
                if (self)
                        udp_close(&self->links);
                return r;
        }
        *ret = &self->links;
        return 0;
}
