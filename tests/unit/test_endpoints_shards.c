/* SPDX-License-Identifier: BSD-2-Clause */
/* Several libcoap contexts under one pump, on the same sockets: who gets which datagram. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "base/util.h"
#include "endpoints/endpoints.h"
#include "endpoints/mail.h"
#include "endpoints/pump.h"
#include "endpoints/route.h"
#include "endpoints/sockets.h"
#include "ports.h"

enum { N = 4, CLIENTS = 64 };

struct fixture {
        coap_context_t *context[N];
        coap_resource_t *resource[N];
        unsigned handled[N];
        struct conf_endpoint entry;
        struct config config;
        struct endpoints *endpoints;
        struct metrics metrics;
        sd_event *event;
        struct pump *pump;
        int client[CLIENTS];
        unsigned number;
        unsigned prepared, wanted, admitted;
};

static void on_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
        struct fixture *f = coap_resource_get_userdata(resource);
        char text[16];

        (void)request, (void)query;
        for (int i = 0; i < N; i++)
                f->handled[i] += f->context[i] == coap_session_get_context(session);
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
        coap_add_data(response, (size_t)snprintf(text, sizeof text, "%u", f->number), (uint8_t *)text);
}

static struct shards shards_of(struct fixture *f)
{
        return (struct shards){ .v = f->context, .n = N, .seed = 42 };
}

static void add_context(struct fixture *f, int i, int flags)
{
        f->context[i] = coap_new_context(NULL);
        f->resource[i] = coap_resource_init(coap_make_str_const("n"), flags);
        coap_register_handler(f->resource[i], COAP_REQUEST_GET, on_get);
        coap_resource_set_get_observable(f->resource[i], 1);
        coap_resource_set_userdata(f->resource[i], f);
        coap_add_resource(f->context[i], f->resource[i]);
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);

        for (int i = 0; i < N; i++)
                add_context(f, i, 0);
        f->config.endpoints = (struct conf_list){ &f->entry, 1 };
        f->config.server.receive_buffer = 4 << 20;
        f->entry = (struct conf_endpoint){
                .at = { "coapd.conf", 1 },
                .uri = (char *)"coap://127.0.0.1",
                .transport = TRANSPORT_UDP,
                .host = (char *)"127.0.0.1",
                .port = free_port(),
        };
        /* As the daemon does: the addresses first, then the other contexts. */
        assert_int_equal(endpoints_open((struct shards){ .v = f->context, .n = 1, .seed = 42 }, &f->config,
                                        NULL, NULL, &f->endpoints),
                         0);
        assert_int_equal(endpoints_divide(f->endpoints, shards_of(f)), 0);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(pump_attach(f->event, shards_of(f), &f->metrics, &f->pump), 0);
        for (int i = 0; i < CLIENTS; i++)
                f->client[i] = new_client(f->entry.port);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        pump_free(f->pump);
        for (int i = 0; i < N; i++)
                coap_free_context(f->context[i]);
        endpoints_free(f->endpoints);
        sd_event_unref(f->event);
        for (int i = 0; i < CLIENTS; i++)
                close(f->client[i]);
        free(f);
        return 0;
}

static void run(struct fixture *f, uint64_t wait_usec)
{
        while (sd_event_run(f->event, wait_usec) > 0)
                wait_usec = 0;
}

static size_t shard_of(struct fixture *f, int client)
{
        struct sockaddr_in a;
        struct shards shards = shards_of(f);

        getsockname(f->client[client], (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        return shards_find(&shards, (struct sockaddr *)&a);
}

/* The first client whose shard is another than the first. */
static int stranger(struct fixture *f)
{
        int i = 0;

        while (shard_of(f, i) == 0)
                i++;
        return i;
}

static void ask(int fd, uint8_t number)
{
        const uint8_t get[] = { 0x51, 1, 0, number, number, 0xb1, 'n' };

        assert_int_equal(send(fd, get, sizeof get, 0), sizeof get);
}

static void observe(int fd, uint8_t token)
{
        const uint8_t get[] = { 0x51, 1, 1, token, token, 0x60, 0x51, 'n' };

        assert_int_equal(send(fd, get, sizeof get, 0), sizeof get);
}

/* The length of the next message; 0: none. */
static size_t next(int fd, uint8_t message[64])
{
        ssize_t n = recv(fd, message, 64, 0);

        return n > 0 ? (size_t)n : 0;
}

/* ------------------------------------------------ requests */

static void every_shard_serves_its_peers_in_their_order(void **state)
{
        enum { EACH = 10 };
        struct fixture *f = *state;
        unsigned expected[N] = { 0 };
        uint8_t message[64];

        for (uint8_t number = 0; number < EACH; number++)
                for (int i = 0; i < CLIENTS; i++)
                        ask(f->client[i], number);
        run(f, 100000);
        for (int i = 0; i < CLIENTS; i++) {
                expected[shard_of(f, i)] += EACH;
                for (uint8_t number = 0; number < EACH; number++) {
                        assert_true(next(f->client[i], message) > 5);
                        assert_int_equal(message[4], number);
                }
        }
        for (int i = 0; i < N; i++) {
                assert_true(expected[i] > 0);
                assert_int_equal(f->handled[i], expected[i]);
        }
}

static void a_burst_of_one_shard_does_not_keep_another_waiting(void **state)
{
        struct fixture *f = *state;
        int busy = stranger(f), other = busy + 1;
        uint8_t message[64];

        while (shard_of(f, other) == shard_of(f, busy))
                other++;
        for (int i = 0; i < 200; i++)
                ask(f->client[busy], (uint8_t)i);
        ask(f->client[other], 7);
        assert_true(sd_event_run(f->event, 100000) > 0);
        assert_true(next(f->client[other], message) > 5);
}

/* ------------------------------------------------ notifications */

static void notify_all(struct fixture *f)
{
        f->number++;
        for (int i = 0; i < N; i++)
                coap_resource_notify_observers(f->resource[i], NULL);
}

static void all_observe(struct fixture *f)
{
        uint8_t message[64];

        for (int i = 0; i < CLIENTS; i++)
                observe(f->client[i], (uint8_t)i);
        run(f, 100000);
        for (int i = 0; i < CLIENTS; i++)
                assert_true(next(f->client[i], message) > 0);
}

static void every_observer_is_notified(void **state)
{
        struct fixture *f = *state;
        uint8_t message[64];

        all_observe(f);
        notify_all(f);
        run(f, 100000); /* libcoap's own sign that there is something to send is enough */
        for (int i = 0; i < CLIENTS; i++) {
                assert_true(next(f->client[i], message) > 0);
                assert_int_equal(message[4], i);
        }
        notify_all(f);
        pump_kick(f->pump); /* now, and not a turn later */
        for (int i = 0; i < CLIENTS; i++)
                assert_true(next(f->client[i], message) > 0);
        assert_int_equal(sd_event_run(f->event, 50000), 0);
}

/* A request is answered in the middle of a round: a turn makes the notifications of one context. */
static void requests_are_served_within_a_round(void **state)
{
        struct fixture *f = *state;
        int asking = stranger(f);
        uint8_t message[64];
        unsigned waiting = 0;

        for (int i = 0; i < CLIENTS; i++)
                if (i != asking)
                        observe(f->client[i], (uint8_t)i);
        run(f, 100000);
        for (int i = 0; i < CLIENTS; i++)
                next(f->client[i], message);
        notify_all(f);
        ask(f->client[asking], 99);
        assert_true(sd_event_run(f->event, 100000) > 0);
        assert_true(next(f->client[asking], message) > 0);
        for (int i = 0; i < CLIENTS; i++)
                waiting += i != asking && next(f->client[i], message) == 0;
        assert_in_range(waiting, 1, CLIENTS);
        run(f, 0);
}

static void a_reset_reaches_the_context_that_sent(void **state)
{
        struct fixture *f = *state;
        uint8_t message[64];

        all_observe(f);
        notify_all(f);
        run(f, 100000);
        for (int i = 0; i < CLIENTS; i++) {
                assert_true(next(f->client[i], message) > 0);
                send(f->client[i], (uint8_t[]){ 0x70, 0, message[2], message[3] }, 4, 0);
        }
        run(f, 100000);
        notify_all(f);
        run(f, 50000);
        for (int i = 0; i < CLIENTS; i++)
                assert_int_equal(next(f->client[i], message), 0);
}

/* ------------------------------------------------ before libcoap sees it */

static bool admit(void *userdata, int fd, const struct msghdr *message, size_t *n)
{
        struct fixture *f = userdata;

        (void)fd, (void)message, (void)n;
        f->admitted++;
        return true;
}

static bool wants_preparing(void *userdata, size_t shard, struct span request)
{
        struct fixture *f = userdata;

        assert_in_range(shard, 1, N - 1);
        assert_int_equal(request.p[1], 1);
        f->wanted++;
        return f->prepared == 0;
}

static void prepare(void *userdata, size_t shard, struct span request)
{
        struct fixture *f = userdata;

        (void)request;
        if (f->prepared)
                coap_free_context(f->context[0]); /* the one made here before */
        add_context(f, 0, 0); /* outside of libcoap's lock all of its functions can be called */
        f->prepared++;
        assert_in_range(shard, 1, N - 1);
}

static void turn_is_over(void *userdata)
{
        (void)userdata;
}

static void a_context_is_prepared_for_an_observer(void **state)
{
        struct fixture *f = *state;
        const struct pump_guard guard = { .admit = admit,
                                          .wants_preparing = wants_preparing,
                                          .prepare = prepare,
                                          .turn_is_over = turn_is_over,
                                          .userdata = f };
        int client = stranger(f);
        coap_context_t *first = f->context[0];
        uint8_t message[64];

        pump_set_guard(f->pump, &guard);
        ask(f->client[client], 1);
        observe(f->client[client], 2);
        observe(f->client[client], 3);
        run(f, 100000);
        assert_int_equal(f->wanted, 2);
        assert_in_range(f->prepared, 1, 2); /* both had been read before the first was prepared */
        for (uint8_t token = 1; token <= 3; token++) {
                assert_true(next(f->client[client], message) > 0);
                assert_int_equal(message[4], token);
        }
        coap_free_context(f->context[0]);
        f->context[0] = first;
}

static struct fixture *yielding;

static void on_yielding_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                            const coap_string_t *query, coap_pdu_t *response)
{
        on_get(resource, session, request, query, response);
        pump_yield(yielding->pump);
}

static void what_is_left_when_somebody_else_waits_is_served_after_it(void **state)
{
        struct fixture *f = yielding = *state;
        unsigned handled = 0;

        for (int i = 0; i < N; i++)
                coap_register_handler(f->resource[i], COAP_REQUEST_GET, on_yielding_get);
        for (int i = 0; i < CLIENTS; i++)
                ask(f->client[i], 1);
        assert_true(sd_event_run(f->event, 100000) > 0);
        for (int i = 0; i < N; i++)
                handled += f->handled[i];
        assert_int_equal(handled, 1);
        run(f, 0);
        for (int i = 0; i < N; i++)
                handled += f->handled[i];
        assert_int_equal(handled - 1, CLIENTS);
}

/* ------------------------------------------------ endpoints */

static void the_socket_closes_with_its_last_context(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in a;
        struct socket_watch watch;
        int cursor = 0;

        assert_true(sockets_next(coap_context_get_coap_fd(f->context[0]), &cursor, &watch));
        assert_non_null(sockets_tag(watch.fd, coap_context_get_coap_fd(f->context[1])));
        assert_null(sockets_tag(watch.fd, coap_context_get_coap_fd(f->context[0])));
        pump_free(f->pump);
        f->pump = NULL;
        for (int i = 0; i < N; i++) {
                assert_int_equal(getsockname(watch.fd, (struct sockaddr *)&a, &(socklen_t){ sizeof a }), 0);
                coap_free_context(f->context[i]);
                f->context[i] = NULL;
        }
        assert_int_equal(getsockname(watch.fd, (struct sockaddr *)&a, &(socklen_t){ sizeof a }), -1);
}

static void dtls_stays_in_the_first_context(void **state)
{
        static const uint8_t hello[] = { 22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1 };
        struct fixture *f = *state;
        coap_dtls_spsk_t keys = { .version = COAP_DTLS_SPSK_SETUP_VERSION,
                                  .psk_info.key = { 6, (const uint8_t *)"secret" } };
        const struct pump_guard guard = { .admit = admit, .turn_is_over = turn_is_over, .userdata = f };
        struct socket_watch watch;
        int cursor = 0, found = 0, fd;
        size_t stale;

        coap_context_set_psk2(f->context[0], &keys);
        f->entry.transport = TRANSPORT_DTLS;
        f->entry.port = free_port();
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        while (sockets_next(coap_context_get_coap_fd(f->context[0]), &cursor, &watch))
                found += !sockets_tag(watch.fd, coap_context_get_coap_fd(f->context[1]));
        assert_int_equal(found, 1);
        pump_set_guard(f->pump, &guard);
        for (int i = 0; i < 8; i++) {
                fd = new_client(f->entry.port);
                assert_int_equal(send(fd, hello, sizeof hello, 0), sizeof hello);
                run(f, 100000);
                close(fd);
        }
        assert_int_equal(f->admitted, 8);
}

/* ------------------------------------------------ where a datagram goes */

static struct sockaddr_in peer_of_another_shard(const struct shards *shards)
{
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

        for (uint16_t port = 1000; shards_find(shards, (struct sockaddr *)&a) == 0; port++)
                a.sin_port = htons(port);
        return a;
}

static void oscore_goes_to_the_first_context(void **state)
{
        static const struct {
                struct span datagram;
                bool oscore, observes;
        } cases[] = {
                { SPAN_LITERAL("\x51\x02\x00\x01t\x92\x09\x01\xff..."), true, false }, /* POST, OSCORE */
                { SPAN_LITERAL("\x51\x05\x00\x01t\x60\x32\x09\x01\xff..."), true,
                  true }, /* FETCH, Observe, OSCORE */
                { SPAN_LITERAL("\x51\x01\x00\x01t\x60\x51n"), false, true },
                { SPAN_LITERAL("\x51\x01\x00\x01t\x61\x01\x51n"), false, false }, /* Observe: 1 */
                { SPAN_LITERAL("\x51\x03\x00\x01t\x60\x51n"), false, false },     /* PUT */
                { SPAN_LITERAL("\x51\x01\x00\x01t\xb1n"), false, false },
                { SPAN_LITERAL("\x5d\x01\x00\x01\x01tttttttttttttt\x92\x09\x01"), true,
                  false },                                                   /* a token of 14 */
                { SPAN_LITERAL("\x51\x01\x00\x01t\xff\x90"), false, false }, /* behind the payload marker */
                { SPAN_LITERAL("\x51\x01\x00\x01t\x9d"), false, false },     /* cut off */
                { SPAN_LITERAL("\x5e\x01\x00\x01\xff\xff\x90"), false, false }, /* a token longer than all */
                { SPAN_LITERAL("\x5f\x01\x00\x01\x90"), false, false },
                { SPAN_LITERAL("\x51\x01\x00"), false, false },
                { SPAN_LITERAL(""), false, false },
        };
        const struct shards shards = { .n = N, .seed = 42 };
        struct sockaddr_in peer = peer_of_another_shard(&shards);
        struct router router;
        bool observes;

        (void)state;
        router_init(&router, shards);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                size_t got = router_find(&router, (struct sockaddr *)&peer, cases[i].datagram, &observes);

                assert_int_equal(got, cases[i].oscore ? 0 : shards_find(&shards, (struct sockaddr *)&peer));
                assert_int_equal(observes, cases[i].observes);
        }
        router_deinit(&router);
}

static size_t by_the_option(void *userdata, struct span option)
{
        return option.n == 2 ? *(size_t *)userdata : 0;
}

static void oscore_goes_where_its_context_is(void **state)
{
        struct span protected = SPAN_LITERAL("\x51\x02\x00\x01t\x92\x09\x01\xff...");
        struct span strange = SPAN_LITERAL("\x51\x02\x00\x01t\x91\x09\xff...");
        struct span plain = SPAN_LITERAL("\x51\x01\x00\x01t\xb1n");
        const struct shards shards = { .n = N, .seed = 42 };
        struct sockaddr_in peer = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        const struct sockaddr *from = (struct sockaddr *)&peer;
        struct router router;
        bool observes;
        size_t to = 2;

        (void)state;
        router_init(&router, shards);
        router.oscore = by_the_option;
        router.userdata = &to;
        /* From wherever it comes: there are clients of each shard among them. */
        for (uint16_t port = 1; port < 200; port++) {
                peer.sin_port = htons(port);
                assert_int_equal(router_find(&router, from, protected, &observes), 2);
                assert_int_equal(router_find(&router, from, strange, &observes), 0);
                assert_int_equal(router_find(&router, from, plain, &observes), shards_find(&shards, from));
        }
        router_deinit(&router);
}

static void an_acknowledgement_goes_where_it_is_waited_for(void **state)
{
        const struct shards shards = { .n = N, .seed = 42 };
        struct sockaddr_in peer = peer_of_another_shard(&shards);
        const struct sockaddr *from = (struct sockaddr *)&peer;
        size_t home = shards_find(&shards, from);
        struct span con = SPAN_LITERAL("\x41\x45\x12\x34t"), ack = SPAN_LITERAL("\x60\x00\x12\x34");
        struct span non = SPAN_LITERAL("\x51\x45\x12\x35t"), rst = SPAN_LITERAL("\x70\x00\x12\x35");
        struct router router;
        bool observes;

        (void)state;
        router_init(&router, shards);
        assert_int_equal(router_find(&router, from, ack, &observes), home);
        router_note_sent(&router, 0, from, con);
        router_note_sent(&router, 0, from, con); /* again */
        router_note_sent(&router, 0, from, non);
        assert_int_equal(router_find(&router, from, ack, &observes), 0);
        assert_int_equal(router_find(&router, from, ack, &observes), home);
        assert_int_equal(router_find(&router, from, rst, &observes), 0);
        /* Who has used the number last. */
        router_note_sent(&router, 0, from, con);
        router_note_sent(&router, N - 1, from, con);
        assert_int_equal(router_find(&router, from, ack, &observes), N - 1);
        assert_int_equal(router_find(&router, from, ack, &observes), home);
        /* Not by the same number of another peer. */
        router_note_sent(&router, 0, from, con);
        do
                peer.sin_port = htons((uint16_t)(ntohs(peer.sin_port) + 1));
        while (shards_find(&shards, from) == 0);
        assert_int_equal(router_find(&router, from, ack, &observes), shards_find(&shards, from));
        router_deinit(&router);
}

/* One who came to "0.0.0.0" and, after a change of the config, comes to "[::]" is the same. */
static void ipv4_is_the_same_within_ipv6(void **state)
{
        struct sockaddr_in four = { .sin_family = AF_INET,
                                    .sin_addr = { htonl(0x0a010203) },
                                    .sin_port = 77 };
        struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = 77 };
        uint64_t hash = shards_hash(1, (struct sockaddr *)&four);

        (void)state;
        inet_pton(AF_INET6, "::ffff:10.1.2.3", &six.sin6_addr);
        assert_true(hash == shards_hash(1, (struct sockaddr *)&six));
        assert_true(hash != shards_hash(2, (struct sockaddr *)&six));
        six.sin6_port++;
        assert_true(hash != shards_hash(1, (struct sockaddr *)&six));
}

static void shards_get_about_the_same_number_of_peers(void **state)
{
        enum { PEERS = 64000, SHARDS = 64 };
        const struct shards shards = { .n = SHARDS, .seed = 7 };
        unsigned count[SHARDS] = { 0 };

        (void)state;
        for (int i = 0; i < PEERS; i++) {
                struct sockaddr_in a = { .sin_family = AF_INET,
                                         .sin_addr = { htonl(0x7f000001) },
                                         .sin_port = htons((uint16_t)(i % 32000)) };

                a.sin_addr.s_addr = htonl(0x7f000001 + (uint32_t)(i / 32000));
                count[shards_find(&shards, (struct sockaddr *)&a)]++;
        }
        for (int i = 0; i < SHARDS; i++)
                assert_in_range(count[i], PEERS / SHARDS * 8 / 10, PEERS / SHARDS * 12 / 10);
}

int main(void)
{
#define SHARDS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                SHARDS_TEST(every_shard_serves_its_peers_in_their_order),
                SHARDS_TEST(a_burst_of_one_shard_does_not_keep_another_waiting),
                SHARDS_TEST(what_is_left_when_somebody_else_waits_is_served_after_it),
                SHARDS_TEST(every_observer_is_notified),
                SHARDS_TEST(requests_are_served_within_a_round),
                SHARDS_TEST(a_reset_reaches_the_context_that_sent),
                SHARDS_TEST(a_context_is_prepared_for_an_observer),
                SHARDS_TEST(the_socket_closes_with_its_last_context),
                SHARDS_TEST(dtls_stays_in_the_first_context),
                cmocka_unit_test(oscore_goes_to_the_first_context),
                cmocka_unit_test(oscore_goes_where_its_context_is),
                cmocka_unit_test(an_acknowledgement_goes_where_it_is_waited_for),
                cmocka_unit_test(ipv4_is_the_same_within_ipv6),
                cmocka_unit_test(shards_get_about_the_same_number_of_peers),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
