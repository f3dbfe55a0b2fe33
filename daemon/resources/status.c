/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `status`: what the daemon itself is doing, as text, JSON or CBOR. A line of the text, and a pair of the
 * others, for each entry of collect(). It wakes only while somebody observes it.
 */
#include <errno.h>
#include <json-c/json.h>
#include <systemd/sd-event.h>

#include "base/cbor.h"
#include "base/clock.h"
#include "base/content_format.h"
#include "base/log.h"
#include "coapd_version.h"
#include "resources/kind.h"

enum { FORMATS = 3, MAX_ENTRIES = 64, US_PER_S = 1000000 };

struct status_conf {
        long long interval;
};

static const struct conf_row rows[] = {
        {
                .key = "interval",
                .type = CONF_INT,
                .offset = offsetof(struct status_conf, interval),
                .fallback = "10",
                .min = 1,
                .max = 86400,
                .unit = "seconds",
                .flags = CONF_RELOAD,
                .doc = "How often observers are told.",
        },
};

struct status {
        struct resource *resource;
        long long interval;
        sd_event_source *tick;
        uint64_t made_ns; /* when the representations were; 0: never */
        struct representation *made[FORMATS];
};

/* --- what there is to tell --- */

struct entry {
        const char *name;
        enum { NUMBER, WORD, FLAG } type;
        uint64_t number;
        const char *word;
};

struct entries {
        struct entry v[MAX_ENTRIES];
        size_t n;
};

static void add(struct entries *entries, struct entry entry)
{
        if (entries->n < MAX_ENTRIES)
                entries->v[entries->n++] = entry;
}

static void add_number(struct entries *entries, const char *name, uint64_t number)
{
        add(entries, (struct entry){ .name = name, .type = NUMBER, .number = number });
}

static void collect(const struct daemon_state *state, struct entries *entries)
{
        const struct metrics *metrics = &state->metrics;

        add(entries, (struct entry){ .name = "version", .type = WORD, .word = COAPD_VERSION });
        add_number(entries, "uptime", state->uptime_s);
        add_number(entries, "endpoints", state->endpoints);
        add_number(entries, "sessions", metrics->sessions_opened - metrics->sessions_closed);
        add_number(entries, "resources_configured", state->resources_configured);
        add_number(entries, "resources_dynamic", state->resources_dynamic);
        add_number(entries, "dynamic_bytes", state->dynamic_bytes);
        add_number(entries, "observers_restored", state->observers_restored);
        add(entries, (struct entry){ .name = "store_engine", .type = WORD, .word = state->store_engine });
        add(entries,
            (struct entry){ .name = "store_writable", .type = FLAG, .number = state->store_writable });
        add_number(entries, "store_bytes", state->store_bytes);
#define ADD_METRIC(name, text) add_number(entries, #name, metrics->name);
        METRICS(ADD_METRIC)
#undef ADD_METRIC
}

/* --- and how --- */

static void write_text(const struct entries *entries, struct buf *out)
{
        for (size_t i = 0; i < entries->n; i++) {
                const struct entry *entry = &entries->v[i];

                if (entry->type == NUMBER)
                        buf_printf(out, "%s %llu\n", entry->name, (unsigned long long)entry->number);
                else
                        buf_printf(out, "%s %s\n", entry->name,
                                   entry->type == WORD ? entry->word
                                   : entry->number     ? "yes"
                                                       : "no");
        }
}

static struct json_object *json_value(const struct entry *entry)
{
        if (entry->type == NUMBER)
                return json_object_new_uint64(entry->number);
        return entry->type == WORD ? json_object_new_string(entry->word)
                                   : json_object_new_boolean((json_bool)entry->number);
}

static void write_json(const struct entries *entries, struct buf *out)
{
        struct json_object *object = json_object_new_object();
        const char *text = NULL;
        size_t n;

        for (size_t i = 0; object && i < entries->n; i++)
                json_object_object_add(object, entries->v[i].name, json_value(&entries->v[i]));
        if (object)
                text = json_object_to_json_string_length(object, JSON_C_TO_STRING_PLAIN, &n);
        if (text)
                buf_append(out, text, n);
        else
                out->failed = true;
        json_object_put(object);
}

static void write_cbor(const struct entries *entries, struct buf *out)
{
        cbor_map(out, entries->n);
        for (size_t i = 0; i < entries->n; i++) {
                const struct entry *entry = &entries->v[i];

                cbor_text(out, span_of_string(entry->name));
                if (entry->type == NUMBER)
                        cbor_uint(out, entry->number);
                else if (entry->type == WORD)
                        cbor_text(out, span_of_string(entry->word));
                else
                        cbor_bool(out, entry->number);
        }
}

/* The first is for who asks for none. */
static const struct {
        int content_format;
        void (*write)(const struct entries *entries, struct buf *out);
} forms[FORMATS] = {
        { CONTENT_FORMAT_TEXT, write_text },
        { CONTENT_FORMAT_JSON, write_json },
        { CONTENT_FORMAT_CBOR, write_cbor },
};

static void forget(struct status *status)
{
        for (size_t i = 0; i < FORMATS; i++)
                representation_unref(TAKE(status->made[i]));
}

/* Made once for all who ask within a second, so that its cost is bounded. NULL: no memory. */
static struct representation *make(struct status *status, size_t form)
{
        CLEANUP(buf_deinit) struct buf body = { 0 };
        struct entries entries = { .n = 0 };
        struct daemon_state state;
        uint64_t now = clock_now_ns();

        if (status->made_ns == 0 || now - status->made_ns >= MSEC(1000)) {
                forget(status);
                status->made_ns = now;
        }
        if (!status->made[form]) {
                resource_daemon_state(status->resource, &state);
                collect(&state, &entries);
                forms[form].write(&entries, &body);
                if (buf_ok(&body))
                        status->made[form] = representation_new(buf_span(&body), forms[form].content_format);
        }
        return status->made[form];
}

/* --- the kind --- */

static int status_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        const struct status_conf *own = conf->fields;
        struct status *status = calloc(1, sizeof *status);

        if (!status)
                return -ENOMEM;
        status->resource = resource;
        status->interval = own->interval;
        *ret_self = status;
        return 0;
}

static void status_destroy(void *self)
{
        struct status *status = self;

        sd_event_source_disable_unref(status->tick);
        forget(status);
        free(status);
}

static void status_get(void *self, const struct request *request, struct response *response)
{
        struct status *status = self;
        struct representation *rep;
        size_t form = 0;

        while (form < FORMATS && request->accept >= 0 && request->accept != forms[form].content_format)
                form++;
        if (form == FORMATS) {
                response_error(response, CODE_NOT_ACCEPTABLE, "only content formats %d, %d and %d are here",
                               forms[0].content_format, forms[1].content_format, forms[2].content_format);
                return;
        }
        rep = make(status, form);
        if (!rep) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return;
        }
        response->code = CODE_CONTENT;
        response->content = representation_ref(rep);
        response->max_age = status->interval;
}

static void tick_later(struct status *status);

static int on_tick(sd_event_source *source, uint64_t usec, void *user)
{
        struct status *status = user;

        (void)source;
        (void)usec;
        status->made_ns = 0;
        if (resource_changed(status->resource))
                tick_later(status);
        return 0;
}

static void tick_later(struct status *status)
{
        uint64_t after = (uint64_t)status->interval * US_PER_S;
        int r;

        if (!status->tick) {
                r = sd_event_add_time_relative(resource_event(status->resource), &status->tick,
                                               CLOCK_MONOTONIC, after, 0, on_tick, status);
        } else {
                r = sd_event_source_set_time_relative(status->tick, after);
                if (r >= 0)
                        r = sd_event_source_set_enabled(status->tick, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_error("resource %s: observers are not told: %s", resource_path(status->resource),
                          strerror(-r));
}

static void status_observed(void *self)
{
        tick_later(self);
}

static size_t status_formats(void *self, int formats[], size_t max)
{
        (void)self;
        for (size_t i = 0; i < MIN(max, (size_t)FORMATS); i++)
                formats[i] = forms[i].content_format;
        return MIN(max, (size_t)FORMATS);
}

const struct kind kind_status = {
        .name = "status",
        .doc = "What coapd itself is doing: its version and uptime in seconds, endpoints, sessions, "
               "resources, "
               "observations, requests and responses, datagrams, what each limit refused, and the store. As "
               "text/plain, a name and a value on each line, as application/json or as application/cbor, "
               "whichever "
               "Accept asks for. An answer is at most a second old. It tells a stranger about this machine: "
               "when it "
               "is reachable from elsewhere, let a rule of access say who may GET and OBSERVE its path.",
        .rows = rows,
        .n_rows = ARRAY_LEN(rows),
        .conf_size = sizeof(struct status_conf),
        .flags = KIND_FLEETING,
        .resource_type = "coapd.status",
        .create = status_create,
        .destroy = status_destroy,
        .handle = { [METHOD_GET] = status_get },
        .observed = status_observed,
        .formats = status_formats,
};
