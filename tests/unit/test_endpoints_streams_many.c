/* SPDX-License-Identifier: BSD-2-Clause */
/* What is written to many stream sessions in a turn arrives whole and in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "endpoints/stream_gate.h"

enum { SESSIONS = 100 };

struct rig {
        sd_event *event;
        struct stream_gate *gate;
        bool holding;
        int ours[SESSIONS], theirs[SESSIONS];
};

static void on_gone(void *owner, int fd, void *tag)
{
        (void)owner, (void)fd, (void)tag;
}

static int set_up(void **state)
{
        struct rig *rig = calloc(1, sizeof *rig);

        assert_non_null(rig);
        assert_int_equal(sd_event_new(&rig->event), 0);
        assert_int_equal(stream_gate_new(rig->event, &rig->holding, &rig->gate), 0);
        stream_gate_set_reader(rig->gate, &(struct stream_reader){ .on_gone = on_gone });
        rig->holding = true;
        for (size_t i = 0; i < SESSIONS; i++) {
                int pair[2];

                assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
                rig->ours[i] = pair[0];
                rig->theirs[i] = pair[1];
        }
        *state = rig;
        return 0;
}

static int tear_down(void **state)
{
        struct rig *rig = *state;

        stream_gate_free(rig->gate);
        sd_event_unref(rig->event);
        for (size_t i = 0; i < SESSIONS; i++) {
                close(rig->ours[i]);
                close(rig->theirs[i]);
        }
        free(rig);
        return 0;
}

static ssize_t write_bytes(struct rig *rig, size_t session, struct span bytes)
{
        const struct socket_io *io = stream_gate_io(rig->gate);

        return io->write(io->userdata, rig->ours[session], true, bytes.p, bytes.n);
}

static void write_text(struct rig *rig, size_t session, const char *text)
{
        assert_int_equal(write_bytes(rig, session, span_of_string(text)), strlen(text));
}

/* All that is there now. */
static const char *read_text(const struct rig *rig, size_t session, char text[static 512])
{
        ssize_t n = read(rig->theirs[session], text, 511);

        text[n > 0 ? n : 0] = '\0';
        return text;
}

/* As in a round of notifications to more than are gathered for. */
static void gathers_for_more_than_there_is_room_for(void **state)
{
        struct rig *rig = *state;
        char text[512];

        for (int round = 0; round < 2; round++) {
                for (size_t i = 0; i < SESSIONS; i++) {
                        snprintf(text, sizeof text, "<%zu.%d>", i, round);
                        write_text(rig, i, text);
                }
        }
        stream_gate_flush(rig->gate);
        for (size_t i = 0; i < SESSIONS; i++) {
                char expected[512];

                snprintf(expected, sizeof expected, "<%zu.0><%zu.1>", i, i);
                assert_string_equal(read_text(rig, i, text), expected);
        }
}

/* It has bytes before and behind another's when the kernel takes no more: they come behind each other all the same. */
static void keeps_the_order_to_who_does_not_read(void **state)
{
        enum { LENGTH = 20000, ROUNDS = 40 };
        struct rig *rig = *state;
        CLEANUP(buf_deinit) struct buf got = { 0 };
        static uint32_t numbers[LENGTH / 4];
        uint32_t next = 0;
        char text[512];

        for (int round = 0; round < ROUNDS; round++) {
                for (size_t i = 0; i < LENGTH / 4; i++)
                        numbers[i] = next++;
                assert_int_equal(write_bytes(rig, 0, span_of(numbers, LENGTH / 2)), LENGTH / 2);
                write_text(rig, 1, "x");
                assert_int_equal(write_bytes(rig, 0, span_of(numbers + LENGTH / 8, LENGTH / 2)), LENGTH / 2);
                if (round % 3 == 0)
                        stream_gate_flush(rig->gate);
        }
        stream_gate_flush(rig->gate);
        assert_true(stream_gate_io(rig->gate)->is_behind(rig->gate, rig->ours[0]));
        while (got.n < (size_t)next * 4) {
                uint8_t *to = buf_reserve(&got, 4096);
                ssize_t n;

                assert_non_null(to);
                n = read(rig->theirs[0], to, 4096);
                if (n > 0)
                        got.n += (size_t)n;
                else
                        assert_true(sd_event_run(rig->event, 10 * 1000 * 1000) > 0);
        }
        for (uint32_t i = 0; i < next; i++)
                assert_int_equal(((const uint32_t *)(const void *)got.p)[i], i);
        assert_int_equal(strlen(read_text(rig, 1, text)), ROUNDS);
}

static bool refuse(void *owner)
{
        stream_gate_discard(((struct rig *)owner)->gate);
        return false;
}

static void ends_all_whose_bytes_are_discarded(void **state)
{
        struct rig *rig = *state;
        char text[512];

        stream_gate_set_clearance(rig->gate, refuse, rig);
        write_text(rig, 0, "a");
        write_text(rig, 1, "b");
        write_text(rig, 0, "c");
        stream_gate_flush(rig->gate);
        assert_int_equal(read(rig->theirs[0], text, 1), 0);
        assert_int_equal(read(rig->theirs[1], text, 1), 0);
        assert_int_equal(read(rig->theirs[2], text, 1), -1);
        assert_int_equal(errno, EAGAIN);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(gathers_for_more_than_there_is_room_for, set_up, tear_down),
                cmocka_unit_test_setup_teardown(keeps_the_order_to_who_does_not_read, set_up, tear_down),
                cmocka_unit_test_setup_teardown(ends_all_whose_bytes_are_discarded, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
