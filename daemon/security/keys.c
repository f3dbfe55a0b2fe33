/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A generation of keys, and the algorithms that go with it.
 */
#include "security/keys.h"

#include <errno.h>

#include "base/util.h"

/*
 * TLS and DTLS 1.2 at least (RFC 7925, 4.2 and RFC 9325); AES-CCM-8 is what RFC 7252, 9.1.3 makes mandatory
 * and constrained clients have alone. Which suites and kinds of certificate are in question follows from the
 * keys that there are, so that a client is never led into one that can not work.
 */
static int make_priority(struct keys *keys)
{
        char text[256];
        int n = snprintf(text, sizeof(text), "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:+VERS-DTLS1.2:"
                                             "+AES-128-CCM-8:+AES-256-CCM-8:+SHA256%s%s",
                         keys->psk ? ":+DHE-PSK:+ECDHE-PSK:+PSK" : "",
                         keys->pki ? ":+CTYPE-CLI-X509:+CTYPE-CLI-RAWPK:+CTYPE-SRV-X509" : "");

        if (pki_has_raw_key(keys->pki))
                n = snprintf(text + n, sizeof(text) - (size_t)n, "%s",
                             pki_has_certificate(keys->pki) ? ":+CTYPE-SRV-RAWPK"
                                                            : ":-CTYPE-SRV-X509:+CTYPE-SRV-RAWPK");
        return gnutls_priority_init(&keys->priority, text, NULL) < 0 ? -EINVAL : 0;
}

static void keys_unrefp(struct keys **keys)
{
        keys_unref(*keys);
}

int keys_load(const struct config *config, gnutls_psk_server_credentials_function2 *give_key,
              gnutls_certificate_verify_function *verify, struct key_errors *errors, struct keys **ret_keys)
{
        CLEANUP(keys_unrefp) struct keys *keys = calloc(1, sizeof(*keys));
        int result, r;

        if (!keys)
                return -ENOMEM;
        keys->refs = 1;
        result = psk_load(config, give_key, errors, &keys->psk);
        if (result == -ENOMEM)
                return result;
        r = pki_load(config, verify, errors, &keys->pki);
        result = r < 0 ? r : result;
        if (result == 0)
                result = make_priority(keys);
        if (result < 0)
                return result;
        *ret_keys = TAKE(keys);
        return 0;
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
        psk_free(keys->psk);
        pki_free(keys->pki);
        if (keys->priority)
                gnutls_priority_deinit(keys->priority);
        free(keys);
}
