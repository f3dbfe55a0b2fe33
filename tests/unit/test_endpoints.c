/* SPDX-License-Identifier: BSD-2-Clause */
/* Endpoints with real sockets and a real libcoap context. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/util.h"
#include "endpoints/endpoints.h"
#include "ports.h"

struct fixture {
        coap_context_t *context;
        struct conf_endpoint entries[4];
        struct config config;
        struct endpoints *endpoints;
};

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);

        f->context = coap_new_context(NULL);
        f->config.endpoints.v = f->entries;
        *state = f;
        return f->context ? 0 : -1;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        endpoints_free(f->endpoints);
        coap_free_context(f->context);
        free(f);
        return 0;
}

static void add_entry(struct fixture *f, enum transport transport, const char *host, uint16_t port)
{
        size_t i = f->config.endpoints.n++;

        f->entries[i] = (struct conf_endpoint){
                .at = { "coapd.conf", (unsigned)(10 + i) },
                .uri = (char *)"coap://here",
                .transport = transport,
                .host = (char *)host,
                .port = port,
        };
}

/* CON GET /.well-known/core, message id 0x1234, token 0x77. */
static const uint8_t get[] = { 0x41, 1,   0x12, 0x34, 0x77, 0xbb, '.',  'w', 'e', 'l', 'l',
                               '-',  'k', 'n',  'o',  'w',  'n',  0x04, 'c', 'o', 'r', 'e' };

/* Asks the endpoint for /.well-known/core, which libcoap has even when there is nothing else. */
static bool answers(struct fixture *f, const char *host, uint16_t port)
{
        bool six = strchr(host, ':') != NULL;
        struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        uint8_t answer[64];
        ssize_t n = -1;
        int fd = socket(six ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

        inet_pton(AF_INET6, host, &a6.sin6_addr);
        inet_pton(AF_INET, host, &a4.sin_addr);
        assert_int_equal(connect(fd, six ? (void *)&a6 : (void *)&a4, six ? sizeof a6 : sizeof a4), 0);
        assert_int_equal(send(fd, get, sizeof get, 0), sizeof get);
        for (int i = 0; i < 20 && n < 0; i++) {
                coap_io_process(f->context, 10);
                n = recv(fd, answer, sizeof answer, 0);
        }
        close(fd);
        return n >= 4 && answer[0] == 0x61 && answer[1] == 0x45;
}

/* Runs endpoints_open() and gives what it logged, for as long as the next call. */
static int open_logged(struct fixture *f, const char **ret_log)
{
        static char text[4096];
        int out = memfd_create("log", MFD_CLOEXEC), saved = dup(STDERR_FILENO);
        ssize_t n;
        int r;

        fflush(stderr);
        dup2(out, STDERR_FILENO);
        r = endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints);
        fflush(stderr);
        dup2(saved, STDERR_FILENO);
        n = pread(out, text, sizeof text - 1, 0);
        text[MAX(n, 0)] = '\0';
        close(out);
        close(saved);
        *ret_log = text;
        return r;
}

static void opens_what_the_config_names(void **state)
{
        struct fixture *f = *state;
        uint16_t a = free_port(), b = free_port();

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", a);
        add_entry(f, TRANSPORT_UDP, "::1", a);
        add_entry(f, TRANSPORT_TCP, "127.0.0.1", a);
        add_entry(f, TRANSPORT_WS, "127.0.0.1", b);
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        assert_int_equal(endpoints_count(f->endpoints), 4);
        assert_true(answers(f, "127.0.0.1", a));
        assert_true(answers(f, "::1", a));
}

static void refuses_a_taken_address(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int other = socket(AF_INET, SOCK_DGRAM, 0);
        uint16_t first = free_port();
        const char *log;

        /* The neighbour shares its port with anyone, as libcoap's own server does. */
        setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        assert_int_equal(bind(other, (struct sockaddr *)&a, sizeof a), 0);
        getsockname(other, (struct sockaddr *)&a, &(socklen_t){ sizeof a });

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", first);
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", ntohs(a.sin_port));
        assert_int_equal(open_logged(f, &log), -EADDRINUSE);
        assert_null(f->endpoints);
        assert_non_null(
                strstr(log, "coapd.conf:11: endpoints: coap://here cannot be opened: Address already"));
        assert_ptr_equal(strchr(log, '\n'), log + strlen(log) - 1);

        /* All or nothing: the first one is closed again. */
        f->config.endpoints.n = 1;
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        close(other);
}

static void says_once_that_buffers_are_small(void **state)
{
        struct fixture *f = *state;
        const char *log, *first;

        /* More than any machine allows, with or without privileges. */
        f->config.server.receive_buffer = 1LL << 40;
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", free_port());
        add_entry(f, TRANSPORT_UDP, "::1", free_port());
        assert_int_equal(open_logged(f, &log), 0);
        first = strstr(log, "receive buffers have ");
        assert_non_null(first);
        assert_null(strstr(first + 1, "receive buffers have "));
        assert_null(strstr(log, "send buffers"));
}

static void names_what_is_wrong_with_secure_ones(void **state)
{
        struct fixture *f = *state;
        const char *log;

        add_entry(f, TRANSPORT_DTLS, "127.0.0.1", free_port());
        assert_int_equal(open_logged(f, &log), -ENOKEY);
        assert_non_null(strstr(log, "no key for it"));
}

static void lets_its_own_overlap(void **state)
{
        struct fixture *f = *state;
        uint16_t port = free_port();

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", port);
        add_entry(f, TRANSPORT_UDP, "::", port);
        add_entry(f, TRANSPORT_TCP, "127.0.0.1", port);
        add_entry(f, TRANSPORT_TCP, "::", port);
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        assert_true(answers(f, "127.0.0.1", port));
        assert_true(answers(f, "127.0.0.2", port));
        assert_true(answers(f, "::1", port));
}

static void overlap_lets_nobody_else_in(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(0x7f000003) } };
        int other = socket(AF_INET, SOCK_DGRAM, 0);
        uint16_t port = free_port();
        const char *log;

        setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        a.sin_port = htons(port);
        assert_int_equal(bind(other, (struct sockaddr *)&a, sizeof a), 0);
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", port);
        add_entry(f, TRANSPORT_UDP, "::", port);
        assert_int_equal(open_logged(f, &log), -EADDRINUSE);
        assert_non_null(strstr(log, "coapd.conf:11:"));
        close(other);

        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        other = socket(AF_INET, SOCK_DGRAM, 0);
        setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
        setsockopt(other, SOL_SOCKET, SO_REUSEPORT, &(int){ 1 }, sizeof(int));
        assert_int_equal(bind(other, (struct sockaddr *)&a, sizeof a), -1);
        close(other);
}

static void both_wildcards_share_a_port(void **state)
{
        struct fixture *f = *state;
        uint16_t port = free_port();

        add_entry(f, TRANSPORT_UDP, "0.0.0.0", port);
        add_entry(f, TRANSPORT_UDP, "::", port);
        add_entry(f, TRANSPORT_TCP, "::", port);
        add_entry(f, TRANSPORT_TCP, "0.0.0.0", port);
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        assert_true(answers(f, "127.0.0.1", port));
        assert_true(answers(f, "::1", port));
}

static void refuses_the_same_address_twice(void **state)
{
        struct fixture *f = *state;
        uint16_t port = free_port();
        const char *log;

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", port);
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", port);
        assert_int_equal(open_logged(f, &log), -EADDRINUSE);
        assert_non_null(strstr(log, "coapd.conf:11:"));
}

static void update_opens_new_ones_and_counts_stale_ones(void **state)
{
        struct fixture *f = *state;
        uint16_t a = free_port(), b = free_port();
        size_t stale = 99;

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", a);
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        f->config.endpoints.n = 0;
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", b);
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        assert_int_equal(stale, 1);
        assert_int_equal(endpoints_count(f->endpoints), 2);
        assert_true(answers(f, "127.0.0.1", a));
        assert_true(answers(f, "127.0.0.1", b));
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        assert_int_equal(endpoints_count(f->endpoints), 2);
}

static void joins_multicast_groups(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in group = { .sin_family = AF_INET };
        uint8_t request[sizeof get];
        char *groups[] = { (char *)"224.0.1.187%lo", (char *)"ff02::fd%lo" };
        uint16_t port = free_port();
        uint8_t answer[128];
        ssize_t n = -1;
        int fd;

        memcpy(request, get, sizeof get);
        request[0] = 0x51; /* NON: RFC 7252, 8.1 */
        add_entry(f, TRANSPORT_UDP, "::", port);
        f->entries[0].multicast = (struct conf_strings){ groups, 2 };
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);

        fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF,
                   &(struct ip_mreqn){ .imr_address = { htonl(INADDR_LOOPBACK) } }, sizeof(struct ip_mreqn));
        inet_pton(AF_INET, "224.0.1.187", &group.sin_addr);
        group.sin_port = htons(port);
        assert_int_equal(sendto(fd, request, sizeof request, 0, (struct sockaddr *)&group, sizeof group),
                         sizeof request);
        /* Answers to multicast wait for a random time of up to 5 s: RFC 7252, 8.2. */
        for (int i = 0; i < 700 && n < 0; i++) {
                coap_io_process(f->context, 10);
                n = recv(fd, answer, sizeof answer, 0);
        }
        assert_true(n > 4);
        assert_int_equal(answer[1], 0x45);
        close(fd);
}

/* Linux gives a socket the packets of every group that anybody on the machine has joined, unless told not to. */
static void hears_no_group_of_others(void **state)
{
        struct fixture *f = *state;
        struct group_req request = { .gr_interface = if_nametoindex("lo") };
        struct sockaddr_in *group = (struct sockaddr_in *)&request.gr_group;
        uint16_t port = free_port();
        int other = socket(AF_INET, SOCK_DGRAM, 0), fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        struct epoll_event event;

        add_entry(f, TRANSPORT_UDP, "0.0.0.0", port);
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        group->sin_family = AF_INET;
        inet_pton(AF_INET, "224.0.1.188", &group->sin_addr);
        assert_int_equal(setsockopt(other, IPPROTO_IP, MCAST_JOIN_GROUP, &request, sizeof request), 0);
        group->sin_port = htons(port);
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF,
                   &(struct ip_mreqn){ .imr_address = { htonl(INADDR_LOOPBACK) } }, sizeof(struct ip_mreqn));
        assert_int_equal(sendto(fd, get, sizeof get, 0, (struct sockaddr *)group, sizeof *group), sizeof get);
        /* Over loopback it would have arrived by now. */
        assert_int_equal(epoll_wait(coap_context_get_coap_fd(f->context), &event, 1, 0), 0);
        close(other);
        close(fd);
}

static void names_what_is_wrong_with_a_group(void **state)
{
        static const struct {
                const char *host, *group, *expected;
        } cases[] = {
                { "::", "ff02::fd%nosuchif0", "ff02::fd%nosuchif0: No such device" },
                { "::", "127.0.0.1%lo", "127.0.0.1%lo: Invalid argument" },
                { "::1", "ff02::fd%lo", "needs coap:// on" },
        };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                char *group = (char *)cases[i].group;
                const char *log;

                f->config.endpoints.n = 0;
                add_entry(f, TRANSPORT_UDP, cases[i].host, free_port());
                f->entries[0].multicast = (struct conf_strings){ &group, 1 };
                assert_true(open_logged(f, &log) < 0);
                if (!strstr(log, cases[i].expected))
                        fail_msg("%s", log);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(opens_what_the_config_names, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_a_taken_address, set_up, tear_down),
                cmocka_unit_test_setup_teardown(says_once_that_buffers_are_small, set_up, tear_down),
                cmocka_unit_test_setup_teardown(names_what_is_wrong_with_secure_ones, set_up, tear_down),
                cmocka_unit_test_setup_teardown(lets_its_own_overlap, set_up, tear_down),
                cmocka_unit_test_setup_teardown(overlap_lets_nobody_else_in, set_up, tear_down),
                cmocka_unit_test_setup_teardown(both_wildcards_share_a_port, set_up, tear_down),
                cmocka_unit_test_setup_teardown(refuses_the_same_address_twice, set_up, tear_down),
                cmocka_unit_test_setup_teardown(update_opens_new_ones_and_counts_stale_ones, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(joins_multicast_groups, set_up, tear_down),
                cmocka_unit_test_setup_teardown(hears_no_group_of_others, set_up, tear_down),
                cmocka_unit_test_setup_teardown(names_what_is_wrong_with_a_group, set_up, tear_down),
        };

        log_open();
        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
