/* SPDX-License-Identifier: BSD-2-Clause */
/* Endpoints over a restart: the sockets stay, in a store as systemd's, while libcoap's context goes and
 * comes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/util.h"
#include "endpoints/endpoints.h"
#include "ports.h"

/* The store, as the service manager has it: copies of descriptors. The callbacks have no user data. */
static struct named_fd stored[8];
static size_t n_stored, n_dropped;

static void keep(int fd, const char *name, const char *old_name)
{
        for (size_t i = 0; old_name && i < n_stored; i++) {
                if (strcmp(stored[i].name, old_name) == 0) {
                        close(stored[i].fd);
                        free(stored[i].name);
                        stored[i] = stored[--n_stored];
                }
        }
        assert_true(n_stored < ARRAY_LEN(stored));
        assert_null(strchr(name, ':'));
        stored[n_stored++] = (struct named_fd){ dup(fd), strdup(name) };
}

static void drop(struct named_fd *left, size_t n_left)
{
        for (size_t i = 0; i < n_left; i++) {
                if (left[i].fd < 0)
                        continue;
                close(left[i].fd);
                left[i].fd = -1;
                n_dropped++;
                for (size_t k = 0; k < n_stored; k++) {
                        if (strcmp(stored[k].name, left[i].name) == 0) {
                                close(stored[k].fd);
                                free(stored[k].name);
                                stored[k] = stored[--n_stored];
                        }
                }
        }
}

struct fixture {
        coap_context_t *context;
        struct conf_endpoint entries[4];
        struct config config;
        struct endpoints *endpoints;
};

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);

        f->config.endpoints.v = f->entries;
        n_dropped = 0;
        *state = f;
        return 0;
}

static void stop_process(struct fixture *f)
{
        coap_free_context(f->context);
        endpoints_free(f->endpoints);
        f->context = NULL;
        f->endpoints = NULL;
}

static int tear_down(void **state)
{
        stop_process(*state);
        free(*state);
        while (n_stored > 0) {
                close(stored[--n_stored].fd);
                free(stored[n_stored].name);
        }
        return 0;
}

/* Hands over copies, as systemd does, and keeps its own. */
static int start(struct fixture *f)
{
        struct named_fd left[ARRAY_LEN(stored)];
        struct endpoints_keeper keeper = { .left = left, .n_left = n_stored, .keep = keep, .drop = drop };
        int r;

        for (size_t i = 0; i < n_stored; i++)
                left[i] = (struct named_fd){ dup(stored[i].fd), strdup(stored[i].name) };
        f->context = coap_new_context(NULL);
        r = endpoints_open(shards_of_one(&f->context), &f->config, &keeper, NULL, &f->endpoints);
        for (size_t i = 0; i < keeper.n_left; i++) {
                if (left[i].fd >= 0)
                        close(left[i].fd);
                free(left[i].name);
        }
        return r;
}

static struct conf_endpoint *add_entry(struct fixture *f, enum transport transport, const char *host,
                                       uint16_t port)
{
        struct conf_endpoint *entry = &f->entries[f->config.endpoints.n++];

        *entry = (struct conf_endpoint){
                .at = { "coapd.conf", 1 },
                .uri = (char *)"coap://here",
                .transport = transport,
                .host = (char *)host,
                .port = port,
        };
        return entry;
}

static const uint8_t get[] = { 0x41, 1,   0x12, 0x34, 0x77, 0xbb, '.',  'w', 'e', 'l', 'l',
                               '-',  'k', 'n',  'o',  'w',  'n',  0x04, 'c', 'o', 'r', 'e' };

static int connect_to(int type, const char *host, uint16_t port)
{
        bool six = strchr(host, ':') != NULL;
        struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
        struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons(port) };
        int fd = socket(six ? AF_INET6 : AF_INET, type, 0);

        inet_pton(AF_INET6, host, &a6.sin6_addr);
        inet_pton(AF_INET, host, &a4.sin_addr);
        if (connect(fd, six ? (void *)&a6 : (void *)&a4, six ? sizeof a6 : sizeof a4) < 0) {
                close(fd);
                return -1;
        }
        fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
}

static bool is_answered(struct fixture *f, int fd)
{
        uint8_t answer[64];
        ssize_t n = -1;

        for (int i = 0; i < 20 && n < 0; i++) {
                coap_io_process(f->context, 10);
                n = recv(fd, answer, sizeof answer, 0);
        }
        return n > 0;
}

static void answers_what_came_between_two_runs(void **state)
{
        static const char *const hosts[] = { "127.0.0.1", "::1", "127.0.0.1" };
        struct fixture *f = *state;
        uint16_t port = free_port(), wide = free_port();
        int client[4];

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", port);
        add_entry(f, TRANSPORT_UDP, "::1", port);
        add_entry(f, TRANSPORT_UDP, "::", wide);
        assert_int_equal(start(f), 0);
        assert_int_equal(n_stored, 3);
        for (int restart = 0; restart < 3; restart++) {
                stop_process(f);
                for (int i = 0; i < 3; i++) {
                        client[i] = connect_to(SOCK_DGRAM, hosts[i], i < 2 ? port : wide);
                        assert_int_equal(send(client[i], get, sizeof get, 0), sizeof get);
                }
                client[3] = connect_to(SOCK_DGRAM, "::1", wide);
                assert_int_equal(send(client[3], get, sizeof get, 0), sizeof get);
                assert_int_equal(start(f), 0);
                assert_int_equal(n_stored, 3);
                assert_int_equal(n_dropped, 0);
                for (int i = 0; i < 4; i++) {
                        assert_true(is_answered(f, client[i]));
                        close(client[i]);
                }
        }
}

static void accepts_who_connected_between_two_runs(void **state)
{
        static const uint8_t csm[] = { 0x00, 0xe1 };
        struct fixture *f = *state;
        uint16_t port = free_port(), web = free_port();
        int tcp, ws;

        add_entry(f, TRANSPORT_TCP, "::", port);
        add_entry(f, TRANSPORT_WS, "127.0.0.1", web);
        assert_int_equal(start(f), 0);
        stop_process(f);
        tcp = connect_to(SOCK_STREAM, "127.0.0.1", port);
        ws = connect_to(SOCK_STREAM, "127.0.0.1", web);
        assert_true(tcp >= 0 && ws >= 0);
        send(tcp, csm, sizeof csm, 0);
        dprintf(ws,
                "GET /.well-known/coap HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: coap\r\n"
                "Sec-WebSocket-Version: 13\r\n\r\n");
        assert_int_equal(start(f), 0);
        assert_true(is_answered(f, tcp));
        assert_true(is_answered(f, ws));
        close(tcp);
        close(ws);
}

static void gives_up_what_nobody_wants(void **state)
{
        struct fixture *f = *state;
        uint16_t a = free_port(), b = free_port();
        int fd;

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", a);
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", b);
        assert_int_equal(start(f), 0);
        stop_process(f);
        f->config.endpoints.n = 1;
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 1);
        assert_int_equal(n_stored, 1);
        /* Nothing listens there any more. */
        fd = connect_to(SOCK_DGRAM, "127.0.0.1", b);
        send(fd, get, sizeof get, 0);
        assert_int_equal(send(fd, get, sizeof get, 0), -1);
        assert_int_equal(errno, ECONNREFUSED);
        close(fd);
}

/* What was left of the old ones must not be in the way of the new ones. */
static void goes_from_one_address_to_another(void **state)
{
        static const char *const hosts[] = { "127.0.0.1", "::", "0.0.0.0", "::1", "::" };
        struct fixture *f = *state;
        uint16_t port = free_port();

        for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
                f->config.endpoints.n = 0;
                add_entry(f, TRANSPORT_UDP, hosts[i], port);
                add_entry(f, TRANSPORT_TCP, hosts[i], port);
                assert_int_equal(start(f), 0);
                assert_int_equal(n_stored, 2);
                stop_process(f);
        }
}

/* A dual-stack "::" has all of IPv4, which another entry may want for itself in the next run. */
static void tells_dual_stack_from_ipv6_only(void **state)
{
        struct fixture *f = *state;
        uint16_t port = free_port();
        int four, six;

        add_entry(f, TRANSPORT_UDP, "::", port);
        assert_int_equal(start(f), 0);
        stop_process(f);
        add_entry(f, TRANSPORT_UDP, "0.0.0.0", port);
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 1);
        assert_int_equal(n_stored, 2);
        stop_process(f);
        four = connect_to(SOCK_DGRAM, "127.0.0.1", port);
        six = connect_to(SOCK_DGRAM, "::1", port);
        send(four, get, sizeof get, 0);
        send(six, get, sizeof get, 0);
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 1);
        assert_true(is_answered(f, four));
        assert_true(is_answered(f, six));
        stop_process(f);
        f->config.endpoints.n = 1;
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 3);
        close(four);
        close(six);
}

static bool is_member(int family, const char *group)
{
        char line[256], hex[33] = "";
        uint8_t bytes[16];
        bool found = false;
        FILE *table = fopen(family == AF_INET ? "/proc/net/igmp" : "/proc/net/igmp6", "re");

        inet_pton(family, group, bytes);
        for (int i = 0; i < (family == AF_INET ? 4 : 16); i++)
                sprintf(hex + 2 * i, "%02X", bytes[family == AF_INET ? 3 - i : i]);
        while (!found && fgets(line, sizeof line, table))
                found = strcasestr(line, hex) != NULL;
        fclose(table);
        return found;
}

static void keeps_groups_in_line(void **state)
{
        char *one[] = { (char *)"224.0.1.201%lo" },
             *two[] = { (char *)"224.0.1.202%lo", (char *)"ff02::201%lo" };
        struct fixture *f = *state;
        struct conf_endpoint *entry = add_entry(f, TRANSPORT_UDP, "::", free_port());
        size_t stale;

        entry->multicast = (struct conf_strings){ one, 1 };
        assert_int_equal(start(f), 0);
        assert_true(is_member(AF_INET, "224.0.1.201"));
        stop_process(f);
        /* The same group: the same socket, which is a member already. */
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 0);
        stop_process(f);
        /* Others: another socket. */
        entry->multicast = (struct conf_strings){ two, 2 };
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 1);
        assert_int_equal(n_stored, 1);
        assert_false(is_member(AF_INET, "224.0.1.201"));
        assert_true(is_member(AF_INET, "224.0.1.202"));
        assert_true(is_member(AF_INET6, "ff02::201"));
        /* In a reload: the same socket, under another name. */
        entry->multicast = (struct conf_strings){ one, 1 };
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        assert_int_equal(stale, 0);
        assert_true(is_member(AF_INET, "224.0.1.201"));
        assert_false(is_member(AF_INET, "224.0.1.202"));
        assert_int_equal(n_stored, 1);
        stop_process(f);
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 1);
        entry->multicast.n = 0;
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        assert_false(is_member(AF_INET, "224.0.1.201"));
}

static void changes_no_group_when_one_can_not_be(void **state)
{
        char *good[] = { (char *)"224.0.1.203%lo" };
        char *bad[] = { (char *)"224.0.1.204%lo", (char *)"224.0.1.205%nosuchif0" };
        struct fixture *f = *state;
        struct conf_endpoint *entry = add_entry(f, TRANSPORT_UDP, "0.0.0.0", free_port());
        size_t stale = 9;

        entry->multicast = (struct conf_strings){ good, 1 };
        assert_int_equal(start(f), 0);
        entry->multicast = (struct conf_strings){ bad, 2 };
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), -ENODEV);
        assert_int_equal(stale, 9);
        assert_true(is_member(AF_INET, "224.0.1.203"));
        assert_false(is_member(AF_INET, "224.0.1.204"));
}

/* From a .socket unit, whose name is not ours, bound but not listening. */
static void takes_sockets_of_any_name(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        uint16_t port = free_port();
        int fd;

        a.sin_port = htons(port);
        fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        keep(fd, "coapd.socket", NULL);
        close(fd);
        add_entry(f, TRANSPORT_TCP, "127.0.0.1", port);
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 0);
        assert_int_equal(n_stored, 1); /* it is not kept twice */
        fd = connect_to(SOCK_STREAM, "127.0.0.1", port);
        assert_true(fd >= 0);
        close(fd);
}

static void does_not_take_what_only_looks_alike(void **state)
{
        struct fixture *f = *state;
        uint16_t port = free_port();
        int fd;

        /* The right name, but another kind of socket; and no socket at all. */
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        keep(fd, "coapd-udp-127.0.0.1-1", NULL);
        close(fd);
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        keep(fd, "not bound", NULL);
        close(fd);
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", port);
        assert_int_equal(start(f), 0);
        assert_int_equal(n_dropped, 2);
        assert_int_equal(n_stored, 1);
}

static void keeps_what_a_reload_adds(void **state)
{
        struct fixture *f = *state;
        uint16_t a = free_port(), b = free_port();
        size_t stale;
        int fd;

        add_entry(f, TRANSPORT_UDP, "127.0.0.1", a);
        assert_int_equal(start(f), 0);
        add_entry(f, TRANSPORT_UDP, "127.0.0.1", b);
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        assert_int_equal(n_stored, 2);
        stop_process(f);
        fd = connect_to(SOCK_DGRAM, "127.0.0.1", b);
        send(fd, get, sizeof get, 0);
        assert_int_equal(start(f), 0);
        assert_true(is_answered(f, fd));
        close(fd);
}

int main(void)
{
#define KEEP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                KEEP_TEST(answers_what_came_between_two_runs),
                KEEP_TEST(accepts_who_connected_between_two_runs),
                KEEP_TEST(gives_up_what_nobody_wants),
                KEEP_TEST(goes_from_one_address_to_another),
                KEEP_TEST(tells_dual_stack_from_ipv6_only),
                KEEP_TEST(keeps_groups_in_line),
                KEEP_TEST(changes_no_group_when_one_can_not_be),
                KEEP_TEST(takes_sockets_of_any_name),
                KEEP_TEST(does_not_take_what_only_looks_alike),
                KEEP_TEST(keeps_what_a_reload_adds),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
