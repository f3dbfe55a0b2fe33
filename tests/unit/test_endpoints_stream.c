/* SPDX-License-Identifier: BSD-2-Clause */
/* The stream gate over real sockets: what leaves together, what waits, and what a slow peer costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "base/util.h"
#include "endpoints/sockets.h"
#include "endpoints/stream_gate.h"

struct fixture {
        sd_event *event;
        bool holding;
        struct stream_gate *gate;
        int epoll_fd;
        int listener;
        int near, far; /* the accepted side, and the peer's */
};

/* A listener as libcoap opens one, with the gate behind it. */
static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        struct socket_plan plan = { .type = SOCK_STREAM, .address_size = sizeof a, .kept = -1, .shared = -1 };

        memcpy(&plan.address, &a, sizeof a);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(stream_gate_new(f->event, &f->holding, &f->gate), 0);
        f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        sockets_plan(&plan);
        f->listener = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(f->listener, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(listen(f->listener, 5), 0);
        sockets_plan(NULL);
        epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->listener, &(struct epoll_event){ .data.ptr = f });
        sockets_set_stream_io(f->epoll_fd, stream_gate_io(f->gate));
        getsockname(f->listener, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        f->far = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(f->far, (struct sockaddr *)&a, sizeof a), 0);
        f->near = accept(f->listener, NULL, NULL);
        epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->near, &(struct epoll_event){ .data.ptr = f });
        fcntl(f->near, F_SETFL, O_NONBLOCK);
        fcntl(f->far, F_SETFL, O_NONBLOCK);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        stream_gate_free(f->gate);
        sockets_forget(f->listener);
        close(f->near);
        close(f->far);
        close(f->listener);
        close(f->epoll_fd);
        sd_event_unref(f->event);
        free(f);
        return 0;
}

static unsigned segments_sent(int fd)
{
        struct tcp_info info;

        assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){ sizeof info }), 0);
        return info.tcpi_data_segs_out;
}

static ssize_t write_near(struct fixture *f, const char *text)
{
        return send(f->near, text, strlen(text), MSG_NOSIGNAL);
}

static const char *read_far(struct fixture *f)
{
        static char text[64];
        ssize_t n = recv(f->far, text, sizeof text - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        return text;
}

static void sends_at_once_outside_of_a_turn(void **state)
{
        struct fixture *f = *state;

        assert_int_equal(write_near(f, "one"), 3);
        assert_string_equal(read_far(f), "one");
}

static void gathers_in_a_turn(void **state)
{
        struct fixture *f = *state;

        f->holding = true;
        assert_int_equal(write_near(f, "one"), 3);
        assert_int_equal(write_near(f, "two"), 3);
        assert_string_equal(read_far(f), "");
        stream_gate_flush(f->gate);
        assert_string_equal(read_far(f), "onetwo");
        assert_int_equal(segments_sent(f->near), 1);
        stream_gate_flush(f->gate);
        assert_string_equal(read_far(f), "");
        write_near(f, "three");
        f->holding = false;
        write_near(f, "four");
        assert_string_equal(read_far(f), "threefour");
}

static void keeps_sessions_apart(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in a;
        int far = socket(AF_INET, SOCK_STREAM, 0), near;
        char text[8] = "";

        getsockname(f->listener, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        connect(far, (struct sockaddr *)&a, sizeof a);
        near = accept(f->listener, NULL, NULL);
        f->holding = true;
        write_near(f, "one");
        assert_int_equal(send(near, "other", 5, MSG_NOSIGNAL), 5);
        write_near(f, "two");
        assert_string_equal(read_far(f), "");
        assert_int_equal(recv(far, text, sizeof text, MSG_DONTWAIT), -1);
        stream_gate_flush(f->gate);
        assert_string_equal(read_far(f), "onetwo");
        assert_int_equal(recv(far, text, sizeof text, MSG_DONTWAIT), 5);
        assert_string_equal(text, "other");
        write_near(f, "before another ends");
        close(near);
        assert_string_equal(read_far(f), "before another ends");
        close(far);
}

static void sends_before_it_closes(void **state)
{
        struct fixture *f = *state;

        f->holding = true;
        write_near(f, "last");
        close(f->near);
        assert_string_equal(read_far(f), "last");
        assert_int_equal(recv(f->far, &(char){ 0 }, 1, 0), 0);
        f->near = open("/dev/null", O_RDONLY | O_CLOEXEC); /* the same number, and another thing */
        assert_int_equal(write_near(f, "x"), -1);
        assert_int_equal(errno, ENOTSOCK);
}

/* Numbers in order, so that a hole or a repetition shows. */
static void fill(uint32_t *block, size_t n, uint32_t *next)
{
        for (size_t i = 0; i < n; i++)
                block[i] = (*next)++;
}

static void keeps_a_stream_whole_for_a_slow_peer(void **state)
{
        struct fixture *f = *state;
        static uint32_t block[1000], got[1 << 16];
        uint32_t written = 0, next = 0, read = 0;
        bool blocked = false;
        size_t have = 0;

        f->holding = true;
        fill(block, ARRAY_LEN(block), &next);
        while (!blocked) {
                ssize_t n = send(f->near, block, sizeof block, MSG_NOSIGNAL);

                if (n < 0) {
                        assert_int_equal(errno, EAGAIN);
                        blocked = true;
                        continue;
                }
                assert_int_equal(n, sizeof block);
                written = next;
                fill(block, ARRAY_LEN(block), &next);
        }
        /* Not one byte was taken of the last block. libcoap would come again with it when the socket is
         * ready. */
        stream_gate_flush(f->gate);
        while (read < written) {
                ssize_t n = recv(f->far, (uint8_t *)got + have, sizeof got - have, 0);

                have += n > 0 ? (size_t)n : 0;
                for (size_t i = 0; i < have / 4; i++)
                        assert_int_equal(got[i], read++);
                memmove(got, (uint8_t *)got + have / 4 * 4, have % 4);
                have %= 4;
                /* What the gate kept leaves by itself: nobody writes any more. */
                assert_true(sd_event_run(f->event, n > 0 ? 0 : 1000000) >= 0);
        }
        assert_int_equal(read, written);
        assert_int_equal(have, 0);
        f->holding = false;
        assert_int_equal(write_near(f, "end"), 3);
        while (sd_event_run(f->event, 0) > 0)
                ;
        assert_string_equal(read_far(f), "end");
}

static void note_more(void *owner, int fd, void *tag)
{
        (void)fd, (void)tag;
        ++*(int *)owner;
}

static void ignore_gone(void *owner, int fd, void *tag)
{
        (void)owner, (void)fd, (void)tag;
}

static void ping(int far, int near, const char *payload)
{
        const uint8_t frame[] = { 0x89, 0x81, 0, 0, 0, 0, (uint8_t)payload[0] };
        char got[14];

        assert_int_equal(send(far, frame, sizeof frame, 0), sizeof frame);
        while (recv(near, got, sizeof got, 0) <= 0)
                assert_int_equal(errno, EAGAIN);
}

/* The last Ping's only, when the peer has read what came before: of that the reader is told, and comes back. */
static void a_pong_waits_for_who_is_behind(void **state)
{
        struct fixture *f = *state;
        static char block[10000], got[1 << 16];
        size_t written = 0, read = 0;
        ssize_t n;
        struct sockaddr_in a;
        int more = 0, far = socket(AF_INET, SOCK_STREAM, 0), near;

        stream_gate_set_reader(f->gate, &(struct stream_reader){ NULL, note_more, ignore_gone, &more });
        sockets_set_whole(f->listener);
        sockets_set_websockets(f->listener, NULL);
        getsockname(f->listener, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        connect(far, (struct sockaddr *)&a, sizeof a);
        near = accept(f->listener, NULL, NULL);
        fcntl(near, F_SETFL, O_NONBLOCK);
        fcntl(far, F_SETFL, O_NONBLOCK);
        assert_int_equal(send(far, "GET\r\n\r\n", 7, 0), 7);
        assert_int_equal(recv(near, got, 14, 0), 5);
        assert_int_equal(recv(near, got, 14, 0), 2);
        assert_false(sockets_is_behind(near));
        f->holding = true;
        for (; !sockets_is_behind(near); written += sizeof block)
                assert_int_equal(send(near, block, sizeof block, MSG_NOSIGNAL), sizeof block);
        ping(far, near, "a");
        ping(far, near, "b");
        assert_int_equal(more, 0);
        while (read < written || sockets_is_behind(near)) {
                n = recv(far, got, sizeof got, 0);
                read += n > 0 ? (size_t)n : 0;
                sd_event_run(f->event, 0);
        }
        assert_int_equal(more, 1);
        stream_gate_flush(f->gate);
        assert_int_equal(recv(near, got, 14, 0), -1);
        stream_gate_flush(f->gate);
        read += (size_t)recv(far, got, sizeof got, 0);
        assert_memory_equal(got, "\x8a\1b", 3);
        assert_int_equal(read, written + 3);
        close(near);
        close(far);
}

static void forgets_a_peer_that_never_reads(void **state)
{
        struct fixture *f = *state;
        static char block[10000];

        f->holding = true;
        while (send(f->near, block, sizeof block, MSG_NOSIGNAL) > 0)
                ;
        close(f->near);
        f->near = -1;
        assert_int_equal(sd_event_run(f->event, 0), 0);
}

static bool is_open(int fd)
{
        return fcntl(fd, F_GETFD) >= 0;
}

static void read_behind_the_end(struct fixture *f, bool peer_is_first)
{
        static char block[10000], got[1 << 16];
        size_t written = 0, read = 0;
        int near = f->near;
        ssize_t n = -1;

        f->holding = true;
        while (send(near, block, sizeof block, MSG_NOSIGNAL) > 0)
                written += sizeof block;
        assert_int_equal(send(f->far, "unread", 6, 0), 6);
        if (peer_is_first)
                assert_int_equal(shutdown(f->far, SHUT_WR), 0);
        close(near);
        f->near = -1;
        while (n != 0) {
                n = recv(f->far, got, sizeof got, 0);
                read += n > 0 ? (size_t)n : 0;
                assert_true(n >= 0 || errno == EAGAIN);
                assert_true(sd_event_run(f->event, n < 0 ? 1000000 : 0) >= 0);
        }
        assert_int_equal(read, written);
        assert_int_equal(is_open(near), !peer_is_first);
        close(f->far);
        f->far = -1;
        while (is_open(near))
                assert_true(sd_event_run(f->event, 1000000) > 0);
}

static void what_waits_for_a_slow_peer_arrives_after_the_end(void **state)
{
        read_behind_the_end(*state, false);
}

static void also_where_the_peer_has_ended_its_side(void **state)
{
        read_behind_the_end(*state, true);
}

/* Which would have the kernel forget what the peer has not got, and some peers what they have not read. */
static void no_reset_ends_a_stream(void **state)
{
        struct fixture *f = *state;
        int near = f->near;

        assert_int_equal(send(f->far, "unread", 6, 0), 6);
        write_near(f, "last");
        close(near);
        f->near = -1;
        assert_int_equal(send(f->far, "more", 4, MSG_NOSIGNAL), 4);
        while (sd_event_run(f->event, 0) > 0)
                ;
        assert_int_equal(send(f->far, "and more", 8, MSG_NOSIGNAL), 8);
        assert_string_equal(read_far(f), "last");
        assert_int_equal(recv(f->far, &(char){ 0 }, 1, 0), 0);
        assert_true(is_open(near));
        close(f->far);
        f->far = -1;
        while (is_open(near))
                assert_true(sd_event_run(f->event, 1000000) > 0);
}

/* Nor is it waited for, where the peer was first. */
static void a_stream_that_the_peer_ended_is_closed_at_once(void **state)
{
        struct fixture *f = *state;
        int near = f->near;

        assert_int_equal(shutdown(f->far, SHUT_WR), 0);
        write_near(f, "last");
        close(near);
        f->near = -1;
        assert_false(is_open(near));
        assert_string_equal(read_far(f), "last");
}

static void who_does_not_close_is_not_waited_for_for_ever(void **state)
{
        struct fixture *f = *state;
        int near = f->near;

        close(near);
        f->near = -1;
        assert_true(is_open(near));
        assert_true(sd_event_run(f->event, 20000000) > 0);
        assert_false(is_open(near));
}

static void only_some_are_waited_for(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in a;
        int far[64];
        int first = f->near, near = -1;

        getsockname(f->listener, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        close(first);
        f->near = -1;
        for (size_t i = 0; i < ARRAY_LEN(far); i++) {
                assert_true(is_open(first));
                far[i] = socket(AF_INET, SOCK_STREAM, 0);
                assert_int_equal(connect(far[i], (struct sockaddr *)&a, sizeof a), 0);
                near = accept(f->listener, NULL, NULL);
                close(near);
        }
        assert_false(is_open(first));
        assert_true(is_open(near));
        for (size_t i = 0; i < ARRAY_LEN(far); i++)
                close(far[i]);
}

static void survives_a_peer_that_is_gone(void **state)
{
        struct fixture *f = *state;

        f->holding = true;
        setsockopt(f->far, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
        close(f->far); /* a reset */
        f->far = -1;
        assert_int_equal(write_near(f, "x"), 1);
        stream_gate_flush(f->gate);
        assert_int_equal(write_near(f, "y"), 1);
        stream_gate_flush(f->gate);
        assert_true(recv(f->near, &(char){ 0 }, 1, 0) <= 0); /* so libcoap learns of it */
}

static void gives_descriptors_back(void **state)
{
        struct fixture *f = *state;

        f->holding = true;
        write_near(f, "one");
        stream_gate_free(f->gate);
        f->gate = NULL;
        assert_string_equal(read_far(f), "one");
        assert_int_equal(write_near(f, "two"), 3);
        assert_string_equal(read_far(f), "two");
}

int main(void)
{
#define STREAM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                STREAM_TEST(sends_at_once_outside_of_a_turn),
                STREAM_TEST(gathers_in_a_turn),
                STREAM_TEST(keeps_sessions_apart),
                STREAM_TEST(sends_before_it_closes),
                STREAM_TEST(keeps_a_stream_whole_for_a_slow_peer),
                STREAM_TEST(a_pong_waits_for_who_is_behind),
                STREAM_TEST(forgets_a_peer_that_never_reads),
                STREAM_TEST(what_waits_for_a_slow_peer_arrives_after_the_end),
                STREAM_TEST(also_where_the_peer_has_ended_its_side),
                STREAM_TEST(no_reset_ends_a_stream),
                STREAM_TEST(a_stream_that_the_peer_ended_is_closed_at_once),
                STREAM_TEST(who_does_not_close_is_not_waited_for_for_ever),
                STREAM_TEST(only_some_are_waited_for),
                STREAM_TEST(survives_a_peer_that_is_gone),
                STREAM_TEST(gives_descriptors_back),
        };

        alarm(30); /* what fails here hangs */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
