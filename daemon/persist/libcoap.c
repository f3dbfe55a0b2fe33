/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Engine `libcoap`: the persistence that libcoap has built in, with its own files. It needs nothing else and
 * is the reference to measure others against, but it loses data, as its caveat says. What is done here is to
 * keep its traps from the user: files that it would misread, the crash with one file of two, the dummy
 * session.
 */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/util.h"
#include "persist/export.h"
#include "persist/files.h"
#include "persist/persist.h"

enum { FILES = 3 };

struct libcoap_engine {
        const struct conf_persist *conf;
        const struct persist_host *host;
        /* NULL where that state is not kept; dynamic_resources and observe_counters: both or neither. */
        const char *dynamic_resources;
        const char *observers;
        const char *observe_counters;
        int locks[FILES];
        bool running;
};

static void libcoap_close(void *self)
{
        struct libcoap_engine *engine = self;

        if (!engine)
                return;
        for (size_t i = 0; i < FILES; i++)
                closep(&engine->locks[i]);
        free(engine);
}

static void libcoap_closep(struct libcoap_engine **engine)
{
        libcoap_close(*engine);
}

/*
 * libcoap knows no bad file: it reads what looks like a record and overwrites the rest at the next event. So
 * whatever is plainly none of its files must not reach it.
 */
static int check_file(const struct conf_persist *conf, const char *path, const struct store_schema *schema)
{
        CLEANUP(freep) char *name = NULL;
        enum persist_file_kind kind;
        char reason[256];
        const char *what;
        int r = persist_file_kind(path, &kind);

        if (r < 0) {
                log_error("%s: cannot be read: %s", path, strerror(-r));
                return r;
        }
        switch (kind) {
        case PERSIST_FILE_SQLITE:
                r = store_judge(path, schema, reason, sizeof reason);
                if (r == STORE_GOOD)
                        r = export_to_libcoap(path, schema);
                if (r <= 0) {
                        if (r < 0)
                                log_error("%s: a store of the engine sqlite, cannot be taken over: %s", path,
                                          strerror(-r));
                        return r;
                }
                what = reason;
                break;
        case PERSIST_FILE_FOLDER:
                what = "is a folder";
                break;
        case PERSIST_FILE_SPECIAL:
                what = "is no regular file";
                break;
        default:
                return 0;
        }
        if (conf->bad_file == CONF_BAD_FILE_REFUSE) {
                log_error("%s: %s; not starting, as persist.bad_file asks", path, what);
                return -EINVAL;
        }
        r = persist_file_set_aside(path, "bad", &name);
        if (r < 0) {
                log_error("%s: %s, and cannot be set aside: %s", path, what, strerror(-r));
                return r;
        }
        log_error("%s: %s; set aside as %s, starting without", path, what, name);
        return 0;
}

static int libcoap_open(const struct conf_persist *conf, const struct persist_host *host, void **ret_self)
{
        CLEANUP(libcoap_closep) struct libcoap_engine *engine = calloc(1, sizeof *engine);

        if (!engine)
                return -ENOMEM;
        *engine = (struct libcoap_engine){
                .conf = conf,
                .host = host,
                .dynamic_resources = conf->dynamic_resources,
                .observers = conf->observers,
                .observe_counters = conf->observe_counters,
                .locks = { -1, -1, -1 },
        };
        /* With one of the two, libcoap's delete callback, which both share, opens the other by a NULL name.
         */
        if (!engine->dynamic_resources != !engine->observe_counters) {
                log_warning("persist: with the engine libcoap, dynamic_resources and observe_counters go "
                            "together; %s alone is not kept",
                            engine->dynamic_resources ? engine->dynamic_resources : engine->observe_counters);
                engine->dynamic_resources = engine->observe_counters = NULL;
        }
        const char *const files[FILES] = {
                engine->dynamic_resources,
                engine->observers,
                engine->observe_counters,
        };
        const struct store_schema *const schemas[FILES] = {
                &store_schema_resources,
                &store_schema_observers,
                &store_schema_counters,
        };
        for (size_t i = 0; i < FILES; i++) {
                int r = files[i] ? persist_file_lock(files[i], &engine->locks[i]) : 0;

                if (r < 0 && r != -EBUSY)
                        log_error("%s: cannot be written: %s%s", files[i], strerror(-r),
                                  sandbox_hint(files[i], -r));
                if (r == 0 && files[i])
                        r = check_file(conf, files[i], schemas[i]);
                if (r < 0)
                        return r;
        }
        *ret_self = TAKE(engine);
        return 0;
}

static int libcoap_start(void *self)
{
        struct libcoap_engine *engine = self;
        const struct persist_host *host = engine->host;
        int ok;

        if (host->replaying)
                host->replaying(host->user, true);
        ok = coap_persist_startup(host->shards.v[0], engine->dynamic_resources, engine->observers,
                                  engine->observe_counters, (uint32_t)engine->conf->save_frequency);
        if (host->replaying)
                host->replaying(host->user, false);
        if (!ok) {
                log_error(
                        "persist: libcoap cannot start its persistence (built without it, or out of memory)");
                return -ENOTSUP;
        }
        engine->running = true;
        return 0;
}

static void libcoap_stop(void *self)
{
        struct libcoap_engine *engine = self;

        if (engine->running)
                coap_persist_stop(engine->host->shards.v[0]);
        engine->running = false;
}

const struct persist_engine persist_engine_libcoap = {
        .name = "libcoap",
        .caveat = "the engine libcoap keeps observers and the newest dynamic resource only, with the content "
                  "it was "
                  "created with, and nothing of what was last written when the power fails; the engine "
                  "sqlite keeps all",
        .one_context = true,
        .open = libcoap_open,
        .start = libcoap_start,
        .stop = libcoap_stop,
        .close = libcoap_close,
};
