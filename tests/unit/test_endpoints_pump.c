/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pump: a real libcoap context on a real loop, asked over real sockets. And what the pump leans on in
 * libcoap, so that an upgrade that changes it announces itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <systemd/sd-event.h>

#include "base/util.h"
#include "endpoints/datagrams.h"
#include "endpoints/endpoints.h"
#include "endpoints/pump.h"
#include "endpoints/tape.h"
#include "ports.h"

/* As many small datagrams as a socket with the kernel's default buffer is sure to hold. */
enum { MANY = 200 };

enum { N_ENDPOINTS = 2 };

struct fixture {
        coap_context_t *context;
        coap_resource_t *resource;
        struct conf_endpoint entries[N_ENDPOINTS];
        struct config config;
        struct endpoints *endpoints;
        struct metrics metrics;
        sd_event *event;
        struct pump *pump;
        int client[N_ENDPOINTS]; /* connected to the endpoint of the same number */
        unsigned handled;
        unsigned read;   /* of these: because something was read */
        int stream;      /* 0: none; the next request comes in over it, while a datagram is served */
                         /* of these: because something was read */
        unsigned number; /* what the resource answers */
};

/* The one of the running test: libcoap's log handler has no user data. */
static unsigned warnings;

static void on_log(coap_log_t level, const char *text)
{
        if (level <= COAP_LOG_WARN) {
                warnings++;
                fprintf(stderr, "libcoap: %s", text);
        }
}

/* GET /n with token 1: RFC 8323, 3.2. */
static const uint8_t get_over_stream[] = { 0x21, 1, 1, 0xb1, 'n' };

static void on_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
        struct fixture *f = coap_resource_get_userdata(resource);
        char text[16];

        (void)request, (void)query;
        f->handled++;
        f->read += f->pump && pump_is_reading(f->pump);
        if (f->stream && coap_session_get_proto(session) == COAP_PROTO_UDP)
                assert_int_equal(send(f->stream, get_over_stream, sizeof get_over_stream, 0),
                                 sizeof get_over_stream);
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
        coap_add_data(response, (size_t)snprintf(text, sizeof text, "%u", f->number), (uint8_t *)text);
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);

        f->context = coap_new_context(NULL);
        f->resource = coap_resource_init(coap_make_str_const("n"), 0);
        coap_register_handler(f->resource, COAP_REQUEST_GET, on_get);
        coap_resource_set_get_observable(f->resource, 1);
        coap_resource_set_userdata(f->resource, f);
        coap_add_resource(f->context, f->resource);
        f->config.endpoints = (struct conf_list){ f->entries, N_ENDPOINTS };
        f->config.server.receive_buffer = 4 << 20;
        for (int i = 0; i < N_ENDPOINTS; i++)
                f->entries[i] = (struct conf_endpoint){
                        .at = { "coapd.conf", 1 },
                        .uri = (char *)"coap://127.0.0.1",
                        .transport = TRANSPORT_UDP,
                        .host = (char *)"127.0.0.1",
                        .port = free_port(),
                };
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        assert_true(sd_event_new(&f->event) >= 0);
        assert_int_equal(pump_attach(f->event, shards_of_one(&f->context), &f->metrics, &f->pump), 0);
        for (int i = 0; i < N_ENDPOINTS; i++)
                f->client[i] = new_client(f->entries[i].port);
        warnings = 0;
        coap_set_log_handler(on_log);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        coap_set_log_handler(NULL);
        pump_free(f->pump);
        endpoints_free(f->endpoints);
        coap_free_context(f->context);
        sd_event_unref(f->event);
        for (int i = 0; i < N_ENDPOINTS; i++)
                close(f->client[i]);
        free(f);
        return 0;
}

/* NON GET /n with the number as its token. */
static void ask(int fd, unsigned number)
{
        uint8_t get[] = { 0x54, 1, (uint8_t)(number >> 8), (uint8_t)number, 0, 0, 0, 0, 0xb1, 'n' };

        memcpy(get + 4, &number, 4);
        assert_int_equal(send(fd, get, sizeof get, 0), sizeof get);
}

/* NON GET /n with Observe: 0 (register). */
static void observe(int fd, uint8_t token)
{
        const uint8_t get[] = { 0x51, 1, 0, token, token, 0x60, 0x51, 'n' };

        assert_int_equal(send(fd, get, sizeof get, 0), sizeof get);
}

/* The token of the next answer, -1 when there is none yet. */
static long answered(int fd)
{
        uint8_t answer[64];
        uint32_t token;

        if (recv(fd, answer, sizeof answer, 0) < 8)
                return -1;
        assert_int_equal(answer[1], 0x45);
        memcpy(&token, answer + 4, 4);
        return token;
}

/* Turns the loop until nothing is ready. Returns how often it woke. */
static unsigned run(struct fixture *f, uint64_t wait_usec)
{
        unsigned n = 0;

        while (sd_event_run(f->event, n ? 0 : wait_usec) > 0)
                n++;
        return n;
}

static void answers_all_in_order(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < MANY; i++)
                ask(f->client[0], i);
        run(f, 0);
        for (unsigned i = 0; i < MANY; i++)
                assert_int_equal(answered(f->client[0]), i);
        assert_int_equal(answered(f->client[0]), -1);
        assert_int_equal(f->metrics.datagrams_received, MANY);
        assert_int_equal(f->metrics.datagrams_sent, MANY);
        assert_int_equal(f->metrics.datagrams_dropped, 0);
        assert_int_equal(warnings, 0);
}

static void batches(void **state)
{
        struct fixture *f = *state;
        unsigned woke;

        for (unsigned i = 0; i < MANY; i++)
                ask(f->client[0], i);
        woke = run(f, 0);
        /* It begins with 16 a turn and doubles, as long as none takes over 1 ms. */
        assert_in_range(woke, 1, 20);
        assert_int_equal(f->handled, MANY);
}

/* After quiet times it expects little; none of a burst may be left lying then, where no event tells of it. */
static void takes_a_burst_after_quiet_times(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < 10; i++) {
                ask(f->client[0], i);
                run(f, 100000);
                assert_int_equal(answered(f->client[0]), i);
        }
        for (unsigned i = 0; i < 20; i++)
                ask(f->client[0], i);
        run(f, 100000);
        for (unsigned i = 0; i < 20; i++)
                assert_int_equal(answered(f->client[0]), i);
}

static void serves_endpoints_by_turns(void **state)
{
        struct fixture *f = *state;
        unsigned handled_before = 0;

        for (unsigned i = 0; i < MANY; i++)
                ask(f->client[0], i);
        ask(f->client[1], 7);
        while (answered(f->client[1]) < 0) {
                handled_before = f->handled;
                assert_true(sd_event_run(f->event, 0) > 0);
        }
        assert_in_range(handled_before, 0, 100);
        run(f, 0);
        assert_int_equal(f->handled, MANY + 1);
}

static void sleeps_when_idle(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < 10; i++) {
                ask(f->client[0], i);
                run(f, 100000);
                assert_int_equal(answered(f->client[0]), i);
        }
        assert_int_equal(run(f, 500000), 0);
}

static void kick_sends_notifications(void **state)
{
        struct fixture *f = *state;
        uint8_t message[64];

        for (uint8_t i = 0; i < 100; i++) {
                int fd = i == 0 ? f->client[0] : f->client[1];

                observe(fd, i);
                run(f, 100000);
                assert_true(recv(fd, message, sizeof message, 0) > 0);
        }
        f->number = 42;
        f->metrics.datagrams_sent = 0;
        coap_resource_notify_observers(f->resource, NULL);
        pump_kick(f->pump);
        assert_in_range(f->metrics.datagrams_sent, 2, 100);
        assert_true(recv(f->client[0], message, sizeof message, 0) > 0);
        /* All of it is done: the timer that libcoap set for it is off again. */
        assert_int_equal(run(f, 50000), 0);
}

static void tells_what_was_read_from_notifications(void **state)
{
        enum { OBSERVERS = 2, ROUNDS = 3 };
        struct fixture *f = *state;

        for (uint8_t i = 0; i < OBSERVERS; i++)
                observe(f->client[i], i);
        run(f, 100000);
        assert_int_equal(f->handled, OBSERVERS);
        assert_int_equal(f->read, OBSERVERS);
        for (unsigned i = 1; i <= ROUNDS; i++) {
                coap_resource_notify_observers(f->resource, NULL);
                for (unsigned k = 0; k < MANY; k++)
                        ask(f->client[k % N_ENDPOINTS], k);
                run(f, 100000);
                assert_int_equal(f->read, OBSERVERS + i * MANY);
                assert_int_equal(f->handled, f->read + i * OBSERVERS);
        }
        coap_resource_notify_observers(f->resource, NULL);
        pump_kick(f->pump);
        assert_int_equal(f->handled, f->read + (ROUNDS + 1) * OBSERVERS);
        assert_false(pump_is_reading(f->pump));
}

static void ignores_what_is_no_message(void **state)
{
        static uint8_t bytes[2000];
        struct fixture *f = *state;

        send(f->client[0], bytes, 0, 0);
        send(f->client[0], bytes, sizeof bytes, 0);
        send(f->client[0], "\x40", 1, 0);
        ask(f->client[0], 5);
        run(f, 100000);
        assert_int_equal(answered(f->client[0]), 5);
        assert_int_equal(answered(f->client[0]), -1);
        assert_int_equal(f->metrics.datagrams_received, 4);
        assert_int_equal(f->metrics.datagrams_cut, 1);
        assert_int_equal(warnings, 0);
}

static void counts_what_the_kernel_dropped(void **state)
{
        struct fixture *f = *state;
        int fd = new_client(f->entries[0].port);
        unsigned sent = 0;

        /* More than 4 MiB of them, by what the kernel reckons for each. */
        while (sent < 40000)
                ask(fd, sent++);
        run(f, 100000);
        ask(fd, sent++);
        run(f, 100000);
        assert_true(f->metrics.datagrams_dropped > 0);
        assert_int_equal(f->metrics.datagrams_received + f->metrics.datagrams_dropped, sent);

        /* Another run on the same socket: only what is new. */
        pump_free(f->pump);
        f->metrics = (struct metrics){ .datagrams_dropped = 0 };
        assert_int_equal(pump_attach(f->event, shards_of_one(&f->context), &f->metrics, &f->pump), 0);
        ask(fd, 1);
        run(f, 100000);
        assert_int_equal(f->metrics.datagrams_received, 1);
        assert_int_equal(f->metrics.datagrams_dropped, 0);
        close(fd);
}

/* The first time that it is asked, the store has failed. */
static bool may_send_later(void *userdata)
{
        unsigned *asked = userdata;

        return (*asked)++ > 0;
}

static bool admit_all(void *userdata, int fd, const struct msghdr *message, size_t *n)
{
        (void)userdata, (void)fd, (void)message, (void)n;
        return true;
}

static void do_nothing(void *userdata)
{
        (void)userdata;
}

/* Also the answer that found no more room, and for which they had to leave: it belongs to what the store has undone. */
static void discards_all_that_the_store_has_undone(void **state)
{
        struct fixture *f = *state;
        unsigned asked = 0;
        const struct pump_guard guard = {
                .admit = admit_all, .may_send = may_send_later, .turn_is_over = do_nothing, .userdata = &asked
        };

        pump_set_guard(f->pump, &guard);
        for (unsigned i = 0; i < MANY; i++)
                ask(f->client[0], i);
        run(f, 0);
        for (unsigned i = OUTBOX_MOST + 1; i < MANY; i++)
                assert_int_equal(answered(f->client[0]), i);
        assert_int_equal(f->metrics.datagrams_sent, MANY - OUTBOX_MOST - 1);
        pump_set_guard(f->pump, NULL);
}

static void drains_at_the_end(void **state)
{
        struct fixture *f = *state;

        for (unsigned i = 0; i < MANY; i++)
                ask(f->client[0], i);
        pump_drain(f->pump);
        for (unsigned i = 0; i < MANY; i++)
                assert_int_equal(answered(f->client[0]), i);
}

static void goes_on_with_an_endpoint_that_came_later(void **state)
{
        struct fixture *f = *state;
        uint16_t port = free_port();
        size_t stale;
        int fd;

        f->entries[0].port = port;
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        fd = new_client(port);
        for (unsigned i = 0; i < MANY; i++)
                ask(fd, i);
        run(f, 100000);
        for (unsigned i = 0; i < MANY; i++)
                assert_int_equal(answered(fd), i);
        assert_int_equal(f->metrics.datagrams_received, MANY);
        close(fd);
}

static void stands_aside_for_others(void **state)
{
        struct fixture *f = *state;

        ask(f->client[0], 1);
        ask(f->client[0], 2);
        coap_io_process(f->context, COAP_IO_NO_WAIT);
        coap_io_process(f->context, COAP_IO_NO_WAIT);
        assert_int_equal(answered(f->client[0]), 1);
        assert_int_equal(answered(f->client[0]), 2);
        pump_free(f->pump);
        f->pump = NULL;
        ask(f->client[0], 3);
        coap_io_process(f->context, COAP_IO_NO_WAIT);
        assert_int_equal(answered(f->client[0]), 3);
        assert_int_equal(warnings, 0);
}

static void answers_streams_beside_datagrams(void **state)
{
        /* CSM, then GET /n with token 1: RFC 8323, 3.2. */
        static const uint8_t csm[] = { 0x00, 0xe1 }, get[] = { 0x21, 1, 1, 0xb1, 'n' };
        struct fixture *f = *state;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        uint8_t answer[128];
        size_t stale;
        ssize_t n;

        f->entries[0].transport = TRANSPORT_TCP;
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        a.sin_port = htons(f->entries[0].port);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        send(fd, csm, sizeof csm, 0);
        send(fd, get, sizeof get, 0);
        for (unsigned i = 0; i < MANY; i++)
                ask(f->client[1], i);
        run(f, 100000);
        n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
        assert_true(n > 5);
        assert_memory_equal(answer + n - 4, "\x45\x01\xff\x30", 4);
        for (unsigned i = 0; i < MANY; i++)
                assert_int_equal(answered(f->client[1]), i);
        close(fd);
}

/* The walk over so many sessions is dear enough to look for more first, and there is a stream. */
static void reads_streams_in_the_same_call(void **state)
{
        enum { SESSIONS = 3000, ROUNDS = 100 };
        static const uint8_t csm[] = { 0x00, 0xe1 };
        struct fixture *f = *state;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        size_t stale;

        f->entries[0].transport = TRANSPORT_TCP;
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        a.sin_port = htons(f->entries[0].port);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        send(fd, csm, sizeof csm, 0);
        for (unsigned i = 0; i < SESSIONS; i++) {
                int client = new_client(f->entries[1].port);

                ask(client, i);
                run(f, 100000);
                close(client);
        }
        f->handled = f->read = 0;
        f->stream = fd;
        for (unsigned i = 0; i < ROUNDS; i++) {
                ask(f->client[1], i);
                run(f, 100000);
        }
        assert_int_equal(f->handled, 2 * ROUNDS);
        assert_int_equal(f->read, 2 * ROUNDS);
        close(fd);
}

/* Nothing but streams: there is no datagram endpoint whose reads would let the pump go on. */
static void serves_streams_alone(void **state)
{
        static const uint8_t csm[] = { 0x00, 0xe1 }, get[] = { 0x21, 1, 1, 0xb1, 'n' };
        struct fixture *f = *state;
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        uint8_t answer[4096];
        ssize_t n;
        int fd;

        pump_free(f->pump);
        endpoints_free(f->endpoints);
        coap_free_context(f->context);
        f->context = coap_new_context(NULL);
        f->resource = coap_resource_init(coap_make_str_const("n"), 0);
        coap_register_handler(f->resource, COAP_REQUEST_GET, on_get);
        coap_resource_set_userdata(f->resource, f);
        coap_add_resource(f->context, f->resource);
        f->entries[0].transport = TRANSPORT_TCP;
        f->config.endpoints.n = 1;
        assert_int_equal(endpoints_open(shards_of_one(&f->context), &f->config, NULL, NULL, &f->endpoints),
                         0);
        assert_int_equal(pump_attach(f->event, shards_of_one(&f->context), &f->metrics, &f->pump), 0);

        fd = socket(AF_INET, SOCK_STREAM, 0);
        a.sin_port = htons(f->entries[0].port);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        send(fd, csm, sizeof csm, 0);
        for (int i = 0; i < 100; i++)
                send(fd, get, sizeof get, 0);
        run(f, 100000);
        assert_int_equal(f->handled, 100);
        n = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
        assert_true(n > 500);
        assert_int_equal(run(f, 100000), 0);
        close(fd);
}

static coap_response_t on_secure_answer(coap_session_t *session, const coap_pdu_t *sent,
                                        const coap_pdu_t *received, const coap_mid_t mid)
{
        (void)sent, (void)mid;
        assert_int_equal(coap_pdu_get_code(received), COAP_RESPONSE_CODE_CONTENT);
        ++*(int *)coap_session_get_app_data(session);
        return COAP_RESPONSE_OK;
}

static void serves_dtls(void **state)
{
        struct fixture *f = *state;
        coap_dtls_spsk_t keys = { .version = COAP_DTLS_SPSK_SETUP_VERSION,
                                  .psk_info.key = { 6, (const uint8_t *)"secret" } };
        coap_dtls_cpsk_t key = { .version = COAP_DTLS_CPSK_SETUP_VERSION,
                                 .psk_info = { .identity = { 2, (const uint8_t *)"me" },
                                               .key = { 6, (const uint8_t *)"secret" } } };
        coap_context_t *client = coap_new_context(NULL);
        coap_session_t *session;
        coap_address_t to;
        size_t stale;
        int answers = 0;

        coap_context_set_psk2(f->context, &keys);
        f->entries[0].transport = TRANSPORT_DTLS;
        f->entries[0].port = free_port();
        assert_int_equal(endpoints_update(f->endpoints, &f->config, &stale), 0);
        coap_address_init(&to);
        to.size = sizeof to.addr.sin;
        to.addr.sin = (struct sockaddr_in){ .sin_family = AF_INET,
                                            .sin_addr = { htonl(INADDR_LOOPBACK) },
                                            .sin_port = htons(f->entries[0].port) };
        coap_register_response_handler(client, on_secure_answer);
        session = coap_new_client_session_psk2(client, NULL, &to, COAP_PROTO_DTLS, &key);
        coap_session_set_app_data(session, &answers);
        for (int i = 0; i < 20; i++) {
                coap_pdu_t *pdu = coap_new_pdu(COAP_MESSAGE_NON, COAP_REQUEST_CODE_GET, session);
                uint8_t token = (uint8_t)i;

                coap_add_token(pdu, 1, &token);
                coap_add_option(pdu, COAP_OPTION_URI_PATH, 1, (const uint8_t *)"n");
                coap_send(session, pdu);
        }
        for (int i = 0; i < 200 && answers < 20; i++) {
                run(f, 1000);
                coap_io_process(client, 5);
        }
        assert_int_equal(answers, 20);
        assert_true(f->metrics.datagrams_received >= 20);
        coap_session_release(session);
        coap_free_context(client);
}

static struct fixture *yielding;

static void on_yielding_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                            const coap_string_t *query, coap_pdu_t *response)
{
        on_get(resource, session, request, query, response);
        pump_yield(yielding->pump);
}

static void yields_when_asked(void **state)
{
        struct fixture *f = yielding = *state;

        coap_register_handler(f->resource, COAP_REQUEST_GET, on_yielding_get);
        for (unsigned i = 0; i < MANY; i++)
                ask(f->client[0], i);
        ask(f->client[1], 7);
        assert_true(sd_event_run(f->event, 0) > 0);
        /* What had been read is answered, but no more is read. */
        assert_in_range(f->handled, 1, 64);
        run(f, 0);
        assert_int_equal(f->handled, MANY + 1);
}

/* ------------------------------------------------ the tape */

static void tape_is_written_behind_where_libcoap_is(void **state)
{
        struct tape *tape = calloc(1, sizeof *tape);
        char blank, a, b;

        (void)state;
        tape_begin(tape, &blank, 0);
        assert_int_equal(tape_room(tape), TAPE_LEAST);
        for (unsigned i = 0; i < tape->length; i++) {
                assert_int_equal(tape->v[i].events, 0);
                assert_ptr_equal(tape->v[i].data.ptr, &blank);
        }
        tape_write(tape, (struct epoll_event){ .events = EPOLLIN, .data.ptr = &b }); /* a stream */
        for (int i = 0; i < 3; i++)
                tape_write(tape, (struct epoll_event){ .events = EPOLLIN, .data.ptr = &a });
        assert_int_equal(tape_room(tape), TAPE_LEAST - 4);
        tape_pass(tape, &a);
        assert_int_equal(tape->at, 2);
        tape_rewrite(tape);
        assert_int_equal(tape_room(tape), TAPE_LEAST - 2);
        assert_int_equal(tape->v[1].events, EPOLLIN);
        assert_int_equal(tape->v[2].events, 0);
        assert_ptr_equal(tape->v[2].data.ptr, &blank);
        tape_pass(tape, &a);
        assert_int_equal(tape->at, 2);
        free(tape);
}

static void tape_grows_and_shrinks_with_its_use(void **state)
{
        struct tape *tape = calloc(1, sizeof *tape);
        char a;

        (void)state;
        for (int i = 0; i < 10; i++) {
                tape_begin(tape, &a, 0);
                while (tape_room(tape) > 0)
                        tape_write(tape, (struct epoll_event){ .events = EPOLLIN, .data.ptr = &a });
        }
        assert_int_equal(tape->length, TAPE_MOST);
        for (int i = 0; i < 10; i++)
                tape_begin(tape, &a, 0);
        assert_int_equal(tape->length, TAPE_LEAST);
        free(tape);
}

/* ------------------------------------------------ what the pump leans on in libcoap */

/* coap_io_do_epoll() reads one datagram for each copy of the event, and takes 0 from recvmsg() in silence. */
static void libcoap_takes_copies_of_an_event(void **state)
{
        struct fixture *f = *state;
        struct epoll_event copies[8];
        int epoll_fd = coap_context_get_coap_fd(f->context);

        for (unsigned i = 0; i < 5; i++)
                ask(f->client[0], i);
        assert_int_equal(epoll_wait(epoll_fd, copies, 1, 1000), 1);
        for (size_t i = 1; i < ARRAY_LEN(copies); i++)
                copies[i] = copies[0];
        pump_free(f->pump); /* so that libcoap's reads go to the kernel */
        f->pump = NULL;
        coap_io_do_epoll(f->context, copies, 3);
        assert_int_equal(f->handled, 3);
        send(f->client[0], "", 0, 0);
        coap_io_do_epoll(f->context, copies, 3);
        assert_int_equal(f->handled, 5);
        assert_int_equal(warnings, 0);
}

/* It looks at each event only when it comes to it: later ones can still be written, and blanked. */
static struct epoll_event *tape_ahead;

static void on_rewriting_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                             const coap_string_t *query, coap_pdu_t *response)
{
        struct fixture *f = coap_resource_get_userdata(resource);

        on_get(resource, session, request, query, response);
        if (f->handled == 1) {
                tape_ahead[1].events = 0;
                tape_ahead[2].events = EPOLLIN;
        }
}

static void libcoap_looks_at_events_late(void **state)
{
        struct fixture *f = *state;
        struct epoll_event events[4];

        coap_register_handler(f->resource, COAP_REQUEST_GET, on_rewriting_get);
        for (unsigned i = 0; i < 4; i++)
                ask(f->client[0], i);
        assert_int_equal(epoll_wait(coap_context_get_coap_fd(f->context), events, 1, 1000), 1);
        for (size_t i = 1; i < ARRAY_LEN(events); i++)
                events[i] = events[0];
        events[2].events = events[3].events = 0;
        tape_ahead = events;
        pump_free(f->pump);
        f->pump = NULL;
        coap_io_do_epoll(f->context, events, ARRAY_LEN(events));
        assert_int_equal(f->handled, 2); /* the first and the third */
        assert_int_equal(warnings, 0);
}

int main(void)
{
#define PUMP_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                PUMP_TEST(answers_all_in_order),
                PUMP_TEST(batches),
                PUMP_TEST(takes_a_burst_after_quiet_times),
                PUMP_TEST(serves_endpoints_by_turns),
                PUMP_TEST(sleeps_when_idle),
                PUMP_TEST(kick_sends_notifications),
                PUMP_TEST(tells_what_was_read_from_notifications),
                PUMP_TEST(reads_streams_in_the_same_call),
                PUMP_TEST(ignores_what_is_no_message),
                PUMP_TEST(counts_what_the_kernel_dropped),
                PUMP_TEST(discards_all_that_the_store_has_undone),
                PUMP_TEST(drains_at_the_end),
                PUMP_TEST(goes_on_with_an_endpoint_that_came_later),
                PUMP_TEST(stands_aside_for_others),
                PUMP_TEST(answers_streams_beside_datagrams),
                PUMP_TEST(serves_streams_alone),
                PUMP_TEST(serves_dtls),
                PUMP_TEST(yields_when_asked),
                cmocka_unit_test(tape_is_written_behind_where_libcoap_is),
                cmocka_unit_test(tape_grows_and_shrinks_with_its_use),
                PUMP_TEST(libcoap_takes_copies_of_an_event),
                PUMP_TEST(libcoap_looks_at_events_late),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
