/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names in a certificate, as access rules spell them (identity.h).
 */
#ifndef COAPD_SECURITY_NAMES_H
#define COAPD_SECURITY_NAMES_H

#include <gnutls/gnutls.h>

#include "security/identity.h"

struct names {
        struct span subject; /* RFC 4514 */
        struct span v[IDENTITY_MAX_NAMES];
        size_t n;
        void *memory;
};

/* 0, -ENOMEM, or -EINVAL when it is no certificate. */
int names_of_certificate(const gnutls_datum_t *der, struct names *ret_names);
void names_deinit(struct names *names);

#endif
