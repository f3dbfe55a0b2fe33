/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon has: tables for people, JSON as the daemon gave it for programs. */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "call.h"
#include "table.h"

static const char *text_of(sd_json_variant *object, const char *key)
{
        sd_json_variant *value = sd_json_variant_by_key(object, key);

        return value && sd_json_variant_is_string(value) ? sd_json_variant_string(value) : "";
}

static unsigned long long number_of(sd_json_variant *object, const char *key)
{
        sd_json_variant *value = sd_json_variant_by_key(object, key);

        return value && sd_json_variant_is_unsigned(value) ? sd_json_variant_unsigned(value) : 0;
}

static int print_json(sd_json_variant *value)
{
        /* Which ends in a newline, too. */
        return sd_json_variant_dump(value, SD_JSON_FORMAT_PRETTY_AUTO, stdout, NULL) < 0;
}

/* --- status --- */

/* "3d 4h", "5min 6s": the two largest units. */
static const char *duration(unsigned long long s, char out[32])
{
        static const struct {
                const char *unit;
                unsigned long long seconds;
        } units[] = { { "d", 86400 }, { "h", 3600 }, { "min", 60 }, { "s", 1 } };
        size_t i = 0;

        while (i < 3 && s < units[i].seconds)
                i++;
        if (i == 3)
                snprintf(out, 32, "%llus", s);
        else
                snprintf(out, 32, "%llu%s %llu%s", s / units[i].seconds, units[i].unit,
                         s % units[i].seconds / units[i + 1].seconds, units[i + 1].unit);
        return out;
}

/* Counters that say that something was refused or lost: worth a look where they are not 0. */
static void print_troubles(sd_json_variant *counters)
{
        static const char *const troubles[] = {
                "refused", "denied", "dropped", "too_many", "evicted", "error", "cut",
        };
        bool any = false;

        for (size_t i = 0; counters && i + 1 < sd_json_variant_elements(counters); i += 2) {
                const char *name = sd_json_variant_string(sd_json_variant_by_index(counters, i));
                sd_json_variant *value = sd_json_variant_by_index(counters, i + 1);

                if (strncmp(name, "responses", 9) == 0)
                        continue;
                for (size_t k = 0; k < sizeof troubles / sizeof *troubles; k++) {
                        if (!strstr(name, troubles[k]) || sd_json_variant_unsigned(value) == 0)
                                continue;
                        printf("%s%s %llu", any ? ", " : "  trouble: ", name,
                               (unsigned long long)sd_json_variant_unsigned(value));
                        any = true;
                        break;
                }
        }
        if (any)
                putchar('\n');
}

int command_status(const struct call *call)
{
        sd_json_variant *reply, *store, *counters;
        char uptime[32];

        if (call_method(call->link, "Status", NULL, &reply) < 0)
                return 1;
        if (call->json)
                return print_json(reply);
        store = sd_json_variant_by_key(reply, "store");
        counters = sd_json_variant_by_key(reply, "counters");
        printf("coapd %s, process %llu, up %s, %s\n", text_of(reply, "version"), number_of(reply, "pid"),
               duration(number_of(reply, "uptime"), uptime), text_of(reply, "config"));
        printf("  serving: %llu endpoints, %llu sessions, %llu observers\n", number_of(reply, "endpoints"),
               number_of(reply, "sessions"), number_of(reply, "observers"));
        printf("resources: %llu configured, %llu dynamic with %llu bytes\n",
               number_of(reply, "resources_configured"), number_of(reply, "resources_dynamic"),
               number_of(reply, "dynamic_bytes"));
        printf("    store: %s, %llu bytes, %s\n", text_of(store, "engine"), number_of(store, "bytes"),
               sd_json_variant_boolean(sd_json_variant_by_key(store, "writable"))
                       ? "writable"
                       : "REFUSES CHANGES, see the log");
        printf(" requests: %llu, answered %llu with success, %llu 4.xx, %llu 5.xx; %llu notifications\n",
               number_of(counters, "requests"), number_of(counters, "responses_success"),
               number_of(counters, "responses_client_error"), number_of(counters, "responses_server_error"),
               number_of(counters, "notifications"));
        print_troubles(counters);
        return 0;
}

/* --- listings --- */

struct listing {
        const struct call *call;
        struct table table;
        int (*add)(struct listing *listing, sd_json_variant *row);
        bool any; /* of JSON, has been printed */
        /* `observers --count`: the rows come resource by resource. */
        char *last;
        unsigned long long count;
};

/* One row a line, so that a listing of any length costs no memory. */
static int print_row(struct listing *listing, sd_json_variant *row)
{
        fputs(listing->any ? ",\n" : "[\n", stdout);
        listing->any = true;
        return sd_json_variant_dump(row, SD_JSON_FORMAT_EMPTY_ARRAY, stdout, NULL);
}

static int on_row(void *user, sd_json_variant *row)
{
        struct listing *listing = user;

        return listing->call->json ? print_row(listing, row) : listing->add(listing, row);
}

static int list(struct listing *listing, const char *method, const char *name)
{
        int r = call_list(listing->call->link, method, name, false, on_row, listing);

        if (r == 0 && listing->call->json)
                puts(listing->any ? "\n]" : "[]");
        if (r == 0 && !listing->call->json) {
                if (listing->count && table_add_number(&listing->table, listing->count) < 0)
                        r = -ENOMEM;
                else
                        table_print(&listing->table);
        }
        table_deinit(&listing->table);
        free(listing->last);
        return r < 0 ? 1 : 0;
}

/* Whether a path is PREFIX or below; both without a slash in front. */
static bool is_below(const char *path, const char *prefix)
{
        size_t n;

        if (!prefix)
                return true;
        prefix += *prefix == '/';
        n = strlen(prefix);
        while (n > 0 && prefix[n - 1] == '/')
                n--;
        return n == 0 || (strncmp(path, prefix, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}

static int add_texts(struct table *table, sd_json_variant *row, const char *const *keys)
{
        int r = 0;

        for (; *keys && r == 0; keys++)
                r = table_add(table, text_of(row, *keys));
        return r;
}

static int add_endpoint(struct listing *listing, sd_json_variant *row)
{
        static const char *const keys[] = { "transport", "address", "groups", NULL };
        int r = add_texts(&listing->table, row, keys);

        if (r == 0)
                r = table_add_number(&listing->table, number_of(row, "waiting"));
        return r < 0 ? r : table_add_number(&listing->table, number_of(row, "dropped"));
}

int command_endpoints(const struct call *call)
{
        static const char *const titles[] = {
                "TRANSPORT", "ADDRESS", "GROUPS", "#WAITING", "#DROPPED", NULL
        };
        struct listing listing = { .call = call, .table.titles = titles, .add = add_endpoint };

        return list(&listing, "ListEndpoints", "endpoints");
}

static int add_session(struct listing *listing, sd_json_variant *row)
{
        static const char *const keys[] = { "transport", "peer", "local", "identity", NULL };
        int r = add_texts(&listing->table, row, keys);

        return r < 0 ? r : table_add_number(&listing->table, number_of(row, "observations"));
}

int command_sessions(const struct call *call)
{
        static const char *const titles[] = { "TRANSPORT", "PEER", "LOCAL", "IDENTITY", "#OBSERVES", NULL };
        struct listing listing = { .call = call, .table.titles = titles, .add = add_session };

        return list(&listing, "ListSessions", "sessions");
}

/* With the slash in front that people write; NULL: out of memory. Of any length: segments have up to 255 bytes each. */
static char *shown_path(const char *path)
{
        char *shown;

        return asprintf(&shown, "/%s", path) < 0 ? NULL : shown;
}

/* `path` is given away. */
static int count_observer(struct listing *listing, char *path)
{
        if (listing->count && strcmp(listing->last, path) == 0) {
                listing->count++;
                free(path);
                return 0;
        }
        free(listing->last);
        listing->last = path;
        if (listing->count && table_add_number(&listing->table, listing->count) < 0)
                return -ENOMEM;
        listing->count = 1;
        return table_add(&listing->table, path);
}

static int add_observer(struct listing *listing, sd_json_variant *row)
{
        static const char *const keys[] = { "transport", "peer", "identity", NULL };
        char *path;
        int r;

        if (!is_below(text_of(row, "resource"), listing->call->argument))
                return 0;
        path = shown_path(text_of(row, "resource"));
        if (!path)
                return -ENOMEM;
        if (listing->call->count)
                return count_observer(listing, path);
        r = table_add(&listing->table, path);
        free(path);
        return r < 0 ? r : add_texts(&listing->table, row, keys);
}

int command_observers(const struct call *call)
{
        static const char *const titles[] = { "RESOURCE", "TRANSPORT", "PEER", "IDENTITY", NULL };
        static const char *const count_titles[] = { "RESOURCE", "#OBSERVERS", NULL };
        struct listing listing = { .call = call,
                                   .table.titles = call->count ? count_titles : titles,
                                   .add = add_observer };

        return list(&listing, "ListObservers", "observers");
}

static int add_resource(struct listing *listing, sd_json_variant *row)
{
        static const char *const keys[] = { "kind", "hosts", "title", NULL };
        char *path;
        int r;

        if (!is_below(text_of(row, "path"), listing->call->argument))
                return 0;
        path = shown_path(text_of(row, "path"));
        if (!path)
                return -ENOMEM;
        r = table_add(&listing->table, path);
        free(path);
        if (r == 0)
                r = table_add_number(&listing->table, number_of(row, "observers"));
        if (r == 0)
                r = sd_json_variant_by_key(row, "size")
                            ? table_add_number(&listing->table, number_of(row, "size"))
                            : table_add(&listing->table, "");
        return r < 0 ? r : add_texts(&listing->table, row, keys);
}

int command_resources(const struct call *call)
{
        static const char *const titles[] = { "RESOURCE", "#OBSERVERS", "#SIZE", "KIND",
                                              "HOSTS",    "TITLE",      NULL };
        struct listing listing = { .call = call, .table.titles = titles, .add = add_resource };

        return list(&listing, "ListResources", "resources");
}
