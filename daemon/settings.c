/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading everything before anything is touched; see settings.h. */
#include "settings.h"

#include <arpa/inet.h>
#include <errno.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/message_ids.h"
#include "persist/persist.h"
#include "resources/registry.h"
#include "resources/uri_path.h"

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

static bool is_secure(enum transport transport)
{
        return transport == TRANSPORT_DTLS || transport == TRANSPORT_TLS || transport == TRANSPORT_WSS;
}

/* Legal, but seldom meant: whoever reaches the address may store data here. */
static void warn_of_open_doors(const struct settings *settings)
{
        const struct conf_endpoint *endpoints = settings->config->endpoints.v;

        if (!registry_takes_writes(settings->config) || !access_strangers_may_write(settings->access))
                return;
        for (size_t i = 0; i < settings->config->endpoints.n; i++) {
                if (is_secure(endpoints[i].transport) || is_loopback(endpoints[i].host))
                        continue;
                log_message(
                        LOG_WARNING,
                        &(struct log_fields){ .message_id = MESSAGE_OPEN_DOOR, .endpoint = endpoints[i].uri },
                        "%s:%u: endpoint %s has no security and anyone may write: add access rules or use "
                        "coaps",
                        endpoints[i].at.file, endpoints[i].at.line, endpoints[i].uri);
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
        warn_of_open_doors(&settings);
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

/* --- coapd --explain --- */

static int parse_subject(const char *text, struct identity *who)
{
        static const struct {
                const char *prefix;
                enum identity_kind kind;
        } kinds[] = {
                { "psk:", IDENTITY_PSK },
                { "cert:", IDENTITY_CERT },
                { "rpk:", IDENTITY_RPK },
                { "oscore:", IDENTITY_OSCORE },
        };
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        struct sockaddr_in four = { .sin_family = AF_INET };

        *who = (struct identity){ .kind = IDENTITY_NONE };
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                size_t n = strlen(kinds[i].prefix);

                if (strncmp(text, kinds[i].prefix, n) == 0) {
                        who->kind = kinds[i].kind;
                        who->name = span_of_string(text + n);
                        return 0;
                }
        }
        if (strcmp(text, "anyone") == 0)
                return 0;
        if (strncmp(text, "net:", 4) == 0 && inet_pton(AF_INET, text + 4, &four.sin_addr) == 1)
                identity_set_address(who, (struct sockaddr *)&four);
        else if (strncmp(text, "net:", 4) == 0 && inet_pton(AF_INET6, text + 4, &six.sin6_addr) == 1)
                identity_set_address(who, (struct sockaddr *)&six);
        else
                return -EINVAL;
        return 0;
}

int settings_explain(const struct settings *settings, const char *method, const char *path,
                     const char *subject, FILE *out)
{
        CLEANUP(buf_deinit) struct buf spelled = { 0 };
        const struct conf_access_rule *rule = NULL;
        unsigned methods = access_method_by_name(method);
        enum access_answer answer;
        struct identity who;

        if (!methods) {
                fprintf(out, "%s: no such method; GET POST PUT DELETE FETCH PATCH iPATCH OBSERVE CREATE\n",
                        method);
                return -EINVAL;
        }
        if (parse_subject(subject, &who) < 0) {
                fprintf(out,
                        "%s: no such subject; anyone, psk:ID, cert:CN=NAME, rpk:HASH, oscore:ID or "
                        "net:ADDRESS\n",
                        subject);
                return -EINVAL;
        }
        /* A certificate asked about by one part of its name has just that part. */
        if (who.kind == IDENTITY_CERT) {
                who.names = &who.name;
                who.n_names = 1;
        }
        uri_path_encode(span_of_string(*path == '/' ? path + 1 : path), &spelled);
        answer = access_decide(settings->access, &who, buf_span(&spelled), methods, &rule);
        fprintf(out, "%s %s %s: %s", method, path, subject, answer == ACCESS_ALLOWED ? "allowed" : "denied");
        if (answer != ACCESS_ALLOWED)
                fputs(answer == ACCESS_STRANGER ? " with 4.01" : " with 4.03", out);
        if (rule)
                fprintf(out, " by the rule at %s:%u, path \"%s\"\n", rule->at.file, rule->at.line,
                        rule->path);
        else if (settings->config->access.n == 0 && answer != ACCESS_ALLOWED)
                fputs(": there are no access rules, and to create takes one\n", out);
        else
                fputs(settings->config->access.n ? ": no rule matches\n" : ": there are no access rules\n",
                      out);
        return answer == ACCESS_ALLOWED ? 0 : 1;
}
