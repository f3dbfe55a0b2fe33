/* SPDX-License-Identifier: BSD-2-Clause */
/* Batches of datagrams over real sockets: order, addresses, what does not fit, what the kernel refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"
#include "endpoints/datagrams.h"

struct received {
        struct sockaddr_in6 from;
        uint8_t text[1472];
        size_t n;
        int flags;
        int level, type; /* of the one control message */
        uint8_t info[64];
};

static int new_socket(int family)
{
        struct sockaddr_in four = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK, 0);

        assert_int_equal(bind(fd, family == AF_INET ? (void *)&four : (void *)&six,
                              family == AF_INET ? sizeof four : sizeof six),
                         0);
        return fd;
}

static uint16_t port_of(int fd)
{
        struct sockaddr_in6 a;

        getsockname(fd, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        return a.sin6_port;
}

static struct sockaddr_in address_of(int fd)
{
        return (struct sockaddr_in){
                .sin_family = AF_INET,
                .sin_port = port_of(fd),
                .sin_addr = { htonl(INADDR_LOOPBACK) },
        };
}

/* As libcoap does it: the buffer holds one packet info and no more. */
static struct received take(struct inbox *inbox)
{
        struct received got = { .n = 0 };
        uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        struct iovec piece = { got.text, sizeof got.text };
        struct msghdr m = {
                .msg_name = &got.from,
                .msg_namelen = sizeof got.from,
                .msg_iov = &piece,
                .msg_iovlen = 1,
                .msg_control = control,
                .msg_controllen = sizeof control,
        };

        got.n = inbox_take(inbox, &m);
        got.flags = m.msg_flags;
        if (CMSG_FIRSTHDR(&m)) {
                struct cmsghdr *c = CMSG_FIRSTHDR(&m);

                got.level = c->cmsg_level;
                got.type = c->cmsg_type;
                memcpy(got.info, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
                assert_null(CMSG_NXTHDR(&m, c));
        }
        return got;
}

static void put(struct outbox *outbox, const struct sockaddr_in *to, const char *text)
{
        struct iovec piece = { (void *)text, strlen(text) };
        struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };

        m.msg_name = (void *)to;
        m.msg_namelen = to ? sizeof *to : 0;
        assert_true(outbox_put(outbox, &m));
}

static void gives_out_in_order(void **state)
{
        struct inbox *inbox = inbox_new(0);
        int in = new_socket(AF_INET), out = new_socket(AF_INET);
        struct sockaddr_in to = address_of(in);

        (void)state;
        assert_int_equal(inbox_fill(inbox, in, INBOX_MOST), 0);
        assert_true(inbox_is_empty(inbox));
        for (int i = 0; i < 100; i++) {
                char text[12];

                snprintf(text, sizeof text, "%d", i);
                sendto(out, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to);
        }
        assert_int_equal(inbox_fill(inbox, in, 10), 10);
        for (int i = 0; i < 100; i++) {
                struct received got;

                if (inbox_is_empty(inbox))
                        assert_int_equal(inbox_fill(inbox, in, 1000), i == 10 ? 64 : 26);
                got = take(inbox);
                assert_int_equal(atoi((char *)got.text), i);
                assert_int_equal(got.from.sin6_port, port_of(out));
                assert_int_equal(got.flags, 0);
        }
        assert_true(inbox_is_empty(inbox));
        inbox_free(inbox);
        close(in);
        close(out);
}

static void tells_where_it_was_sent(void **state)
{
        struct inbox *inbox = inbox_new(0);
        int in = new_socket(AF_INET6), four = new_socket(AF_INET), six = new_socket(AF_INET6);
        struct sockaddr_in to4 = address_of(in);
        struct sockaddr_in6 to6 = { .sin6_family = AF_INET6,
                                    .sin6_port = port_of(in),
                                    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        struct received got;
        struct in6_pktinfo info;

        (void)state;
        setsockopt(in, IPPROTO_IP, IP_PKTINFO, &(int){ 1 }, sizeof(int));
        setsockopt(in, IPPROTO_IPV6, IPV6_RECVPKTINFO, &(int){ 1 }, sizeof(int));
        inet_pton(AF_INET, "127.0.0.5", &to4.sin_addr);
        sendto(four, "4", 1, 0, (struct sockaddr *)&to4, sizeof to4);
        sendto(six, "6", 1, 0, (struct sockaddr *)&to6, sizeof to6);
        assert_int_equal(inbox_fill(inbox, in, INBOX_MOST), 2);

        got = take(inbox);
        assert_int_equal(got.level, IPPROTO_IPV6);
        assert_int_equal(got.type, IPV6_PKTINFO);
        memcpy(&info, got.info, sizeof info);
        assert_true(IN6_IS_ADDR_V4MAPPED(&info.ipi6_addr));
        assert_int_equal(info.ipi6_addr.s6_addr[15], 5);
        got = take(inbox);
        memcpy(&info, got.info, sizeof info);
        assert_true(IN6_IS_ADDR_LOOPBACK(&info.ipi6_addr));
        inbox_free(inbox);
        close(in);
        close(four);
        close(six);
}

static void marks_what_was_cut(void **state)
{
        static const size_t sizes[] = { 1472, 1473, 1536, 1537, 9000, 0, 1 };
        static uint8_t bytes[9000];
        struct inbox *inbox = inbox_new(0);
        int in = new_socket(AF_INET), out = new_socket(AF_INET);
        struct sockaddr_in to = address_of(in);

        (void)state;
        for (int again = 0; again < 2; again++) {
                for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
                        sendto(out, bytes, sizes[i], 0, (struct sockaddr *)&to, sizeof to);
                assert_int_equal(inbox_fill(inbox, in, INBOX_MOST), ARRAY_LEN(sizes));
                for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
                        struct received got = take(inbox);

                        assert_int_equal(got.n, MIN(sizes[i], 1472));
                        assert_int_equal(got.flags, sizes[i] > 1472 ? MSG_TRUNC : 0);
                }
        }
        inbox_free(inbox);
        close(in);
        close(out);
}

static void counts_what_the_kernel_dropped(void **state)
{
        struct inbox *inbox = inbox_new(0);
        int in = new_socket(AF_INET), out = new_socket(AF_INET);
        struct sockaddr_in to = address_of(in);
        unsigned got = 0;

        (void)state;
        setsockopt(in, SOL_SOCKET, SO_RXQ_OVFL, &(int){ 1 }, sizeof(int));
        setsockopt(in, SOL_SOCKET, SO_RCVBUF, &(int){ 1 }, sizeof(int));
        for (int i = 0; i < 50; i++)
                sendto(out, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
        while (inbox_fill(inbox, in, INBOX_MOST) > 0) {
                while (!inbox_is_empty(inbox)) {
                        take(inbox);
                        got++;
                }
        }
        assert_in_range(got, 1, 49);
        /* The count comes with the first datagram that was let in again. */
        sendto(out, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
        assert_int_equal(inbox_fill(inbox, in, 1), 1);
        take(inbox);
        assert_int_equal(inbox_overflows(inbox), 50 - got);
        inbox_free(inbox);
        close(in);
        close(out);
}

static void refused_unexpected(void *userdata, const struct msghdr *message, int error)
{
        (void)userdata, (void)message;
        fail_msg("refused: %s", strerror(error));
}

static void sends_in_order(void **state)
{
        struct outbox *outbox = outbox_new();
        struct inbox *inbox = inbox_new(0);
        int out = new_socket(AF_INET), in[2] = { new_socket(AF_INET), new_socket(AF_INET) };
        struct sockaddr_in to[2] = { address_of(in[0]), address_of(in[1]) };
        bool blocked;

        (void)state;
        for (int i = 0; i < 50; i++) {
                char text[12];

                snprintf(text, sizeof text, "%d", i);
                put(outbox, &to[i % 2], text);
        }
        assert_false(outbox_is_empty(outbox));
        assert_int_equal(outbox_flush(outbox, out, refused_unexpected, NULL, &blocked), 50);
        assert_false(blocked);
        assert_true(outbox_is_empty(outbox));
        for (int k = 0; k < 2; k++) {
                assert_int_equal(inbox_fill(inbox, in[k], INBOX_MOST), 25);
                for (int i = 0; i < 25; i++)
                        assert_int_equal(atoi((char *)take(inbox).text), 2 * i + k);
                close(in[k]);
        }
        close(out);
        outbox_free(outbox);
        inbox_free(inbox);
}

/* Whatever is between them. */
static void keeps_the_order_to_each_of_many(void **state)
{
        enum { PEERS = 24, ROUNDS = 50 };
        struct outbox *outbox = outbox_new();
        struct inbox *inbox = inbox_new(0);
        int out = new_socket(AF_INET), in[PEERS], sent[PEERS] = { 0 }, got[PEERS] = { 0 };
        unsigned seed = 1;
        bool blocked;

        (void)state;
        for (int k = 0; k < PEERS; k++)
                in[k] = new_socket(AF_INET);
        for (int round = 0; round < ROUNDS; round++) {
                for (int i = 0; i < OUTBOX_MOST; i++) {
                        int k = rand_r(&seed) % PEERS;
                        struct sockaddr_in to = address_of(in[k]);
                        char text[12];

                        snprintf(text, sizeof text, "%0*d", 4 + rand_r(&seed) % 2, sent[k]++);
                        put(outbox, &to, text);
                }
                assert_int_equal(outbox_flush(outbox, out, refused_unexpected, NULL, &blocked), OUTBOX_MOST);
                for (int k = 0; k < PEERS; k++) {
                        for (int n = inbox_fill(inbox, in[k], INBOX_MOST); n > 0; n--)
                                assert_int_equal(atoi((char *)take(inbox).text), got[k]++);
                        assert_int_equal(got[k], sent[k]);
                }
        }
        for (int k = 0; k < PEERS; k++)
                close(in[k]);
        close(out);
        outbox_free(outbox);
        inbox_free(inbox);
}

/* Seen by a receiver that has the kernel leave together what came together. */
static void joins_what_goes_the_same_way(void **state)
{
        struct outbox *outbox = outbox_new();
        int out = new_socket(AF_INET), in[2] = { new_socket(AF_INET), new_socket(AF_INET) };
        struct sockaddr_in to[2] = { address_of(in[0]), address_of(in[1]) };
        char got[64];
        bool blocked;

        (void)state;
        for (int k = 0; k < 2; k++)
                assert_int_equal(setsockopt(in[k], IPPROTO_UDP, UDP_GRO, &(int){ 1 }, sizeof(int)), 0);
        put(outbox, &to[0], "one");
        put(outbox, &to[0], "two");
        put(outbox, &to[0], "3");
        put(outbox, &to[0], "4");
        put(outbox, &to[1], "5");
        put(outbox, &to[0], "6");
        assert_int_equal(outbox_flush(outbox, out, refused_unexpected, NULL, &blocked), 6);
        assert_int_equal(recv(in[0], got, sizeof got, 0), 7);
        assert_memory_equal(got, "onetwo3", 7);
        assert_int_equal(recv(in[0], got, sizeof got, 0), 2);
        assert_memory_equal(got, "46", 2);
        assert_int_equal(recv(in[1], got, sizeof got, 0), 1);
        assert_int_equal(got[0], '5');
        close(in[0]);
        close(in[1]);
        close(out);
        outbox_free(outbox);
}

/* As on the way through a device that cannot do it. */
static void sends_alone_what_the_kernel_does_not_take_joined(void **state)
{
        struct outbox *outbox = outbox_new();
        struct inbox *inbox = inbox_new(0);
        int out = new_socket(AF_INET), in = new_socket(AF_INET);
        struct sockaddr_in to = address_of(in);
        bool blocked;

        (void)state;
        assert_int_equal(setsockopt(out, SOL_SOCKET, SO_NO_CHECK, &(int){ 1 }, sizeof(int)), 0);
        for (int again = 0; again < 2; again++) {
                put(outbox, &to, "1");
                put(outbox, &to, "2");
                put(outbox, &to, "3");
                assert_int_equal(outbox_flush(outbox, out, refused_unexpected, NULL, &blocked), 3);
                assert_int_equal(inbox_fill(inbox, in, INBOX_MOST), 3);
                for (int i = 1; i <= 3; i++)
                        assert_int_equal(atoi((char *)take(inbox).text), i);
        }
        close(in);
        close(out);
        outbox_free(outbox);
        inbox_free(inbox);
}

static void sends_lengths_as_they_are(void **state)
{
        static const size_t lengths[] = { 4,    4,   4, 3,    3,    4,    1232, 1232, 1233, 1233,
                                          1472, 900, 1, 1232, 1232, 1232, 7,    0,    0,    4 };
        static const char bytes[1500];
        struct outbox *outbox = outbox_new();
        struct inbox *inbox = inbox_new(0);
        int out = new_socket(AF_INET6), in = new_socket(AF_INET6);
        struct sockaddr_in6 to = { .sin6_family = AF_INET6,
                                   .sin6_port = port_of(in),
                                   .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        bool blocked;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
                struct iovec piece = { (void *)bytes, lengths[i] };
                struct msghdr m = {
                        .msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &piece, .msg_iovlen = 1
                };

                assert_true(outbox_put(outbox, &m));
        }
        assert_int_equal(outbox_flush(outbox, out, refused_unexpected, NULL, &blocked), ARRAY_LEN(lengths));
        assert_int_equal(inbox_fill(inbox, in, INBOX_MOST), ARRAY_LEN(lengths));
        for (size_t i = 0; i < ARRAY_LEN(lengths); i++)
                assert_int_equal(take(inbox).n, lengths[i]);
        close(in);
        close(out);
        outbox_free(outbox);
        inbox_free(inbox);
}

static void keeps_the_source_address(void **state)
{
        struct outbox *outbox = outbox_new();
        struct inbox *inbox = inbox_new(0);
        int out = new_socket(AF_INET6), in = new_socket(AF_INET);
        struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = port_of(in) };
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct in_pktinfo))] = { 0 };
        struct in_pktinfo info = { .ipi_ifindex = 0 };
        struct iovec piece = { (void *)"x", 1 };
        struct msghdr m = { .msg_name = &to,
                            .msg_namelen = sizeof to,
                            .msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control,
                            .msg_controllen = sizeof control };
        struct received got;
        bool blocked;

        (void)state;
        inet_pton(AF_INET6, "::ffff:127.0.0.1", &to.sin6_addr);
        inet_pton(AF_INET, "127.0.0.9", &info.ipi_spec_dst);
        *(struct cmsghdr *)(void *)control = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof info),
                                                               .cmsg_level = IPPROTO_IP,
                                                               .cmsg_type = IP_PKTINFO };
        memcpy(CMSG_DATA((struct cmsghdr *)(void *)control), &info, sizeof info);
        assert_true(outbox_put(outbox, &m));
        memset(control, 0xff, sizeof control); /* it was copied */
        assert_int_equal(outbox_flush(outbox, out, refused_unexpected, NULL, &blocked), 1);
        assert_int_equal(inbox_fill(inbox, in, 1), 1);
        got = take(inbox);
        assert_int_equal(((struct sockaddr_in *)(void *)&got.from)->sin_addr.s_addr,
                         info.ipi_spec_dst.s_addr);
        close(in);
        close(out);
        outbox_free(outbox);
        inbox_free(inbox);
}

static void has_bounds(void **state)
{
        static uint8_t bytes[70000];
        struct outbox *outbox = outbox_new();
        struct iovec piece = { bytes, 1 };
        struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
        unsigned n = 0;

        (void)state;
        while (outbox_put(outbox, &m))
                n++;
        assert_int_equal(n, OUTBOX_MOST);
        outbox_free(outbox);

        outbox = outbox_new();
        piece.iov_len = 65536;
        assert_true(outbox_put(outbox, &m));
        piece.iov_len = 1;
        assert_false(outbox_put(outbox, &m));
        outbox_free(outbox);

        outbox = outbox_new();
        piece.iov_len = 65537;
        assert_false(outbox_put(outbox, &m));
        outbox_free(outbox);
}

static void on_refused(void *userdata, const struct msghdr *message, int error)
{
        int *calls = userdata;

        assert_int_equal(error, EINVAL);
        assert_int_equal(((const struct sockaddr_in *)message->msg_name)->sin_port, 0);
        ++*calls;
}

static void goes_on_behind_a_refused_one(void **state)
{
        struct outbox *outbox = outbox_new();
        struct inbox *inbox = inbox_new(0);
        int out = new_socket(AF_INET), in = new_socket(AF_INET), calls = 0;
        struct sockaddr_in to = address_of(in), nowhere = to;
        bool blocked;

        (void)state;
        nowhere.sin_port = 0;
        put(outbox, &nowhere, "?");
        put(outbox, &to, "1");
        put(outbox, &nowhere, "?");
        put(outbox, &nowhere, "?");
        put(outbox, &to, "2");
        put(outbox, &nowhere, "?");
        assert_int_equal(outbox_flush(outbox, out, on_refused, &calls, &blocked), 2);
        assert_int_equal(calls, 4);
        assert_false(blocked);
        assert_int_equal(inbox_fill(inbox, in, INBOX_MOST), 2);
        assert_int_equal(take(inbox).text[0], '1');
        assert_int_equal(take(inbox).text[0], '2');
        close(in);
        close(out);
        outbox_free(outbox);
        inbox_free(inbox);
}

static void keeps_what_the_kernel_does_not_take_yet(void **state)
{
        struct outbox *outbox = outbox_new();
        int pair[2], sent = 0;
        bool blocked = false;
        char text[16];

        (void)state;
        /* Over loopback an UDP socket never fills up, since the receiver's drops. A local pair does. */
        assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair), 0);
        for (int i = 0; !blocked; i++) {
                snprintf(text, sizeof text, "%d", i);
                put(outbox, NULL, text);
                if (i % 32 == 31)
                        sent += (int)outbox_flush(outbox, pair[0], refused_unexpected, NULL, &blocked);
        }
        assert_false(outbox_is_empty(outbox));
        for (int i = 0; !outbox_is_empty(outbox) || i < sent; i++) {
                char got[16] = "";

                assert_true(recv(pair[1], got, sizeof got, 0) > 0);
                assert_int_equal(atoi(got), i);
                sent += (int)outbox_flush(outbox, pair[0], refused_unexpected, NULL, &blocked);
        }
        assert_false(blocked);
        assert_int_equal(sent % 32, 0);
        close(pair[0]);
        close(pair[1]);
        outbox_free(outbox);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(gives_out_in_order),
                cmocka_unit_test(tells_where_it_was_sent),
                cmocka_unit_test(marks_what_was_cut),
                cmocka_unit_test(counts_what_the_kernel_dropped),
                cmocka_unit_test(sends_in_order),
                cmocka_unit_test(keeps_the_order_to_each_of_many),
                cmocka_unit_test(joins_what_goes_the_same_way),
                cmocka_unit_test(sends_alone_what_the_kernel_does_not_take_joined),
                cmocka_unit_test(sends_lengths_as_they_are),
                cmocka_unit_test(keeps_the_source_address),
                cmocka_unit_test(has_bounds),
                cmocka_unit_test(goes_on_behind_a_refused_one),
                cmocka_unit_test(keeps_what_the_kernel_does_not_take_yet),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
