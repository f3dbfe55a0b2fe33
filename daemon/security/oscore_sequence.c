/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a place counts its sender sequence numbers. A sender's key is in one place for datagrams, and for streams in one
 * for each shard that has come to have them, and they go on at the same time. So the lower half of all numbers is for
 * datagrams, and the quarters of the upper one by turns for the shards with streams. Where two places share a quarter
 * the older one has what is left below the first number of the other.
 */
#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"
#include "security/oscore_internal.h"

#define SEQUENCE_EPOCH 1704067200LL /* 2024-01-01 */
#define SEQUENCES_PER_SECOND 256
#define NUMBERS (1ULL << 40)         /* of a Partial IV (RFC 8613, 5) */
#define LEFT_TO_THE_OLDER (1U << 24) /* for what the sessions of its shard are still sent */

static void choose_range(struct oscore_place *place)
{
        bool alone = place->context->owner->shards.n == 1;

        switch (place->range) {
        case OSCORE_STREAMS:
                place->begin = NUMBERS / 2;
                place->end = NUMBERS / 4 * 3;
                break;
        case OSCORE_STREAMS_TOO:
                place->begin = NUMBERS / 4 * 3;
                place->end = NUMBERS;
                break;
        default:
                place->begin = 0;
                place->end = alone ? NUMBERS : NUMBERS / 2;
        }
}

/*
 * What is stored is never below what was used. When nothing is, the clock stands in, at a rate that no peer reaches:
 * without a store at all, and where the store was lost.
 */
static uint64_t first_number(struct oscore_place *place)
{
        const struct security_store *store = place->context->owner->store;
        long long since = (long long)time(NULL) - SEQUENCE_EPOCH;
        uint64_t stored = 0;
        int r = store ? store->load(store->user, place->sequence, &stored) : -ENOTSUP;

        place->stored = r != -ENOTSUP;
        if (r == 0)
                return MAX(stored, place->begin);
        if (r != -ENOENT && r != -ENOTSUP)
                log_warning(
                        "OSCORE: the stored sequence number cannot be read (%s): the clock stands in for it",
                        strerror(-r));
        return place->begin + (since > 0 ? (uint64_t)since * SEQUENCES_PER_SECOND : 0);
}

static struct oscore_place *find_older(const struct oscore_place *place)
{
        struct oscore_place *older = place->context->streams;

        while (older && older->range != place->range)
                older = older->next;
        return older;
}

/* Without a store, a later run must find the clock above all that was used: there is no room but what has passed. */
static void succeed(struct oscore_place *place, struct oscore_place *older)
{
        const struct security_store *store = place->context->owner->store;
        uint64_t first = MAX(place->begin, older->next_own);

        if (place->stored)
                first = MAX(first, older->wanted) + LEFT_TO_THE_OLDER;
        older->end = MIN(older->end, first);
        if (place->stored && store->save(store->user, place->sequence, first) < 0)
                older->end = MIN(older->end, older->next_own);
        older->succeeded = true;
        place->begin = first;
}

int oscore_sequence_begin(struct oscore_place *place)
{
        struct oscore_place *older = place->range == OSCORE_DATAGRAMS ? NULL : find_older(place);

        if (oscore_sequence_name(place->context->sender_key, place->range, place->sequence) < 0)
                return -EIO;
        choose_range(place);
        place->begin = first_number(place);
        if (older)
                succeed(place, older);
        place->next_own = place->begin;
        return 0;
}

int oscore_sequence_save(uint64_t number, void *userdata)
{
        static struct log_gate gate = { .burst = 5, .interval_s = 60 };
        struct oscore_place *place = userdata;
        const struct security_store *store = place->context->owner->store;
        int r = place->stored && !place->succeeded ? store->save(store->user, place->sequence, number) : 0;

        /* On a disk that is nearly full, peers make the two alternate. */
        if (r < 0 && !place->stalled)
                place->told = log_gated(&gate, LOG_ERR, NULL,
                                        "OSCORE: the next sequence numbers cannot be stored (%s): no "
                                        "notifications until they can",
                                        strerror(-r));
        if (r == 0 && place->stalled && place->told)
                log_notice("OSCORE: sequence numbers are stored again");
        place->stalled = r < 0;
        place->wanted = number;
        return r == 0;
}

/* The one that counts there; NULL: none may. */
static struct oscore_place *find_place(struct oscore_context *context, uint64_t number)
{
        struct oscore_place *place = context->streams;

        while (place && (number < place->begin || number >= place->end))
                place = place->next;
        if (!place && number >= context->datagrams.begin && number < context->datagrams.end)
                place = &context->datagrams;
        return place;
}

bool oscore_sequence_use(struct oscore_context *context, uint64_t number)
{
        static struct log_gate gate = { .burst = 5, .interval_s = 60 };
        struct oscore_place *place = find_place(context, number);

        if (!place)
                log_gated(&gate, LOG_WARNING, NULL,
                          "OSCORE: no sequence numbers are left for DTLS, TCP and WebSocket sessions of "
                          "before a reload: no notifications until they connect anew");
        /* What is not reserved yet is an older place's, that has come to its end. */
        if (!place || number < place->next_own || number >= place->wanted)
                return false;
        if (place->stalled && !oscore_sequence_save(place->wanted, place))
                return false;
        place->next_own = number + 1;
        return true;
}
