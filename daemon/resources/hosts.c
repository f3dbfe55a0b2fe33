/* SPDX-License-Identifier: BSD-2-Clause */
/* Virtual hosts; see hosts.h. */
#include "resources/hosts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "resources/message.h"

static int compare(const void *a, const void *b)
{
        return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

int hosts_set(struct hosts *hosts, const struct config *config)
{
        const struct conf_resource *confs = config->resources.v;
        const char **names;
        size_t n = 0, at = 0;

        for (size_t i = 0; i < config->resources.n; i++)
                n += confs[i].host.n;
        names = calloc(n ? n : 1, sizeof *names);
        if (!names)
                return -ENOMEM;
        for (size_t i = 0; i < config->resources.n; i++)
                for (size_t j = 0; j < confs[i].host.n; j++)
                        names[at++] = confs[i].host.v[j];
        qsort(names, n, sizeof *names, compare);
        hosts_deinit(hosts);
        *hosts = (struct hosts){ names, n };
        return 0;
}

void hosts_deinit(struct hosts *hosts)
{
        free(hosts->names);
        *hosts = (struct hosts){ 0 };
}

static const char *find(const struct hosts *hosts, const char *name)
{
        const char **found = bsearch(&name, hosts->names, hosts->n, sizeof *hosts->names, compare);

        return found ? *found : NULL;
}

static unsigned port_of(const coap_session_t *session, const coap_pdu_t *request)
{
        coap_opt_t *option = message_option(request, COAP_OPTION_URI_PORT);

        if (option)
                return coap_decode_var_bytes(coap_opt_value(option), coap_opt_length(option));
        return session ? coap_address_get_port(coap_session_get_addr_local(session)) : 0;
}

const char *hosts_of(const struct hosts *hosts, const coap_session_t *session, const coap_pdu_t *request)
{
        enum { URI_HOST_MAX = 255 };
        char name[URI_HOST_MAX + sizeof ":65535"];
        coap_opt_t *option;
        const char *found;
        size_t n;

        if (hosts->n == 0)
                return NULL;
        option = message_option(request, COAP_OPTION_URI_HOST);
        if (!option)
                return NULL;
        n = coap_opt_length(option);
        if (n == 0 || n > URI_HOST_MAX || memchr(coap_opt_value(option), '\0', n))
                return NULL;
        memcpy(name, coap_opt_value(option), n);
        /* Only within brackets: what stands behind a colon would pass for the port. */
        if (memchr(name, ':', n) && name[n - 1] != ']')
                return NULL;
        snprintf(name + n, sizeof name - n, ":%u", port_of(session, request) & UINT16_MAX);
        found = find(hosts, name);
        if (found)
                return found;
        name[n] = '\0';
        return find(hosts, name);
}

bool hosts_include(const struct conf_resource *conf, const char *host)
{
        size_t n = conf ? conf->host.n : 0;

        if (!host)
                return n == 0;
        for (size_t i = 0; i < n; i++)
                if (strcasecmp(conf->host.v[i], host) == 0)
                        return true;
        return false;
}

bool hosts_overlap(const struct conf_resource *a, const struct conf_resource *b)
{
        if (!a || a->host.n == 0)
                return hosts_include(b, NULL);
        for (size_t i = 0; i < a->host.n; i++)
                if (hosts_include(b, a->host.v[i]))
                        return true;
        return false;
}
