/* SPDX-License-Identifier: BSD-2-Clause */
/* The events of one call, and how far it has come; see tape.h. */
#include "endpoints/tape.h"

#include <string.h>

#include "base/util.h"

static void blank(struct tape *tape, unsigned from, unsigned to)
{
        for (unsigned i = from; i < to; i++)
                tape->v[i] = (struct epoll_event){ .events = 0, .data.ptr = tape->blank };
}

void tape_begin(struct tape *tape, void *tag, unsigned least)
{
        /* A blank costs libcoap two nanoseconds, a call that ends too early a walk over its sessions. */
        if (tape->used > tape->open / 2)
                tape->open = MIN(tape->open * 2, TAPE_MOST);
        else if (tape->used < tape->open / 8)
                tape->open = tape->open / 2;
        tape->open = MAX(tape->open, TAPE_LEAST);
        tape->length = MIN(MAX(tape->open, least), TAPE_MOST);
        tape->at = tape->end = tape->used = tape->repeated = 0;
        tape->blank = tag;
        blank(tape, 0, tape->length);
}

void tape_begin_closed(struct tape *tape, void *tag)
{
        tape->at = tape->end = tape->repeated = 0;
        tape->length = TAPE_MOST;
        tape->blank = tag;
}

unsigned tape_close(struct tape *tape, bool repeats)
{
        tape->length = tape->end;
        if (repeats && tape->blank) {
                tape->length = MIN(tape->end + TAPE_SLACK, TAPE_MOST);
                blank(tape, tape->end, tape->length);
        }
        return tape->length;
}

static bool is_of(const struct tape *tape, unsigned i, const void *tag)
{
        return tape->v[i].events != 0 && tape->v[i].data.ptr == tag;
}

bool tape_repeat(struct tape *tape, const void *tag)
{
        unsigned i = MAX(tape->at, tape->repeated);
        unsigned run = 0;

        while (i < tape->end && !is_of(tape, i, tag))
                i++;
        if (i < tape->end)
                tape->repeated = i;
        for (; i < tape->end && is_of(tape, i, tag); i++)
                run++;
        if (run == 0 || run > TAPE_REPEATS || tape_room(tape) == 0)
                return false;
        memmove(&tape->v[i + 1], &tape->v[i], (tape->end - i) * sizeof tape->v[0]);
        tape->v[i] = tape->v[i - 1];
        tape->end++;
        tape->used = MAX(tape->used, tape->end);
        return true;
}

void tape_end(struct tape *tape)
{
        tape->at = tape->end = tape->repeated = 0;
}

void tape_pass(struct tape *tape, const void *tag)
{
        while (tape->at < tape->end && (tape->v[tape->at].events == 0 || tape->v[tape->at].data.ptr != tag))
                tape->at++;
        if (tape->at < tape->end)
                tape->at++;
}

bool tape_is_over(const struct tape *tape)
{
        return tape->at == tape->end;
}

void tape_rewrite(struct tape *tape)
{
        blank(tape, tape->at, tape->end);
        tape->end = tape->at;
}

unsigned tape_room(const struct tape *tape)
{
        return tape->length - tape->end;
}

void tape_write(struct tape *tape, struct epoll_event event)
{
        tape->v[tape->end++] = event;
        if (tape->end > tape->used)
                tape->used = tape->end;
}
