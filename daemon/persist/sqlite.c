/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Engine `sqlite`, the default: a database for each of the three paths, written at each event with a cost
 * that does not grow. Every change is handed to the kernel before its client is answered, so that a crash of
 * coapd loses nothing; `sync` decides when it is forced to the disk.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "persist/persist.h"
#include "persist/sqlite_counters.h"
#include "persist/sqlite_observers.h"
#include "persist/sqlite_resources.h"

struct sqlite_engine {
        const struct conf_persist *conf;
        const struct persist_host *host;
        struct store_resources resources; /* each without a store where its path is not configured */
        struct store_observers observers;
        struct store_counters counters;
        sd_event_source *timer; /* armed while there is something to sync, or to write again */
        bool timer_armed;
        bool stopped;
};

/* --- the background: nothing wakes while nothing waits --- */

static void arm(struct sqlite_engine *engine, uint64_t delay_ms);

static int sync_one(struct store *store)
{
        return store && !store->refusing ? store_sync(store) : 0;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
        enum { RETRY_MS = 1000 };
        struct sqlite_engine *engine = user;
        bool again = false;

        (void)source;
        (void)usec;
        engine->timer_armed = true; /* what fails in here shall not set its own timer */
        if (engine->observers.store)
                again |= !store_observers_flush(&engine->observers);
        if (engine->counters.store)
                again |= !store_counters_flush(&engine->counters);
        again |= sync_one(engine->resources.store) < 0;
        again |= sync_one(engine->observers.store) < 0;
        again |= sync_one(engine->counters.store) < 0;
        engine->timer_armed = false;
        if (again)
                arm(engine, MAX(RETRY_MS, (uint64_t)engine->conf->sync_interval));
        return 0;
}

static void arm(struct sqlite_engine *engine, uint64_t delay_ms)
{
        enum { ACCURACY_US = 1000 };
        uint64_t at;
        int r;

        if (engine->timer_armed || engine->stopped)
                return;
        r = sd_event_now(engine->host->event, CLOCK_MONOTONIC, &at);
        at += delay_ms * 1000;
        if (r >= 0 && !engine->timer)
                r = sd_event_add_time(engine->host->event, &engine->timer, CLOCK_MONOTONIC, at, ACCURACY_US,
                                      on_timer, engine);
        else if (r >= 0)
                r = sd_event_source_set_time(engine->timer, at);
        if (r >= 0)
                r = sd_event_source_set_enabled(engine->timer, SD_EVENT_ONESHOT);
        if (r < 0)
                log_error("persist: no timer, nothing is synced: %s", strerror(-r));
        engine->timer_armed = r >= 0;
}

static void on_change(void *user)
{
        struct sqlite_engine *engine = user;

        arm(engine, (uint64_t)engine->conf->sync_interval);
}

static void count_observers(struct sqlite_engine *engine)
{
        if (engine->host->metrics)
                engine->host->metrics->observations_kept = engine->observers.ids.n;
}

static bool may_wait(const struct sqlite_engine *engine)
{
        return engine->host->may_wait && engine->host->may_wait(engine->host->user);
}

/* --- what libcoap tells; the int is for success and nobody looks at it --- */

static int on_observe_added(coap_session_t *session, coap_subscription_t *subscription, coap_proto_t proto,
                            coap_address_t *listen, coap_addr_tuple_t *addresses, coap_bin_const_t *request,
                            coap_bin_const_t *oscore, void *user)
{
        struct sqlite_engine *engine = user;
        const struct persist_host *host = engine->host;
        struct span message = span_of(request->s, request->length);
        struct span whole =
                host->whole_request ? host->whole_request(host->user, session, message) : (struct span){ 0 };

        if (proto == COAP_PROTO_UDP)
                store_observers_added(
                        &engine->observers, subscription, listen, addresses, whole.n ? whole : message,
                        oscore ? span_of(oscore->s, oscore->length) : (struct span){ 0 }, may_wait(engine));
        count_observers(engine);
        return 1;
}

static int on_observe_deleted(coap_session_t *session, coap_subscription_t *subscription, void *user)
{
        struct sqlite_engine *engine = user;

        (void)session;
        store_observers_deleted(&engine->observers, subscription, may_wait(engine));
        count_observers(engine);
        return 1;
}

static int on_observe_value(coap_context_t *context, coap_str_const_t *path, uint32_t number, void *user)
{
        struct sqlite_engine *engine = user;

        (void)context;
        store_counters_track(&engine->counters, span_of(path->s, path->length), number);
        return 1;
}

static int on_resource_deleted(coap_context_t *context, coap_str_const_t *path, void *user)
{
        struct sqlite_engine *engine = user;

        (void)context;
        store_counters_deleted(&engine->counters, span_of(path->s, path->length));
        return 1;
}

static void track(struct sqlite_engine *engine)
{
        bool observers = engine->observers.store, counters = engine->counters.store;
        const struct shards *shards = &engine->host->shards;

        /* A resource is in the first context for as long as it lives, in the others while somebody observes. */
        for (size_t i = 0; i < shards->n; i++)
                coap_persist_track_funcs(shards->v[i], observers ? on_observe_added : NULL,
                                         observers ? on_observe_deleted : NULL,
                                         counters ? on_observe_value : NULL, NULL,
                                         counters && i == 0 ? on_resource_deleted : NULL,
                                         (uint32_t)engine->conf->save_frequency, engine);
}

/* --- the engine --- */

static void sqlite_close(void *self)
{
        struct sqlite_engine *engine = self;

        if (!engine)
                return;
        sd_event_source_disable_unref(engine->timer);
        store_resources_deinit(&engine->resources);
        store_observers_deinit(&engine->observers);
        store_counters_deinit(&engine->counters, engine->stopped);
        free(engine);
}

static void sqlite_closep(struct sqlite_engine **engine)
{
        sqlite_close(*engine);
}

static int open_one(struct sqlite_engine *engine, const char *path, const struct store_schema *schema,
                    struct store **ret_store)
{
        return store_open(path, schema, engine->conf, engine->host->metrics, ret_store);
}

static int sqlite_open(const struct conf_persist *conf, const struct persist_host *host, void **ret_self)
{
        CLEANUP(sqlite_closep) struct sqlite_engine *engine = calloc(1, sizeof *engine);
        struct store *store = NULL;
        int r = 0;

        if (!engine)
                return -ENOMEM;
        engine->conf = conf;
        engine->host = host;
        if (conf->dynamic_resources) {
                r = open_one(engine, conf->dynamic_resources, &store_schema_resources, &store);
                if (r == 0)
                        r = store_resources_init(&engine->resources, store);
        }
        if (r == 0 && conf->observers) {
                r = open_one(engine, conf->observers, &store_schema_observers, &store);
                if (r == 0)
                        r = store_observers_init(&engine->observers, store);
        }
        if (r == 0 && conf->observe_counters) {
                r = open_one(engine, conf->observe_counters, &store_schema_counters, &store);
                if (r == 0)
                        r = store_counters_init(&engine->counters, store);
        }
        if (r < 0)
                return r;
        *ret_self = TAKE(engine);
        return 0;
}

/* From here on a change arms the timer, and what the start itself has changed does. */
static void watch(struct sqlite_engine *engine, struct store *store)
{
        if (!store)
                return;
        store->on_change = on_change;
        store->user = engine;
        if (store->dirty || store->refusing)
                on_change(engine);
}

static uint64_t sqlite_count_observers(void *self)
{
        struct sqlite_engine *engine = self;

        return engine->observers.store ? store_observers_count(&engine->observers) : 0;
}

static int sqlite_start(void *self)
{
        struct sqlite_engine *engine = self;
        int r = 0;

        if (engine->resources.store)
                r = store_resources_restore(&engine->resources, engine->host);
        if (r == 0 && engine->counters.store)
                store_counters_restore(&engine->counters, engine->host);
        /* The restored observers' own calls tell which subscription a row became; they write nothing. */
        track(engine);
        if (r == 0 && engine->observers.store)
                r = store_observers_restore(&engine->observers, engine->host, false);
        watch(engine, engine->resources.store);
        watch(engine, engine->observers.store);
        watch(engine, engine->counters.store);
        return r;
}

static int sqlite_put(void *self, const struct stored_resource *stored, bool may_wait)
{
        struct sqlite_engine *engine = self;

        return engine->resources.store
                       ? store_resources_put(&engine->resources, engine->host, stored, may_wait)
                       : 0;
}

static int sqlite_del(void *self, struct span path, bool may_wait)
{
        struct sqlite_engine *engine = self;

        return engine->resources.store ? store_resources_del(&engine->resources, engine->host, path, may_wait)
                                       : 0;
}

static int sqlite_settle(void *self)
{
        struct sqlite_engine *engine = self;

        if (engine->observers.store)
                store_observers_settle(&engine->observers);
        return engine->resources.store ? store_resources_settle(&engine->resources, engine->host) : 0;
}

static bool sqlite_first_number(void *self, struct span path, uint32_t *ret_number)
{
        struct sqlite_engine *engine = self;

        return engine->counters.store && store_counters_first(&engine->counters, path, ret_number);
}

static int sqlite_reload(void *self, const struct conf_persist *conf)
{
        struct sqlite_engine *engine = self;
        bool rarer = conf->save_frequency > engine->conf->save_frequency;
        int r = 0;

        /* The paths stay as they were opened: a change of them asks for a restart. */
        engine->conf = conf;
        if (engine->resources.store)
                store_configure(engine->resources.store, conf);
        if (engine->observers.store)
                store_configure(engine->observers.store, conf);
        if (engine->counters.store)
                store_configure(engine->counters.store, conf);
        if (engine->counters.store && rarer)
                store_counters_reserve_more(&engine->counters);
        track(engine);
        if (engine->resources.store)
                r = store_resources_retry(&engine->resources, engine->host);
        if (r == 0 && engine->observers.store)
                r = store_observers_restore(&engine->observers, engine->host, true);
        return r;
}

static int sqlite_sequence_load(void *self, const char *name, uint64_t *ret_number)
{
        struct sqlite_engine *engine = self;

        return engine->counters.store ? store_sequences_load(&engine->counters, name, ret_number) : -ENOTSUP;
}

static int sqlite_sequence_save(void *self, const char *name, uint64_t number)
{
        struct sqlite_engine *engine = self;

        return engine->counters.store ? store_sequences_save(&engine->counters, name, number) : -ENOTSUP;
}

static bool sqlite_works(void *self)
{
        const struct sqlite_engine *engine = self;
        const struct store *stores[] = { engine->resources.store, engine->observers.store,
                                         engine->counters.store };

        for (size_t i = 0; i < ARRAY_LEN(stores); i++)
                if (stores[i] && (stores[i]->failing || stores[i]->refusing))
                        return false;
        return true;
}

static void sqlite_stop(void *self)
{
        struct sqlite_engine *engine = self;

        for (size_t i = 0; i < engine->host->shards.n; i++)
                coap_persist_stop(engine->host->shards.v[i]);
        if (engine->observers.store)
                store_observers_flush(&engine->observers);
        if (engine->counters.store)
                store_counters_flush(&engine->counters);
        engine->stopped = true;
}

const struct persist_engine persist_engine_sqlite = {
        .name = "sqlite",
        .open = sqlite_open,
        .count_observers = sqlite_count_observers,
        .start = sqlite_start,
        .put = sqlite_put,
        .del = sqlite_del,
        .settle = sqlite_settle,
        .works = sqlite_works,
        .first_number = sqlite_first_number,
        .reload = sqlite_reload,
        .sequence_load = sqlite_sequence_load,
        .sequence_save = sqlite_sequence_save,
        .stop = sqlite_stop,
        .close = sqlite_close,
};
