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

enum { TAPE_LEAST = 128, TAPE_MOST = 2048 };

struct tape {
        struct epoll_event v[TAPE_MOST];
        void *blank; /* the tag of what libcoap is to pass over: one of its own, that is without an event */
        unsigned length; /* of this call */
        unsigned at;     /* libcoap comes to this one next */
        unsigned end;    /* behind the last one written */
        unsigned open;   /* the length of a call that can go on */
        unsigned used;   /* of the last one of these */
};

/* All blank, for a call that can go on. The length follows what such calls before have used, at least `least`. */
void tape_begin(struct tape *tape, void *blank, unsigned least);

/* Nothing on it, for a call that ends with what is written now: at tape->end. */
void tape_begin_closed(struct tape *tape);

/* libcoap has come to an event of `tag`. */
void tape_pass(struct tape *tape, const void *tag);

/* Blanks all that is ahead, to be written again. */
void tape_rewrite(struct tape *tape);

unsigned tape_room(const struct tape *tape);

/* Only while there is room. */
void tape_write(struct tape *tape, struct epoll_event event);

#endif
