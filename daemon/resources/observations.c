/* SPDX-License-Identifier: BSD-2-Clause */
/* Observations in a hash table, by client, resource and token; see observations.h. */
#include "resources/observations.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/span.h"
#include "base/util.h"
#include "resources/message.h"

enum { BUCKETS_LEAST = 256, TURNS = 6 };

struct observation {
        struct observation *same_bucket;
        struct observation *next_of_client, **of_client;
        struct observation *next_of_resource, **of_resource;
        struct client *client;
        struct observed *observed;
        uint64_t token, options; /* hashes */
        coap_mid_t mid;          /* of the last notification, as a RST names it */
        uint8_t turns;           /* to wait, below TURNS */
        uint64_t serial;         /* falls along the resource's list */
        uint64_t confirmed_us;   /* when the last notification left that is to be acknowledged; 0: never */
};

struct observations {
        struct clients *clients;
        struct metrics *metrics;
        uint64_t seed;
        struct observation **buckets;
        size_t n, n_buckets;
        uint64_t last_serial;
};

int observations_new(struct clients *clients, struct metrics *metrics, struct observations **ret_observations)
{
        struct observations *o = calloc(1, sizeof *o);

        if (!o)
                return -ENOMEM;
        o->clients = clients;
        o->metrics = metrics;
        o->n_buckets = BUCKETS_LEAST;
        o->buckets = calloc(BUCKETS_LEAST, sizeof(struct observation *));
        if (!o->buckets || getrandom(&o->seed, sizeof o->seed, 0) != sizeof o->seed) {
                observations_free(o);
                return -ENOMEM;
        }
        *ret_observations = o;
        return 0;
}

void observations_free(struct observations *o)
{
        struct observation *next;

        if (!o)
                return;
        for (size_t i = 0; o->buckets && i < o->n_buckets; i++)
                for (struct observation *one = o->buckets[i]; one; one = next) {
                        next = one->same_bucket;
                        free(one);
                }
        free(o->buckets);
        free(o);
}

/* --- hashes --- */

static uint64_t hash_more(uint64_t hash, struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                hash = (hash ^ s.p[i]) * 0x9e3779b97f4a7c15U;
        return (hash ^ s.n ^ hash >> 29) * 0xbf58476d1ce4e5b9U;
}

static uint64_t hash_token(const struct observations *o, const coap_pdu_t *pdu)
{
        coap_bin_const_t token = coap_pdu_get_token(pdu);

        return hash_more(o->seed, span_of(token.s, token.length));
}

/* What makes two registrations with different tokens the same to libcoap (coap_cache_derive_key_w_ignore()). */
static uint64_t hash_options(const struct observations *o, const coap_pdu_t *request)
{
        enum { NO_CACHE_KEY_MASK = 0x1e, NO_CACHE_KEY = 0x1c }; /* RFC 7252, 5.4.6 */
        coap_opt_iterator_t iterator;
        uint64_t hash = o->seed;
        coap_opt_t *option;
        const uint8_t *data;
        size_t n;

        coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                uint16_t number = iterator.number;

                if ((number & NO_CACHE_KEY_MASK) == NO_CACHE_KEY || number == COAP_OPTION_OBSERVE ||
                    number == COAP_OPTION_ETAG || number == COAP_OPTION_OSCORE)
                        continue;
                hash = hash_more(hash, span_of(&number, sizeof number));
                hash = hash_more(hash, span_of(coap_opt_value(option), coap_opt_length(option)));
        }
        if (coap_pdu_get_code(request) == COAP_REQUEST_CODE_FETCH && coap_get_data(request, &n, &data))
                hash = hash_more(hash, span_of(data, n));
        return hash;
}

/* --- the table --- */

static struct observation **bucket_of(const struct observations *o, const struct client *client,
                                      const struct observed *observed, uint64_t token)
{
        uint64_t hash = (token ^ (uintptr_t)client) * 0x9e3779b97f4a7c15U;

        hash = (hash ^ (uintptr_t)observed ^ hash >> 32) * 0xbf58476d1ce4e5b9U;
        return &o->buckets[hash >> 32 & (o->n_buckets - 1)];
}

static struct observation *find(const struct observations *o, const struct client *client,
                                const struct observed *observed, uint64_t token)
{
        struct observation *one = *bucket_of(o, client, observed, token);

        while (one && (one->client != client || one->observed != observed || one->token != token))
                one = one->same_bucket;
        return one;
}

static struct observation *find_replaced(const struct client *client, const struct observed *observed,
                                         uint64_t options)
{
        struct observation *one = client->observations;

        while (one && (one->observed != observed || one->options != options))
                one = one->next_of_client;
        return one;
}

/* Without memory for more the chains grow longer instead. */
static void grow(struct observations *o)
{
        struct observation **old = o->buckets, *next;
        size_t n_old = o->n_buckets;
        struct observation **grown = calloc(2 * n_old, sizeof(struct observation *));

        if (!grown)
                return;
        o->buckets = grown;
        o->n_buckets = 2 * n_old;
        for (size_t i = 0; i < n_old; i++)
                for (struct observation *one = old[i]; one; one = next) {
                        struct observation **bucket = bucket_of(o, one->client, one->observed, one->token);

                        next = one->same_bucket;
                        one->same_bucket = *bucket;
                        *bucket = one;
                }
        free(old);
}

static void drop(struct observations *o, struct observation *one)
{
        struct observation **link = bucket_of(o, one->client, one->observed, one->token);

        while (*link != one)
                link = &(*link)->same_bucket;
        *link = one->same_bucket;
        *one->of_client = one->next_of_client;
        if (one->next_of_client)
                one->next_of_client->of_client = one->of_client;
        *one->of_resource = one->next_of_resource;
        if (one->next_of_resource)
                one->next_of_resource->of_resource = one->of_resource;
        one->observed->n--;
        o->metrics->observations_now = --o->n;
        if (--one->client->n_observations == 0)
                clients_settle(o->clients, one->client);
        free(one);
}

static struct observation *add(struct observations *o, struct client *client, struct observed *observed,
                               uint64_t token, uint64_t options)
{
        struct observation *one = calloc(1, sizeof *one);
        struct observation **bucket = bucket_of(o, client, observed, token);

        if (!one)
                return NULL;
        *one = (struct observation){ .same_bucket = *bucket,
                                     .next_of_client = client->observations,
                                     .of_client = &client->observations,
                                     .next_of_resource = observed->first,
                                     .of_resource = &observed->first,
                                     .client = client,
                                     .observed = observed,
                                     .token = token,
                                     .options = options,
                                     .mid = COAP_INVALID_MID,
                                     .turns = ++o->last_serial % TURNS,
                                     .serial = o->last_serial };
        *bucket = client->observations = observed->first = one;
        if (one->next_of_client)
                one->next_of_client->of_client = &one->next_of_client;
        if (one->next_of_resource)
                one->next_of_resource->of_resource = &one->next_of_resource;
        observed->n++;
        o->metrics->observations_now = ++o->n;
        if (++client->n_observations == 1)
                clients_settle(o->clients, client);
        if (o->n > o->n_buckets)
                grow(o);
        return one;
}

/* --- for whoever lists them --- */

const struct observation *observations_first(const struct observed *observed, uint64_t before)
{
        const struct observation *one = observed->first;

        while (one && before && one->serial >= before)
                one = one->next_of_resource;
        return one;
}

const struct observation *observation_next(const struct observation *one)
{
        return one->next_of_resource;
}

uint64_t observation_serial(const struct observation *one)
{
        return one->serial;
}

coap_session_t *observation_session(const struct observation *one)
{
        return one->client->session;
}

/* --- what libcoap tells --- */

const char *observations_refuse(const struct observations *o, const struct observations_bounds *bounds,
                                const struct client *client, const struct observed *observed,
                                const coap_pdu_t *request)
{
        if (!client || find(o, client, observed, hash_token(o, request)))
                return NULL;
        if (client->n_observations >= bounds->of_client || observed->n >= bounds->of_resource ||
            o->n >= bounds->all)
                if (find_replaced(client, observed, hash_options(o, request)))
                        return NULL;
        if (client->n_observations >= bounds->of_client)
                return "this client observes as much as one may";
        if (observed->n >= bounds->of_resource)
                return "as many observe this resource as may";
        return o->n >= bounds->all ? "the limit of observations is reached" : NULL;
}

/*
 * libcoap takes an observation back when it sends an error to it, and only then: a client that does not want to have
 * the error (RFC 7967) would observe against every limit. The option's value comes to nothing before libcoap reads it.
 */
static void insist_on_the_answer(const coap_pdu_t *request)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option = coap_check_option(request, COAP_OPTION_NORESPONSE, &iterator);

        if (option)
                memset((uint8_t *)coap_opt_value(option), 0, coap_opt_length(option));
}

/* A registration takes the place of one with another token and the same options, also when it is refused then. */
struct observation *observations_note(struct observations *o, struct client *client,
                                      struct observed *observed, const coap_pdu_t *request,
                                      const coap_pdu_t *response, bool is_notification)
{
        enum { SUCCESS = 2, CANCELS_BY_OPTIONS = 4003005 };
        coap_opt_t *option = message_option(request, COAP_OPTION_OBSERVE);
        bool registers = option && coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option)) ==
                                           COAP_OBSERVE_ESTABLISH;
        unsigned class = (unsigned)coap_pdu_get_code(response) >> 5;
        struct observation *one;
        uint64_t token, options;

        if (!option)
                return NULL;
        if (registers && class > SUCCESS)
                insist_on_the_answer(request);
        if (!client)
                return NULL;
        token = hash_token(o, request);
        one = find(o, client, observed, token);
        if (!one && (registers || LIBCOAP_VERSION >= CANCELS_BY_OPTIONS)) {
                options = hash_options(o, request);
                one = find_replaced(client, observed, options);
                if (one)
                        drop(o, one);
                one = registers && class == SUCCESS ? add(o, client, observed, token, options) : NULL;
        } else if (one && (!registers || class > SUCCESS)) {
                drop(o, one);
                one = NULL;
        }
        if (one && is_notification)
                one->mid = coap_pdu_get_mid(response);
        return one;
}

/* Who were asked all at once, or registered together, take turns from then on, so that their answers do not meet. */
bool observation_confirms(struct observation *one, bool must, uint64_t now_us, uint64_t interval_us)
{
        if (must) {
                one->turns = one->serial % TURNS;
        } else if (now_us - one->confirmed_us < interval_us) {
                return false;
        } else if (one->turns > 0) {
                one->turns--;
                return false;
        }
        one->confirmed_us = now_us;
        return true;
}

void observations_nacked(struct observations *o, struct client *client, const coap_pdu_t *sent,
                         coap_mid_t mid)
{
        uint64_t token = sent ? hash_token(o, sent) : 0;
        struct observation *next;

        for (struct observation *one = client ? client->observations : NULL; one; one = next) {
                next = one->next_of_client;
                if (sent ? one->token == token : one->mid == mid)
                        drop(o, one);
        }
}

void observations_forget_client(struct observations *o, struct client *client)
{
        while (client && client->observations)
                drop(o, client->observations);
}

void observations_forget_resource(struct observations *o, struct observed *observed)
{
        while (observed->first)
                drop(o, observed->first);
}
