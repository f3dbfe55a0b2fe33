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
        const coap_session_t *session;
        const struct oscore_recipient *recipient;
        uint8_t token[TOKEN_MAX];
        size_t token_n;
};

struct oscore_observers {
        struct observer *buckets[BUCKETS]; /* by session, so that one which ends is found in one of them */
        struct observer *oldest, *newest;
        size_t n;
};

int oscore_observers_new(struct oscore_observers **ret_observers)
{
        struct oscore_observers *observers = calloc(1, sizeof(*observers));

        if (!observers)
                return -ENOMEM;
        *ret_observers = observers;
        return 0;
}

static struct observer **bucket_of(struct oscore_observers *observers, const coap_session_t *session)
{
        return &observers->buckets[((uintptr_t)session >> 4) * 0x9e3779b97f4a7c15u >> 52];
}

static bool is(const struct observer *observer, const coap_session_t *session, struct span token)
{
        return observer->session == session && span_equal(span_of(observer->token, observer->token_n), token);
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

void oscore_observers_remove(struct oscore_observers *observers, const coap_session_t *session,
                             struct span token)
{
        struct observer **link = bucket_of(observers, session);

        while (*link && !is(*link, session, token))
                link = &(*link)->same_bucket;
        if (*link)
                unlink_observer(observers, link);
}

void oscore_observers_remove_session(struct oscore_observers *observers, const coap_session_t *session)
{
        struct observer **link = bucket_of(observers, session);

        while (*link) {
                if ((*link)->session == session)
                        unlink_observer(observers, link);
                else
                        link = &(*link)->same_bucket;
        }
}

void oscore_observers_add(struct oscore_observers *observers, const coap_session_t *session, struct span token,
                          const struct oscore_recipient *recipient)
{
        struct observer **bucket = bucket_of(observers, session), *observer;

        oscore_observers_remove(observers, session, token);
        if (token.n > TOKEN_MAX)
                return;
        if (observers->n == MAX_OBSERVERS)
                oscore_observers_remove(observers, observers->oldest->session,
                                        span_of(observers->oldest->token, observers->oldest->token_n));
        observer = calloc(1, sizeof(*observer));
        if (!observer)
                return;
        *observer = (struct observer){ .same_bucket = *bucket,
                                       .older = observers->newest,
                                       .session = session,
                                       .recipient = recipient,
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

const struct oscore_recipient *oscore_observers_find(const struct oscore_observers *observers,
                                                     const coap_session_t *session, struct span token)
{
        const struct observer *observer = *bucket_of((struct oscore_observers *)observers, session);

        while (observer && !is(observer, session, token))
                observer = observer->same_bucket;
        return observer ? observer->recipient : NULL;
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
