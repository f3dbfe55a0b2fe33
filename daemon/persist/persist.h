/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract of a persist engine: what libcoap.c and sqlite.c implement, and what the server may count on.
 *
 * Order at start: engine->open() once the endpoints are bound (so that two daemons never share a store), then
 * the configured resources are added, then engine->start() restores dynamic resources, Observe counters and
 * observers, in this order, and installs the tracking. At the end engine->stop() BEFORE coap_free_context(),
 * else libcoap takes every observer and resource for deleted; then engine->close().
 *
 * A new engine is one file with a `const struct persist_engine persist_engine_NAME` and a line in
 * engines.def.
 */
#ifndef COAPD_PERSIST_PERSIST_H
#define COAPD_PERSIST_PERSIST_H

#include <coap3/coap.h>
#include <systemd/sd-event.h>

#include "base/metrics.h"
#include "base/shards.h"
#include "base/stored.h"
#include "config/config.h"

/* What an engine needs of the daemon. Owned by the server, outlives the engine. */
struct persist_host {
        struct shards shards; /* all of them from start() on */
        sd_event *event;
        struct metrics *metrics;
        void *user;
        /* Makes a stored dynamic resource live. -ENOSPC: beyond the config's limits, the row is kept. */
        int (*restore_resource)(void *user, const struct stored_resource *stored);
        /* The shard that an observation under OSCORE belongs to. NULL: the first. */
        size_t (*oscore_shard)(void *user, struct span recipient_id, struct span id_context);
        /*
         * Such a one is about to be restored, that `request` has begun, as it came in. False when its recipient is
         * not configured: it is then kept back, because libcoap would go on in the clear. NULL: OSCORE is not spoken.
         */
        bool (*restore_oscore)(void *user, const coap_address_t *remote, struct span request,
                               struct span recipient_id, struct span id_context);
        /*
         * The resource at `path` in the context of `shard`, made there now if it is missing; NULL: none. `request` is
         * the one that began the observation, as it came in.
         */
        coap_resource_t *(*find_resource)(void *user, struct span path, size_t shard, struct span request);
        /* The Observe numbers of the resource at `path` go on from `number`. False: there is none. */
        bool (*set_number)(void *user, struct span path, uint32_t number);
        /*
         * libcoap tells of an observer whose request was put off, and leaves out the request's header: gives it
         * whole. Empty where it is none of these.
         */
        struct span (*whole_request)(void *user, const coap_session_t *session, struct span headless);
        /*
         * Whether more changes are about to come, and settle() before any answer leaves. NULL: never.
         */
        bool (*may_wait)(void *user);
        /*
         * An observer was restored: the server will send it the present state soon. Access rules are not
         * asked here: they are for each notification, and one that they refuse ends the observation.
         */
        void (*observer_restored)(void *user, coap_resource_t *resource, coap_subscription_t *subscription);
        /*
         * A change that put() or del() had accepted is not in the store after all: `stored` is what is there of
         * this path now, NULL: nothing. Called from put(), del() and settle().
         */
        void (*undone)(void *user, struct span path, const struct stored_resource *stored);
        /* Between begin and end libcoap replays stored requests with a session of zeros. */
        void (*replaying)(void *user, bool on);
        /* A long restore goes on: `done` of `total` rows; the server extends the start timeout. */
        void (*progress)(void *user, const char *what, uint64_t done, uint64_t total);
};

struct persist_engine {
        const char *name;
        /* What it cannot do, as one sentence for the log at start; NULL: nothing to say. */
        const char *caveat;
        bool one_context; /* it cannot serve several: libcoap's own files are of one */

        /*
         * Opens and checks the files; sets bad ones aside or refuses, as conf->bad_file says.
         * 0, or -errno after a line in the log that names the file and the reason.
         */
        int (*open)(const struct conf_persist *conf, const struct persist_host *host, void **ret_self);
        /* How many observers start() is about to restore, about. NULL: not known. */
        uint64_t (*count_observers)(void *self);
        /* Restores everything and starts to track. 0 or -errno, logged. */
        int (*start)(void *self);

        /*
         * A dynamic resource was created or changed, or deleted; called before the client gets its answer.
         * 0: kept (with sync = "always": on disk). -ENOSPC, -EIO, -EROFS, ...: refused, nothing has changed;
         * the engine logs the first failure and the recovery, not each one. NULL: the engine tracks by
         * itself.
         *
         * With `may_wait` more changes are about to come, and the engine may keep this one and those in one
         * transaction until settle(). Without it the transaction ends with this change.
         */
        int (*put)(void *self, const struct stored_resource *stored, bool may_wait);
        int (*del)(void *self, struct span path, bool may_wait);

        /*
         * Called before any answer leaves: ends the transaction, of observers too. 0; or -errno when changes that had
         * been accepted were refused in the end: host->undone() has told which, and no answer to them may leave.
         * NULL: put and del never wait.
         */
        int (*settle)(void *self);

        /* Whether the last change of each file went in. NULL: not known. */
        bool (*works)(void *self);

        /*
         * A resource was made after start(), or is being restored: the number from which its Observe numbers go on,
         * where there was one at its path before. False: there was none. NULL: there never is.
         */
        bool (*first_number)(void *self, struct span path, uint32_t *ret_number);

        /*
         * The config changed or the resources did: tries kept rows again. `conf` is borrowed until the next
         * call. NULL: nothing to do.
         */
        int (*reload)(void *self, const struct conf_persist *conf);

        /*
         * Numbers that are never to be used twice, by name: OSCORE's sender sequence numbers (RFC
         * 8613, 7.2.1). load, after open(): a number that was certainly not used; -ENOENT for a name that is
         * new here, or was lost. save: `number` and above are taken; after its 0 no kind of stop makes load
         * give one of them again. Both: -ENOTSUP where persist.observe_counters is not configured. NULL: the
         * engine keeps none.
         */
        int (*sequence_load)(void *self, const char *name, uint64_t *ret_number);
        int (*sequence_save)(void *self, const char *name, uint64_t number);

        void (*stop)(void *self);
        void (*close)(void *self);
};

/* All engines, the default first. */
extern const struct persist_engine *const persist_engines[];
extern const size_t persist_engine_count;

const struct persist_engine *persist_engine_find(const char *name);

/*
 * For a check of the config while the daemon may run: which files a start would refuse (conf->bad_file), one line each
 * on `errors` at the place in `config`. Changes none. 0 or -EINVAL.
 */
int persist_check(const struct config *config, FILE *errors);

#endif
