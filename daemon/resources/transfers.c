/* SPDX-License-Identifier: BSD-2-Clause */
/* Who has a body on the way, and whose makes room for another; see blockwise_internal.h. */
#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/checksum.h"
#include "resources/blockwise_internal.h"

/*
 * EXCHANGE_LIFETIME (RFC 7252, 4.8.2): no retransmission of a block arrives later than that, so an older
 * transfer is dead.
 */
enum { TRANSFER_LIFETIME_S = 247, COUNTERS = 256 };

time_t transfer_now(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

int blockwise_new(size_t max_transfers, size_t max_bytes, struct blockwise **ret_blockwise)
{
        struct blockwise *b = calloc(1, sizeof *b);

        if (!b)
                return -ENOMEM;
        if (getrandom(&b->seed, sizeof b->seed, 0) != sizeof b->seed) {
                free(b);
                return -EIO;
        }
        b->max_transfers = max_transfers;
        b->max_bytes = max_bytes;
        *ret_blockwise = b;
        return 0;
}

void blockwise_set_bounds(struct blockwise *b, size_t max_transfers, size_t max_bytes)
{
        b->max_transfers = max_transfers;
        b->max_bytes = max_bytes;
}

static uint64_t hash_of(const struct message *m)
{
        uint64_t hash = m->operation ^ (uintptr_t)m->session ^ (uint64_t)m->request.method << 56;

        return checksum_span(hash, m->request.path);
}

static void unlink_age(struct blockwise *b, struct transfer *t)
{
        *(t->newer ? &t->newer->older : &b->newest) = t->older;
        *(t->older ? &t->older->newer : &b->oldest) = t->newer;
        t->newer = t->older = NULL;
}

static void link_newest(struct blockwise *b, struct transfer *t)
{
        t->older = b->newest;
        *(b->newest ? &b->newest->newer : &b->oldest) = t;
        b->newest = t;
        t->last_used = transfer_now();
}

void transfer_touch(struct blockwise *b, struct transfer *t)
{
        unlink_age(b, t);
        link_newest(b, t);
}

void transfer_drop(struct blockwise *b, struct transfer *t)
{
        struct transfer **link = &b->buckets[t->hash % HASH_SIZE];

        while (*link != t)
                link = &(*link)->next_in_bucket;
        *link = t->next_in_bucket;
        unlink_age(b, t);
        b->transfers--;
        b->bytes -= t->body.cap;
        buf_deinit(&t->path);
        buf_deinit(&t->body);
        free(t);
}

void blockwise_free(struct blockwise *b)
{
        if (!b)
                return;
        while (b->oldest)
                transfer_drop(b, b->oldest);
        buf_deinit(&b->complete);
        free(b);
}

void blockwise_forget(struct blockwise *b, const coap_session_t *session)
{
        struct transfer *t, *newer;

        for (t = b->oldest; t; t = newer) {
                newer = t->newer;
                if (t->session == session)
                        transfer_drop(b, t);
        }
}

static bool has_tag(const struct message *m)
{
        return m->request_tag.p != NULL;
}

static bool same_transfer(const struct transfer *t, const struct message *m, uint64_t hash)
{
        uint8_t tag_length = has_tag(m) ? (uint8_t)m->request_tag.n : TAG_ABSENT;

        return t->hash == hash && t->by_quick == m->q_block1 && t->session == m->session &&
               t->sender == m->sender && t->method == m->request.method &&
               span_equal(buf_span(&t->path), m->request.path) && t->tag_length == tag_length &&
               (tag_length == TAG_ABSENT || memcmp(t->tag, m->request_tag.p, tag_length) == 0);
}

static void expire(struct blockwise *b)
{
        time_t now = transfer_now();

        while (b->oldest && now - b->oldest->last_used > TRANSFER_LIFETIME_S)
                transfer_drop(b, b->oldest);
}

struct transfer *transfer_find(struct blockwise *b, const struct message *m)
{
        uint64_t hash = hash_of(m);

        expire(b);
        for (struct transfer *t = b->buckets[hash % HASH_SIZE]; t; t = t->next_in_bucket)
                if (same_transfer(t, m, hash))
                        return t;
        return NULL;
}

static size_t weight_of(const struct transfer *t, bool in_bytes)
{
        return in_bytes ? t->body.cap : 1;
}

static size_t counter_of(const struct blockwise *b, const struct transfer *t)
{
        uint64_t hash = (t->address ^ b->seed) * 0x9e3779b97f4a7c15U;

        return (size_t)(hash ^ hash >> 32) % COUNTERS;
}

/*
 * Who makes room for `keep`: of the address that takes the most, the oldest. So whoever begins many pushes out its own.
 * NULL: that is `keep` itself. With very many under way the oldest of them are looked at.
 */
static struct transfer *find_victim(const struct blockwise *b, const struct transfer *keep, bool in_bytes)
{
        enum { LOOK_AT = 1024 };
        size_t weights[COUNTERS] = { 0 }, most = 0, n = 0;
        struct transfer *t;

        for (t = b->oldest; t && n < LOOK_AT; t = t->newer, n++) {
                size_t *weight = &weights[counter_of(b, t)];

                *weight += weight_of(t, in_bytes);
                most = MAX(most, *weight);
        }
        for (t = b->oldest; t && n > 0; t = t->newer, n--)
                if (t != keep && weights[counter_of(b, t)] == most)
                        return t;
        return NULL;
}

struct transfer *transfer_begin(struct blockwise *b, const struct message *m)
{
        uint64_t hash = hash_of(m);
        struct transfer *t;

        while (b->transfers >= b->max_transfers && (t = find_victim(b, NULL, false)))
                transfer_drop(b, t);
        t = calloc(1, sizeof *t);
        if (!t)
                return NULL;
        t->hash = hash;
        t->by_quick = m->q_block1;
        t->session = m->session;
        t->sender = m->sender;
        t->address = m->address;
        t->method = m->request.method;
        t->content_format = m->request.content_format;
        t->tag_length = has_tag(m) ? (uint8_t)m->request_tag.n : TAG_ABSENT;
        if (has_tag(m))
                memcpy(t->tag, m->request_tag.p, m->request_tag.n);
        buf_append_span(&t->path, m->request.path);
        t->next_in_bucket = b->buckets[hash % HASH_SIZE];
        b->buckets[hash % HASH_SIZE] = t;
        b->transfers++;
        link_newest(b, t);
        return t;
}

bool transfer_keep(struct blockwise *b, struct transfer *t, uint64_t offset, struct span data)
{
        size_t cap = t->body.cap, end = (size_t)offset + data.n;
        struct transfer *victim;

        if (end > t->body.n && buf_reserve(&t->body, end - t->body.n)) {
                memset(t->body.p + t->body.n, 0, end - t->body.n);
                t->body.n = end;
        }
        b->bytes += t->body.cap - cap;
        while (b->bytes > b->max_bytes && (victim = find_victim(b, t, true)))
                transfer_drop(b, victim);
        if (!buf_ok(&t->body) || !buf_ok(&t->path) || b->bytes > b->max_bytes)
                return false;
        if (data.n > 0)
                memcpy(t->body.p + offset, data.p, data.n);
        return true;
}

void transfer_hand_over(struct blockwise *b, struct transfer *t, struct message *m)
{
        buf_deinit(&b->complete);
        b->complete = t->body;
        b->bytes -= t->body.cap;
        t->body = (struct buf){ 0 };
        m->request.body = buf_span(&b->complete);
}

uint8_t transfer_refuse_size(struct response *response, size_t max_body)
{
        response_error(response, CODE_TOO_LARGE, "a body here is at most %zu bytes", max_body);
        response->size1 = (uint32_t)MIN(max_body, (size_t)UINT32_MAX);
        return response->code;
}

uint8_t transfer_refuse_memory(struct response *response)
{
        response_error(response, CODE_UNAVAILABLE, "no memory for this transfer now");
        return response->code;
}
