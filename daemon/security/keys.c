/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A generation of keys, and the algorithms that go with it.
 */
#include "security/keys.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/util.h"

/*
 * TLS and DTLS 1.2 at least (RFC 7925, 4.2 and RFC 9325); AES-CCM-8 is what RFC 7252, 9.1.3 makes mandatory
 * and constrained clients have alone. Which suites and kinds of certificate are in question follows from the
 * keys that there are, so that a client is never led into one that cannot work.
 */
static int make_priority(struct key_errors *errors, struct conf_origin at, struct key_set *set)
{
        char text[256];
        const char *stopped = text;
        int n = snprintf(text, sizeof(text),
                         "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-DTLS1.2:"
                         "+AES-128-CCM-8:+AES-256-CCM-8:+SHA256%s%s",
                         set->psk ? ":+DHE-PSK:+ECDHE-PSK:+PSK" : "",
                         set->pki ? ":+CTYPE-CLI-X509:+CTYPE-CLI-RAWPK:+CTYPE-SRV-X509" : "");

        if (pki_has_raw_key(set->pki))
                snprintf(text + n, sizeof(text) - (size_t)n, "%s",
                         pki_has_certificate(set->pki) ? ":+CTYPE-SRV-RAWPK"
                                                       : ":-CTYPE-SRV-X509:+CTYPE-SRV-RAWPK");
        n = gnutls_priority_init(&set->priority, text, &stopped);
        if (n == GNUTLS_E_MEMORY_ERROR)
                return -ENOMEM;
        if (n < 0)
                key_error(errors, at, "",
                          "GnuTLS stops at \"%.*s\", byte %zu of \"%s\": %s Expected a GnuTLS that has these "
                          "algorithms, and a system that allows them (/etc/gnutls/config)",
                          (int)strcspn(stopped, ":"), stopped, (size_t)(stopped - text), text,
                          gnutls_strerror(n));
        return n < 0 ? -EINVAL : 0;
}

/* Who is asked about keys and certificates, and who hears of mistakes. */
struct loader {
        gnutls_psk_server_credentials_function2 *give_key;
        gnutls_certificate_verify_function *verify;
        struct key_errors *errors;
};

static int load_set(const struct loader *loader, const struct conf_psk *psk, const struct conf_pki *pki,
                    const struct conf_rpk *rpk, const char *const groups[2], struct key_set *set)
{
        int result, r;

        loader->errors->group = groups[0];
        result = psk_load(psk, loader->give_key, loader->errors, &set->psk);
        if (result == -ENOMEM)
                return result;
        loader->errors->group = groups[1];
        r = pki_load(pki, rpk, loader->verify, loader->errors, &set->pki);
        result = r < 0 ? r : result;
        if (result < 0)
                return result;
        loader->errors->group = groups[set->pki != NULL];
        return make_priority(loader->errors,
                             config_origin(loader->errors->config, set->pki ? (const void *)pki : psk), set);
}

static int compare_hosts(const void *a, const void *b)
{
        return strcmp(((const struct key_host *)a)->name, ((const struct key_host *)b)->name);
}

static int add_host(struct keys *keys, const char *name, const struct key_set *set)
{
        struct key_host *hosts = reallocarray(keys->hosts, keys->n_hosts + 1, sizeof(*hosts));
        char *copy = strdup(name);

        if (hosts)
                keys->hosts = hosts;
        if (!hosts || !copy) {
                free(copy);
                return -ENOMEM;
        }
        for (char *c = copy; *c; c++)
                *c = (char)tolower((unsigned char)*c);
        hosts[keys->n_hosts++] = (struct key_host){ copy, set };
        return 0;
}

static int load_hosts(struct keys *keys, const struct config *config, const struct loader *loader)
{
        static const char *const groups[2] = { "security.sni.psk", "security.sni.pki" };
        const struct conf_sni *hosts = config->security.sni.v;
        int result = 0;

        for (size_t i = 0; i < config->security.sni.n; i++) {
                struct key_set *set = &keys->sets[keys->n_sets++];
                int r = load_set(loader, &hosts[i].psk, &hosts[i].pki, NULL, groups, set);

                for (size_t k = 0; k < hosts[i].names.n && r != -ENOMEM; k++)
                        r = add_host(keys, hosts[i].names.v[k], set) < 0 ? -ENOMEM : r;
                if (r == -ENOMEM)
                        return r;
                result = r < 0 ? r : result;
        }
        if (keys->n_hosts)
                qsort(keys->hosts, keys->n_hosts, sizeof(*keys->hosts), compare_hosts);
        loader->errors->group = "security.sni";
        for (size_t i = 1; i < keys->n_hosts; i++) {
                if (compare_hosts(&keys->hosts[i - 1], &keys->hosts[i]) != 0)
                        continue;
                key_error(loader->errors, hosts[0].at, "names", "\"%s\" is there twice, expected it once",
                          keys->hosts[i].name);
                result = -EINVAL;
        }
        return result;
}

static void keys_unrefp(struct keys **keys)
{
        keys_unref(*keys);
}

int keys_load(const struct config *config, gnutls_psk_server_credentials_function2 *give_key,
              gnutls_certificate_verify_function *verify, struct key_errors *errors, struct keys **ret_keys)
{
        static const char *const groups[2] = { "security.psk", "security.pki" };
        const struct conf_security *conf = &config->security;
        const struct loader loader = { give_key, verify, errors };
        CLEANUP(keys_unrefp) struct keys *keys = calloc(1, sizeof(*keys));
        int result, r;

        if (!keys)
                return -ENOMEM;
        keys->refs = 1;
        keys->sets = calloc(conf->sni.n + 1, sizeof(*keys->sets));
        if (!keys->sets)
                return -ENOMEM;
        keys->n_sets = 1;
        result = load_set(&loader, &conf->psk, &conf->pki, &conf->rpk, groups, keys->sets);
        if (result == -ENOMEM)
                return result;
        r = load_hosts(keys, config, &loader);
        if (r < 0 || result < 0)
                return r < 0 ? r : result;
        *ret_keys = TAKE(keys);
        return 0;
}

static const struct key_host *find_host(const struct keys *keys, const char *name)
{
        struct key_host like = { .name = (char *)name };

        return keys->n_hosts ? bsearch(&like, keys->hosts, keys->n_hosts, sizeof(like), compare_hosts) : NULL;
}

const struct key_set *keys_for(const struct keys *keys, const char *name)
{
        char lower[256] = "*";
        const struct key_host *host;
        const char *dot;

        if (keys->n_hosts == 0 || !name || strlen(name) >= sizeof(lower))
                return &keys->sets[0];
        for (size_t i = 0; i == 0 || name[i - 1]; i++)
                lower[i] = (char)tolower((unsigned char)name[i]);
        host = find_host(keys, lower);
        dot = strchr(lower, '.');
        if (!host && dot && dot > lower) {
                lower[dot - lower - 1] = '*';
                host = find_host(keys, dot - 1);
        }
        return host ? host->set : &keys->sets[0];
}

bool keys_exist(const struct keys *keys)
{
        return keys->n_sets > 1 || keys->sets[0].psk || keys->sets[0].pki;
}

void keys_warn_of_end(const struct keys *keys, time_t now)
{
        for (size_t i = 0; i < keys->n_sets; i++)
                pki_warn_of_end(keys->sets[i].pki, now);
}

struct keys *keys_ref(struct keys *keys)
{
        keys->refs++;
        return keys;
}

void keys_unref(struct keys *keys)
{
        if (!keys || --keys->refs > 0)
                return;
        for (size_t i = 0; i < keys->n_sets; i++) {
                psk_free(keys->sets[i].psk);
                pki_free(keys->sets[i].pki);
                if (keys->sets[i].priority)
                        gnutls_priority_deinit(keys->sets[i].priority);
        }
        for (size_t i = 0; i < keys->n_hosts; i++)
                free(keys->hosts[i].name);
        free(keys->sets);
        free(keys->hosts);
        free(keys);
}
