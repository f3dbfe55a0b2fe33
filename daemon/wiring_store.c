/* SPDX-License-Identifier: BSD-2-Clause */
/* What a persist engine needs of the other modules; see wiring.h. */
#include <errno.h>

#include "config/config.h"
#include "systemd/notify.h"
#include "wiring.h"

static int restore_resource(void *user, const struct stored_resource *stored)
{
        struct server *server = user;

        return registry_restore(server->registry, stored);
}

static coap_resource_t *find_resource(void *user, struct span path, size_t shard, struct span request)
{
        struct server *server = user;

        coap_resource_t *handle = registry_observable(server->registry, path, shard);

        if (handle)
                registry_observer_returns(server->registry, path, request);
        return handle;
}

static struct span whole_request(void *user, const coap_session_t *session, struct span headless)
{
        struct server *server = user;

        return registry_whole_request(server->registry, session, headless);
}

static bool set_number(void *user, struct span path, uint32_t number)
{
        struct server *server = user;

        return registry_set_number(server->registry, path, number);
}

static size_t oscore_shard(void *user, struct span recipient_id, struct span id_context)
{
        struct server *server = user;

        return security_observer_home(server->security, recipient_id, id_context);
}

static bool restore_oscore(void *user, const coap_address_t *remote, struct span request,
                           struct span recipient_id, struct span id_context)
{
        struct server *server = user;

        return security_restore_observer(server->security, remote, request, recipient_id, id_context);
}

static int sequence_load(void *user, const char *name, uint64_t *ret_number)
{
        struct server *server = user;

        return server->engine->sequence_load
                       ? server->engine->sequence_load(server->engine_self, name, ret_number)
                       : -ENOTSUP;
}

static size_t current_shard(void *user)
{
        const struct server *server = user;

        return server->pump ? pump_shard(server->pump) : 0;
}

static int sequence_save(void *user, const char *name, uint64_t number)
{
        struct server *server = user;

        return server->engine->sequence_save
                       ? server->engine->sequence_save(server->engine_self, name, number)
                       : -ENOTSUP;
}

static void observer_restored(void *user, coap_resource_t *resource, coap_subscription_t *subscription)
{
        struct server *server = user;

        (void)resource;
        (void)subscription;
        server->observers_restored++;
}

static void replaying(void *user, bool on)
{
        struct server *server = user;

        registry_set_replaying(server->registry, on);
}

static void progress(void *user, const char *what, uint64_t done, uint64_t total)
{
        enum { EXTRA_US = 30 * 1000 * 1000 };

        (void)user;
        notify_extend_timeout(EXTRA_US);
        notify_status("Restoring %s: %llu of %llu", what, (unsigned long long)done,
                      (unsigned long long)total);
}

static bool may_wait(void *user)
{
        const struct server *server = user;

        return wire_more_waiting(server);
}

static void undone(void *user, struct span path, const struct stored_resource *stored)
{
        struct server *server = user;

        registry_undo(server->registry, path, stored);
}

int wire_store(struct server *server)
{
        server->sequences = (struct security_store){ sequence_load, sequence_save, server, current_shard };
        server->persist_host = (struct persist_host){
                .shards = server->shards,
                .event = server->event,
                .metrics = &server->metrics,
                .user = server,
                .restore_resource = restore_resource,
                .find_resource = find_resource,
                .set_number = set_number,
                .whole_request = whole_request,
                .may_wait = may_wait,
                .undone = undone,
                .oscore_shard = oscore_shard,
                .restore_oscore = restore_oscore,
                .observer_restored = observer_restored,
                .replaying = replaying,
                .progress = progress,
        };
        server->engine = persist_engine_find(server->config->persist.engine);
        return server->engine ? 0 : -EINVAL;
}
