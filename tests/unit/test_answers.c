/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers that are kept for requests that come again: which, how many, for how long and how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/clock.h"
#include "base/util.h"
#include "endpoints/answers.h"

#define SECOND MSEC(1000)

static int here, there;

static int set_up(void **state)
{
        *state = answers_new();
        return *state ? 0 : -1;
}

static int tear_down(void **state)
{
        answers_free(*state);
        return 0;
}

/* Of the client at a port of 127.0.0.1, to an endpoint, by a name, with a Partial IV: all of the request is `text`. */
static struct answers_key key_of(struct answers *answers, const void *where, uint16_t port, const char *who,
                                 unsigned number, const char *text)
{
        struct sockaddr_in peer = { .sin_family = AF_INET,
                                    .sin_addr = { htonl(INADDR_LOOPBACK) },
                                    .sin_port = htons(port) };

        return answers_key(answers, where, (struct sockaddr *)&peer, span_of_string(who), number,
                           span_of_string(text));
}

static struct answers_key key(struct answers *answers, unsigned number)
{
        return key_of(answers, &here, 5683, "a", number, "request");
}

static bool write_text(struct answers *answers, struct answers_key name, const char *text, size_t n,
                       uint64_t now)
{
        struct sockaddr_in6 peer = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
        uint8_t control[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        struct iovec piece = { (void *)(uintptr_t)text, n };
        struct msghdr message = { .msg_name = &peer,
                                  .msg_namelen = sizeof peer,
                                  .msg_iov = &piece,
                                  .msg_iovlen = 1,
                                  .msg_control = control,
                                  .msg_controllen = sizeof control };

        memset(control, 'c', sizeof control);
        return answers_write(answers, name, &message, now);
}

static void keep(struct answers *answers, struct answers_key name, const char *text, uint64_t now)
{
        assert_true(write_text(answers, name, text, strlen(text), now));
        answers_keep(answers, now);
}

/* The text; NULL: there is none. */
static const char *find(struct answers *answers, struct answers_key name, uint64_t now)
{
        static char text[16];
        struct msghdr *message;

        if (answers_find(answers, name, now, &message) != ANSWERS_AGAIN)
                return NULL;
        assert_in_range(message->msg_iov[0].iov_len, 0, sizeof text - 1);
        memcpy(text, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
        text[message->msg_iov[0].iov_len] = '\0';
        return text;
}

static void gives_back_the_whole_message(void **state)
{
        struct answers *answers = *state;
        struct msghdr *message;
        const struct sockaddr_in6 *peer;

        assert_null(find(answers, key(answers, 1), 0));
        keep(answers, key(answers, 1), "one", 0);
        assert_int_equal(answers_find(answers, key(answers, 1), 0, &message), ANSWERS_AGAIN);
        peer = message->msg_name;
        assert_int_equal(message->msg_namelen, sizeof *peer);
        assert_int_equal(ntohs(peer->sin6_port), 7);
        assert_int_equal(message->msg_iovlen, 1);
        assert_memory_equal(message->msg_iov[0].iov_base, "one", 3);
        assert_int_equal(message->msg_controllen, CMSG_SPACE(sizeof(struct in6_pktinfo)));
        assert_int_equal(*(uint8_t *)message->msg_control, 'c');
}

static void tells_requests_apart(void **state)
{
        struct answers *answers = *state;

        keep(answers, key(answers, 1), "one", 0);
        assert_null(find(answers, key(answers, 2), 0));
        assert_null(find(answers, key_of(answers, &there, 5683, "a", 1, "request"), 0));
        assert_null(find(answers, key_of(answers, &here, 5684, "a", 1, "request"), 0));
        assert_null(find(answers, key_of(answers, &here, 5683, "b", 1, "request"), 0));
        assert_null(find(answers, key_of(answers, &here, 5683, "a", 1, "another"), 0));
        assert_null(find(answers, key_of(answers, &here, 5683, "a", 1, "a longer request"), 0));
        assert_string_equal(find(answers, key(answers, 1), 0), "one");
}

static void keeps_the_newest_of_a_client(void **state)
{
        struct answers *answers = *state;
        char text[16];

        for (unsigned i = 0; i < 3 * ANSWERS_WINDOW; i++) {
                snprintf(text, sizeof text, "%u", i);
                keep(answers, key_of(answers, &here, 5683, "a", i, text), text, 0);
        }
        for (unsigned i = 0; i < 3 * ANSWERS_WINDOW; i++) {
                snprintf(text, sizeof text, "%u", i);
                if (i < 2 * ANSWERS_WINDOW)
                        assert_null(find(answers, key_of(answers, &here, 5683, "a", i, text), 0));
                else
                        assert_string_equal(find(answers, key_of(answers, &here, 5683, "a", i, text), 0),
                                            text);
        }
}

static void forgets_when_it_is_time(void **state)
{
        struct answers *answers = *state;
        uint64_t then = 1000 * SECOND;

        keep(answers, key(answers, 1), "one", then);
        assert_string_equal(find(answers, key(answers, 1), then + ANSWERS_LIFETIME_S * SECOND), "one");
        assert_null(find(answers, key(answers, 1), then + (ANSWERS_LIFETIME_S + 1) * SECOND));
}

static void answers_no_more_than_so_often(void **state)
{
        struct answers *answers = *state;
        struct msghdr *message;

        keep(answers, key(answers, 1), "one", 0);
        for (unsigned i = 0; i < ANSWERS_TIMES; i++)
                assert_int_equal(answers_find(answers, key(answers, 1), 0, &message), ANSWERS_AGAIN);
        assert_int_equal(answers_find(answers, key(answers, 1), 0, &message), ANSWERS_ENOUGH);
}

static struct answers_key of_port(struct answers *answers, unsigned port)
{
        return key_of(answers, &here, (uint16_t)port, "a", 1, "request");
}

static unsigned fill(struct answers *answers, unsigned first, uint64_t now)
{
        static char text[1000];
        unsigned n = 0;

        while (write_text(answers, of_port(answers, first + n), text, sizeof text, now)) {
                answers_keep(answers, now);
                n++;
                assert_true(n < ANSWERS_BYTES / sizeof text);
        }
        return n;
}

static bool has(struct answers *answers, struct answers_key name, uint64_t now)
{
        struct msghdr *message;

        return answers_find(answers, name, now, &message) == ANSWERS_AGAIN;
}

static void takes_no_more_than_its_room(void **state)
{
        const uint64_t later = (ANSWERS_LIFETIME_S + 1) * SECOND;
        struct answers *answers = *state;
        unsigned n = fill(answers, 1, 0);

        assert_in_range(n, ANSWERS_BYTES / 1500, ANSWERS_BYTES / 1000);
        assert_true(has(answers, of_port(answers, 1), 0));
        assert_true(has(answers, of_port(answers, n), 0));
        /* One that has a place still finds room there. */
        keep(answers, of_port(answers, n), "new", 0);
        assert_string_equal(find(answers, of_port(answers, n), 0), "new");
        assert_true(has(answers, of_port(answers, 1), 0));
        /* Those that are over go, and all fit anew. */
        assert_int_equal(fill(answers, n + 1, later), n);
        answers_clear(answers);
        assert_false(has(answers, of_port(answers, n + 1), later));
        assert_int_equal(fill(answers, 1, 0), n);
}

/* An answer takes the place of the one before it, and its room. */
static void replaces(void **state)
{
        static char text[1000];
        struct answers *answers = *state;

        for (unsigned i = 0; i < 2 * ANSWERS_BYTES / sizeof text; i++) {
                assert_true(write_text(answers, key(answers, 1), text, sizeof text, 0));
                answers_keep(answers, 0);
        }
}

static void what_is_written_down_can_be_written_over(void **state)
{
        static char text[3000];
        struct answers *answers = *state;

        assert_true(write_text(answers, key(answers, 1), "empty", 5, 0));
        assert_memory_equal(answers_written(answers)->msg_iov[0].iov_base, "empty", 5);
        keep(answers, key(answers, 1), "full", 0);
        assert_string_equal(find(answers, key(answers, 1), 0), "full");
        /* Longer than any message: nothing is kept then. */
        assert_false(write_text(answers, key(answers, 2), text, sizeof text, 0));
        answers_keep(answers, 0);
        assert_null(find(answers, key(answers, 2), 0));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(gives_back_the_whole_message),
                TEST(tells_requests_apart),
                TEST(keeps_the_newest_of_a_client),
                TEST(forgets_when_it_is_time),
                TEST(answers_no_more_than_so_often),
                TEST(takes_no_more_than_its_room),
                TEST(replaces),
                TEST(what_is_written_down_can_be_written_over),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
