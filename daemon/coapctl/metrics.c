/* SPDX-License-Identifier: BSD-2-Clause */
/* `coapctl metrics`: the numbers of `status` in the text format of Prometheus, whose names other programs keep to. */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "call.h"

static void print_head(const char *name, const char *suffix, const char *type, const char *help)
{
        printf("# HELP coapd_%s%s %s\n# TYPE coapd_%s%s %s\n", name, suffix, help, name, suffix, type);
}

static void print_gauge(const char *name, const char *help, sd_json_variant *value)
{
        if (!value)
                return;
        print_head(name, "", "gauge", help);
        printf("coapd_%s %llu\n", name,
               sd_json_variant_is_boolean(value) ? (unsigned long long)sd_json_variant_boolean(value)
                                                 : (unsigned long long)sd_json_variant_unsigned(value));
}

static void print_counter(sd_json_variant *counters, const char *name, const char *help)
{
        static const char *const of_now[] = { "observations_now", "observations_kept" };
        sd_json_variant *value = sd_json_variant_by_key(counters, name);

        for (size_t i = 0; i < sizeof of_now / sizeof *of_now; i++) {
                if (strcmp(name, of_now[i]) == 0) {
                        print_gauge(name, help, value);
                        return;
                }
        }
        if (!value)
                return;
        print_head(name, "_total", "counter", help);
        printf("coapd_%s_total %llu\n", name, (unsigned long long)sd_json_variant_unsigned(value));
}

int command_metrics(const struct call *call)
{
        static const struct {
                const char *key, *name, *help;
        } gauges[] = {
                { "uptime", "uptime_seconds", "time since the start" },
                { "endpoints", "endpoints", "addresses that coapd listens on" },
                { "sessions", "sessions", "sessions of clients" },
                { "resources_configured", "resources_configured", "resources of the configuration" },
                { "resources_dynamic", "resources_dynamic", "resources that clients created" },
                { "dynamic_bytes", "dynamic_bytes", "bytes that their contents take" },
        };
        sd_json_variant *reply, *store, *counters, *version;

        if (call_method(call->link, "Status", NULL, &reply) < 0)
                return 1;
        version = sd_json_variant_by_key(reply, "version");
        store = sd_json_variant_by_key(reply, "store");
        counters = sd_json_variant_by_key(reply, "counters");
        print_head("info", "", "gauge", "the version of coapd");
        printf("coapd_info{version=\"%s\"} 1\n", version ? sd_json_variant_string(version) : "");
        for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++)
                print_gauge(gauges[i].name, gauges[i].help, sd_json_variant_by_key(reply, gauges[i].key));
        print_gauge("store_writable", "1 while the store takes changes",
                    sd_json_variant_by_key(store, "writable"));
        print_gauge("store_bytes", "bytes of the files of the store", sd_json_variant_by_key(store, "bytes"));
#define PRINT(name, text) print_counter(counters, #name, text);
        METRICS(PRINT)
#undef PRINT
        return 0;
}
