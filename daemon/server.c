/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's life; see server.h. */
#include "server.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <systemd/sd-event.h>

#include "base/clock.h"
#include "base/foreign_log.h"
#include "base/log.h"
#include "base/message_ids.h"
#include "base/sandbox.h"
#include "endpoints/endpoints.h"
#include "contexts.h"
#include "settings.h"
#include "systemd/fdstore.h"
#include "systemd/notify.h"
#include "wiring.h"

static void apply_log_level(const struct config *config)
{
        log_set_level(LOG_ERR + config->server.log_level);
        foreign_log_follow();
}

/* libcoap and GnuTLS have copies of the keys all over the heap, so it is all of the memory or nothing. */
static void guard_memory(const struct server *server)
{
        bool keys = security_has_tls(server->security) || security_count_oscore(server->security) > 0;

        /* Keys that a reload took out may be there still. */
        if (keys && prctl(PR_SET_DUMPABLE, server->config->server.core_dumps) < 0)
                log_warning("core dumps may show keys: %s", strerror(errno));
}

/* What follows the config and is no object of its own. */
static void follow_config(struct server *server)
{
        apply_log_level(server->config);
        guard_memory(server);
        websocket_allow_origins(&server->origins, &server->config->security.websocket_origins);
}

/* --- reload --- */

/* In the log, and in `report` unless that is NULL. */
static void log_diff(const struct config *old, const struct config *new, FILE *report)
{
        CLEANUP(freep) char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        char *line, *rest;

        if (!out)
                return;
        config_diff(old, new, out);
        fclose(out);
        if (report)
                fputs(text, report);
        rest = text;
        while ((line = strsep(&rest, "\n")))
                if (*line)
                        log_notice("changed: %s", line);
}

static void show_status(struct server *server)
{
        struct status_numbers numbers;

        wire_status(server, &numbers);
        status_line_tell(server->status_line, &numbers);
}

struct new_endpoints {
        struct endpoints *endpoints;
        const struct config *config;
        size_t stale;
};

static int open_new_endpoints(void *closure)
{
        struct new_endpoints *new = closure;

        return endpoints_update(new->endpoints, new->config, &new->stale);
}

/* All or nothing: what can fail, but for want of memory, comes first, and fails before anything has changed. */
static int apply_settings(struct server *server, FILE *report)
{
        struct settings new = { 0 };
        struct new_endpoints endpoints = { .endpoints = server->endpoints };
        size_t ended;
        int r = settings_load_logged(server->file, report, &new);

        if (r < 0)
                return r;
        endpoints.config = new.config;
        r = registry_apply(server->registry, new.config, open_new_endpoints, &endpoints);
        if (r < 0) {
                settings_deinit(&new);
                return r;
        }
        ended = security_replace(server->security, TAKE(new.security));
        if (pump_use_streams(server->pump, security_streams(server->security)) < 0)
                log_error("out of memory: DTLS, TCP and WebSocket go on with the OSCORE contexts of before");
        if (ended)
                log_notice("%zu sessions ended: their keys are gone or changed", ended);
        log_diff(server->config, new.config, report);
        if (endpoints.stale)
                log_warning("%zu endpoints are not in the config any more; they close at the next restart",
                            endpoints.stale);
        access_free(server->access);
        server->access = TAKE(new.access);
        if (server->engine->reload)
                server->engine->reload(server->engine_self, &new.config->persist);
        config_free(server->config);
        server->config = TAKE(new.config);
        follow_config(server);
        return 0;
}

/* What changed, or what is wrong, goes to `report`, too, unless that is NULL. */
static int reload(struct server *server, FILE *report)
{
        int r;

        notify_reloading();
        r = apply_settings(server, report);
        if (r == 0)
                log_message(LOG_NOTICE, &(struct log_fields){ .message_id = MESSAGE_RELOADED }, "reloaded %s",
                            server->file);
        else
                log_message(LOG_ERR, &(struct log_fields){ .message_id = MESSAGE_NOT_RELOADED },
                            "not reloaded, the old configuration goes on");
        notify_ready();
        show_status(server);
        return r;
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
        (void)source;
        (void)info;
        reload(user, NULL);
        return 0;
}

static int on_terminate(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
        struct server *server = user;

        (void)source;
        notify_stopping();
        log_notice("stopping on %s", sigabbrev_np((int)info->ssi_signo));
        return sd_event_exit(server->event, 0);
}

/* --- start and stop --- */

static int start_loop(struct server *server)
{
        enum { BLOCK = SD_EVENT_SIGNAL_PROCMASK };
        /* Not the thread's default one, of which each turn asks the kernel for the thread's number. */
        int r = sd_event_new(&server->event);

        if (r >= 0)
                r = sd_event_add_signal(server->event, NULL, SIGTERM | BLOCK, on_terminate, server);
        if (r >= 0)
                r = sd_event_add_signal(server->event, NULL, SIGINT | BLOCK, on_terminate, server);
        if (r >= 0)
                r = sd_event_add_signal(server->event, NULL, SIGHUP | BLOCK, on_hangup, server);
        if (r >= 0)
                r = notify_watchdog(server->event);
        if (r < 0)
                log_error("event loop: %s", strerror(-r));
        return MIN(r, 0);
}

/* The sockets of the last run come from the service manager, and those of this one stay there for the next.
 */
static int open_endpoints(struct server *server)
{
        struct endpoints_keeper keeper = { .keep = fdstore_keep, .drop = fdstore_drop };
        int r = fdstore_take(&keeper.left, &keeper.n_left);

        if (r < 0) {
                log_error("cannot take the service manager's sockets: %s", strerror(-r));
                return r;
        }
        r = endpoints_open(server->shards, server->config, &keeper, &server->origins, &server->endpoints);
        fdstore_free(keeper.left, keeper.n_left);
        return r;
}

static int start_registry(struct server *server)
{
        int r = wire_registry(server);

        if (r == 0)
                r = registry_apply(server->registry, server->config, NULL, NULL);
        return r == REGISTRY_INCOMPLETE ? -ENOMEM : r;
}

/* A unit's own /tmp is there as long as it runs. */
static void warn_of_passing_files(const struct conf_persist *conf)
{
        const char *const paths[] = { conf->dynamic_resources, conf->observers, conf->observe_counters };

        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                const char *hint = paths[i] ? sandbox_hint(paths[i], ENOENT) : "";

                if (*hint)
                        log_warning("%s: it is gone when coapd stops%s", paths[i], hint);
        }
}

static int open_store(struct server *server)
{
        int r = wire_store(server);

        if (r < 0)
                return r;
        warn_of_passing_files(&server->config->persist);
        if (server->engine->caveat)
                log_warning("persist engine \"%s\": %s", server->engine->name, server->engine->caveat);
        return server->engine->open(&server->config->persist, &server->persist_host, &server->engine_self);
}

/*
 * The flat order of things. Addresses are taken before the store is opened, so that a second daemon with the
 * same config stops before it touches a file. How much is in the store says how many contexts there are to be.
 */
static int start(struct server *server)
{
        int r = start_loop(server);

        if (r == 0)
                r = contexts_start(server);
        if (r == 0)
                r = open_endpoints(server);
        if (r == 0)
                r = open_store(server);
        if (r == 0)
                r = contexts_grow(server);
        if (r == 0)
                r = security_open_oscore(server->security, server->shards, &server->sequences);
        if (r == 0)
                r = start_registry(server);
        if (r == 0)
                r = server->engine->start(server->engine_self);
        if (r == 0)
                r = pump_attach(server->event, server->shards, &server->metrics, &server->pump);
        if (r == 0)
                wire_pump(server);
        if (r == 0)
                r = registry_refresh_restored(server->registry);
        return r;
}

/* Whatever start() reached is undone in its reverse order. */
static void stop(struct server *server)
{
        if (server->pump)
                pump_drain(server->pump);
        /* Before the context goes: else libcoap takes every observer and every resource for deleted. */
        if (server->engine_self)
                server->engine->stop(server->engine_self);
        control_free(TAKE(server->control));
        status_line_free(TAKE(server->status_line));
        registry_free(server->registry);
        server->registry = NULL;
        pump_free(server->pump);
        contexts_free(server);
        endpoints_free(server->endpoints);
        if (server->engine_self)
                server->engine->close(server->engine_self);
        security_free(server->security);
        access_free(server->access);
        config_free(server->config);
        sd_event_unref(server->event);
}

static int serve_until_told(struct server *server)
{
        struct registry_counts counts = registry_count(server->registry);
        int r = status_line_new(server->event, &server->status_line);

        if (r < 0) {
                log_error("event loop: %s", strerror(-r));
                return r;
        }
        log_message(LOG_NOTICE, &(struct log_fields){ .message_id = MESSAGE_STARTED },
                    "serving %zu configured and %zu dynamic resources, %zu observers restored",
                    counts.configured, counts.dynamic, server->observers_restored);
        wire_control(server, reload);
        notify_ready();
        show_status(server);
        r = sd_event_loop(server->event);
        if (r < 0)
                log_error("event loop: %s", strerror(-r));
        return r;
}

void server_close(struct server *server)
{
        if (!server)
                return;
        stop(server);
        free(server);
}

static void server_closep(struct server **server)
{
        server_close(*server);
}

int server_open(const char *file, struct server **ret_server)
{
        CLEANUP(server_closep) struct server *server = NULL;
        CLEANUP(settings_deinit) struct settings settings = { 0 };
        int r = settings_load_logged(file, NULL, &settings);

        if (r < 0)
                return r;
        server = calloc(1, sizeof *server);
        if (!server)
                return -ENOMEM;
        server->file = file;
        server->started_ns = clock_now_ns();
        server->denials = (struct log_gate){ .burst = 10, .interval_s = 60 };
        server->config = TAKE(settings.config);
        server->security = TAKE(settings.security);
        server->access = TAKE(settings.access);
        follow_config(server);
        r = start(server);
        if (r < 0)
                return r;
        *ret_server = TAKE(server);
        return 0;
}

int server_run(const char *file)
{
        struct server *server = NULL;
        int r;

        coap_startup();
        r = server_open(file, &server);
        if (r == 0)
                r = serve_until_told(server);
        server_close(server);
        coap_cleanup();
        if (r == 0)
                log_message(LOG_NOTICE, &(struct log_fields){ .message_id = MESSAGE_STOPPED }, "stopped");
        return r;
}
