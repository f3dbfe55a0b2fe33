/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which OSCORE peer has begun an observation: a notification comes to the handler without a message that
 * could tell. A hash table with a bound; beyond it the oldest entry goes, and with it, at its next
 * notification, what it stood for.
 */
#include <errno.h>

#include "base/util.h"
#include "security/oscore_internal.h"

#define BUCKETS 4096
#define MAX_OBSERVERS 65536
#define TOKEN_MAX 32 /* longer ones (RFC 8974) are not remembered */

struct observer {
        struct observer *same_bucket;
        struct observer *older, *newer;
        struct oscore_endpoint endpoint;
        const struct oscore_recipient *recipient;
        struct oscore_asked asked;
        uint8_t token[TOKEN_MAX];
        size_t token_n;
};

struct oscore_observers {
        struct observer *buckets[BUCKETS]; /* by endpoint, so that all of one are found in one of them */
        struct observer *oldest, *newest;
        size_t n;
};

struct oscore_endpoint oscore_endpoint_of(const coap_context_t *context, coap_proto_t proto,
                                          const coap_address_t *remote)
{
        struct oscore_endpoint endpoint = { .context = context, .proto = proto };
        struct identity address = { .kind = IDENTITY_NONE };

        if (!remote)
                return endpoint;
        identity_set_address(&address, &remote->addr.sa);
        if (address.has_address)
                memcpy(endpoint.address, address.address, sizeof(endpoint.address));
        endpoint.port = coap_address_get_port(remote);
        return endpoint;
}

int oscore_observers_new(struct oscore_observers **ret_observers)
{
        struct oscore_observers *observers = calloc(1, sizeof(*observers));

        if (!observers)
                return -ENOMEM;
        *ret_observers = observers;
        return 0;
}

static struct observer **bucket_of(struct oscore_observers *observers, const struct oscore_endpoint *endpoint)
{
        uint64_t h = endpoint->port, word[2];

        memcpy(word, endpoint->address, sizeof(word));
        h = (h ^ word[0]) * 0x9e3779b97f4a7c15u;
        h = (h ^ h >> 32 ^ word[1]) * 0x9e3779b97f4a7c15u;
        return &observers->buckets[h >> 52];
}

static bool is_at(const struct observer *observer, const struct oscore_endpoint *endpoint)
{
        return observer->endpoint.context == endpoint->context &&
               observer->endpoint.proto == endpoint->proto && observer->endpoint.port == endpoint->port &&
               memcmp(observer->endpoint.address, endpoint->address, sizeof(endpoint->address)) == 0;
}

static bool is(const struct observer *observer, const struct oscore_endpoint *endpoint, struct span token)
{
        return is_at(observer, endpoint) && span_equal(span_of(observer->token, observer->token_n), token);
}

static void unlink_observer(struct oscore_observers *observers, struct observer **link)
{
        struct observer *observer = *link;

        *link = observer->same_bucket;
        if (observer->older)
                observer->older->newer = observer->newer;
        else
                observers->oldest = observer->newer;
        if (observer->newer)
                observer->newer->older = observer->older;
        else
                observers->newest = observer->older;
        observers->n--;
        free(observer);
}

void oscore_observers_remove(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                             struct span token)
{
        struct observer **link = bucket_of(observers, endpoint);

        while (*link && !is(*link, endpoint, token))
                link = &(*link)->same_bucket;
        if (*link)
                unlink_observer(observers, link);
}

void oscore_observers_remove_all(struct oscore_observers *observers, const struct oscore_endpoint *endpoint)
{
        struct observer **link = bucket_of(observers, endpoint);

        while (*link) {
                if (is_at(*link, endpoint))
                        unlink_observer(observers, link);
                else
                        link = &(*link)->same_bucket;
        }
}

void oscore_observers_add(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                          struct span token, const struct oscore_asked *asked,
                          const struct oscore_recipient *recipient)
{
        struct observer **bucket = bucket_of(observers, endpoint), *observer;

        oscore_observers_remove(observers, endpoint, token);
        if (token.n > TOKEN_MAX)
                return;
        if (observers->n == MAX_OBSERVERS)
                oscore_observers_remove(observers, &observers->oldest->endpoint,
                                        span_of(observers->oldest->token, observers->oldest->token_n));
        observer = calloc(1, sizeof(*observer));
        if (!observer)
                return;
        *observer = (struct observer){ .same_bucket = *bucket,
                                       .older = observers->newest,
                                       .endpoint = *endpoint,
                                       .recipient = recipient,
                                       .asked = *asked,
                                       .token_n = token.n };
        if (token.n)
                memcpy(observer->token, token.p, token.n);
        if (observer->older)
                observer->older->newer = observer;
        else
                observers->oldest = observer;
        observers->newest = observer;
        *bucket = observer;
        observers->n++;
}

static const struct observer *find(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                                   struct span token)
{
        const struct observer *observer = *bucket_of(observers, endpoint);

        while (observer && !is(observer, endpoint, token))
                observer = observer->same_bucket;
        return observer;
}

bool oscore_observers_have(struct oscore_observers *observers, const struct oscore_endpoint *endpoint,
                           struct span token)
{
        return find(observers, endpoint, token);
}

const struct oscore_recipient *oscore_observers_find(struct oscore_observers *observers,
                                                     const struct oscore_endpoint *endpoint,
                                                     struct span token, const struct oscore_asked *asked)
{
        const struct observer *observer = find(observers, endpoint, token);

        return observer && memcmp(&observer->asked, asked, sizeof(*asked)) == 0 ? observer->recipient : NULL;
}

void oscore_observers_free(struct oscore_observers *observers)
{
        if (!observers)
                return;
        while (observers->oldest) {
                struct observer *observer = observers->oldest;

                observers->oldest = observer->newer;
                free(observer);
        }
        free(observers);
}
