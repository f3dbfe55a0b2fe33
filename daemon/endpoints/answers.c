/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers to be sent again; see answers.h. A chained hash table, and a list by age. */
#include "endpoints/answers.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/shards.h"
#include "base/util.h"
#include "endpoints/datagrams.h"

enum { BUCKETS = 1 << 14, CONTROL_SIZE = CMSG_SPACE(sizeof(struct in6_pktinfo)) };

struct answer {
        struct answer *next;          /* in its bucket */
        struct answer *older, *newer; /* of all */
        struct answers_key key;
        uint64_t given;
        unsigned times; /* it was sent again */
        struct msghdr head;
        struct iovec piece;
        struct sockaddr_in6 name; /* or one of IPv4 */
        _Alignas(struct cmsghdr) uint8_t control[CONTROL_SIZE];
        uint8_t bytes[];
};

struct answers {
        uint64_t seed; /* so that nobody can choose requests that are taken for others */
        struct answer **buckets;
        struct answer *oldest, *newest;
        size_t bytes;
        struct answer *draft; /* has room for any message */
        bool written;         /* and there is one in it */
};

struct answers *answers_new(void)
{
        struct answers *answers = calloc(1, sizeof *answers);

        if (answers && getrandom(&answers->seed, sizeof answers->seed, 0) != sizeof answers->seed) {
                free(answers);
                return NULL;
        }
        return answers;
}

void answers_free(struct answers *answers)
{
        if (!answers)
                return;
        answers_clear(answers);
        free(answers->draft);
        free(answers->buckets);
        free(answers);
}

/* ---------------------------------------------------------------- keys */

static uint64_t stir(uint64_t h)
{
        h = (h ^ h >> 32) * 0xd6e8feb86659fd93U;
        return h ^ h >> 32;
}

static uint64_t hash_of(uint64_t h, struct span bytes)
{
        uint64_t word;

        for (h ^= bytes.n; bytes.n > 0; bytes = span_skip(bytes, sizeof word)) {
                word = 0;
                memcpy(&word, bytes.p, MIN(bytes.n, sizeof word));
                h = stir(h ^ word);
        }
        return stir(h);
}

struct answers_key answers_key(const struct answers *answers, const void *where, const struct sockaddr *peer,
                               struct span who, unsigned number, struct span datagram)
{
        uint64_t client = hash_of(shards_hash(answers->seed, peer) ^ (uintptr_t)where, who);

        return (struct answers_key){
                .place = stir(client ^ number % ANSWERS_WINDOW),
                .digest = hash_of(stir(client), datagram),
        };
}

/* ---------------------------------------------------------------- the table */

static size_t size_of(const struct answer *answer)
{
        return sizeof *answer + answer->piece.iov_len;
}

/* Where the pointer to the answer in this place is, or would be. */
static struct answer **link_to(struct answers *answers, uint64_t place)
{
        struct answer **link = &answers->buckets[place % BUCKETS];

        while (*link && (*link)->key.place != place)
                link = &(*link)->next;
        return link;
}

static void take_out(struct answers *answers, struct answer **link)
{
        struct answer *answer = *link;

        *link = answer->next;
        *(answer->older ? &answer->older->newer : &answers->oldest) = answer->newer;
        *(answer->newer ? &answer->newer->older : &answers->newest) = answer->older;
        answers->bytes -= size_of(answer);
        free(answer);
}

static bool is_over(const struct answer *answer, uint64_t now)
{
        return now - answer->given > MSEC(1000) * ANSWERS_LIFETIME_S;
}

/* Two at a time: faster than they come. */
static void forget_some(struct answers *answers, uint64_t now)
{
        for (int i = 0; i < 2 && answers->oldest && is_over(answers->oldest, now); i++)
                take_out(answers, link_to(answers, answers->oldest->key.place));
}

void answers_clear(struct answers *answers)
{
        while (answers->oldest)
                take_out(answers, link_to(answers, answers->oldest->key.place));
}

enum answers_found answers_find(struct answers *answers, struct answers_key key, uint64_t now,
                                struct msghdr **ret_message)
{
        struct answer *answer = answers->buckets ? *link_to(answers, key.place) : NULL;

        if (!answer || answer->key.digest != key.digest || is_over(answer, now))
                return ANSWERS_NONE;
        if (answer->times >= ANSWERS_TIMES)
                return ANSWERS_ENOUGH;
        answer->times++;
        *ret_message = &answer->head;
        return ANSWERS_AGAIN;
}

/* ---------------------------------------------------------------- a new one */

/* What points into the answer itself. */
static void point(struct answer *answer)
{
        answer->piece.iov_base = answer->bytes;
        answer->head.msg_name = answer->head.msg_namelen ? &answer->name : NULL;
        answer->head.msg_iov = &answer->piece;
        answer->head.msg_control = answer->head.msg_controllen ? answer->control : NULL;
}

static bool is_full(const struct answers *answers)
{
        return answers->bytes + sizeof(struct answer) + DATAGRAM_SIZE > ANSWERS_BYTES;
}

static bool have_room(struct answers *answers, uint64_t place, uint64_t now)
{
        if (!answers->buckets)
                answers->buckets = calloc(BUCKETS, sizeof(struct answer *));
        if (!answers->draft)
                answers->draft = malloc(sizeof(struct answer) + DATAGRAM_SIZE);
        if (!answers->buckets || !answers->draft)
                return false;
        forget_some(answers, now);
        /* The one whose place it takes gives it its room, too. */
        if (is_full(answers) && *link_to(answers, place))
                take_out(answers, link_to(answers, place));
        return !is_full(answers);
}

bool answers_write(struct answers *answers, struct answers_key key, const struct msghdr *message,
                   uint64_t now)
{
        struct answer *draft;
        size_t n = 0;

        answers->written = false;
        for (size_t i = 0; i < message->msg_iovlen; i++)
                n += message->msg_iov[i].iov_len;
        if (n > DATAGRAM_SIZE || message->msg_namelen > sizeof draft->name ||
            message->msg_controllen > CONTROL_SIZE || !have_room(answers, key.place, now))
                return false;
        draft = answers->draft;
        *draft = (struct answer){
                .key = key,
                .head = { .msg_namelen = message->msg_namelen,
                          .msg_iovlen = 1,
                          .msg_controllen = message->msg_controllen },
                .piece.iov_len = n,
        };
        point(draft);
        memcpy(&draft->name, message->msg_name, message->msg_namelen);
        if (message->msg_controllen > 0)
                memcpy(draft->control, message->msg_control, message->msg_controllen);
        for (size_t i = 0, at = 0; i < message->msg_iovlen; at += message->msg_iov[i++].iov_len)
                memcpy(draft->bytes + at, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
        return answers->written = true;
}

struct msghdr *answers_written(struct answers *answers)
{
        return &answers->draft->head;
}

void answers_keep(struct answers *answers, uint64_t now)
{
        struct answer **link, *answer;

        if (!answers->written)
                return;
        answers->written = false;
        link = link_to(answers, answers->draft->key.place);
        if (*link)
                take_out(answers, link);
        answer = malloc(size_of(answers->draft));
        if (!answer)
                return;
        memcpy(answer, answers->draft, size_of(answers->draft));
        point(answer);
        answer->given = now;
        answer->older = answers->newest;
        *(answers->newest ? &answers->newest->newer : &answers->oldest) = answer;
        answers->newest = answer;
        link = link_to(answers, answer->key.place);
        answer->next = *link;
        *link = answer;
        answers->bytes += size_of(answer);
}
