/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers to be given again; see duplicates.h. A ring of slots, found through a chained hash table. */
#include "resources/duplicates.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <time.h>

#include "base/buf.h"
#include "resources/clients.h"

enum {
        EXCHANGE_LIFETIME_S = 247,
        MAX_ANSWER = 160, /* that fits into a slot */
        LARGE_EACH = 128, /* bytes for those that do not, as many times as there are slots */
        TOKEN = 8,
        NONE = -1,
};

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
        uint16_t token_length;
        uint8_t token[TOKEN]; /* of a longer one (RFC 8974) a hash */
};

struct slot {
        struct key key;
        uint32_t hash;
        int32_t next; /* in the bucket */
        time_t answered;
        bool used;
        uint8_t code;
        uint8_t n_options;
        uint16_t answer_length;
        /* The options as number (2 bytes), length (1 byte), value; then the payload. */
        uint8_t answer[MAX_ANSWER];
        uint8_t *large; /* in place of it */
};

struct duplicates {
        uint64_t seed; /* so that nobody can choose addresses that share a bucket */
        size_t n;
        uint64_t remembered; /* so far: the slot of the next one is at that number, modulo n */
        uint64_t large_from; /* none of those before has a `large` */
        size_t large_bytes;
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
        if (d->slots)
                duplicates_clear(d);
        free(d->slots);
        free(d->buckets);
        free(d);
}

static void drop_large(struct duplicates *d, struct slot *slot)
{
        if (!slot->large)
                return;
        d->large_bytes -= slot->answer_length;
        free(TAKE(slot->large));
        slot->n_options = 0;
        slot->answer_length = 0;
}

void duplicates_clear(struct duplicates *d)
{
        for (size_t i = 0; i < d->n; i++)
                drop_large(d, &d->slots[i]);
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

static void set_token(struct key *key, struct span token)
{
        uint64_t hash = 0xcbf29ce484222325U;

        key->token_length = (uint16_t)token.n;
        if (token.n <= TOKEN) {
                if (token.n)
                        memcpy(key->token, token.p, token.n);
                return;
        }
        for (size_t i = 0; i < token.n; i++)
                hash = (hash ^ token.p[i]) * 0x100000001b3U;
        memcpy(key->token, &hash, sizeof hash);
}

static bool make_key(const coap_session_t *session, uint64_t sender, const coap_pdu_t *request,
                     struct key *key)
{
        const struct client *client = client_of(session);
        const coap_address_t *peer = coap_session_get_addr_remote(session);
        coap_bin_const_t token = coap_pdu_get_token(request);

        memset(key, 0, sizeof *key);
        if (!peer || COAP_PROTO_RELIABLE(coap_session_get_proto(session)) || !set_peer(key, &peer->addr))
                return false;
        key->sender = sender;
        if (coap_session_get_proto(session) == COAP_PROTO_DTLS && client)
                key->session = client->serial;
        key->mid = (uint16_t)coap_pdu_get_mid(request);
        key->type = (uint8_t)coap_pdu_get_type(request);
        key->proto = (uint8_t)coap_session_get_proto(session);
        set_token(key, span_of(token.s, token.length));
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
        struct key key;

        if (!make_key(session, sender, request, &key))
                return false;
        slot = find(d, &key, hash_of(d, &key));
        if (!slot)
                return false;
        play_back(slot, response);
        return true;
}

/* RFC 7252, 3 and RFC 8974, 2.1. False: it is not whole. */
static bool read_token(struct span datagram, struct span *ret_token)
{
        enum { HEAD = 4, ONE_BYTE = 13, TWO_BYTES = 14, TWO_BYTES_FROM = 269 };
        size_t n = datagram.p[0] & 15, at = HEAD + (n == ONE_BYTE ? 1U : n == TWO_BYTES ? 2U : 0U);

        if (n > TWO_BYTES || datagram.n < at)
                return false;
        if (n == ONE_BYTE)
                n += datagram.p[HEAD];
        else if (n == TWO_BYTES)
                n = TWO_BYTES_FROM + ((size_t)datagram.p[HEAD] << 8 | datagram.p[HEAD + 1]);
        *ret_token = span_of(datagram.p + at, n);
        return datagram.n - at >= n;
}

bool duplicates_know(struct duplicates *d, const struct msghdr *message, struct span datagram)
{
        enum { HEAD = 4 };
        const uint8_t *p = datagram.p;
        struct span token;
        struct key key;

        /* Version 1, and of the methods those that are remembered. */
        if (datagram.n < HEAD || p[0] >> 6 != 1 || p[1] < METHOD_POST || p[1] > METHOD_IPATCH ||
            p[1] == METHOD_FETCH || !read_token(datagram, &token))
                return false;
        memset(&key, 0, sizeof key);
        if (!set_peer(&key, message->msg_name))
                return false;
        key.mid = (uint16_t)(p[2] << 8 | p[3]);
        key.type = p[0] >> 4 & 3;
        key.proto = COAP_PROTO_UDP;
        set_token(&key, token);
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
        drop_large(d, slot);
        slot->used = false;
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

/* Room for a large answer, for which the oldest make way. NULL: there is none. */
static uint8_t *make_large(struct duplicates *d, size_t n)
{
        size_t most = d->n * LARGE_EACH;

        if (n > most)
                return NULL;
        while (d->large_bytes + n > most && d->large_from < d->remembered)
                drop_large(d, &d->slots[d->large_from++ % d->n]);
        return malloc(n);
}

static void record(struct duplicates *d, struct slot *slot, const coap_pdu_t *response)
{
        uint8_t n_options;
        size_t n = spell(response, NULL, &n_options);

        slot->code = (uint8_t)coap_pdu_get_code(response);
        slot->n_options = 0;
        slot->answer_length = 0;
        if (n > MAX_ANSWER) {
                slot->large = make_large(d, n);
                if (!slot->large)
                        return;
                d->large_bytes += n;
        }
        if (n == 0)
                return;
        spell(response, slot->large ? slot->large : slot->answer, &slot->n_options);
        slot->answer_length = (uint16_t)n;
}

void duplicates_remember(struct duplicates *d, const coap_session_t *session, uint64_t sender,
                         const coap_pdu_t *request, coap_mid_t mid, const coap_pdu_t *response)
{
        size_t index = d->remembered % d->n;
        struct slot *slot = &d->slots[index];
        struct key key;

        if (!make_key(session, sender, request, &key))
                return;
        key.mid = (uint16_t)mid;
        forget(d, index);
        slot->key = key;
        slot->hash = hash_of(d, &key);
        slot->next = d->buckets[slot->hash % d->n];
        slot->answered = now_s();
        slot->used = true;
        d->buckets[slot->hash % d->n] = (int32_t)index;
        record(d, slot, response);
        d->remembered++;
        d->large_from = MAX(d->large_from, d->remembered - MIN(d->remembered, (uint64_t)d->n));
}
