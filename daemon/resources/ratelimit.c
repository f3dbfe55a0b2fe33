/* SPDX-License-Identifier: BSD-2-Clause */
/* Token buckets by address; see ratelimit.h. */
#include "resources/ratelimit.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/util.h"
#include "resources/client_address.h"

enum { SETS = 4096, WAYS = 4, BURST_SECONDS = 2, NS_PER_MS = 1000000 };

struct bucket {
        uint64_t address; /* 0: free */
        int64_t filled_ms;
        int64_t thousandths; /* of tokens */
};

struct ratelimit {
        uint64_t seed; /* so that nobody can choose addresses that share a set */
        struct bucket buckets[SETS][WAYS];
};

int ratelimit_new(struct ratelimit **ret_ratelimit)
{
        struct ratelimit *r = calloc(1, sizeof *r);

        if (!r)
                return -ENOMEM;
        if (getrandom(&r->seed, sizeof r->seed, 0) != sizeof r->seed) {
                free(r);
                return -EIO;
        }
        *ret_ratelimit = r;
        return 0;
}

void ratelimit_free(struct ratelimit *r)
{
        free(r);
}

static int64_t now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / NS_PER_MS;
}

static struct bucket *bucket_of(struct ratelimit *r, uint64_t address, int64_t now, int64_t full)
{
        uint64_t hash = (address ^ r->seed) * 0x9e3779b97f4a7c15U;
        struct bucket *set = r->buckets[(hash >> 32) % SETS];
        struct bucket *idle = &set[0];

        for (int i = 0; i < WAYS; i++) {
                if (set[i].address == address)
                        return &set[i];
                if (set[i].filled_ms < idle->filled_ms)
                        idle = &set[i];
        }
        *idle = (struct bucket){ .address = address, .filled_ms = now, .thousandths = full };
        return idle;
}

bool ratelimit_pass(struct ratelimit *r, const coap_address_t *peer, long long per_second)
{
        enum { ONE = 1000 };
        int64_t full = per_second * BURST_SECONDS * ONE;
        uint64_t address = peer && per_second ? client_address(peer) : 0;
        struct bucket *bucket;
        int64_t now;

        if (!address)
                return true;
        now = now_ms();
        bucket = bucket_of(r, address, now, full);
        /* Per second and a thousandth a token: so many thousandths a millisecond. */
        bucket->thousandths = MIN(
                full, bucket->thousandths + MIN(now - bucket->filled_ms, 1000 * BURST_SECONDS) * per_second);
        bucket->filled_ms = now;
        if (bucket->thousandths < ONE)
                return false;
        bucket->thousandths -= ONE;
        return true;
}
