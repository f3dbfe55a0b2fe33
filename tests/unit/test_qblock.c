/* SPDX-License-Identifier: BSD-2-Clause */
/* Q-Block1 and Q-Block2 taken out of datagrams: what is left is the message without them, byte for byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "resources/qblock.h"

enum { Q1 = COAP_OPTION_Q_BLOCK1, Q2 = COAP_OPTION_Q_BLOCK2, ROOM = 4096 };

struct option {
        unsigned number;
        size_t n;
};

struct datagram {
        uint8_t p[ROOM];
        size_t n;
};

/* Option values are bytes of 0x08: as a block, the number 0 with more to come, in blocks of 16. */
static struct datagram message(const struct option *options, size_t n, bool without_q_block, size_t payload)
{
        static const uint8_t head[] = { 0x52, 0x03, 0x12, 0x34, 't', 'k' }, value[ROOM] = { 0 };
        struct datagram d = { .n = sizeof head };
        unsigned last = 0;

        memcpy(d.p, head, sizeof head);
        for (size_t i = 0; i < n; i++) {
                if (without_q_block && (options[i].number == Q1 || options[i].number == Q2))
                        continue;
                d.n += coap_opt_encode(d.p + d.n, sizeof d.p - d.n, (uint16_t)(options[i].number - last),
                                       value, options[i].n);
                memset(d.p + d.n - options[i].n, 8, options[i].n);
                last = options[i].number;
        }
        if (payload)
                d.p[d.n++] = 0xff;
        memset(d.p + d.n, 'p', payload);
        d.n += payload;
        return d;
}

static void take_out(struct qblock_values *values, struct datagram *d)
{
        struct sockaddr_in peer = { .sin_family = AF_INET,
                                    .sin_port = htons(1234),
                                    .sin_addr = { htonl(INADDR_LOOPBACK) } };
        /* As large as it is, for the sanitizer to see what goes beyond. */
        uint8_t *exact = malloc(d->n ? d->n : 1);
        struct iovec piece = { .iov_base = exact, .iov_len = d->n };
        struct msghdr header = {
                .msg_name = &peer, .msg_namelen = sizeof peer, .msg_iov = &piece, .msg_iovlen = 1
        };

        memcpy(exact, d->p, d->n);
        qblock_take_out(values, &header, &d->n);
        memcpy(d->p, exact, d->n);
        free(exact);
}

static void assert_same(const struct datagram *a, const struct datagram *b)
{
        assert_int_equal(a->n, b->n);
        assert_memory_equal(a->p, b->p, b->n);
}

static void leaves_the_others(void **state)
{
        static const unsigned others[] = { 1,  3,  4,  6,  8,  11,  11,  12,  15,  17,   18,   20,
                                           28, 30, 32, 35, 60, 252, 258, 292, 400, 2048, 65000 };
        static const size_t lengths[] = { 0, 1, 2, 12, 13, 14, 268, 269, 300 };

        (void)state;
        srand(9177);
        for (int round = 0; round < 20000; round++) {
                struct option options[32];
                struct qblock_values values;
                struct datagram d, expected;
                size_t n = 0, n_q2 = (size_t)rand() % 4, payload;
                bool q1 = n_q2 == 0 || rand() % 2;

                for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                        if (q1 && others[i] > Q1 && (n == 0 || options[n - 1].number < Q1))
                                options[n++] = (struct option){ Q1, (size_t)rand() % 4 };
                        if (others[i] > Q2 && (n == 0 || options[n - 1].number < Q2))
                                for (size_t k = 0; k < n_q2; k++)
                                        options[n++] = (struct option){ Q2, (size_t)rand() % 4 };
                        if (rand() % 3 == 0)
                                options[n++] =
                                        (struct option){ others[i],
                                                         lengths[(size_t)rand() % ARRAY_LEN(lengths)] };
                }
                payload = (size_t)rand() % 3 * 10;
                d = message(options, n, false, payload);
                expected = message(options, n, true, payload);
                take_out(&values, &d);
                assert_true(values.any);
                assert_int_equal(values.has_q_block1, q1);
                assert_int_equal(values.n_q_block2, n_q2);
                assert_int_equal(values.mid, 0x1234);
                assert_int_equal(values.token_length, 2);
                assert_same(&d, &expected);
        }
}

static void assert_untouched(struct datagram d)
{
        struct qblock_values values;
        struct datagram before = d;

        take_out(&values, &d);
        assert_false(values.any);
        assert_same(&d, &before);
}

static void leaves_what_is_out_of_order(void **state)
{
        static const struct option with_oscore[] = { { COAP_OPTION_OSCORE, 1 }, { Q1, 1 } },
                                   twice[] = { { Q1, 1 }, { Q1, 1 } }, too_long[] = { { Q2, 4 } },
                                   none[] = { { COAP_OPTION_URI_PATH, 3 } }, fine[] = { { Q2, 1 } };
        struct qblock_values values;
        struct datagram d;

        (void)state;
        assert_untouched(message(with_oscore, 2, false, 3));
        assert_untouched(message(twice, 2, false, 3));
        assert_untouched(message(too_long, 1, false, 3));
        assert_untouched(message(none, 1, false, 3));
        assert_untouched(message(none, 0, false, 0));
        d = message(fine, 1, false, 3);
        take_out(&values, &d);
        assert_true(values.any);
        d = message(fine, 1, false, 0);
        d.p[d.n - 1] = 7; /* no size */
        assert_untouched(d);
        d = message(fine, 1, false, 0);
        d.p[d.n++] = 0xf0; /* a delta that there is not */
        assert_untouched(d);
        d = message(fine, 1, false, 0);
        d.p[d.n++] = 0x15; /* and a value that is cut off */
        assert_untouched(d);
        for (unsigned i = 0; i < 4; i++) { /* an answer, and no message at all */
                d = message(fine, 1, false, 0);
                d.p[1] = (uint8_t[]){ 0, 8, 0x45, 0xff }[i];
                assert_untouched(d);
        }
        d = message(fine, 1, false, 0);
        d.p[0] = 0x16; /* a record of DTLS */
        assert_untouched(d);
        for (size_t n = 0; n < 6; n++) {
                d = message(fine, 1, false, 0);
                d.n = n;
                assert_untouched(d);
        }
}

static void keeps_a_set_of_numbers(void **state)
{
        struct option options[15];
        struct qblock_values values;
        struct datagram d;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(options); i++)
                options[i] = (struct option){ Q2, 1 };
        d = message(options, ARRAY_LEN(options), false, 0);
        take_out(&values, &d);
        assert_int_equal(values.n_q_block2, MAX_PAYLOADS);
        assert_int_equal(values.q_block2[MAX_PAYLOADS - 1], 8);
        assert_int_equal(d.n, 6);
}

/* --- whose they are --- */

struct owner {
        coap_context_t *context;
        coap_session_t *session;
        coap_address_t address;
};

static void set_port(coap_address_t *address, uint16_t port)
{
        coap_address_init(address);
        address->size = sizeof address->addr.sin;
        address->addr.sin.sin_family = AF_INET;
        address->addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address->addr.sin.sin_port = htons(port);
}

static int set_up(void **state)
{
        static struct owner owner;

        coap_startup();
        owner.context = coap_new_context(NULL);
        set_port(&owner.address, 1234);
        owner.session = coap_new_client_session(owner.context, NULL, &owner.address, COAP_PROTO_UDP);
        assert_non_null(owner.session);
        *state = &owner;
        return 0;
}

static int tear_down(void **state)
{
        struct owner *owner = *state;

        coap_session_release(owner->session);
        coap_free_context(owner->context);
        coap_cleanup();
        return 0;
}

/* Gives values, of a datagram of 127.0.0.1:1234 with the id 0x1234 and the token "tk", to a request with these. */
static bool give(const struct owner *owner, struct qblock_values *values, coap_mid_t mid, const char *token,
                 enum method method, struct message *ret, struct response *response)
{
        coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_NON, (coap_pdu_code_t)method, mid, 64);
        bool served;

        assert_true(coap_add_token(pdu, strlen(token), (const uint8_t *)token));
        *ret = (struct message){ .session = owner->session,
                                 .pdu = pdu,
                                 .token = coap_pdu_get_token(pdu),
                                 .request.method = method };
        *response = (struct response){ .max_age = -1 };
        served = qblock_give_back(values, ret, response);
        coap_delete_pdu(pdu);
        return served;
}

static struct qblock_values taken(const struct option *options, size_t n)
{
        struct datagram d = message(options, n, false, 3);
        struct qblock_values values;

        take_out(&values, &d);
        assert_true(values.any);
        return values;
}

static void are_their_own_request_s(void **state)
{
        static const struct option both[] = { { Q1, 1 }, { Q2, 1 } };
        const struct owner *owner = *state;
        struct qblock_values values = taken(both, 2);
        struct response response;
        struct message m;

        assert_true(give(owner, &values, 0x1234, "tk", METHOD_FETCH, &m, &response));
        assert_true(m.has_block1 && m.q_block1 && m.has_block2 && m.q_block2);
        assert_true(m.block1.m && m.block1.num == 0 && m.block1.szx == 0);
        /* And once. */
        assert_true(give(owner, &values, 0x1234, "tk", METHOD_FETCH, &m, &response));
        assert_false(m.has_block1 || m.has_block2);
}

static void are_nobody_else_s(void **state)
{
        static const struct option both[] = { { Q1, 1 }, { Q2, 1 } };
        static const struct {
                coap_mid_t mid;
                const char *token;
                uint16_t port;
                uint32_t address;
        } others[] = {
                { 0x1235, "tk", 1234, INADDR_LOOPBACK },     { 0x1234, "tj", 1234, INADDR_LOOPBACK },
                { 0x1234, "t", 1234, INADDR_LOOPBACK },      { 0x1234, "", 1234, INADDR_LOOPBACK },
                { 0x1234, "tkk", 1234, INADDR_LOOPBACK },    { 0x1234, "tk", 1235, INADDR_LOOPBACK },
                { 0x1234, "tk", 1234, INADDR_LOOPBACK + 1 },
        };
        const struct owner *owner = *state;
        struct response response;
        struct message m;

        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                struct qblock_values values = taken(both, 2);

                values.peer.addr.sin.sin_port = htons(others[i].port);
                values.peer.addr.sin.sin_addr.s_addr = htonl(others[i].address);
                assert_true(
                        give(owner, &values, others[i].mid, others[i].token, METHOD_FETCH, &m, &response));
                assert_false(m.has_block1 || m.has_block2 || m.q_block1 || m.q_block2);
                /* The request that they wait for is not to come any more. */
                assert_false(values.any);
        }
}

static void are_refused(void **state)
{
        static const struct option block1[] = { { Q1, 1 }, { COAP_OPTION_BLOCK1, 1 } },
                                   block2[] = { { COAP_OPTION_BLOCK2, 1 }, { Q2, 1 } },
                                   twice[] = { { Q2, 1 }, { Q2, 1 } };
        const struct owner *owner = *state;
        struct qblock_values values = taken(block1, 2);
        struct response response;
        struct message m;

        assert_false(give(owner, &values, 0x1234, "tk", METHOD_PUT, &m, &response));
        assert_int_equal(response.code, CODE_BAD_OPTION);
        values = taken(block2, 2);
        assert_false(give(owner, &values, 0x1234, "tk", METHOD_GET, &m, &response));
        assert_int_equal(response.code, CODE_BAD_OPTION);
        values = taken(twice, 2);
        assert_false(give(owner, &values, 0x1234, "tk", METHOD_GET, &m, &response));
        assert_int_equal(response.code, CODE_BAD_REQUEST);
        /* Of another one they are no reason. */
        values = taken(block1, 2);
        assert_true(give(owner, &values, 0x1235, "tk", METHOD_PUT, &m, &response));
        assert_int_equal(response.code, 0);
        /* What is not done twice is not done for a later block of its answer. */
        values = taken(twice, 1);
        values.q_block2[0] |= 1 << 4;
        assert_false(give(owner, &values, 0x1234, "tk", METHOD_POST, &m, &response));
        assert_int_equal(response.code, CODE_INCOMPLETE);
        values = taken(twice, 1);
        assert_true(give(owner, &values, 0x1234, "tk", METHOD_POST, &m, &response));
        assert_false(m.has_block2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(leaves_the_others),      cmocka_unit_test(leaves_what_is_out_of_order),
                cmocka_unit_test(keeps_a_set_of_numbers), cmocka_unit_test(are_their_own_request_s),
                cmocka_unit_test(are_nobody_else_s),      cmocka_unit_test(are_refused),
        };

        return cmocka_run_group_tests(tests, set_up, tear_down);
}
