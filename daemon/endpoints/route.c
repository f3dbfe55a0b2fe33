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
static void look_at_options(struct span datagram, bool *ret_oscore, bool *ret_observes)
{
        bool asks = datagram.p[1] == CODE_GET || datagram.p[1] == CODE_FETCH;
        struct coap_options options;
        struct span value;

        if (!coap_options_begin(datagram, &options))
                return;
        while (options.number < OPTION_OSCORE && coap_options_next(&options, &value)) {
                if (options.number == OPTION_OBSERVE)
                        *ret_observes = asks && is_zero(value);
                *ret_oscore |= options.number == OPTION_OSCORE;
        }
}

/* ---------------------------------------------------------------- what the first context has sent */

static uint64_t hash_of(const struct router *router, const struct sockaddr *peer, uint16_t message_id)
{
        uint64_t h = (shards_hash(router->shards.seed, peer) ^ message_id) * 0x9e3779b97f4a7c15U;

        return h ? h : 1;
}

static uint64_t *set_of(struct router *router, uint64_t hash)
{
        return router->sent + (hash >> 32) % SETS * WAYS;
}

void router_note_sent(struct router *router, const struct sockaddr *peer, struct span datagram)
{
        uint64_t hash, *set;

        if (!is_plain(datagram) || type_of(datagram) >= TYPE_ACK || shards_find(&router->shards, peer) == 0)
                return;
        if (!router->sent)
                router->sent = calloc((size_t)SETS * WAYS, sizeof *router->sent);
        if (!router->sent)
                return;
        hash = hash_of(router, peer, message_id_of(datagram));
        set = set_of(router, hash);
        for (int i = 0; i < WAYS; i++) {
                if (set[i] == hash)
                        return;
        }
        for (int i = WAYS - 1; i > 0; i--)
                set[i] = set[i - 1];
        set[0] = hash;
}

static bool take_sent(struct router *router, const struct sockaddr *peer, uint16_t message_id)
{
        uint64_t hash, *set;

        if (!router->sent)
                return false;
        hash = hash_of(router, peer, message_id);
        set = set_of(router, hash);
        for (int i = 0; i < WAYS; i++) {
                if (set[i] == hash) {
                        set[i] = 0;
                        return true;
                }
        }
        return false;
}

size_t router_find(struct router *router, const struct sockaddr *peer, struct span datagram,
                   bool *ret_observes)
{
        size_t home = shards_find(&router->shards, peer);
        bool oscore = false;

        *ret_observes = false;
        if (home == 0 || !is_plain(datagram))
                return home;
        /* A method that nobody knows: only where libcoap knows the resource does it answer 4.05 and not 4.04. */
        if (datagram.p[1] > CODE_IPATCH && datagram.p[1] <= CODE_REQUEST_LAST)
                return 0;
        if (datagram.p[1] == 0 && type_of(datagram) >= TYPE_ACK)
                return take_sent(router, peer, message_id_of(datagram)) ? 0 : home;
        look_at_options(datagram, &oscore, ret_observes);
        return oscore ? 0 : home;
}
