/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pre-shared keys: the table of identities (RFC 4279, RFC 8446).
 */
#ifndef COAPD_SECURITY_PSK_H
#define COAPD_SECURITY_PSK_H

#include <gnutls/gnutls.h>

#include "base/span.h"
#include "security/secrets.h"

struct psk;

/*
 * `give_key` is what GnuTLS will ask for keys. *ret_psk is NULL when there are no identities. 0, -ENOMEM, or
 * -EINVAL with the errors reported.
 */
int psk_load(const struct conf_psk *conf, gnutls_psk_server_credentials_function2 *give_key,
             struct key_errors *errors, struct psk **ret_psk);

/* With the hint; for any number of sessions. Owned by `psk`. */
gnutls_psk_server_credentials_t psk_credentials(const struct psk *psk);

/* The key of an identity; NULL: none. Accepts NULL. */
const struct secret *psk_find(const struct psk *psk, struct span identity);

/* Wipes the keys. Accepts NULL. */
void psk_free(struct psk *psk);

#endif
