/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers that come later: a kind that takes its time, on a real libcoap context, asked over a real socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resources/internal.h"

enum { CON = 0, NON = 1, ACK = 2, MINUTE_US = 60 * 1000 * 1000 };

struct slow {
        struct resource *resource;
        struct pending *pending;
        uint64_t most_us;
        unsigned calls, ended;
        bool quick;
        bool puts_off; /* and looks whether a request that differs in one letter is told apart */
};

struct fixture {
        coap_context_t *context;
        sd_event *event;
        struct metrics metrics;
        struct config config;
        struct registry *registry;
        struct conf_resource conf;
        struct slow slow;
        int client;
};

static void slow_ended(void *user)
{
        struct slow *slow = user;

        slow->ended++;
        slow->pending = NULL;
}

static void put_off_and_look(struct slow *slow, const struct message *message)
{
        enum { HEADER = 4 };
        CLEANUP(buf_deinit) struct buf whole = { 0 };
        struct pendings *all = slow->resource->registry->pendings;

        assert_true(pending_put_off(all, message->session, message->pdu));
        message_encode(message->pdu, &whole);
        assert_int_equal(pending_whole(all, message->session, span_skip(buf_span(&whole), HEADER)).n,
                         whole.n);
        whole.p[whole.n - 1] ^= 1;
        assert_int_equal(pending_whole(all, message->session, span_skip(buf_span(&whole), HEADER)).n, 0);
}

static void slow_handle(void *self, const struct request *request, struct response *response)
{
        struct slow *slow = self;
        struct pending *pending;

        slow->calls++;
        if (slow->puts_off) {
                slow->puts_off = false;
                put_off_and_look(slow, request->message);
                response->later = true;
                return;
        }
        if (slow->quick) {
                response->code = CODE_CONTENT;
                response->content = representation_new(SPAN_LITERAL("quick"), 0);
                return;
        }
        pending = resource_answer_later(
                slow->resource, request, response,
                &(struct wait){ .most_us = slow->most_us, .ended = slow_ended, .user = slow });
        if (pending)
                slow->pending = pending;
}

static const struct kind kind_slow = {
        .name = "slow",
        .handle = { [METHOD_GET] = slow_handle, [METHOD_POST] = slow_handle },
};

static void nothing_begins(void *user, const coap_session_t *session, const coap_pdu_t *request,
                           bool is_notification)
{
        (void)user, (void)session, (void)request, (void)is_notification;
}

static void nothing(void *user)
{
        (void)user;
}

static uint8_t allow(void *user, const coap_session_t *session, struct span path, unsigned operations)
{
        (void)user, (void)session, (void)path, (void)operations;
        return 0;
}

static void kick(void *user)
{
        struct fixture *f = user;

        coap_io_process(f->context, COAP_IO_NO_WAIT);
}

static void kick_soon(void *user, size_t shard)
{
        (void)user, (void)shard; /* turn() lets libcoap act all the time */
}

static uint16_t listen_on_loopback(struct fixture *f)
{
        coap_address_t address;
        uint16_t port = 0;

        for (int i = 0; i < 100 && !port; i++) {
                uint16_t some = (uint16_t)(40000 + (getpid() * 7 + i * 131) % 20000);

                coap_address_init(&address);
                address.size = sizeof address.addr.sin;
                address.addr.sin = (struct sockaddr_in){ .sin_family = AF_INET,
                                                         .sin_addr = { htonl(INADDR_LOOPBACK) },
                                                         .sin_port = htons(some) };
                if (coap_new_endpoint(f->context, &address, COAP_PROTO_UDP))
                        port = some;
        }
        return port;
}

/* All requests of this client want to be acknowledged, by which they are known. */
static bool reads(void *user)
{
        (void)user;
        return false;
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);
        struct registry_host host;
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };

        coap_startup();
        f->context = coap_new_context(NULL);
        assert_non_null(f->context);
        assert_true(sd_event_new(&f->event) >= 0);
        to.sin_port = htons(listen_on_loopback(f));
        host = (struct registry_host){ .shards = shards_of_one(&f->context),
                                       .event = f->event,
                                       .metrics = &f->metrics,
                                       .user = f,
                                       .request_begins = nothing_begins,
                                       .request_ends = nothing,
                                       .authorize = allow,
                                       .kick = kick,
                                       .kick_soon = kick_soon,
                                       .is_reading = reads,
                                       .yield = nothing };
        f->config.limits = (struct conf_limits){ .waiting = 2,
                                                 .observations = 10,
                                                 .observations_per_resource = 10,
                                                 .observations_per_session = 10,
                                                 .sessions_per_address = 10 };
        f->config.server.observer_check = 86400;
        f->conf = (struct conf_resource){ .observable = true, .max_age = -1 };
        assert_int_equal(registry_new(&host, &f->registry), 0);
        assert_int_equal(registry_apply(f->registry, &f->config, NULL, NULL), 0);
        assert_int_equal(registry_add(f->registry, &kind_slow, "slow", &f->conf, &f->slow.resource), 0);
        f->slow.resource->self = &f->slow;
        f->slow.most_us = MINUTE_US;
        f->client = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
        assert_int_equal(connect(f->client, (struct sockaddr *)&to, sizeof to), 0);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        registry_free(f->registry);
        coap_free_context(f->context);
        sd_event_unref(f->event);
        close(f->client);
        free(f);
        return 0;
}

static void turn(struct fixture *f)
{
        coap_io_process(f->context, COAP_IO_NO_WAIT);
        sd_event_run(f->event, 0);
}

/* A request for /slow with a token of one byte. */
static void ask(struct fixture *f, int type, int method, uint8_t mid, bool observe)
{
        uint8_t head[] = { (uint8_t)(0x41 | type << 4), (uint8_t)method, 0, mid, mid };
        const char *options = observe ? "\x60\x54"
                                        "slow"
                                      : "\xb4"
                                        "slow";
        uint8_t message[16];
        size_t n = strlen(options);

        memcpy(message, head, sizeof head);
        memcpy(message + sizeof head, options, n);
        assert_int_equal(send(f->client, message, sizeof head + n, 0), sizeof head + n);
}

struct received {
        int type, code, mid, token;
        uint8_t all[200];
        size_t n;
};

static bool try_receive(struct fixture *f, struct received *ret)
{
        ssize_t n = recv(f->client, ret->all, sizeof ret->all, 0);

        if (n < 4)
                return false;
        ret->n = (size_t)n;
        ret->type = ret->all[0] >> 4 & 3;
        ret->code = ret->all[1];
        ret->mid = ret->all[2] << 8 | ret->all[3];
        ret->token = ret->all[0] & 15 ? ret->all[4] : -1;
        return true;
}

static struct received receive_next(struct fixture *f)
{
        struct received r;

        for (int i = 0; i < 5000; i++) {
                struct pollfd fd = { .fd = f->client, .events = POLLIN };

                turn(f);
                poll(&fd, 1, 1);
                if (try_receive(f, &r))
                        return r;
        }
        fail_msg("no answer");
        return (struct received){ 0 };
}

static void answer(struct fixture *f, uint8_t code)
{
        struct response response = { .code = code, .max_age = -1 };

        if (code == CODE_CONTENT)
                response.content = representation_new(SPAN_LITERAL("slow"), 0);
        request_answer(TAKE(f->slow.pending), &response);
}

static void expect_acknowledged(struct fixture *f, int mid)
{
        struct received r = receive_next(f);

        assert_int_equal(r.type, ACK);
        assert_int_equal(r.code, 0);
        assert_int_equal(r.mid, mid);
        assert_int_equal(r.n, 4);
}

static void expect(struct fixture *f, int type, int code, int token)
{
        struct received r = receive_next(f);

        assert_int_equal(r.type, type);
        assert_int_equal(r.code, code);
        assert_int_equal(r.token, token);
        if (type == CON) {
                uint8_t ack[] = { 0x60, 0, r.all[2], r.all[3] };

                send(f->client, ack, sizeof ack, 0);
                turn(f);
        }
}

static void test_confirmable(void **state)
{
        struct fixture *f = *state;

        ask(f, CON, METHOD_GET, 7, false);
        expect_acknowledged(f, 7);
        answer(f, CODE_CONTENT);
        expect(f, CON, CODE_CONTENT, 7);
        assert_int_equal(f->slow.calls, 1);
        assert_int_equal(f->metrics.requests, 1);
        assert_int_equal(f->slow.ended, 0);
}

static void test_non_confirmable(void **state)
{
        struct fixture *f = *state;

        ask(f, NON, METHOD_GET, 7, false);
        while (!f->slow.pending)
                turn(f);
        answer(f, CODE_CONTENT);
        expect(f, NON, CODE_CONTENT, 7); /* and nothing before */
}

/* RFC 7252, 4.5: before the answer and after it. */
static void test_twice(void **state)
{
        struct fixture *f = *state;

        ask(f, CON, METHOD_POST, 7, false);
        expect_acknowledged(f, 7);
        ask(f, CON, METHOD_POST, 7, false);
        expect_acknowledged(f, 7);
        answer(f, CODE_CHANGED);
        expect(f, CON, CODE_CHANGED, 7);
        ask(f, CON, METHOD_POST, 7, false);
        expect(f, ACK, CODE_CHANGED, 7);
        assert_int_equal(f->slow.calls, 1);
}

static void test_time_is_up(void **state)
{
        struct fixture *f = *state;

        f->slow.most_us = 1000;
        ask(f, CON, METHOD_GET, 7, false);
        expect_acknowledged(f, 7);
        expect(f, CON, CODE_GATEWAY_TIMEOUT, 7);
        assert_int_equal(f->slow.ended, 1);
}

static void test_no_more_than_the_limit(void **state)
{
        struct fixture *f = *state;

        ask(f, CON, METHOD_GET, 1, false);
        expect_acknowledged(f, 1);
        ask(f, CON, METHOD_GET, 2, false);
        expect_acknowledged(f, 2);
        ask(f, CON, METHOD_GET, 3, false);
        expect(f, ACK, CODE_UNAVAILABLE, 3);
        answer(f, CODE_CONTENT); /* to the second */
        expect(f, CON, CODE_CONTENT, 2);
        ask(f, CON, METHOD_GET, 4, false);
        expect_acknowledged(f, 4);
}

static void test_resource_goes(void **state)
{
        struct fixture *f = *state;

        ask(f, CON, METHOD_GET, 7, false);
        expect_acknowledged(f, 7);
        f->slow.resource->self = NULL;
        registry_remove(f->slow.resource);
        expect(f, CON, CODE_UNAVAILABLE, 7);
        assert_int_equal(f->slow.ended, 1);
}

static void test_registry_goes(void **state)
{
        struct fixture *f = *state;

        ask(f, CON, METHOD_GET, 7, false);
        expect_acknowledged(f, 7);
        ask(f, CON, METHOD_GET, 8, false);
        expect_acknowledged(f, 8);
        answer(f, CODE_CONTENT);
        registry_free(TAKE(f->registry));
        assert_int_equal(f->slow.ended, 1);
}

static void test_observation(void **state)
{
        struct fixture *f = *state;

        ask(f, CON, METHOD_GET, 7, true);
        expect_acknowledged(f, 7);
        answer(f, CODE_CONTENT);
        expect(f, CON, CODE_CONTENT, 7);
        assert_true(f->slow.resource->observed);
        f->slow.quick = true;
        resource_changed(f->slow.resource);
        expect(f, NON, CODE_CONTENT, 7);
}

/* A notification cannot wait: an error ends the observation, which is better than an empty message. */
static void test_notification_does_not_wait(void **state)
{
        struct fixture *f = *state;

        f->slow.quick = true;
        ask(f, CON, METHOD_GET, 7, true);
        expect(f, ACK, CODE_CONTENT, 7);
        f->slow.quick = false;
        resource_changed(f->slow.resource);
        expect(f, NON, CODE_UNAVAILABLE, 7);
        assert_null(f->slow.pending);
}

/* The same token may be for something else by now: libcoap knows requests that come again by it alone. */
static void test_put_off(void **state)
{
        struct fixture *f = *state;

        f->slow.quick = f->slow.puts_off = true;
        ask(f, CON, METHOD_GET, 7, false);
        expect_acknowledged(f, 7);
        expect(f, CON, CODE_CONTENT, 7);
        assert_int_equal(f->slow.calls, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(test_confirmable),
                TEST(test_non_confirmable),
                TEST(test_twice),
                TEST(test_time_is_up),
                TEST(test_no_more_than_the_limit),
                TEST(test_resource_goes),
                TEST(test_registry_goes),
                TEST(test_observation),
                TEST(test_notification_does_not_wait),
                TEST(test_put_off),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
