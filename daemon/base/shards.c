/* SPDX-License-Identifier: BSD-2-Clause */
/* From an address to a shard; see shards.h. */
#include "base/shards.h"

#include <netinet/in.h>
#include <string.h>

#include "base/util.h"

static uint64_t stir(uint64_t h)
{
        h = (h ^ h >> 32) * 0xd6e8feb86659fd93U;
        h = (h ^ h >> 32) * 0xd6e8feb86659fd93U;
        return h ^ h >> 32;
}

uint64_t shards_hash(uint64_t seed, const struct sockaddr *peer)
{
        uint64_t half[2] = { 0 };
        struct sockaddr_in6 six;
        struct sockaddr_in four;
        sa_family_t family;
        in_port_t port = 0;

        memcpy(&family, (const uint8_t *)peer + offsetof(struct sockaddr, sa_family), sizeof family);
        if (family == AF_INET) {
                memcpy(&four, peer, sizeof four);
                half[1] = four.sin_addr.s_addr;
                port = four.sin_port;
        } else if (family == AF_INET6) {
                memcpy(&six, peer, sizeof six);
                port = six.sin6_port;
                if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
                        memcpy(&half[1], six.sin6_addr.s6_addr + 12, sizeof(uint32_t));
                else
                        memcpy(half, &six.sin6_addr, sizeof half);
        }
        return stir(stir(stir(seed ^ half[0]) ^ half[1]) ^ port);
}

size_t shards_find(const struct shards *shards, const struct sockaddr *peer)
{
        size_t n = shards->n - shards->n_protected;

        return n == 1 ? 0 : shards_hash(shards->seed, peer) % n;
}

size_t shards_of_context(const struct shards *shards, const coap_context_t *context)
{
        size_t i = shards->n - 1;

        while (i > 0 && shards->v[i] != context)
                i--;
        return i;
}

size_t shards_choose(const struct shards_need *need)
{
        enum { LEAST = 256, OBSERVERS_EACH = 128, SESSIONS_EACH = 16, DESCRIPTORS_PART = 8 };
        uint64_t n = need->configured;

        if (n == 0) {
                n = MAX(need->observers / OBSERVERS_EACH, LEAST);
                n = MIN(n, need->descriptors / DESCRIPTORS_PART);
        }
        n = MIN(n, need->sessions / SESSIONS_EACH);
        return (size_t)MAX(MIN(n, SHARDS_MOST), 1);
}
