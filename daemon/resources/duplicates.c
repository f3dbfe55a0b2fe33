/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers to be given again; see duplicates.h. A ring of slots, found through a chained hash table. */
#include "resources/duplicates.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <time.h>

#include "base/buf.h"
#include "resources/clients.h"

enum { EXCHANGE_LIFETIME_S = 247, MAX_ANSWER = 160, MAX_TOKEN = 8, NONE = -1 };

/* Who sent which message. Compared byte for byte: keys are zeroed before they are filled. */
struct key {
        uint64_t sender;
        uint64_t session; /* of DTLS, in which another one may begin with the same numbers */
        uint8_t address[16];
        uint32_t scope;
        uint16_t port;
        uint16_t family;
        uint16_t mid;
        uint8_t type;
        uint8_t proto;
        uint8_t token_length;
        uint8_t token[MAX_TOKEN];
};

struct slot {
        struct key key;
        uint32_t hash;
        int32_t next; /* in the bucket */
        time_t answered;
        bool used;
        uint8_t code;
        uint8_t n_options;
        uint8_t answer_length;
        /* The options as number (2 bytes), length (1 byte), value; then the payload. */
        uint8_t answer[MAX_ANSWER];
};

struct duplicates {
        uint64_t seed; /* so that nobody can choose addresses that share a bucket */
        size_t n;
        size_t oldest;
        int32_t *buckets;
        struct slot *slots;
};

int duplicates_new(size_t max_answers, struct duplicates **ret_duplicates)
{
        struct duplicates *d = calloc(1, sizeof *d);

        if (!d)
                return -ENOMEM;
        d->n = max_answers;
        d->slots = calloc(max_answers, sizeof *d->slots);
        d->buckets = malloc(max_answers * sizeof *d->buckets);
        if (!d->slots || !d->buckets || getrandom(&d->seed, sizeof d->seed, 0) != sizeof d->seed) {
                duplicates_free(d);
                return -ENOMEM;
        }
        duplicates_clear(d);
        *ret_duplicates = d;
        return 0;
}

void duplicates_free(struct duplicates *d)
{
        if (!d)
                return;
        free(d->slots);
        free(d->buckets);
        free(d);
}

void duplicates_clear(struct duplicates *d)
{
        memset(d->slots, 0, d->n * sizeof *d->slots);
        for (size_t i = 0; i < d->n; i++)
                d->buckets[i] = NONE;
}

/* `peer` need not be aligned. */
static bool set_peer(struct key *key, const void *peer)
{
        struct sockaddr_in6 six;
        struct sockaddr_in four;

        memcpy(&key->family, (const uint8_t *)peer + offsetof(struct sockaddr, sa_family),
               sizeof key->family);
        if (key->family == AF_INET) {
                memcpy(&four, peer, sizeof four);
                memcpy(key->address, &four.sin_addr, sizeof four.sin_addr);
                key->port = four.sin_port;
        } else if (key->family == AF_INET6) {
                memcpy(&six, peer, sizeof six);
                memcpy(key->address, &six.sin6_addr, sizeof six.sin6_addr);
                key->port = six.sin6_port;
                key->scope = six.sin6_scope_id;
        } else {
                return false;
        }
        return true;
}

static bool make_key(const coap_session_t *session, uint64_t sender, const coap_pdu_t *request,
                     struct key *key)
{
        const struct client *client = client_of(session);
        const coap_address_t *peer = coap_session_get_addr_remote(session);
        coap_bin_const_t token = coap_pdu_get_token(request);

        memset(key, 0, sizeof *key);
        if (!peer || token.length > MAX_TOKEN || COAP_PROTO_RELIABLE(coap_session_get_proto(session)) ||
            !set_peer(key, &peer->addr))
                return false;
        key->sender = sender;
        if (coap_session_get_proto(session) == COAP_PROTO_DTLS && client)
                key->session = client->serial;
        key->mid = (uint16_t)coap_pdu_get_mid(request);
        key->type = (uint8_t)coap_pdu_get_type(request);
        key->proto = (uint8_t)coap_session_get_proto(session);
        key->token_length = (uint8_t)token.length;
        if (token.length)
                memcpy(key->token, token.s, token.length);
        return true;
}

static uint32_t hash_of(const struct duplicates *d, const struct key *key)
{
        const uint8_t *p = (const uint8_t *)key;
        uint64_t hash = d->seed;

        for (size_t i = 0; i < sizeof *key; i++)
                hash = (hash ^ p[i]) * 0x9e3779b97f4a7c15U;
        return (uint32_t)(hash ^ hash >> 32);
}

static time_t now_s(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec;
}

static struct slot *find(struct duplicates *d, const struct key *key, uint32_t hash)
{
        for (int32_t i = d->buckets[hash % d->n]; i != NONE; i = d->slots[i].next)
                if (d->slots[i].hash == hash && memcmp(&d->slots[i].key, key, sizeof *key) == 0)
                        return now_s() - d->slots[i].answered <= EXCHANGE_LIFETIME_S ? &d->slots[i] : NULL;
        return NULL;
}

static void play_back(const struct slot *slot, coap_pdu_t *response)
{
        const uint8_t *p = slot->answer, *end = slot->answer + slot->answer_length;

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
        struct key key;

        if (!make_key(session, sender, request, &key))
                return false;
        slot = find(d, &key, hash_of(d, &key));
        if (!slot)
                return false;
        play_back(slot, response);
        return true;
}

bool duplicates_know(struct duplicates *d, const struct msghdr *message, struct span datagram)
{
        enum { TOKEN_AT = 4 };
        const uint8_t *p = datagram.p;
        struct key key;

        /* Version 1, and of the methods those that are remembered. */
        if (datagram.n < TOKEN_AT || p[0] >> 6 != 1 || p[1] < METHOD_POST || p[1] > METHOD_IPATCH ||
            p[1] == METHOD_FETCH)
                return false;
        memset(&key, 0, sizeof key);
        if (!set_peer(&key, message->msg_name))
                return false;
        key.mid = (uint16_t)(p[2] << 8 | p[3]);
        key.type = p[0] >> 4 & 3;
        key.proto = COAP_PROTO_UDP;
        key.token_length = p[0] & 15;
        if (key.token_length > MAX_TOKEN || datagram.n < TOKEN_AT + (size_t)key.token_length)
                return false;
        memcpy(key.token, p + TOKEN_AT, key.token_length);
        return find(d, &key, hash_of(d, &key)) != NULL;
}

static void forget(struct duplicates *d, size_t index)
{
        struct slot *slot = &d->slots[index];
        int32_t *link = &d->buckets[slot->hash % d->n];

        if (!slot->used)
                return;
        while (*link != (int32_t)index)
                link = &d->slots[*link].next;
        *link = slot->next;
        slot->used = false;
}

/* Writes options and payload into the slot. An answer that is too large keeps its code alone. */
static void record(struct slot *slot, const coap_pdu_t *response)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option;
        const uint8_t *data;
        size_t length, used = 0;

        slot->code = (uint8_t)coap_pdu_get_code(response);
        slot->n_options = slot->answer_length = 0;
        coap_option_iterator_init(response, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                length = coap_opt_length(option);
                if (length > UINT8_MAX || used + 3 + length > MAX_ANSWER)
                        goto too_large;
                slot->answer[used] = (uint8_t)(iterator.number >> 8);
                slot->answer[used + 1] = (uint8_t)iterator.number;
                slot->answer[used + 2] = (uint8_t)length;
                memcpy(slot->answer + used + 3, coap_opt_value(option), length);
                used += 3 + length;
                slot->n_options++;
        }
        if (coap_get_data(response, &length, &data)) {
                if (used + length > MAX_ANSWER)
                        goto too_large;
                memcpy(slot->answer + used, data, length);
                used += length;
        }
        slot->answer_length = (uint8_t)used;
        return;
too_large:
        slot->n_options = slot->answer_length = 0;
}

void duplicates_remember(struct duplicates *d, const coap_session_t *session, uint64_t sender,
                         const coap_pdu_t *request, coap_mid_t mid, const coap_pdu_t *response)
{
        struct slot *slot = &d->slots[d->oldest];
        struct key key;

        if (!make_key(session, sender, request, &key))
                return;
        key.mid = (uint16_t)mid;
        forget(d, d->oldest);
        slot->key = key;
        slot->hash = hash_of(d, &key);
        slot->next = d->buckets[slot->hash % d->n];
        slot->answered = now_s();
        slot->used = true;
        d->buckets[slot->hash % d->n] = (int32_t)d->oldest;
        d->oldest = (d->oldest + 1) % d->n;
        record(slot, response);
}
