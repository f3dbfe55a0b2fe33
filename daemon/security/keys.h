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

/* What one server, of the one or more names that this one has, shows and believes. */
struct key_set {
        struct psk *psk; /* NULL: no identities */
        struct pki *pki; /* NULL: neither certificate nor raw key */
        gnutls_priority_t priority;
};

/* A set for clients that ask for a name. */
struct key_host {
        char *name; /* lower case; "*.example.org" for one label more */
        const struct key_set *set;
};

struct keys {
        unsigned refs;
        struct key_set *sets; /* the first is for clients that ask for no name that has another */
        size_t n_sets;
        struct key_host *hosts; /* sorted by name */
        size_t n_hosts;
};

/* Begins with one reference. 0, -ENOMEM, or -EINVAL with the errors reported. */
int keys_load(const struct config *config, gnutls_psk_server_credentials_function2 *give_key,
              gnutls_certificate_verify_function *verify, struct key_errors *errors, struct keys **ret_keys);

/* The set for a client that asks for `name`, which may be NULL. */
const struct key_set *keys_for(const struct keys *keys, const char *name);

/* Whether there is any key at all. */
bool keys_exist(const struct keys *keys);

/* Warns of what ends within 30 days, or has. */
void keys_warn_of_end(const struct keys *keys, time_t now);

struct keys *keys_ref(struct keys *keys);
void keys_unref(struct keys *keys);

#endif
