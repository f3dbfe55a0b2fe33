/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The events that one call of coap_io_do_epoll() works through. libcoap looks at each when its turn comes, so
 * that what is still ahead can be written anew while it is under way: a call goes on for as long as there is
 * work, up to the length that it was begun with.
 */
#ifndef COAPD_ENDPOINTS_TAPE_H
#define COAPD_ENDPOINTS_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>

enum {
        TAPE_LEAST = 128,
        TAPE_MOST = 2048,
        TAPE_REPEATS = 16, /* one after the other of the same tag */
        TAPE_SLACK = 64,   /* repeats in a closed call */
};

struct tape {
        struct epoll_event v[TAPE_MOST];
        void *blank; /* the tag of what libcoap is to pass over: one of its own, that is without an event */
        unsigned length;   /* of this call */
        unsigned at;       /* libcoap comes to this one next */
        unsigned end;      /* behind the last one written */
        unsigned repeated; /* libcoap has come there by its last stream */
        unsigned open;     /* the length of a call that can go on */
        unsigned used;     /* of the last one of these */
};

/* All blank, for a call that can go on. The length follows what such calls before have used, at least `least`. */
void tape_begin(struct tape *tape, void *blank, unsigned least);

/* Nothing on it, for a call that ends with what is written now: at tape->end. `blank` may be NULL: there is none. */
void tape_begin_closed(struct tape *tape, void *blank);

/* Where a closed call ends. `repeats`: there may be some, and it is left room for them. */
unsigned tape_close(struct tape *tape, bool repeats);

/*
 * libcoap is at the last event of `tag`, and gets one more of the same. False: there is no room for it, or it would
 * be one too many, others wait.
 */
bool tape_repeat(struct tape *tape, const void *tag);

/* The call is over. */
void tape_end(struct tape *tape);

/* libcoap has come to an event of `tag`. */
void tape_pass(struct tape *tape, const void *tag);

/* Whether that was the last one: libcoap reads nothing more in this call, unless more is written. */
bool tape_is_over(const struct tape *tape);

/* Blanks all that is ahead, to be written again. */
void tape_rewrite(struct tape *tape);

unsigned tape_room(const struct tape *tape);

/* Only while there is room. */
void tape_write(struct tape *tape, struct epoll_event event);

#endif
