/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers to be given again; see duplicates.h. Slots that are divided fairly, found through a chained hash table. */
#include "resources/duplicates.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

#include "base/buf.h"
#include "base/checksum.h"
#include "resources/client_address.h"
#include "resources/duplicate_key.h"
#include "resources/fair.h"

enum {
        EXCHANGE_LIFETIME_S = 247,
        MAX_ANSWER = 160,  /* that fits into a slot */
        LARGE_MOST = 1280, /* that is kept otherwise, for one of LARGE_ONE_OF slots */
        LARGE_ONE_OF = 8,
};

struct slot {
        struct duplicate_key key;
        uint32_t hash;
        struct slot *next; /* in the bucket */
        time_t answered;
        bool used;
        uint8_t code;
        uint8_t n_options;
        uint16_t answer_length;
        /* The options as number (2 bytes), length (1 byte), value; then the payload. */
        uint8_t answer[MAX_ANSWER];
        uint8_t *large; /* in place of it */
        size_t large_place;
};

struct pool {
        uint64_t seed; /* so that nobody can choose addresses that share a bucket */
        size_t n;
        struct fair *places, *large_places;
        struct slot **buckets;
        struct slot *slots;
        struct slot **large; /* whose is in that place */
};

/* Addresses can be forged without keys, so many that each has one slot: those with keys have slots of their own. */
enum { WITHOUT_KEYS, WITH_KEYS, N_POOLS };

struct duplicates {
        struct pool pools[N_POOLS];
};

static int pool_init(struct pool *pool, size_t n)
{
        size_t n_large = n / LARGE_ONE_OF + 1;
        int r;

        pool->n = n;
        pool->large = calloc(n_large, sizeof(struct slot *));
        pool->slots = calloc(n, sizeof *pool->slots);
        pool->buckets = calloc(n, sizeof(struct slot *));
        if (!pool->slots || !pool->buckets || !pool->large ||
            getrandom(&pool->seed, sizeof pool->seed, 0) != sizeof pool->seed)
                return -ENOMEM;
        r = fair_new(n, &pool->places);
        return r < 0 ? r : fair_new(n_large, &pool->large_places);
}

int duplicates_new(size_t max_answers, struct duplicates **ret_duplicates)
{
        struct duplicates *d = calloc(1, sizeof *d);
        int r = d ? 0 : -ENOMEM;

        for (size_t i = 0; i < N_POOLS && r == 0; i++)
                r = pool_init(&d->pools[i], max_answers);
        if (r < 0) {
                duplicates_free(d);
                return r;
        }
        *ret_duplicates = d;
        return 0;
}

/* It keeps its code alone. Its place is another's. */
static void lose_large(struct slot *slot)
{
        free(TAKE(slot->large));
        slot->n_options = 0;
        slot->answer_length = 0;
}

static void forget(struct pool *pool, struct slot *slot)
{
        struct slot **link = &pool->buckets[slot->hash % pool->n];

        while (*link != slot)
                link = &(*link)->next;
        *link = slot->next;
        if (slot->large) {
                fair_give_back(pool->large_places, slot->large_place);
                pool->large[slot->large_place] = NULL;
                lose_large(slot);
        }
        slot->used = false;
}

static void pool_clear(struct pool *pool)
{
        size_t place;

        while ((place = fair_oldest(pool->places)) != FAIR_NONE) {
                forget(pool, &pool->slots[place]);
                fair_give_back(pool->places, place);
        }
}

static void pool_deinit(struct pool *pool)
{
        if (pool->large_places)
                pool_clear(pool);
        fair_free(pool->places);
        fair_free(pool->large_places);
        free(pool->slots);
        free(pool->buckets);
        free(pool->large);
}

void duplicates_free(struct duplicates *d)
{
        if (!d)
                return;
        for (size_t i = 0; i < N_POOLS; i++)
                pool_deinit(&d->pools[i]);
        free(d);
}

void duplicates_clear(struct duplicates *d)
{
        for (size_t i = 0; i < N_POOLS; i++)
                pool_clear(&d->pools[i]);
}

static struct pool *pool_of(struct duplicates *d, const struct duplicate_key *key)
{
        return &d->pools[key->sender || key->proto == COAP_PROTO_DTLS ? WITH_KEYS : WITHOUT_KEYS];
}

static uint32_t hash_of(const struct pool *pool, const struct duplicate_key *key)
{
        return (uint32_t)checksum_span(pool->seed, span_of((const uint8_t *)key, sizeof *key));
}

static time_t now_s(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

static bool is_over(const struct slot *slot, time_t now)
{
        return now - slot->answered > EXCHANGE_LIFETIME_S;
}

static const struct slot *find(struct duplicates *d, const struct duplicate_key *key)
{
        const struct pool *pool = pool_of(d, key);
        uint32_t hash = hash_of(pool, key);
        const struct slot *slot = pool->buckets[hash % pool->n];

        while (slot && (slot->hash != hash || memcmp(&slot->key, key, sizeof *key) != 0))
                slot = slot->next;
        return slot && !is_over(slot, now_s()) ? slot : NULL;
}

static void play_back(const struct slot *slot, coap_pdu_t *response)
{
        const uint8_t *p = slot->large ? slot->large : slot->answer, *end = p + slot->answer_length;

        coap_pdu_set_code(response, (coap_pdu_code_t)slot->code);
        for (unsigned i = 0; i < slot->n_options; i++) {
                coap_option_num_t number = (coap_option_num_t)(p[0] << 8 | p[1]);

                coap_add_option(response, number, p[2], p + 3);
                p += 3 + p[2];
        }
        if (p < end)
                coap_add_data(response, (size_t)(end - p), p);
}

bool duplicates_answer(struct duplicates *d, const coap_session_t *session, uint64_t sender,
                       const coap_pdu_t *request, coap_pdu_t *response)
{
        const struct slot *slot;
        struct duplicate_key key;

        if (!duplicate_key_of(session, sender, request, &key))
                return false;
        slot = find(d, &key);
        if (!slot)
                return false;
        play_back(slot, response);
        return true;
}

bool duplicates_know(struct duplicates *d, const struct msghdr *message, struct span datagram)
{
        struct duplicate_key key;

        return duplicate_key_of_datagram(message, datagram, &key) && find(d, &key);
}

/* Options and payload as they stand in a slot; `to` NULL: they are but counted. Returns how many bytes, 0 for what no
 * slot can have. */
static size_t spell(const coap_pdu_t *response, uint8_t *to, uint8_t *ret_n_options)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option;
        const uint8_t *data;
        size_t length, used = 0;

        *ret_n_options = 0;
        coap_option_iterator_init(response, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                length = coap_opt_length(option);
                if (length > UINT8_MAX || *ret_n_options == UINT8_MAX)
                        return 0;
                if (to) {
                        to[used] = (uint8_t)(iterator.number >> 8);
                        to[used + 1] = (uint8_t)iterator.number;
                        to[used + 2] = (uint8_t)length;
                        memcpy(to + used + 3, coap_opt_value(option), length);
                }
                used += 3 + length;
                ++*ret_n_options;
        }
        if (coap_get_data(response, &length, &data)) {
                if (to)
                        memcpy(to + used, data, length);
                used += length;
        }
        return used <= UINT16_MAX ? used : 0;
}

/* False: it is too large, or there is no memory. */
static bool have_large(struct pool *pool, struct slot *slot, uint64_t address, size_t n)
{
        uint8_t *large = n <= LARGE_MOST ? malloc(n) : NULL;

        if (!large)
                return false;
        slot->large_place = fair_take(pool->large_places, address);
        if (pool->large[slot->large_place])
                lose_large(pool->large[slot->large_place]);
        pool->large[slot->large_place] = slot;
        slot->large = large;
        return true;
}

static void record(struct pool *pool, struct slot *slot, uint64_t address, const coap_pdu_t *response)
{
        uint8_t n_options;
        size_t n = spell(response, NULL, &n_options);

        slot->code = (uint8_t)coap_pdu_get_code(response);
        slot->n_options = 0;
        slot->answer_length = 0;
        if (n == 0 || (n > MAX_ANSWER && !have_large(pool, slot, address, n)))
                return;
        spell(response, slot->large ? slot->large : slot->answer, &slot->n_options);
        slot->answer_length = (uint16_t)n;
}

/* Two at a time: faster than they come. */
static void forget_some(struct pool *pool, time_t now)
{
        for (int i = 0; i < 2; i++) {
                size_t place = fair_oldest(pool->places);

                if (place == FAIR_NONE || !is_over(&pool->slots[place], now))
                        return;
                forget(pool, &pool->slots[place]);
                fair_give_back(pool->places, place);
        }
}

void duplicates_remember(struct duplicates *d, const coap_session_t *session, uint64_t sender,
                         const coap_pdu_t *request, coap_mid_t mid, const coap_pdu_t *response)
{
        struct slot *slot, **bucket;
        time_t now = now_s();
        struct pool *pool;
        uint64_t address;
        struct duplicate_key key;

        if (!duplicate_key_of(session, sender, request, &key))
                return;
        key.mid = (uint16_t)mid;
        pool = pool_of(d, &key);
        forget_some(pool, now);
        address = client_address(coap_session_get_addr_remote(session));
        slot = &pool->slots[fair_take(pool->places, address)];
        if (slot->used)
                forget(pool, slot);
        slot->key = key;
        slot->hash = hash_of(pool, &key);
        slot->answered = now;
        slot->used = true;
        bucket = &pool->buckets[slot->hash % pool->n];
        slot->next = *bucket;
        *bucket = slot;
        record(pool, slot, address, response);
}
