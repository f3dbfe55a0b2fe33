/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a datagram goes, by a look at what libcoap will read in full; see route.h. */
#include "endpoints/route.h"

#include <stdlib.h>

#include "base/coap_options.h"

enum {
        TYPE_ACK = 2,
        CODE_GET = 1,
        CODE_FETCH = 5,
        CODE_IPATCH = 7,
        CODE_REQUEST_LAST = 31,
        OPTION_OBSERVE = 6,
        OPTION_OSCORE = 9,
        /* Messages that are remembered until they are acknowledged or others take their place: SETS * WAYS. */
        SETS = 1 << 14,
        WAYS = 4,
        SHARD_MASK = SHARDS_MOST - 1, /* the place of an entry's shard in its hash */
};

void router_init(struct router *router, struct shards shards)
{
        *router = (struct router){ .shards = shards };
}

void router_deinit(struct router *router)
{
        free(router->sent);
        router->sent = NULL;
}

/* ---------------------------------------------------------------- what a message says */

static unsigned type_of(struct span datagram)
{
        return datagram.p[0] >> 4 & 3;
}

static uint16_t message_id_of(struct span datagram)
{
        return (uint16_t)(datagram.p[2] << 8 | datagram.p[3]);
}

static bool is_plain(struct span datagram)
{
        return datagram.n >= COAP_HEADER_SIZE && datagram.p[0] >> 6 == 1;
}

static bool is_zero(struct span value)
{
        while (value.n > 0 && value.p[0] == 0)
                value = span_skip(value, 1);
        return value.n == 0;
}

/* Most messages have no option with so small a number: it ends at the first. */
static bool look_at_options(struct span datagram, struct span *ret_oscore, bool *ret_observes)
{
        bool asks = datagram.p[1] == CODE_GET || datagram.p[1] == CODE_FETCH;
        struct coap_options options;
        struct span value;

        if (!coap_options_begin(datagram, &options))
                return false;
        while (options.number < OPTION_OSCORE && coap_options_next(&options, &value)) {
                if (options.number == OPTION_OBSERVE)
                        *ret_observes = asks && is_zero(value);
                if (options.number == OPTION_OSCORE)
                        *ret_oscore = value;
        }
        return options.number == OPTION_OSCORE;
}

/* ---------------------------------------------------------------- what others than the peer's context have sent */

static uint64_t hash_of(const struct router *router, const struct sockaddr *peer, uint16_t message_id)
{
        uint64_t h = (shards_hash(router->shards.seed, peer) ^ message_id) * 0x9e3779b97f4a7c15U;

        h &= ~(uint64_t)SHARD_MASK;
        return h ? h : SHARDS_MOST;
}

static bool is_entry_of(uint64_t entry, uint64_t hash)
{
        return (entry & ~(uint64_t)SHARD_MASK) == hash;
}

static uint64_t *set_of(struct router *router, uint64_t hash)
{
        return router->sent + (hash >> 32) % SETS * WAYS;
}

void router_note_sent(struct router *router, size_t shard, const struct sockaddr *peer, struct span datagram)
{
        uint64_t hash, *set;

        if (!is_plain(datagram) || type_of(datagram) >= TYPE_ACK ||
            shards_find(&router->shards, peer) == shard)
                return;
        if (!router->sent)
                router->sent = calloc((size_t)SETS * WAYS, sizeof *router->sent);
        if (!router->sent)
                return;
        hash = hash_of(router, peer, message_id_of(datagram));
        set = set_of(router, hash);
        for (int i = 0; i < WAYS; i++) {
                if (is_entry_of(set[i], hash)) {
                        set[i] = hash | shard;
                        return;
                }
        }
        for (int i = WAYS - 1; i > 0; i--)
                set[i] = set[i - 1];
        set[0] = hash | shard;
}

/* Who has sent it; `home` where nobody is remembered. */
static size_t take_sent(struct router *router, size_t home, const struct sockaddr *peer, uint16_t message_id)
{
        uint64_t hash, *set;

        if (!router->sent)
                return home;
        hash = hash_of(router, peer, message_id);
        set = set_of(router, hash);
        for (int i = 0; i < WAYS; i++) {
                if (is_entry_of(set[i], hash)) {
                        size_t shard = set[i] & SHARD_MASK;

                        set[i] = 0;
                        return shard;
                }
        }
        return home;
}

size_t router_find(struct router *router, const struct sockaddr *peer, struct span datagram,
                   bool *ret_observes)
{
        size_t home = shards_find(&router->shards, peer);
        struct span oscore = { 0 };

        *ret_observes = false;
        if (router->shards.n == 1 || !is_plain(datagram))
                return home;
        /* A method that nobody knows: only where libcoap knows the resource does it answer 4.05 and not 4.04. */
        if (datagram.p[1] > CODE_IPATCH && datagram.p[1] <= CODE_REQUEST_LAST)
                return 0;
        if (datagram.p[1] == 0 && type_of(datagram) >= TYPE_ACK)
                return take_sent(router, home, peer, message_id_of(datagram));
        if (!look_at_options(datagram, &oscore, ret_observes))
                return home;
        return router->oscore ? router->oscore(router->userdata, oscore) : 0;
}
