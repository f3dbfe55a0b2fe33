/* SPDX-License-Identifier: BSD-2-Clause */
/* A proxy's beginning, its way through a reload, and its end. */
#include <errno.h>
#include <string.h>

#include "resources/proxy.h"
#include "resources/proxy_options.h"

void proxy_destroy(void *self)
{
        struct proxy *proxy = self;

        if (!proxy)
                return;
        while (proxy->newest)
                entry_free(proxy->newest);
        ways_deinit(&proxy->ways);
        spanmap_deinit(&proxy->by_key);
        sd_event_source_disable_unref(proxy->timer);
        free(proxy);
}

static void destroyp(struct proxy **proxy)
{
        proxy_destroy(*proxy);
}

/* The resource's own path as options, and of how many segments it is. */
static size_t own_path(const char *path, struct buf *options)
{
        size_t n = 0;

        for (const char *end; *path; path = *end ? end + 1 : end) {
                end = strchrnul(path, '/');
                options_add(options, COAP_OPTION_URI_PATH, span_of(path, (size_t)(end - path)));
                n++;
        }
        return n;
}

int proxy_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        CLEANUP(destroyp) struct proxy *proxy = calloc(1, sizeof *proxy);
        CLEANUP(buf_deinit) struct buf own = { 0 };
        int r;

        if (!proxy)
                return -ENOMEM;
        proxy->resource = resource;
        proxy->conf = conf->fields;
        proxy->n_own = own_path(conf->path, &own) + (proxy->conf->target ? 0 : WAY_SEGMENTS);
        r = buf_ok(&own) ? ways_init(resource_event(resource), proxy->conf, buf_span(&own), &proxy->ways)
                         : -ENOMEM;
        if (r == 0)
                r = sd_event_add_time(resource_event(resource), &proxy->timer, CLOCK_MONOTONIC, UINT64_MAX, 1,
                                      proxy_on_observe_time, proxy);
        if (r >= 0)
                r = sd_event_source_set_enabled(proxy->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret_self = TAKE(proxy);
        return 0;
}

/* Another target: nothing of the old one holds any longer, and who observed it can only begin anew. */
static void leave_target(struct proxy *proxy)
{
        const struct upstream_answer changed = { .code = CODE_UNAVAILABLE,
                                                 .content_format = -1,
                                                 .diagnostic = "the configuration changed" };
        struct entry *older;

        for (struct entry *entry = proxy->newest; entry; entry = older) {
                older = entry->older;
                exchange_end(TAKE(entry->exchange));
                entry->asking = entry->observed = false;
                entry_take(entry, &changed);
                entry_answer_waiters(entry);
                if (entry->wanted)
                        entry_changed(entry);
                entry->wanted = false;
        }
}

void proxy_reconfigure(void *self, const struct conf_resource *conf)
{
        struct proxy *proxy = self;
        CLEANUP(buf_deinit) struct buf own = { 0 };
        size_t n_own = own_path(conf->path, &own) +
                       (((const struct proxy_conf *)conf->fields)->target ? 0 : WAY_SEGMENTS);
        struct ways fresh;

        proxy->conf = conf->fields;
        if (ways_init(resource_event(proxy->resource), proxy->conf, buf_span(&own), &fresh) < 0)
                return; /* the old way goes on; it is logged */
        if (ways_same(&proxy->ways, &fresh) && n_own == proxy->n_own) {
                ways_deinit(&fresh);
                ways_adopt(&proxy->ways, proxy->conf);
        } else {
                leave_target(proxy);
                proxy_give_up_passing(proxy);
                ways_deinit(&proxy->ways);
                proxy->ways = fresh;
                proxy->n_own = n_own;
        }
        cache_trim(proxy);
}
