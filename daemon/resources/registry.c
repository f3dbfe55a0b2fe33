/* SPDX-License-Identifier: BSD-2-Clause */
/* The set of resources; see registry.h. One resource is in resource.c, how a request is served in serve.c. */
#include "resources/registry.h"

#include <errno.h>

#include "base/log.h"
#include "resources/internal.h"
#include "resources/uri_path.h"

#define KIND(name) extern const struct kind kind_##name;
#include "resources/kinds.def"
#undef KIND

#define KIND(name) &kind_##name,
static const struct kind *const kinds[] = {
#include "resources/kinds.def"
};
#undef KIND

/* Answers kept for requests that may come again: about 2 MiB. */
enum { MAX_REMEMBERED_ANSWERS = 8192 };

const struct conf_variant *registry_kinds(size_t *ret_n)
{
        static struct conf_variant variants[ARRAY_LEN(kinds)];

        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                variants[i] = (struct conf_variant){
                        .name = kinds[i]->name,
                        .rows = kinds[i]->rows,
                        .n_rows = kinds[i]->n_rows,
                        .size = kinds[i]->conf_size,
                        .doc = kinds[i]->doc,
                        .check = kinds[i]->check,
                        .also_at = kinds[i]->also_at,
                };
        *ret_n = ARRAY_LEN(kinds);
        return variants;
}

const struct kind *registry_find_kind(const char *name)
{
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
                if (strcmp(kinds[i]->name, name) == 0)
                        return kinds[i];
        return NULL;
}

static bool takes_writes(const struct conf_resource *conf)
{
        static const enum method writes[] = { METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_PATCH,
                                              METHOD_IPATCH };
        const struct kind *kind = registry_find_kind(conf->kind);

        if (!kind || (kind->is_writable && !kind->is_writable(conf->fields)))
                return false;
        for (size_t i = 0; i < ARRAY_LEN(writes); i++)
                if (kind->handle[writes[i]])
                        return true;
        return false;
}

bool registry_takes_writes(const struct config *config)
{
        const struct conf_resource *confs = config->resources.v;

        for (size_t i = 0; i < config->resources.n; i++)
                if (takes_writes(&confs[i]))
                        return true;
        return config->dynamic.enable;
}

struct resource *registry_find_all(const struct registry *registry, struct span path)
{
        const struct place *place = places_find(&registry->places, path);

        return place ? place->first : NULL;
}

struct resource *resource_at(struct resource *resource, const char *host)
{
        while (resource && !hosts_include(resource_configured(resource)->conf, host))
                resource = resource->next_host;
        return resource;
}

struct resource *registry_find_at(const struct registry *registry, struct span path, const char *host)
{
        return resource_at(registry_find_all(registry, path), host);
}

struct resource *registry_find(const struct registry *registry, struct span path)
{
        return registry_find_at(registry, path, NULL);
}

void registry_describe(const struct registry *registry, struct daemon_state *ret_state)
{
        struct daemon_state state = {
                .resources_configured = registry->counts.configured,
                .resources_dynamic = registry->counts.dynamic,
                .dynamic_bytes = registry->counts.dynamic_bytes,
                .metrics = *registry->host.metrics,
        };

        registry->host.describe(registry->host.user, &state);
        *ret_state = state;
}

/* --- over a restart --- */

void registry_set_replaying(struct registry *registry, bool on)
{
        registry->replaying = on;
}

void registry_session_new(struct registry *registry, coap_session_t *session)
{
        clients_add(registry->clients, session, !registry->open);
}

void registry_session_gone(struct registry *registry, coap_session_t *session)
{
        observations_forget_client(registry->observations, client_of(session));
        clients_remove(registry->clients, session);
        blockwise_forget(registry->blockwise, session);
        qblock_burst_forget(registry->burst, session);
        outgoing_forget_session(registry->outgoing, session);
        discovery_forget(registry->discovery, session);
        pending_forget_session(registry->pendings, session);
}

void registry_session_closed(struct registry *registry, const coap_session_t *session)
{
        clients_end(registry->clients, session);
}

void registry_nacked(struct registry *registry, const coap_session_t *session, const coap_pdu_t *sent,
                     coap_nack_reason_t reason, coap_mid_t mid)
{
        if (reason == COAP_NACK_RST || reason == COAP_NACK_TOO_MANY_RETRIES)
                observations_nacked(registry->observations, client_of(session), sent, mid);
}

void registry_tidy(struct registry *registry)
{
        coap_session_t *session;

        while ((session = clients_next_to_end(registry->clients)))
                registry->host.end_session(registry->host.user, session);
}

void registry_send_bursts(struct registry *registry)
{
        qblock_burst_send(registry->burst);
}

void registry_forget_answers(struct registry *registry)
{
        duplicates_clear(registry->duplicates);
}

struct span registry_whole_request(const struct registry *registry, const coap_session_t *session,
                                   struct span headless)
{
        return pending_whole(registry->pendings, session, headless);
}

struct registry_counts registry_count(const struct registry *registry)
{
        return registry->counts;
}

/* --- the registry itself --- */

static int add_unknown(struct registry *registry, coap_context_t *context)
{
        coap_resource_t *unknown = coap_resource_unknown_init(serve_unknown);

        if (!unknown)
                return -ENOMEM;
        for (int method = METHOD_GET; method <= METHOD_IPATCH; method++)
                coap_register_request_handler(unknown, (coap_request_t)method, serve_unknown);
        coap_resource_set_userdata(unknown, registry);
        coap_add_resource(context, unknown);
        return 0;
}

static int on_ask(sd_event_source *source, uint64_t usec, void *userdata)
{
        struct registry *registry = userdata;

        (void)source, (void)usec;
        registry_ask_after(registry, qblock1_ask(registry->blockwise));
        return 0;
}

void registry_ask_after(struct registry *registry, unsigned seconds)
{
        enum { US_PER_S = 1000000 };
        int enabled = SD_EVENT_OFF;

        sd_event_source_get_enabled(registry->ask, &enabled);
        if (seconds == 0 || enabled != SD_EVENT_OFF)
                return;
        sd_event_source_set_time_relative(registry->ask, (uint64_t)seconds * US_PER_S);
        sd_event_source_set_enabled(registry->ask, SD_EVENT_ONESHOT);
}

static int registry_init(struct registry *registry)
{
        const struct shards *shards = &registry->host.shards;
        int r;

        /* coapd cuts and joins blocks itself: blockwise.h, message.h. */
        for (size_t i = 0; i < shards->n; i++)
                coap_context_set_block_mode(shards->v[i], 0);
        r = blockwise_new(0, 0, &registry->blockwise); /* bounded by registry_apply() */
        if (r >= 0)
                r = qblock_burst_new(&registry->burst);
        if (r >= 0)
                r = sd_event_add_time(registry->host.event, &registry->ask, CLOCK_MONOTONIC, UINT64_MAX, 0,
                                      on_ask, registry);
        if (r >= 0)
                r = sd_event_source_set_enabled(registry->ask, SD_EVENT_OFF);
        if (r >= 0)
                r = clients_new(registry->host.metrics, &registry->clients);
        if (r >= 0)
                r = observations_new(registry->clients, registry->host.metrics, &registry->observations);
        if (r >= 0)
                r = echo_new(&registry->echo);
        if (r >= 0)
                r = ratelimit_new(&registry->ratelimit);
        if (r >= 0)
                r = duplicates_new(MAX_REMEMBERED_ANSWERS, &registry->duplicates);
        if (r >= 0)
                r = outgoing_new(&registry->outgoing);
        if (r >= 0)
                r = pendings_new(registry, &registry->pendings);
        if (r >= 0)
                r = discovery_new(registry, &registry->discovery);
        if (r >= 0)
                r = sd_event_add_defer(registry->host.event, &registry->bury, registry_bury, registry);
        if (r >= 0)
                r = sd_event_source_set_enabled(registry->bury, SD_EVENT_OFF);
        for (size_t i = 0; i < shards->n && r >= 0; i++)
                r = add_unknown(registry, shards->v[i]);
        return r;
}

int registry_new(const struct registry_host *host, struct registry **ret_registry)
{
        struct registry *registry = calloc(1, sizeof *registry);
        int r;

        if (!registry)
                return -ENOMEM;
        registry->host = *host;
        r = registry_init(registry);
        if (r < 0) {
                registry_free(registry);
                return r;
        }
        *ret_registry = registry;
        return 0;
}

void registry_free(struct registry *registry)
{
        struct resource *next;

        if (!registry)
                return;
        pendings_free(TAKE(registry->pendings));
        for (struct resource *resource = registry->first; resource; resource = next) {
                next = resource->next;
                place_abandon(resource);
                resource_free(resource);
        }
        observations_free(registry->observations);
        clients_free(registry->clients);
        echo_free(registry->echo);
        sd_event_source_disable_unref(registry->ask);
        sd_event_source_disable_unref(registry->bury);
        sd_event_source_disable_unref(registry->refresh);
        sd_event_source_disable_unref(registry->checkup);
        blockwise_free(registry->blockwise);
        qblock_burst_free(registry->burst);
        duplicates_free(registry->duplicates);
        ratelimit_free(registry->ratelimit);
        outgoing_free(registry->outgoing);
        hosts_deinit(&registry->hosts);
        discovery_free(registry->discovery);
        places_deinit(&registry->places);
        free(registry);
}
