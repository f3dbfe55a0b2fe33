/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whose message a handler has in its hands. What was decrypted last names its sender for that very request, once;
 * another one that a forger sends in its wake is a stranger's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "base/util.h"
#include "security/oscore_internal.h"

#define MAX_OPTIONS 4

struct fixture {
        coap_context_t *context;
        coap_session_t *session, *other;
        struct oscore oscore;
        struct oscore_context keys, *list[1];
        struct oscore_recipient recipient;
};

struct message {
        coap_pdu_code_t code;
        struct {
                uint16_t number;
                const char *value;
        } options[MAX_OPTIONS];
        const char *payload;
};

static coap_session_t *connect_to(struct fixture *f, uint16_t port)
{
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        coap_session_t *session;
        coap_address_t to;

        in.sin_port = htons(port);
        coap_address_init(&to);
        memcpy(&to.addr.sin, &in, sizeof(in));
        to.size = sizeof(in);
        session = coap_new_client_session(f->context, NULL, &to, COAP_PROTO_UDP);
        assert_non_null(session);
        return session;
}

static void begin(struct fixture *f)
{
        *f = (struct fixture){ .recipient = { .id = { 2 }, .id_n = 1, .name = "02", .welcome = true } };
        f->context = coap_new_context(NULL);
        f->session = connect_to(f, 9);
        f->other = connect_to(f, 10);
        f->list[0] = &f->keys;
        f->keys = (struct oscore_context){ .owner = &f->oscore, .recipients = &f->recipient };
        f->oscore = (struct oscore){ .contexts = f->list, .n = 1 };
        assert_int_equal(oscore_observers_new(&f->oscore.observers), 0);
}

static void end(struct fixture *f)
{
        oscore_observers_free(f->oscore.observers);
        buf_deinit(&f->oscore.plaintext);
        coap_free_context(f->context);
}

static coap_pdu_t *make(const struct message *m, const char *token)
{
        coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, m->code, 1, 256);

        assert_non_null(pdu);
        assert_true(coap_add_token(pdu, strlen(token), (const uint8_t *)token));
        for (size_t i = 0; i < MAX_OPTIONS && m->options[i].value; i++)
                assert_true(coap_add_option(pdu, m->options[i].number, strlen(m->options[i].value),
                                            (const uint8_t *)m->options[i].value));
        if (m->payload)
                assert_true(coap_add_data(pdu, strlen(m->payload), (const uint8_t *)m->payload));
        return pdu;
}

/* As oscore_watch.c does it: the plain text is the code, then options and payload as in any message. */
static void decrypt(struct fixture *f, const char *plaintext, size_t n)
{
        buf_reset(&f->oscore.plaintext);
        buf_append(&f->oscore.plaintext, plaintext, n);
        f->oscore.decrypted_by = &f->recipient;
}

#define DECRYPT(f, plaintext) decrypt(f, plaintext, sizeof(plaintext) - 1)

/* Whether the message that comes to a handler is the recipient's. */
static bool is_known(struct fixture *f, coap_session_t *session, const struct message *m, const char *token)
{
        struct identity who = { .kind = IDENTITY_NONE };
        coap_pdu_t *pdu = make(m, token);
        bool known;

        oscore_begin(&f->oscore, session, pdu, false);
        known = oscore_identify(&f->oscore, session, &who);
        assert_int_equal(f->oscore.in_the_clear, !known);
        assert_false(oscore_identify(&f->oscore, session == f->session ? f->other : f->session, &who));
        assert_int_equal(who.kind, known ? IDENTITY_OSCORE : IDENTITY_NONE);
        if (known)
                assert_true(span_equal(who.name, SPAN_LITERAL("02")));
        oscore_end(&f->oscore);
        assert_false(oscore_identify(&f->oscore, session, &who));
        coap_delete_pdu(pdu);
        return known;
}

/* PUT a?k with If-Match, a Content-Format and a payload. */
static const char put[] = "\x03"
                          "\x12mm" /* If-Match, 1 */
                          "\xa1"
                          "a"     /* Uri-Path, 11 */
                          "\x11*" /* Content-Format, 12 */
                          "\x31k" /* Uri-Query, 15 */
                          "\xff"
                          "on";

static void only_the_very_request_is_its_senders(void **state)
{
        static const struct {
                const char *what;
                bool known;
                struct message m;
        } cases[] = {
                { "itself", true, { 3, { { 1, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "k" } }, "on" } },
                { "another method",
                  false,
                  { 5, { { 1, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "k" } }, "on" } },
                { "a payload as long",
                  false,
                  { 3, { { 1, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "k" } }, "no" } },
                { "a longer payload",
                  false,
                  { 3, { { 1, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "k" } }, "onn" } },
                { "no payload", false, { 3, { { 1, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "k" } }, NULL } },
                { "another path",
                  false,
                  { 3, { { 1, "mm" }, { 11, "b" }, { 12, "*" }, { 15, "k" } }, "on" } },
                { "another query",
                  false,
                  { 3, { { 1, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "l" } }, "on" } },
                { "a longer query",
                  false,
                  { 3, { { 1, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "kk" } }, "on" } },
                { "no query", false, { 3, { { 1, "mm" }, { 11, "a" }, { 12, "*" } }, "on" } },
                { "no If-Match", false, { 3, { { 11, "a" }, { 12, "*" }, { 15, "k" } }, "on" } },
                { "another If-Match",
                  false,
                  { 3, { { 1, "mn" }, { 11, "a" }, { 12, "*" }, { 15, "k" } }, "on" } },
                { "an ETag instead",
                  false,
                  { 3, { { 4, "mm" }, { 11, "a" }, { 12, "*" }, { 15, "k" } }, "on" } },
                { "another format",
                  false,
                  { 3, { { 1, "mm" }, { 11, "a" }, { 12, "+" }, { 15, "k" } }, "on" } },
                { "nothing", false, { 3, { { 0, NULL } }, NULL } },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct fixture f;

                begin(&f);
                DECRYPT(&f, put);
                if (is_known(&f, f.session, &cases[i].m, "t") != cases[i].known)
                        fail_msg("%s", cases[i].what);
                /* Either way it is used up: the same again is whoever sends it. */
                if (is_known(&f, f.session, &cases[0].m, "t"))
                        fail_msg("after %s", cases[i].what);
                end(&f);
        }
}

/* What libcoap takes from the plain text alone (RFC 8613, 4.1.2) must be in it. */
static void every_protected_option_counts(void **state)
{
        static const uint16_t numbers[] = { 1,  4,  5,  6,  8,  11, 12,  14,  15,
                                            17, 20, 23, 27, 28, 60, 252, 258, 292 };
        struct fixture f;

        (void)state;
        begin(&f);
        for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
                struct message with = { 3, { { numbers[i], "v" } }, NULL },
                               without = { 3, { { 0, NULL } }, NULL };
                char plaintext[6] = { 3 };
                size_t n = 1;

                if (numbers[i] < 13) {
                        plaintext[n++] = (char)(numbers[i] << 4 | 1);
                } else if (numbers[i] < 269) {
                        plaintext[n++] = (char)0xd1;
                        plaintext[n++] = (char)(numbers[i] - 13);
                } else {
                        plaintext[n++] = (char)0xe1;
                        plaintext[n++] = (char)((numbers[i] - 269) >> 8);
                        plaintext[n++] = (char)(numbers[i] - 269);
                }
                plaintext[n++] = 'v';
                decrypt(&f, plaintext, n);
                if (!is_known(&f, f.session, &with, "t"))
                        fail_msg("option %u is in both", numbers[i]);
                decrypt(&f, plaintext, n);
                if (is_known(&f, f.session, &without, "t"))
                        fail_msg("option %u is in the plain text alone", numbers[i]);
                DECRYPT(&f, "\x03");
                if (is_known(&f, f.session, &with, "t"))
                        fail_msg("option %u is in the request alone", numbers[i]);
        }
        end(&f);
}

/* What a proxy may read and change, such as Uri-Host, says nothing. */
static void unprotected_options_do_not_count(void **state)
{
        static const struct message m = { 1, { { 3, "host" }, { 11, "a" } }, NULL };
        struct fixture f;

        (void)state;
        begin(&f);
        DECRYPT(&f, "\x01\xb1"
                    "a");
        assert_true(is_known(&f, f.session, &m, "t"));
        end(&f);
}

static void who_is_not_welcome_any_more_is_told_apart(void **state)
{
        static const struct message m = { 1, { { 11, "a" } }, NULL };
        struct fixture f;
        coap_pdu_t *pdu = make(&m, "t");
        struct identity who;

        (void)state;
        begin(&f);
        f.recipient.welcome = false;
        DECRYPT(&f, "\x01\xb1"
                    "a");
        oscore_begin(&f.oscore, f.session, pdu, false);
        assert_false(oscore_identify(&f.oscore, f.session, &who));
        assert_true(oscore_is_revoked(&f.oscore, f.session));
        assert_false(oscore_is_revoked(&f.oscore, f.other));
        oscore_end(&f.oscore);
        assert_false(oscore_is_revoked(&f.oscore, f.session));
        coap_delete_pdu(pdu);
        end(&f);
}

static const struct message watch = { 1, { { 6, "" }, { 11, "a" } }, NULL };
static const struct message unwatch = { 1, { { 6, "\1" }, { 11, "a" } }, NULL };

static void register_observer(struct fixture *f, const char *token)
{
        DECRYPT(f, "\x01\x60\x51"
                   "a");
        assert_true(is_known(f, f->session, &watch, token));
}

/* libcoap brings the request that began it. */
static void a_notification_is_the_observers(void **state)
{
        static const struct message other = { 1, { { 6, "" }, { 11, "b" } }, NULL };
        static const struct message get = { 1, { { 11, "a" } }, NULL },
                                    put_it = { 3, { { 6, "" }, { 11, "a" } }, NULL };
        struct fixture f;

        (void)state;
        begin(&f);
        assert_false(is_known(&f, f.session, &watch, "t"));
        register_observer(&f, "t");
        assert_true(is_known(&f, f.session, &watch, "t"));
        assert_true(is_known(&f, f.session, &watch, "t"));
        assert_false(is_known(&f, f.session, &watch, "u"));
        assert_false(is_known(&f, f.other, &watch, "t"));
        /* What is no notification is not its, whatever the token. */
        assert_false(is_known(&f, f.session, &get, "t"));
        assert_false(is_known(&f, f.session, &put_it, "t"));
        assert_false(is_known(&f, f.session, &unwatch, "t"));
        assert_false(is_known(&f, f.session, &other, "t"));
        assert_true(is_known(&f, f.session, &watch, "t"));
        end(&f);
}

static void an_observer_is_forgotten_when_it_ends(void **state)
{
        struct fixture f;

        (void)state;
        begin(&f);
        register_observer(&f, "t");
        register_observer(&f, "u");
        DECRYPT(&f, "\x01\x61\x01\x51"
                    "a");
        assert_true(is_known(&f, f.session, &unwatch, "t"));
        assert_false(is_known(&f, f.session, &watch, "t"));
        assert_true(is_known(&f, f.session, &watch, "u"));
        oscore_session_gone(&f.oscore, f.other);
        assert_true(is_known(&f, f.session, &watch, "u"));
        oscore_session_gone(&f.oscore, f.session);
        assert_false(is_known(&f, f.session, &watch, "u"));
        end(&f);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_the_very_request_is_its_senders),
                cmocka_unit_test(every_protected_option_counts),
                cmocka_unit_test(unprotected_options_do_not_count),
                cmocka_unit_test(who_is_not_welcome_any_more_is_told_apart),
                cmocka_unit_test(a_notification_is_the_observers),
                cmocka_unit_test(an_observer_is_forgotten_when_it_ends),
        };

        coap_startup();
        coap_set_log_level(COAP_LOG_EMERG);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
