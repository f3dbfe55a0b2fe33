/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers that are given again: to whom, to what, for how long, and what is left of large ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "resources/duplicates.h"

#define SLOTS 4

static time_t late;

/* Stands before that of libc. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
        int r = (int)syscall(SYS_clock_gettime, clock, now);

        now->tv_sec += late;
        return r;
}

struct fixture {
        struct duplicates *duplicates;
        coap_context_t *context;
        coap_session_t *session, *six;
        int listener;
};

struct head {
        uint8_t type, code;
        uint16_t mid;
        const char *token;
};

static const struct head PUT = { COAP_MESSAGE_CON, 3, 0x1234, "token" };

static struct sockaddr_in6 six_at(uint16_t port)
{
        return (struct sockaddr_in6){ .sin6_family = AF_INET6,
                                      .sin6_port = htons(port),
                                      .sin6_addr = IN6ADDR_LOOPBACK_INIT };
}

static struct sockaddr_in four_at(uint16_t port)
{
        return (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons(port),
                                     .sin_addr = { htonl(INADDR_LOOPBACK) } };
}

static coap_session_t *open_session(struct fixture *f, coap_proto_t proto, const void *peer, size_t n)
{
        coap_session_t *session;
        coap_address_t to;

        coap_address_init(&to);
        memcpy(&to.addr, peer, n);
        to.size = (socklen_t)n;
        session = coap_new_client_session(f->context, NULL, &to, proto);
        assert_non_null(session);
        return session;
}

static coap_session_t *open_four(struct fixture *f, coap_proto_t proto, uint16_t port)
{
        struct sockaddr_in in = four_at(port);

        return open_session(f, proto, &in, sizeof(in));
}

static int set_up(void **state)
{
        static struct fixture fixture;
        struct sockaddr_in6 in6 = six_at(9);

        late = 0;
        fixture = (struct fixture){ .context = coap_new_context(NULL), .listener = -1 };
        assert_int_equal(duplicates_new(SLOTS, &fixture.duplicates), 0);
        fixture.session = open_four(&fixture, COAP_PROTO_UDP, 9);
        fixture.six = open_session(&fixture, COAP_PROTO_UDP, &in6, sizeof(in6));
        *state = &fixture;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        coap_free_context(f->context);
        duplicates_free(f->duplicates);
        if (f->listener >= 0)
                close(f->listener);
        return 0;
}

static coap_pdu_t *make(const struct head *r)
{
        coap_pdu_t *pdu = coap_pdu_init(r->type, (coap_pdu_code_t)r->code, r->mid, 4096);

        assert_non_null(pdu);
        assert_true(coap_add_token(pdu, strlen(r->token), (const uint8_t *)r->token));
        return pdu;
}

static coap_pdu_t *empty(void)
{
        return make(&(struct head){ COAP_MESSAGE_ACK, 0, 0, "" });
}

/* 2.01 with a Location-Path and a payload of so many bytes. */
static coap_pdu_t *created(size_t location, size_t payload)
{
        static uint8_t bytes[2048];
        coap_pdu_t *pdu = make(&(struct head){ COAP_MESSAGE_ACK, COAP_RESPONSE_CODE_CREATED, 0, "" });

        memset(bytes, 'x', sizeof(bytes));
        if (location)
                assert_true(coap_add_option(pdu, COAP_OPTION_LOCATION_PATH, location, bytes));
        if (payload)
                assert_true(coap_add_data(pdu, payload, bytes));
        return pdu;
}

static void remember(struct fixture *f, coap_session_t *session, uint64_t sender, const struct head *r,
                     coap_pdu_t *answer)
{
        coap_pdu_t *request = make(r);

        duplicates_remember(f->duplicates, session, sender, request, r->mid, answer);
        coap_delete_pdu(request);
        coap_delete_pdu(answer);
}

/* The answer that is given again, which the caller frees; NULL: there is none. */
static coap_pdu_t *again(struct fixture *f, coap_session_t *session, uint64_t sender, const struct head *r)
{
        coap_pdu_t *request = make(r), *answer = empty();
        bool known = duplicates_answer(f->duplicates, session, sender, request, answer);

        coap_delete_pdu(request);
        if (known)
                return answer;
        coap_delete_pdu(answer);
        return NULL;
}

static bool is_known(struct fixture *f, coap_session_t *session, uint64_t sender, const struct head *r)
{
        coap_pdu_t *answer = again(f, session, sender, r);

        coap_delete_pdu(answer);
        return answer;
}

static size_t count_options(const coap_pdu_t *pdu)
{
        coap_opt_iterator_t iterator;
        size_t n = 0;

        coap_option_iterator_init(pdu, &iterator, COAP_OPT_ALL);
        while (coap_option_next(&iterator))
                n++;
        return n;
}

static void an_answer_is_given_again(void **state)
{
        struct fixture *f = *state;
        coap_pdu_t *answer = created(3, 5);
        coap_opt_iterator_t iterator;
        const coap_opt_t *location;
        const uint8_t *data;
        size_t n;

        remember(f, f->session, 0, &PUT, answer);
        for (int i = 0; i < 2; i++) {
                answer = again(f, f->session, 0, &PUT);
                assert_non_null(answer);
                assert_int_equal(coap_pdu_get_code(answer), COAP_RESPONSE_CODE_CREATED);
                assert_int_equal(count_options(answer), 1);
                location = coap_check_option(answer, COAP_OPTION_LOCATION_PATH, &iterator);
                assert_true(span_equal(span_of(coap_opt_value(location), coap_opt_length(location)),
                                       SPAN_LITERAL("xxx")));
                assert_true(coap_get_data(answer, &n, &data));
                assert_true(span_equal(span_of(data, n), SPAN_LITERAL("xxxxx")));
                coap_delete_pdu(answer);
        }
}

static void only_to_the_same_message_of_the_same_sender(void **state)
{
        static const struct head others[] = {
                { COAP_MESSAGE_NON, 3, 0x1234, "token" }, { COAP_MESSAGE_CON, 3, 0x1235, "token" },
                { COAP_MESSAGE_CON, 3, 0x0034, "token" }, { COAP_MESSAGE_CON, 3, 0x1234, "tokem" },
                { COAP_MESSAGE_CON, 3, 0x1234, "toke" },  { COAP_MESSAGE_CON, 3, 0x1234, "tokens" },
                { COAP_MESSAGE_CON, 3, 0x1234, "" },
        };
        struct fixture *f = *state;

        remember(f, f->session, 7, &PUT, created(0, 0));
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
                if (is_known(f, f->session, 7, &others[i]))
                        fail_msg("%zu", i);
        }
        assert_false(is_known(f, f->session, 8, &PUT));
        assert_false(is_known(f, f->six, 7, &PUT));
        assert_false(is_known(f, open_four(f, COAP_PROTO_UDP, 10), 7, &PUT));
        assert_true(is_known(f, f->session, 7, &PUT));
        duplicates_clear(f->duplicates);
        assert_false(is_known(f, f->session, 7, &PUT));
}

/* An answer that comes later is to a request that is kept without the number of its message. */
static void an_answer_is_to_the_message_that_it_is_said_to_be_to(void **state)
{
        struct fixture *f = *state;
        coap_pdu_t *kept = make(&(struct head){ PUT.type, PUT.code, 0, PUT.token }), *answer = created(0, 0);

        duplicates_remember(f->duplicates, f->session, 0, kept, PUT.mid, answer);
        coap_delete_pdu(kept);
        coap_delete_pdu(answer);
        assert_true(is_known(f, f->session, 0, &PUT));
}

static void a_stream_brings_nothing_twice(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in in = four_at(0);
        socklen_t n = sizeof(in);
        coap_session_t *session;

        f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->listener, (struct sockaddr *)&in, n), 0);
        assert_int_equal(listen(f->listener, 1), 0);
        assert_int_equal(getsockname(f->listener, (struct sockaddr *)&in, &n), 0);
        session = open_four(f, COAP_PROTO_TCP, ntohs(in.sin_port));
        remember(f, session, 0, &PUT, created(0, 0));
        assert_false(is_known(f, session, 0, &PUT));
}

/* RFC 8974 */
static void a_long_token_is_looked_at_to_its_end(void **state)
{
        static const char *const tokens[] = { "12345678", "123456789", "123456780", "1234567890" };
        struct fixture *f = *state;

        for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
                const struct head r = { COAP_MESSAGE_CON, 3, 1, tokens[i] };

                assert_false(is_known(f, f->session, 0, &r));
                remember(f, f->session, 0, &r, created(0, 0));
                assert_true(is_known(f, f->session, 0, &r));
        }
}

/* EXCHANGE_LIFETIME (RFC 7252, 4.8.2): then the message id may be another message's. */
static void an_answer_is_remembered_for_its_time(void **state)
{
        struct fixture *f = *state;

        remember(f, f->session, 0, &PUT, created(0, 0));
        late = 246;
        assert_true(is_known(f, f->session, 0, &PUT));
        late = 249;
        assert_false(is_known(f, f->session, 0, &PUT));
}

static void expect_answer(struct fixture *f, uint16_t mid, size_t location, size_t payload)
{
        struct head r = PUT;
        coap_pdu_t *answer;
        const uint8_t *data;
        size_t n = 0;

        r.mid = mid;
        answer = again(f, f->session, 0, &r);
        assert_non_null(answer);
        assert_int_equal(coap_pdu_get_code(answer), COAP_RESPONSE_CODE_CREATED);
        coap_get_data(answer, &n, &data);
        if (count_options(answer) != (location ? 1 : 0) || n != payload)
                fail_msg("answer %u: %d options and %zu bytes", mid, (int)count_options(answer), n);
        for (size_t i = 0; i < n; i++)
                assert_int_equal(data[i], 'x');
        coap_delete_pdu(answer);
}

/* Its neighbours keep what they have. */
static void an_answer_of_any_size_is_whole(void **state)
{
        enum { ROOM = 160, OPTION = 3 };
        static const struct {
                size_t location, payload;
        } cases[] = {
                { ROOM - OPTION, 0 },
                { ROOM - OPTION + 1, 0 },
                { 0, ROOM },
                { 0, ROOM + 1 },
                { 7, ROOM - OPTION - 7 },
                { 7, ROOM - OPTION - 6 },
                { 255, 0 },
                { 0, 300 },
                { 200, 300 },
        };
        struct fixture *f = *state;
        struct head r = PUT;

        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                for (r.mid = 0; r.mid < SLOTS; r.mid++)
                        remember(f, f->session, 0, &r,
                                 r.mid == 1 ? created(cases[i].location, cases[i].payload) : created(3, 5));
                for (uint16_t k = 0; k < SLOTS; k++)
                        expect_answer(f, k, k == 1 ? cases[i].location : 3, k == 1 ? cases[i].payload : 5);
        }
}

/* Of a few slots, one: then the oldest keep their code alone. */
static void there_is_so_much_room_for_large_answers(void **state)
{
        enum { LARGE = 170, MOST = 1280 };
        struct fixture *f = *state;
        struct head r = PUT;

        for (r.mid = 0; r.mid < 20; r.mid++) {
                remember(f, f->session, 0, &r, created(0, LARGE));
                for (uint16_t k = 0; k < SLOTS && k <= r.mid; k++)
                        expect_answer(f, (uint16_t)(r.mid - k), 0, k == 0 ? LARGE : 0);
        }
        /* Small ones are not touched, and what could never fit drives nothing out. */
        remember(f, f->session, 0, &r, created(0, 5));
        r.mid++;
        remember(f, f->session, 0, &r, created(0, MOST + 1));
        expect_answer(f, r.mid, 0, 0);
        expect_answer(f, (uint16_t)(r.mid - 1), 0, 5);
        expect_answer(f, (uint16_t)(r.mid - 2), 0, LARGE);
        r.mid++;
        remember(f, f->session, 0, &r, created(0, MOST));
        expect_answer(f, r.mid, 0, MOST);
        expect_answer(f, (uint16_t)(r.mid - 2), 0, 5);
        expect_answer(f, (uint16_t)(r.mid - 3), 0, 0);
        duplicates_clear(f->duplicates);
        assert_false(is_known(f, f->session, 0, &r));
}

static void the_oldest_makes_room(void **state)
{
        struct fixture *f = *state;
        struct head r = PUT;

        for (uint16_t last = 0; last < 10 * SLOTS; last++) {
                r.mid = last;
                remember(f, f->session, 0, &r, created(0, 0));
                for (uint16_t k = 0; k <= last; k++) {
                        r.mid = k;
                        if (is_known(f, f->session, 0, &r) != (k + SLOTS > last))
                                fail_msg("%u after %u", k, last);
                }
        }
}

static struct sockaddr_in at_address(uint32_t address)
{
        return (struct sockaddr_in){ .sin_family = AF_INET,
                                     .sin_port = htons(9),
                                     .sin_addr = { htonl(address) } };
}

/* Each forgets its own, whoever comes how often. */
static void nobody_pushes_out_anothers(void **state)
{
        struct fixture *f = *state;
        struct sockaddr_in other = at_address(INADDR_LOOPBACK + 1), third = at_address(INADDR_LOOPBACK + 2);
        coap_session_t *many = open_session(f, COAP_PROTO_UDP, &other, sizeof(other)),
                       *late_one = open_session(f, COAP_PROTO_UDP, &third, sizeof(third));
        struct head r = PUT;

        remember(f, f->session, 0, &PUT, created(0, 0));
        for (r.mid = 0; r.mid < 10 * SLOTS; r.mid++)
                remember(f, many, 0, &r, created(0, 0));
        remember(f, late_one, 0, &PUT, created(0, 0));
        for (r.mid = 0; r.mid < 10 * SLOTS; r.mid++)
                remember(f, many, 0, &r, created(0, 0));
        assert_true(is_known(f, f->session, 0, &PUT));
        assert_true(is_known(f, late_one, 0, &PUT));
        for (r.mid = 0; r.mid < 10 * SLOTS; r.mid++)
                assert_int_equal(is_known(f, many, 0, &r), r.mid >= 10 * SLOTS - (SLOTS - 2));
}

/* Without keys addresses are free. */
static void no_number_of_addresses_pushes_out_one_with_keys(void **state)
{
        struct fixture *f = *state;
        coap_session_t *secure = open_four(f, COAP_PROTO_DTLS, 9);

        if (!secure)
                fail_msg("libcoap has no DTLS");
        remember(f, f->session, 7, &PUT, created(0, 0));
        remember(f, secure, 0, &PUT, created(0, 0));
        for (uint32_t i = 1; i <= 10 * SLOTS; i++) {
                struct sockaddr_in other = at_address(INADDR_LOOPBACK + i);

                remember(f, open_session(f, COAP_PROTO_UDP, &other, sizeof(other)), 0, &PUT, created(0, 0));
        }
        assert_true(is_known(f, f->session, 7, &PUT));
        assert_true(is_known(f, secure, 0, &PUT));
}

/* What nobody asks for any more takes no room from those who are here. */
static void what_is_over_makes_room_first(void **state)
{
        struct fixture *f = *state;
        struct head r = PUT;

        for (uint32_t i = 1; i <= SLOTS; i++) {
                struct sockaddr_in other = at_address(INADDR_LOOPBACK + i);

                remember(f, open_session(f, COAP_PROTO_UDP, &other, sizeof(other)), 0, &PUT, created(0, 0));
        }
        late = 249;
        for (r.mid = 0; r.mid < SLOTS; r.mid++)
                remember(f, f->session, 0, &r, created(0, 0));
        for (r.mid = 0; r.mid < SLOTS; r.mid++)
                assert_true(is_known(f, f->session, 0, &r));
}

static bool knows(struct fixture *f, const void *from, size_t from_size, const void *datagram, size_t n)
{
        struct sockaddr_storage peer = { 0 };
        struct msghdr message = { .msg_name = &peer, .msg_namelen = (socklen_t)from_size };

        memcpy(&peer, from, from_size);
        return duplicates_know(f->duplicates, &message, span_of(datagram, n));
}

static void a_datagram_is_known_before_it_is_read(void **state)
{
        static const char datagram[] = "\x45\3\x12\x34token\xff!";
        enum { SIZE = sizeof(datagram) - 1, TOKEN_END = 9 };
        struct sockaddr_in from = four_at(9), port = four_at(10);
        struct sockaddr local = { .sa_family = AF_UNIX };
        struct fixture *f = *state;

        remember(f, f->session, 0, &PUT, created(0, 0));
        assert_true(knows(f, &from, sizeof(from), datagram, SIZE));
        assert_false(knows(f, &port, sizeof(port), datagram, SIZE));
        assert_false(knows(f, &local, sizeof(local), datagram, SIZE));
        for (size_t n = 0; n <= SIZE; n++)
                assert_int_equal(knows(f, &from, sizeof(from), datagram, n), n >= TOKEN_END);
        for (size_t bit = 0; bit < (size_t)8 * TOKEN_END; bit++) {
                char other[SIZE];

                /* The method is not looked at: one message id is one message. */
                if (bit / 8 == 1)
                        continue;
                memcpy(other, datagram, SIZE);
                other[bit / 8] = (char)(other[bit / 8] ^ 1 << bit % 8);
                if (knows(f, &from, sizeof(from), other, SIZE))
                        fail_msg("bit %zu", bit);
        }
}

/* Nothing is remembered of the safe ones, so that there is nothing to look for. */
static void only_unsafe_methods_are_looked_for(void **state)
{
        char datagram[] = "\x45\3\x12\x34token";
        struct sockaddr_in from = four_at(9);
        struct fixture *f = *state;

        remember(f, f->session, 0, &PUT, created(0, 0));
        for (unsigned code = 0; code < 256; code++) {
                bool unsafe = code == 2 || code == 3 || code == 4 || code == 6 || code == 7;

                datagram[1] = (char)code;
                if (knows(f, &from, sizeof(from), datagram, sizeof(datagram) - 1) != unsafe)
                        fail_msg("code %u", code);
        }
}

/* Nibbles for lengths that go on in the next bytes (RFC 8974), or that mean nothing. */
static void a_token_of_any_length_is_looked_at(void **state)
{
        char datagram[64] = "\x40\3\x12\x34";
        struct sockaddr_in from = four_at(9);
        struct fixture *f = *state;

        memset(datagram + 4, 't', sizeof(datagram) - 4);
        datagram[4] = 2;
        for (unsigned nibble = 0; nibble < 16; nibble++) {
                datagram[0] = (char)(0x40 | nibble);
                for (size_t n = 0; n <= sizeof(datagram); n++)
                        assert_false(knows(f, &from, sizeof(from), datagram, n));
        }
        remember(f, f->session, 0, &(struct head){ PUT.type, PUT.code, PUT.mid, "ttttttttttttttt" },
                 created(0, 0));
        datagram[0] = 0x4d;
        for (size_t n = 0; n <= sizeof(datagram); n++)
                assert_int_equal(knows(f, &from, sizeof(from), datagram, n), n >= 4 + 1 + 15);
}

static void a_link_is_part_of_an_address(void **state)
{
        static const char datagram[] = "\x45\3\x12\x34token";
        struct sockaddr_in6 from = six_at(9), link = six_at(9), port = six_at(10);
        struct fixture *f = *state;

        link.sin6_scope_id = 3;
        remember(f, f->six, 0, &PUT, created(0, 0));
        assert_true(knows(f, &from, sizeof(from), datagram, sizeof(datagram) - 1));
        assert_false(knows(f, &link, sizeof(link), datagram, sizeof(datagram) - 1));
        assert_false(knows(f, &port, sizeof(port), datagram, sizeof(datagram) - 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(an_answer_is_given_again),
                TEST(only_to_the_same_message_of_the_same_sender),
                TEST(an_answer_is_to_the_message_that_it_is_said_to_be_to),
                TEST(a_stream_brings_nothing_twice),
                TEST(a_long_token_is_looked_at_to_its_end),
                TEST(an_answer_is_remembered_for_its_time),
                TEST(an_answer_of_any_size_is_whole),
                TEST(there_is_so_much_room_for_large_answers),
                TEST(the_oldest_makes_room),
                TEST(nobody_pushes_out_anothers),
                TEST(no_number_of_addresses_pushes_out_one_with_keys),
                TEST(what_is_over_makes_room_first),
                TEST(a_datagram_is_known_before_it_is_read),
                TEST(only_unsafe_methods_are_looked_for),
                TEST(a_token_of_any_length_is_looked_at),
                TEST(a_link_is_part_of_an_address),
        };

        coap_startup();
        coap_set_log_level(COAP_LOG_EMERG);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
