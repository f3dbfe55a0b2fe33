/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading everything before anything is touched; see settings.h. */
#include "settings.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/message_ids.h"
#include "config/uri.h"
#include "persist/persist.h"
#include "resources/registry.h"

const struct conf_vocabulary *settings_vocabulary(void)
{
        static const char *engines[8];
        static struct conf_vocabulary vocabulary;

        for (size_t i = 0; i < persist_engine_count && i < ARRAY_LEN(engines) - 1; i++)
                engines[i] = persist_engines[i]->name;
        vocabulary.kinds = registry_kinds(&vocabulary.n_kinds);
        vocabulary.engines = engines;
        vocabulary.check_access_path = access_check_path;
        vocabulary.check_access_method = access_check_method;
        vocabulary.check_access_subject = access_check_subject;
        return &vocabulary;
}

void settings_deinit(struct settings *settings)
{
        access_free(TAKE(settings->access));
        security_free(TAKE(settings->security));
        config_free(TAKE(settings->config));
}

static bool is_loopback(const char *host)
{
        struct in6_addr six;
        struct in_addr four;

        if (inet_pton(AF_INET, host, &four) == 1)
                return ntohl(four.s_addr) >> 24 == 127;
        if (inet_pton(AF_INET6, host, &six) == 1)
                return IN6_IS_ADDR_LOOPBACK(&six);
        return strcmp(host, "localhost") == 0;
}

/* Legal, but seldom meant: whoever reaches the address may store data here. */
static void warn_of_open_doors(const struct settings *settings)
{
        const struct conf_endpoint *endpoints = settings->config->endpoints.v;
        const struct conf_access_rule *rule = NULL;
        char by[PATH_MAX + 64] = "";

        if (!registry_takes_writes(settings->config) || !access_strangers_may_write(settings->access, &rule))
                return;
        if (rule)
                snprintf(by, sizeof(by), ", by the rule at %s:%u", rule->at.file, rule->at.line);
        for (size_t i = 0; i < settings->config->endpoints.n; i++) {
                if (transport_is_secure(endpoints[i].transport) || is_loopback(endpoints[i].host))
                        continue;
                log_message(
                        LOG_WARNING,
                        &(struct log_fields){ .message_id = MESSAGE_OPEN_DOOR, .endpoint = endpoints[i].uri },
                        "%s:%u: endpoint %s has no security and anyone may write%s: allow those with keys "
                        "only, "
                        "and use coaps or OSCORE (who is allowed by net: can be forged)",
                        endpoints[i].at.file, endpoints[i].at.line, endpoints[i].uri, by);
        }
}

/* Legal too: what clients created before is served. */
static void warn_of_no_creators(const struct settings *settings)
{
        const struct conf_dynamic *dynamic = &settings->config->dynamic;
        struct conf_origin at = config_origin(settings->config, &dynamic->enable);

        if (dynamic->enable && !access_somebody_may_create(settings->access))
                log_warning("%s:%u: dynamic.enable: no client can create a resource, expected a rule of "
                            "access with "
                            "CREATE such as { path = \"/devices/**\"; methods = ( \"GET\", \"PUT\", "
                            "\"CREATE\" ); "
                            "allow = ( \"authenticated\" ); }",
                            at.file, at.line);
}

/* Legal, but one who writes such a rule believes that later ones are asked where an earlier one allows nothing. */
static void warn_of_dead_rules(const struct settings *settings)
{
        const struct conf_access_rule *rules = settings->config->access.v, *first;

        for (size_t i = 0; i < settings->config->access.n; i++) {
                first = access_covered_by(settings->access, i);
                if (first)
                        log_warning("%s:%u: access[%zu]: never decides, as the rule at %s:%u stands before "
                                    "it and has "
                                    "its paths and methods: put the narrower one first, or the subjects of "
                                    "both into "
                                    "one",
                                    rules[i].at.file, rules[i].at.line, i, first->at.file, first->at.line);
        }
}

int settings_load(const char *file, FILE *errors, struct settings *ret_settings)
{
        CLEANUP(settings_deinit) struct settings settings = { 0 };
        int r = config_load(file, settings_vocabulary(), errors, &settings.config);
        int r_access;

        if (r < 0)
                return r;
        /* Both, so that their errors come in one run. */
        r = security_load(settings.config, errors, &settings.security);
        r_access = access_compile(settings.config, errors, &settings.access);
        if (r < 0 || r_access < 0)
                return r < 0 ? r : r_access;
        config_warn_of_open_secrets(settings.config);
        warn_of_open_doors(&settings);
        warn_of_dead_rules(&settings);
        warn_of_no_creators(&settings);
        *ret_settings = settings;
        settings = (struct settings){ 0 };
        return 0;
}

int settings_load_logged(const char *file, FILE *report, struct settings *ret_settings)
{
        CLEANUP(freep) char *text = NULL;
        size_t size = 0;
        FILE *errors = open_memstream(&text, &size);
        char *line, *rest;
        int r;

        if (!errors)
                return -ENOMEM;
        r = settings_load(file, errors, ret_settings);
        fclose(errors);
        if (report)
                fputs(text, report);
        rest = text;
        while ((line = strsep(&rest, "\n")))
                if (*line)
                        log_message(LOG_ERR,
                                    &(struct log_fields){ .message_id = MESSAGE_CONFIG_ERROR, .file = file },
                                    "%s", line);
        return r;
}
