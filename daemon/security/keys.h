/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One generation of keys: everything that a config names, read at one time. A reload makes another one; the
 * old one lives on until the last handshake that began with it has ended.
 */
#ifndef COAPD_SECURITY_KEYS_H
#define COAPD_SECURITY_KEYS_H

#include <gnutls/gnutls.h>
#include <stdio.h>

#include "config/config.h"
#include "security/pki.h"
#include "security/psk.h"

struct keys {
        unsigned refs;
        struct psk *psk; /* NULL: no identities */
        struct pki *pki; /* NULL: neither certificate nor raw key */
        gnutls_priority_t priority;
};

/* Begins with one reference. 0, -ENOMEM, or -EINVAL with the errors reported. */
int keys_load(const struct config *config, gnutls_psk_server_credentials_function2 *give_key,
              gnutls_certificate_verify_function *verify, struct key_errors *errors, struct keys **ret_keys);

struct keys *keys_ref(struct keys *keys);
void keys_unref(struct keys *keys);

#endif
