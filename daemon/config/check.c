/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules between keys, but for those of `persist`, `security` and `access`; see check.h. */
#include "config/check.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <string.h>

#include "base/log.h"
#include "config/memory.h"
#include "config/syntax.h"
#include "config/tables.h"
#include "config/uri.h"

void check_failed(struct check *check, const void *member, const char *key, const char *fmt, ...)
{
        const struct place *place = memory_find(check->config->memory, member);
        struct conf_origin at = place ? place->at : (struct conf_origin){ check->config->file, 1 };
        CLEANUP(freep) char *message = NULL;
        CLEANUP(freep) char *full = NULL;
        va_list ap;
        int n;

        va_start(ap, fmt);
        n = vasprintf(&message, fmt, ap);
        va_end(ap);
        if (n < 0)
                message = NULL;
        if (asprintf(&full, "%s%s%s", place ? place->key : "", place && *key ? "." : "", key) < 0)
                full = NULL;
        if (message && full)
                report_add(check->report, place ? place->order : 1, at, full, "%s", message);
        else
                check->out_of_memory = true;
}

bool check_given(const struct check *check, const void *member, size_t size)
{
        const struct place *place = memory_find(check->config->memory, member);

        /* A group begins where its first member does. */
        return place && place->begin == member && place->size == size;
}

struct twin {
        const char *name;
        const char *host; /* a second name; "" for most */
        const void *member;
        size_t index;
};

static int by_name(const void *a, const void *b)
{
        const struct twin *x = a, *y = b;
        int r = strcmp(x->name, y->name);

        if (r == 0)
                r = strcasecmp(x->host, y->host);
        return r ? r : x->index < y->index ? -1 : 1;
}

static void report_twins(struct check *check, struct twin *twins, size_t n)
{
        qsort(twins, n, sizeof(*twins), by_name);
        for (size_t i = 1; i < n; i++) {
                struct conf_origin at = config_origin(check->config, twins[i - 1].member);
                const char *host = twins[i].host;

                if (strcmp(twins[i].name, twins[i - 1].name) == 0 && strcasecmp(host, twins[i - 1].host) == 0)
                        check_failed(check, twins[i].member, "",
                                     "\"%s\"%s%s is taken, expected another one: %s:%u has it already",
                                     LOG_ESCAPE(span_of_string(twins[i].name)), *host ? " at " : "", host,
                                     at.file, at.line);
        }
}

void check_twins(struct check *check, const struct conf_list *list, size_t size, size_t offset)
{
        CLEANUP(freep) struct twin *twins = calloc(list->n + 1, sizeof(*twins));
        size_t n = 0;

        if (!twins) {
                check->out_of_memory = true;
                return;
        }
        for (size_t i = 0; i < list->n; i++) {
                const void *member = (const char *)list->v + i * size + offset;
                const char *name = *(char *const *)member;

                if (name)
                        twins[n++] = (struct twin){ name, "", member, i };
        }
        report_twins(check, twins, n);
}

/* Whether two endpoints would be one socket to the kernel. */
static bool same_socket(const struct conf_endpoint *a, const struct conf_endpoint *b)
{
        struct address x, y;

        if (transport_is_datagram(a->transport) != transport_is_datagram(b->transport) || a->port != b->port)
                return false;
        if (address_parse(a->host, &x) && address_parse(b->host, &y))
                return memcmp(&x, &y, sizeof(x)) == 0;
        return strcasecmp(a->host, b->host) == 0;
}

static void check_clash(struct check *check, const struct conf_endpoint *endpoints, size_t i)
{
        for (size_t j = 0; j < i; j++) {
                if (!endpoints[j].host || !same_socket(&endpoints[i], &endpoints[j]))
                        continue;
                check_failed(check, &endpoints[i].uri, "",
                             "\"%s\" is the address and port of \"%s\", expected another one: %s:%u has it "
                             "already",
                             endpoints[i].uri, endpoints[j].uri, endpoints[j].at.file, endpoints[j].at.line);
                return;
        }
}

static void check_group(struct check *check, const struct conf_endpoint *endpoint, const char *group)
{
        struct address host, multicast;

        /* The row has reported it otherwise. */
        if (!address_parse(group, &multicast))
                return;
        if (multicast.scope[0] && if_nametoindex(multicast.scope) == 0)
                check_failed(check, &endpoint->multicast, "",
                             "\"%s\" names the interface %s, expected one that this machine has", group,
                             multicast.scope);
        if (!address_parse(endpoint->host, &host) || host.family == multicast.family)
                return;
        /* A socket on [::] takes IPv4, too; none takes what is not of its family otherwise. */
        if (host.family == AF_INET6 && strcmp(endpoint->host, "::") == 0)
                return;
        check_failed(check, &endpoint->multicast, "",
                     "\"%s\" is not of the family of %s, expected an IPv%d group", group, endpoint->uri,
                     host.family == AF_INET6 ? 6 : 4);
}

static void check_endpoints(struct check *check)
{
        const struct conf_list *list = &check->config->endpoints;
        const struct conf_security *security = &check->config->security;
        const struct conf_endpoint *endpoints = list->v;
        bool keys = security->psk.identities.n || security->pki.certificate || security->rpk.private_key ||
                    security->sni.n;

        if (list->n == 0 && check->report->n == 0)
                check_failed(
                        check, list, memory_find(check->config->memory, list) ? "" : "endpoints",
                        "there is none, expected at least one such as { uri = \"coap://127.0.0.1:5683\"; }");
        for (size_t i = 0; i < list->n; i++) {
                if (!endpoints[i].host)
                        continue;
                check_clash(check, endpoints, i);
                if (transport_is_secure(endpoints[i].transport) && !keys)
                        check_failed(
                                check, &endpoints[i].uri, "",
                                "\"%s\" needs a key, expected security.psk, security.pki or security.rpk",
                                endpoints[i].uri);
                if (endpoints[i].multicast.n && endpoints[i].transport != TRANSPORT_UDP)
                        check_failed(check, &endpoints[i].multicast, "",
                                     "\"%s\" cannot join a group, expected an endpoint of the scheme coap",
                                     endpoints[i].uri);
                else
                        for (size_t j = 0; j < endpoints[i].multicast.n; j++)
                                check_group(check, &endpoints[i], endpoints[i].multicast.v[j]);
        }
}

/* What a kind knows of its own keys. */
static void check_variant(struct check *check, const struct conf_resource *resource)
{
        const struct conf_memory *memory = check->config->memory;
        const struct conf_variant *variant =
                resource->kind ? variant_find(&memory->vocabulary, resource->kind) : NULL;
        const void *member = resource;
        const char *wrong = NULL;

        if (variant && variant->check && resource->fields)
                wrong = variant->check(resource->fields, &member);
        if (wrong)
                check_failed(check, member, "", "%s%s", wrong, place_hint(memory_find(memory, member)));
}

/* NULL: nothing. */
static const char *also_at(const struct check *check, const struct conf_resource *resource,
                           const void **ret_member)
{
        const struct conf_memory *memory = check->config->memory;
        const struct conf_variant *variant =
                resource->kind ? variant_find(&memory->vocabulary, resource->kind) : NULL;

        return variant && variant->also_at && resource->fields
                       ? variant->also_at(resource->fields, ret_member)
                       : NULL;
}

static void add_twins(struct twin *twins, size_t *at, const char *path, const struct conf_strings *hosts,
                      const void *member, size_t index)
{
        for (size_t i = 0; path && i < MAX(hosts->n, 1UL); i++)
                twins[(*at)++] = (struct twin){ path, hosts->n ? hosts->v[i] : "", member, index };
}

/* One path may be there once for each host, and once without. */
static void check_paths(struct check *check, const struct conf_resource *resources, size_t n)
{
        CLEANUP(freep) struct twin *twins = NULL;
        size_t n_twins = 0, at = 0;

        for (size_t i = 0; i < n; i++)
                n_twins += 2 * MAX(resources[i].host.n, 1UL);
        twins = calloc(n_twins + 1, sizeof(*twins));
        if (!twins) {
                check->out_of_memory = true;
                return;
        }
        for (size_t i = 0; i < n; i++) {
                const void *member = resources[i].fields;
                const char *also = also_at(check, &resources[i], &member);

                add_twins(twins, &at, resources[i].path, &resources[i].host, &resources[i].path, i);
                add_twins(twins, &at, also, &resources[i].host, member, i);
        }
        report_twins(check, twins, at);
}

static void check_resources(struct check *check)
{
        const struct conf_list *list = &check->config->resources;
        const struct conf_resource *resources = list->v;

        check_paths(check, resources, list->n);
        for (size_t i = 0; i < list->n; i++)
                check_variant(check, &resources[i]);
        for (size_t i = 0; i < list->n; i++)
                if (resources[i].path && strcmp(resources[i].path, ".well-known/core") == 0)
                        check_failed(check, &resources[i].path, "",
                                     "\"%s\" is the list of all resources, which coapd makes itself, "
                                     "expected another "
                                     "path",
                                     resources[i].path);
}

static void check_dynamic(struct check *check)
{
        const struct conf_dynamic *dynamic = &check->config->dynamic;

        if (dynamic->max_size > dynamic->max_total_size)
                check_failed(check, &dynamic->max_size, "",
                             "one body may be larger (%lld) than all together (%lld), expected max_size to "
                             "be at most "
                             "max_total_size",
                             dynamic->max_size, dynamic->max_total_size);
}

int check_config(const struct config *config, struct report *report)
{
        struct check check = { .config = config, .report = report };

        check_endpoints(&check);
        check_resources(&check);
        check_dynamic(&check);
        check_persist(&check);
        check_security(&check);
        return check.out_of_memory ? -ENOMEM : 0;
}
