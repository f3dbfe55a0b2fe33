/* SPDX-License-Identifier: BSD-2-Clause */
/* What the target has answered, kept as long as it is fresh (RFC 7252, 5.6). */
#include <errno.h>
#include <stdio.h>

#include "resources/proxy.h"

enum { US_PER_S = 1000000 };

uint64_t proxy_now(const struct proxy *proxy)
{
        uint64_t now = 0;

        sd_event_now(resource_event(proxy->resource), CLOCK_MONOTONIC, &now);
        return now;
}

/* --- the list by use --- */

static void unlink_use(struct entry *entry)
{
        struct proxy *proxy = entry->proxy;

        *(entry->newer ? &entry->newer->older : &proxy->newest) = entry->older;
        *(entry->older ? &entry->older->newer : &proxy->oldest) = entry->newer;
}

static void link_newest(struct entry *entry)
{
        struct proxy *proxy = entry->proxy;

        entry->newer = NULL;
        entry->older = proxy->newest;
        *(proxy->newest ? &proxy->newest->newer : &proxy->oldest) = entry;
        proxy->newest = entry;
}

void entry_use(struct entry *entry)
{
        unlink_use(entry);
        link_newest(entry);
}

/* --- life and death --- */

struct entry *entry_find(struct proxy *proxy, struct span key)
{
        int64_t found;

        return spanmap_get(&proxy->by_key, key, &found) ? (struct entry *)(intptr_t)found : NULL;
}

struct entry *entry_new(struct proxy *proxy, struct span key)
{
        struct entry *entry = calloc(1, sizeof *entry);

        if (!entry)
                return NULL;
        entry->proxy = proxy;
        buf_append_span(&entry->key, key);
        if (!buf_ok(&entry->key) || spanmap_put(&proxy->by_key, key, (int64_t)(intptr_t)entry) < 0) {
                buf_deinit(&entry->key);
                free(entry);
                return NULL;
        }
        link_newest(entry);
        proxy->n++;
        return entry;
}

static void drop_content(struct entry *entry)
{
        if (entry->content)
                entry->proxy->bytes -= entry->content->size;
        representation_unref(TAKE(entry->content));
}

void entry_free(struct entry *entry)
{
        struct waiter *next;
        int64_t unused;

        for (struct waiter *waiter = entry->waiters; waiter; waiter = next) {
                next = waiter->next;
                free(waiter);
        }
        exchange_end(entry->exchange);
        drop_content(entry);
        spanmap_take(&entry->proxy->by_key, buf_span(&entry->key), &unused);
        unlink_use(entry);
        entry->proxy->n--;
        buf_deinit(&entry->key);
        buf_deinit(&entry->options);
        buf_deinit(&entry->body);
        buf_deinit(&entry->rest);
        buf_deinit(&entry->answer_options);
        free(entry);
}

void cache_trim(struct proxy *proxy)
{
        const struct proxy_conf *conf = proxy->conf;
        struct entry *newer;

        for (struct entry *entry = proxy->oldest; entry; entry = newer) {
                newer = entry->newer;
                if (proxy->n <= (size_t)conf->cache_entries && proxy->bytes <= (size_t)conf->cache_bytes)
                        return;
                if (!entry->asking && !entry->wanted)
                        entry_free(entry);
        }
}

void cache_invalidate(struct proxy *proxy, struct span rest)
{
        for (struct entry *entry = proxy->newest; entry; entry = entry->older)
                if (span_equal(buf_span(&entry->rest), rest))
                        entry->fresh_until_us = 0;
}

/* --- contents --- */

bool entry_is_fresh(const struct entry *entry)
{
        return entry->code == CODE_CONTENT && proxy_now(entry->proxy) < entry->fresh_until_us;
}

void entry_answer(const struct entry *entry, struct response *response)
{
        uint64_t now = proxy_now(entry->proxy);

        response->code = entry->code;
        response->content = entry->content ? representation_ref(entry->content) : NULL;
        response->with_content = entry->content != NULL;
        response->options = buf_span(&entry->answer_options);
        if (entry->diagnostic[0])
                response_error(response, entry->code, "%s", entry->diagnostic);
        if (entry->code == CODE_CONTENT || entry->fresh_until_us > now)
                response->max_age =
                        entry->fresh_until_us > now ? (int64_t)((entry->fresh_until_us - now) / US_PER_S) : 0;
}

static void refresh(struct entry *entry, uint32_t max_age)
{
        entry->fresh_until_us = proxy_now(entry->proxy) + (uint64_t)max_age * US_PER_S;
}

void entry_take(struct entry *entry, const struct upstream_answer *answer)
{
        refresh(entry, answer->max_age);
        if (answer->code == CODE_VALID && entry->code == CODE_CONTENT)
                return;
        drop_content(entry);
        buf_reset(&entry->answer_options);
        buf_append_span(&entry->answer_options, answer->options);
        snprintf(entry->diagnostic, sizeof entry->diagnostic, "%s",
                 answer->diagnostic ? answer->diagnostic : "");
        entry->code = answer->code;
        if (!answer->diagnostic && (answer->code == CODE_CONTENT || answer->body.n > 0))
                entry->content =
                        representation_new_tagged(answer->body, answer->content_format, &answer->etag);
        if (entry->content)
                entry->proxy->bytes += entry->content->size;
        if (answer->code == CODE_CONTENT && !entry->content)
                entry->code = CODE_UNAVAILABLE;
}
