/* SPDX-License-Identifier: BSD-2-Clause */
/* coapd --explain; see settings.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "resources/uri_path.h"
#include "settings.h"

static int parse_subject(const char *text, struct identity *who)
{
        struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
        struct sockaddr_in four = { .sin_family = AF_INET };

        const char *name;

        *who = (struct identity){ .kind = identity_kind_of(text, &name) };
        if (who->kind != IDENTITY_NONE) {
                who->name = span_of_string(name);
                return 0;
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

/* As the log spells them: "PUT,CREATE". 0 and what is wrong said. */
static unsigned parse_methods(const char *text, FILE *out)
{
        CLEANUP(freep) char *copy = strdup(text);
        char *rest = copy, *name;
        unsigned methods = 0;

        while (rest && (name = strsep(&rest, ","))) {
                unsigned method = access_method_by_name(name);

                if (!method) {
                        fprintf(out,
                                "%s: no such method; GET POST PUT DELETE FETCH PATCH iPATCH OBSERVE CREATE, "
                                "several "
                                "with commas between them\n",
                                name);
                        return 0;
                }
                methods |= method;
        }
        return methods;
}

/* A line of the answer. */
static enum access_answer tell(const struct settings *settings, const struct identity *who, const char *path,
                               unsigned methods, FILE *out)
{
        CLEANUP(buf_deinit) struct buf spelled = { 0 };
        const struct conf_access_rule *rule = NULL;
        enum access_answer answer;

        uri_path_encode(span_of_string(*path == '/' ? path + 1 : path), &spelled);
        answer = access_decide(settings->access, who, buf_span(&spelled), methods, &rule);
        fputs(answer == ACCESS_ALLOWED    ? "allowed"
              : answer == ACCESS_STRANGER ? "denied with 4.01"
                                          : "denied with 4.03",
              out);
        if (rule)
                fprintf(out, " by the rule at %s:%u, path \"%s\"\n", rule->at.file, rule->at.line,
                        rule->path);
        else if (settings->config->access.n)
                fputs(": no rule matches\n", out);
        else
                fputs(answer == ACCESS_ALLOWED ? ": there are no access rules\n"
                                               : ": there are no access rules, and to create takes one\n",
                      out);
        return answer;
}

static int wrong(FILE *out, const char *what, const char *expected)
{
        fprintf(out, "%s: %s\n", what, expected);
        return -EINVAL;
}

int settings_explain(const struct settings *settings, const char *method, const char *path,
                     const char *subject, FILE *out)
{
        unsigned methods = parse_methods(method, out);
        enum access_answer answer;
        struct identity who;

        if (!methods)
                return -EINVAL;
        if (parse_subject(subject, &who) < 0)
                return wrong(
                        out, subject,
                        "no such subject; anyone, psk:ID, cert:CN=NAME, rpk:HASH, oscore:ID or net:ADDRESS");
        if (strstr(path, "://"))
                return wrong(out, path, "no path; one such as /sensors/1, without scheme, host and query");
        /* A certificate asked about by one part of its name has just that part. */
        if (who.kind == IDENTITY_CERT) {
                who.names = &who.name;
                who.n_names = 1;
        }
        fprintf(out, "%s %s %s: ", method, path, subject);
        answer = tell(settings, &who, path, methods, out);
        /* Half of those who wonder about a 4.03 have allowed the method, and not to create with it. */
        if (answer == ACCESS_ALLOWED && methods & (ACCESS_PUT | ACCESS_POST) && !(methods & ACCESS_CREATE)) {
                fputs("where that makes a new resource or file, CREATE is asked for as well: ", out);
                tell(settings, &who, path, methods | ACCESS_CREATE, out);
        }
        if (who.kind == IDENTITY_PSK && !config_has_identity(settings->config, subject + strlen("psk:")))
                fprintf(out, "but nobody can be %s: it is none of the identities of security.psk\n", subject);
        return answer == ACCESS_ALLOWED ? 0 : 1;
}
