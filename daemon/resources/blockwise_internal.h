/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What transfers.c (who has a body on the way, within which bounds), blockwise.c (Block1) and qblock1.c (Q-Block1)
 * share.
 */
#ifndef COAPD_RESOURCES_BLOCKWISE_INTERNAL_H
#define COAPD_RESOURCES_BLOCKWISE_INTERNAL_H

#include <time.h>

#include "base/buf.h"
#include "base/util.h"
#include "resources/blockwise.h"

enum { HASH_SIZE = 256, TAG_ABSENT = 0xff };

/* Of Q-Block1: which blocks there are. All before `next`; and of those behind it, as bits, some. */
struct quick {
        uint8_t szx;
        uint32_t size; /* of the body */
        uint32_t next;
        uint64_t ahead; /* bit i: the block next + 1 + i */
        uint32_t seen;  /* the highest that came, and 1 */
        uint16_t first; /* the message id of block 0 */
        bool asks;      /* it came in NON messages: who waits for blocks asks for them */
        uint8_t asked;  /* how often, since the last that came */
        time_t due;     /* when to ask */
        uint8_t token_length;
        uint8_t token[8]; /* of that one */
        /* The body was whole, by that block. Of a safe request it is kept; of another one the answer is, instead. */
        bool whole;
        uint32_t completed;
        uint8_t answer; /* 0: there was none yet */
};

struct transfer {
        struct transfer *next_in_bucket;
        struct transfer *newer, *older; /* by last use */
        uint64_t hash;
        time_t last_used;
        coap_session_t *session;
        uint64_t sender;
        uint64_t address;
        enum method method;
        int content_format;
        uint8_t tag_length; /* TAG_ABSENT: there was no Request-Tag (RFC 9175, 3.2) */
        uint8_t tag[8];
        struct buf path;
        struct buf body;
        bool by_quick; /* Q-Block1 */
        struct quick quick;
};

struct blockwise {
        uint64_t seed; /* so that nobody can choose an address that is counted as another's */
        struct transfer *buckets[HASH_SIZE];
        struct transfer *newest, *oldest;
        size_t transfers, max_transfers;
        size_t bytes, max_bytes;
        struct buf complete; /* the body handed out last */
};

/* The one that this block belongs to, and a new one. NULL: there is none; no memory. */
struct transfer *transfer_find(struct blockwise *b, const struct message *m);
struct transfer *transfer_begin(struct blockwise *b, const struct message *m);
void transfer_touch(struct blockwise *b, struct transfer *t);
void transfer_drop(struct blockwise *b, struct transfer *t);

/* As last_used has it. */
time_t transfer_now(void);

/* Writes to the body, which grows up to there. False: there is no memory for it. */
bool transfer_keep(struct blockwise *b, struct transfer *t, uint64_t offset, struct span data);

/* The body is whole and moves to where the handler reads it. */
void transfer_hand_over(struct blockwise *b, struct transfer *t, struct message *m);

uint8_t transfer_refuse_size(struct response *response, size_t max_body);
uint8_t transfer_refuse_memory(struct response *response);

#endif
