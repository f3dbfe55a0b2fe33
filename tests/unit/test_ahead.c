/* SPDX-License-Identifier: BSD-2-Clause */
/* Events for streams that have been read ahead: the list of those that wait, and the tape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "endpoints/ahead.h"
#include "endpoints/turn.h"

static char a, b, c, blank;

static void first_come_first_served(void **state)
{
        struct ahead ahead;
        void *tag;
        int fd;

        (void)state;
        ahead_init(&ahead);
        assert_true(ahead_is_empty(&ahead));
        assert_false(ahead_take(&ahead, &fd, &tag));
        assert_int_equal(ahead_put(&ahead, 1000, &a), 0);
        assert_int_equal(ahead_put(&ahead, 3, &b), 0);
        assert_int_equal(ahead_put(&ahead, 1000, &a), 0); /* is waiting already */
        assert_false(ahead_is_empty(&ahead));
        assert_true(ahead_take(&ahead, &fd, &tag));
        assert_ptr_equal(tag, &a);
        assert_int_equal(fd, 1000);
        assert_int_equal(ahead_put(&ahead, 1000, &a), 0); /* behind the other one */
        assert_true(ahead_take(&ahead, &fd, &tag));
        assert_ptr_equal(tag, &b);
        assert_true(ahead_take(&ahead, &fd, &tag));
        assert_ptr_equal(tag, &a);
        assert_true(ahead_is_empty(&ahead));
        ahead_deinit(&ahead);
}

static void what_is_closed_waits_no_more(void **state)
{
        void *tags[] = { &a, &b, &c };

        (void)state;
        for (int gone = 0; gone < 3; gone++) {
                struct ahead ahead;
                void *tag;
                int taken;

                ahead_init(&ahead);
                ahead_drop(&ahead, 7); /* was never here */
                for (int fd = 0; fd < 3; fd++)
                        assert_int_equal(ahead_put(&ahead, fd, tags[fd]), 0);
                ahead_drop(&ahead, gone);
                ahead_drop(&ahead, gone);
                for (int fd = 0; fd < 3; fd++) {
                        if (fd == gone)
                                continue;
                        assert_true(ahead_take(&ahead, &taken, &tag));
                        assert_ptr_equal(tag, tags[fd]);
                }
                assert_true(ahead_is_empty(&ahead));
                assert_int_equal(ahead_put(&ahead, gone, &blank), 0); /* the number again */
                assert_true(ahead_take(&ahead, &taken, &tag));
                assert_ptr_equal(tag, &blank);
                ahead_deinit(&ahead);
        }
}

static void write_event(struct tape *tape, void *tag)
{
        tape_write(tape, (struct epoll_event){ .events = EPOLLIN, .data.ptr = tag });
}

static void assert_tape(const struct tape *tape, const char *text)
{
        for (unsigned i = 0; text[i]; i++) {
                const void *tag = tape->v[i].events == 0 ? &blank : tape->v[i].data.ptr;

                assert_ptr_equal(tag, text[i] == 'a'   ? &a
                                      : text[i] == 'b' ? &b
                                      : text[i] == 'c' ? &c
                                                       : &blank);
                if (tag == &blank)
                        assert_ptr_equal(tape->v[i].data.ptr, &blank);
        }
}

static void an_event_is_repeated_behind_itself(void **state)
{
        struct tape *tape = calloc(1, sizeof *tape);

        (void)state;
        tape_begin(tape, &blank, 0);
        write_event(tape, &a);
        write_event(tape, &b);
        write_event(tape, &c);
        assert_true(tape_repeat(tape, &a));
        assert_true(tape_repeat(tape, &a));
        assert_tape(tape, "aaabc-");
        assert_true(tape_repeat(tape, &b));
        assert_tape(tape, "aaabbc-");
        assert_false(tape_repeat(tape, &blank)); /* is not on it */
        while (tape_repeat(tape, &b))
                ;
        assert_int_equal(tape->end, 3 + 2 + TAPE_REPEATS); /* then others come first */
        assert_true(tape_repeat(tape, &c));
        assert_ptr_equal(tape->v[tape->end - 1].data.ptr, &c);
        assert_false(tape_repeat(tape, &a)); /* libcoap has been at it, and does not come back */
        tape_end(tape);
        assert_false(tape_repeat(tape, &a)); /* libcoap is not at it any more */
        free(tape);
}

static void a_closed_tape_has_room_for_repeats(void **state)
{
        struct tape *tape = calloc(1, sizeof *tape);
        unsigned repeats = 0;

        (void)state;
        tape_begin_closed(tape, &blank);
        for (int i = 0; i < 8; i++)
                write_event(tape, (char *)tape + i);
        assert_int_equal(tape_close(tape, true), 8 + TAPE_SLACK);
        for (unsigned i = 8; i < 8 + TAPE_SLACK; i++) {
                assert_int_equal(tape->v[i].events, 0);
                assert_ptr_equal(tape->v[i].data.ptr, &blank);
        }
        for (int i = 0; i < 8; i++) {
                while (tape_repeat(tape, (char *)tape + i))
                        repeats++;
        }
        assert_int_equal(repeats, TAPE_SLACK);

        tape_begin_closed(tape, &blank);
        write_event(tape, &a);
        assert_int_equal(tape_close(tape, false), 1);
        assert_false(tape_repeat(tape, &a));

        tape_begin_closed(tape, NULL); /* nothing that libcoap could pass over */
        write_event(tape, &a);
        assert_int_equal(tape_close(tape, true), 1);
        assert_false(tape_repeat(tape, &a));
        free(tape);
}

/* ------------------------------------------------ in the pump */

static struct pump *new_pump(void)
{
        struct pump *pump = calloc(1, sizeof *pump);

        ahead_init(&pump->ahead);
        pump->shard = calloc(2, sizeof *pump->shard);
        pump->due = calloc(2, sizeof(struct shard *));
        pump->n = 2;
        pump->in_turn = true;
        return pump;
}

static void free_pump(struct pump *pump)
{
        ahead_deinit(&pump->ahead);
        free(pump->shard);
        free(pump->due);
        free(pump);
}

static void more_is_for_now_or_for_the_next_turn(void **state)
{
        struct pump *pump = new_pump();

        (void)state;
        tape_begin(&pump->tape, &blank, 0);
        write_event(&pump->tape, &a);
        turn_on_more(pump, 7, &a);
        assert_tape(&pump->tape, "aa-");
        assert_true(ahead_is_empty(&pump->ahead));
        pump->yield = true; /* somebody wants this turn to end */
        turn_on_more(pump, 7, &a);
        assert_tape(&pump->tape, "aa-");
        assert_false(ahead_is_empty(&pump->ahead));
        turn_on_more(pump, 8, &b);
        assert_true(turn_take_ahead(pump));
        assert_int_equal(pump->n_others, 2);
        assert_ptr_equal(pump->others[0].event.data.ptr, &a);
        assert_int_equal(pump->others[0].event.events, EPOLLIN);
        assert_ptr_equal(pump->others[1].event.data.ptr, &b);
        assert_false(turn_take_ahead(pump));
        free_pump(pump);
}

static void a_stream_has_one_event(void **state)
{
        struct pump *pump = new_pump();

        (void)state;
        turn_note_stream(pump, pump->shard, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &a });
        turn_note_stream(pump, pump->shard, &(struct epoll_event){ .events = EPOLLOUT, .data.ptr = &a });
        turn_on_more(pump, 7, &a);
        assert_true(turn_take_ahead(pump));
        assert_int_equal(pump->n_others, 1);
        assert_int_equal(pump->others[0].event.events, EPOLLIN | EPOLLOUT);
        free_pump(pump);
}

static void not_all_that_wait_come_at_once(void **state)
{
        struct pump *pump = new_pump();

        (void)state;
        for (int fd = 0; fd < 2 * AHEAD_MOST + 1; fd++)
                turn_on_more(pump, fd, (char *)pump + fd);
        assert_true(turn_take_ahead(pump));
        assert_int_equal(pump->n_others, AHEAD_MOST);
        while (pump->n_others < OTHERS_MOST)
                turn_note_stream(pump, pump->shard,
                                 &(struct epoll_event){ .data.ptr = &pump->others[pump->n_others] });
        assert_false(turn_take_ahead(pump));
        pump->n_others = 0;
        assert_true(turn_take_ahead(pump));
        pump->n_others = 0;
        assert_true(turn_take_ahead(pump));
        assert_int_equal(pump->n_others, 1);
        assert_ptr_equal(pump->others[0].event.data.ptr, (char *)pump + 2 * AHEAD_MOST);
        free_pump(pump);
}

/* libcoap frees its session, and no event may lead there. */
static void what_is_gone_has_no_event(void **state)
{
        struct pump *pump = new_pump();

        (void)state;
        turn_on_more(pump, 7, &a);
        turn_on_gone(pump, 7, &a);
        assert_false(turn_take_ahead(pump));
        turn_note_stream(pump, pump->shard, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &a });
        turn_note_stream(pump, pump->shard, &(struct epoll_event){ .events = EPOLLIN, .data.ptr = &b });
        turn_on_gone(pump, 7, &a);
        assert_int_equal(pump->n_others, 1);
        assert_ptr_equal(pump->others[0].event.data.ptr, &b);
        turn_on_gone(pump, 7, &a);
        assert_int_equal(pump->n_others, 1);
        free_pump(pump);
}

/* Each context has its own: also the timer of each, whose events all have the same tag. */
static void each_context_has_its_own_events(void **state)
{
        struct pump *pump = new_pump();

        (void)state;
        for (int i = 0; i < 2; i++) {
                turn_note_stream(pump, &pump->shard[i], &(struct epoll_event){ .events = EPOLLIN });
                turn_note_stream(pump, &pump->shard[i],
                                 &(struct epoll_event){ .events = EPOLLIN, .data.ptr = i ? &b : &a });
        }
        assert_int_equal(pump->n_others, 4);
        assert_int_equal(pump->n_due, 2);
        tape_begin(&pump->tape, &blank, 0);
        turn_write_streams(pump, &pump->shard[0]);
        assert_int_equal(pump->n_others, 2);
        assert_int_equal(pump->shard[0].n_others, 0);
        assert_int_equal(pump->tape.end, 2);
        assert_null(pump->tape.v[0].data.ptr);
        assert_ptr_equal(pump->tape.v[1].data.ptr, &a);
        turn_write_streams(pump, &pump->shard[0]);
        assert_int_equal(pump->tape.end, 2);
        turn_write_streams(pump, &pump->shard[1]);
        assert_int_equal(pump->n_others, 0);
        assert_ptr_equal(pump->tape.v[3].data.ptr, &b);
        free_pump(pump);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(first_come_first_served),
                cmocka_unit_test(what_is_closed_waits_no_more),
                cmocka_unit_test(an_event_is_repeated_behind_itself),
                cmocka_unit_test(a_closed_tape_has_room_for_repeats),
                cmocka_unit_test(more_is_for_now_or_for_the_next_turn),
                cmocka_unit_test(a_stream_has_one_event),
                cmocka_unit_test(not_all_that_wait_come_at_once),
                cmocka_unit_test(what_is_gone_has_no_event),
                cmocka_unit_test(each_context_has_its_own_events),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
