/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Observations through the proxy (RFC 7641, 5): one at the target for all clients that observe the same. It is renewed
 * when what came last is not fresh any more, which also finds out that the target has forgotten it or is gone; and it
 * ends when nobody observes.
 */
#include <errno.h>

#include "base/log.h"
#include "resources/proxy.h"

enum {
        US_PER_S = 1000000,
        CHECK_US = 2 * US_PER_S,
        UNASKED_S = 120,
        RETRY_S = 2,
        FAILURES_MOST = 3,
        LEAST_S = 1
};

static void check_soon(struct proxy *proxy)
{
        sd_event_source_set_time(proxy->timer, proxy_now(proxy) + CHECK_US);
        sd_event_source_set_enabled(proxy->timer, SD_EVENT_ONESHOT);
}

void entry_want(struct entry *entry)
{
        int enabled = SD_EVENT_OFF;

        entry->wanted = true;
        entry->asked = true;
        entry->told_us = proxy_now(entry->proxy);
        sd_event_source_get_enabled(entry->proxy->timer, &enabled);
        if (enabled == SD_EVENT_OFF)
                check_soon(entry->proxy);
}

void entry_changed(struct entry *entry)
{
        struct proxy *proxy = entry->proxy;
        struct span rest = buf_span(&entry->rest);

        /* All are told at once: not before there is something for each. */
        if (!proxy_ready_below(proxy, rest))
                return;
        for (struct entry *other = proxy->newest; other; other = other->older)
                if (other->wanted && span_equal(buf_span(&other->rest), rest)) {
                        other->asked = other->returning = false;
                        other->told_us = proxy_now(proxy);
                }
        if (rest.n > 0)
                resource_below_changed(proxy->resource, rest);
        else
                resource_changed(proxy->resource);
}

bool entry_try_again(struct entry *entry)
{
        if (entry->failures++ >= FAILURES_MOST)
                return false;
        entry->retry_us = proxy_now(entry->proxy) + RETRY_S * US_PER_S;
        return true;
}

static void end(struct entry *entry)
{
        exchange_end(TAKE(entry->exchange));
        entry->wanted = entry->observed = entry->asking = entry->returning = false;
}

/* Its clients have gone, or observe the same path with another query. */
static bool is_over(const struct entry *entry, uint64_t now)
{
        if (entry->waiters || entry->returning || now < entry->told_us + CHECK_US)
                return false;
        if (!resource_is_observed(entry->proxy->resource, buf_span(&entry->rest)))
                return true;
        return !entry->asked && now > entry->told_us + (uint64_t)UNASKED_S * US_PER_S;
}

int proxy_on_observe_time(sd_event_source *source, uint64_t usec, void *user)
{
        struct proxy *proxy = user;
        uint64_t now = proxy_now(proxy);
        bool any = false;

        (void)source, (void)usec;
        for (struct entry *entry = proxy->newest; entry; entry = entry->older) {
                if (!entry->wanted)
                        continue;
                if (is_over(entry, now)) {
                        end(entry);
                        continue;
                }
                any = true;
                /* A target that says Max-Age 0 is not asked all the time. */
                if (!entry->asking && now >= MAX(entry->fresh_until_us, entry->retry_us))
                        entry_ask(entry);
        }
        cache_trim(proxy);
        if (any)
                check_soon(proxy);
        return 0;
}

/*
 * Asked when an answer has come to who wants to observe: the target may have answered without observing. And when
 * observers of before a restart are there again, of which nothing is known.
 */
int proxy_observe_below(void *self, struct span rest)
{
        struct proxy *proxy = self;
        bool any = false;

        for (const struct entry *entry = proxy->newest; entry; entry = entry->older) {
                if (!entry->wanted || !span_equal(buf_span(&entry->rest), rest))
                        continue;
                if (entry->observed)
                        return 0;
                any = true;
        }
        return any ? -EOPNOTSUPP : 0;
}

bool proxy_ready_below(void *self, struct span rest)
{
        const struct proxy *proxy = self;

        for (const struct entry *entry = proxy->newest; entry; entry = entry->older)
                if (entry->wanted && !entry->code && span_equal(buf_span(&entry->rest), rest))
                        return false;
        return true;
}

bool proxy_ready(void *self)
{
        return proxy_ready_below(self, (struct span){ 0 });
}
