/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How libcoap answers over OSCORE, which endpoints/piggyback.c leans on: when one of these fails after an upgrade of
 * libcoap, look there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "endpoints/endpoints.h"
#include "endpoints/piggyback.h"
#include "endpoints/sockets.h"
#include "ports.h"

enum { MOST = 8, TYPE_CON = 0, TYPE_ACK = 2, EMPTY = 4 };

/* A message that the server sends. */
struct sent {
        unsigned type, code;
        uint16_t message_id;
        size_t n;
};

struct fixture {
        coap_context_t *server, *client;
        struct conf_endpoint entry;
        struct config config;
        struct endpoints *endpoints;
        struct socket_io io;
        int fd;
        bool refuses; /* empty messages */
        struct sent sent[MOST];
        size_t n_sent;
        uint16_t asked; /* the message id of the request that came last */
        coap_session_t *session;
        unsigned answers;
};

static ssize_t on_receive(void *userdata, struct msghdr *into)
{
        struct fixture *f = userdata;
        ssize_t n = sockets_raw_recvmsg(f->fd, into, 0);
        const uint8_t *p = into->msg_iov[0].iov_base;

        if (n >= EMPTY && p[1] != 0)
                f->asked = (uint16_t)(p[2] << 8 | p[3]);
        return n;
}

static ssize_t on_send(void *userdata, const struct msghdr *message)
{
        struct fixture *f = userdata;
        const uint8_t *p = message->msg_iov[0].iov_base;
        size_t n = message->msg_iov[0].iov_len;

        assert_in_range(f->n_sent, 0, MOST - 1);
        f->sent[f->n_sent++] = (struct sent){ p[0] >> 4 & 3, p[1], (uint16_t)(p[2] << 8 | p[3]), n };
        if (f->refuses && n == EMPTY) {
                errno = PIGGYBACK_REFUSED;
                return -1;
        }
        return sockets_raw_sendmsg(f->fd, message, 0);
}

static void on_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
        (void)resource, (void)session, (void)request, (void)query;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
        coap_add_data(response, 2, (const uint8_t *)"hi");
}

static coap_response_t on_answer(coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received,
                                 const coap_mid_t mid)
{
        struct fixture *f = coap_session_get_app_data(session);

        (void)sent, (void)mid;
        assert_int_equal(coap_pdu_get_code(received), COAP_RESPONSE_CODE_CONTENT);
        f->answers++;
        return COAP_RESPONSE_OK;
}

static coap_oscore_conf_t *keys(const char *sender, const char *recipient)
{
        char text[256];
        int n = snprintf(text, sizeof text,
                         "master_secret,hex,\"0102030405060708090a0b0c0d0e0f10\"\n"
                         "sender_id,hex,\"%s\"\nrecipient_id,hex,\"%s\"\nrfc8613_b_1_2,bool,false\n",
                         sender, recipient);

        return coap_new_oscore_conf((coap_str_const_t){ (size_t)n, (const uint8_t *)text }, NULL, NULL, 0);
}

static void serve(struct fixture *f)
{
        coap_resource_t *resource = coap_resource_init(coap_make_str_const("n"), 0);
        struct socket_watch watch;
        int cursor = 0;

        f->server = coap_new_context(NULL);
        coap_register_handler(resource, COAP_REQUEST_GET, on_get);
        coap_add_resource(f->server, resource);
        assert_true(coap_context_oscore_server(f->server, keys("01", "02")));
        f->entry = (struct conf_endpoint){ .at = { "coapd.conf", 1 },
                                           .uri = (char *)"coap://127.0.0.1",
                                           .transport = TRANSPORT_UDP,
                                           .host = (char *)"127.0.0.1",
                                           .port = free_port() };
        f->config.endpoints = (struct conf_list){ &f->entry, 1 };
        assert_int_equal(endpoints_open(shards_of_one(&f->server), &f->config, NULL, NULL, &f->endpoints), 0);
        assert_true(sockets_next(coap_context_get_coap_fd(f->server), &cursor, &watch));
        f->fd = watch.fd;
        f->io = (struct socket_io){ .receive = on_receive, .send = on_send, .userdata = f };
        sockets_set_io(f->fd, &f->io);
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof *f);
        coap_address_t to;

        serve(f);
        coap_address_init(&to);
        to.size = sizeof to.addr.sin;
        to.addr.sin = (struct sockaddr_in){ .sin_family = AF_INET,
                                            .sin_addr = { htonl(INADDR_LOOPBACK) },
                                            .sin_port = htons(f->entry.port) };
        f->client = coap_new_context(NULL);
        coap_register_response_handler(f->client, on_answer);
        f->session = coap_new_client_session_oscore(f->client, NULL, &to, COAP_PROTO_UDP, keys("02", "01"));
        assert_non_null(f->session);
        coap_session_set_app_data(f->session, f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        coap_session_release(f->session);
        coap_free_context(f->client);
        sockets_set_io(f->fd, NULL);
        endpoints_free(f->endpoints);
        coap_free_context(f->server);
        free(f);
        return 0;
}

static void ask(struct fixture *f)
{
        coap_pdu_t *pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, f->session);
        unsigned before = f->answers;

        f->n_sent = 0;
        coap_add_token(pdu, 1, (const uint8_t *)"t");
        coap_add_option(pdu, COAP_OPTION_URI_PATH, 1, (const uint8_t *)"n");
        assert_int_not_equal(coap_send(f->session, pdu), COAP_INVALID_MID);
        for (int i = 0; i < 100 && f->answers == before; i++) {
                coap_io_process(f->server, COAP_IO_NO_WAIT);
                coap_io_process(f->client, 10);
        }
        assert_int_equal(f->answers, before + 1);
        coap_io_process(f->server, COAP_IO_NO_WAIT);
}

/* What the whole of it is for: once this is otherwise, it can go. */
static void acknowledges_and_answers_in_two_messages(void **state)
{
        struct fixture *f = *state;

        ask(f);
        assert_int_equal(f->n_sent, 2);
        assert_int_equal(f->sent[0].type, TYPE_ACK);
        assert_int_equal(f->sent[0].n, EMPTY);
        assert_int_equal(f->sent[0].message_id, f->asked);
        assert_int_equal(f->sent[1].type, TYPE_CON);
}

/*
 * And answers in the acknowledgement when the empty one cannot be sent; more than once, so that nothing stays taken.
 */
static void answers_in_one_when_it_can_not_acknowledge(void **state)
{
        struct fixture *f = *state;

        f->refuses = true;
        for (int i = 0; i < 3; i++) {
                ask(f);
                assert_int_equal(f->n_sent, 2);
                assert_int_equal(f->sent[0].n, EMPTY);
                assert_int_equal(f->sent[1].type, TYPE_ACK);
                assert_int_equal(f->sent[1].message_id, f->asked);
                assert_true(f->sent[1].n > EMPTY);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(acknowledges_and_answers_in_two_messages, set_up, tear_down),
                cmocka_unit_test_setup_teardown(answers_in_one_when_it_can_not_acknowledge, set_up,
                                                tear_down),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
