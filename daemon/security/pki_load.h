/* SPDX-License-Identifier: BSD-2-Clause */
/* What pki.c and trust.c share while they load. */
#ifndef COAPD_SECURITY_PKI_LOAD_H
#define COAPD_SECURITY_PKI_LOAD_H

#include <gnutls/x509.h>

#include "security/dates.h"
#include "security/secrets.h"

/* Where the errors of one file are reported. */
struct pki_place {
        struct key_errors *errors;
        struct conf_origin at;
        const char *key;
        const char *file;
};

/* Reports what GnuTLS says. -ENOMEM or -EINVAL. */
int pki_complain(const struct pki_place *place, int gnutls_error, const char *expected);

/* Whoever holds `dates` warns when one of them ends. */
void pki_watch(struct dates *dates, const char *file, const gnutls_x509_crt_t *crts, unsigned n);

/* Also the array, which GnuTLS made. */
void pki_free_certificates(gnutls_x509_crt_t *crts, unsigned n);

/*
 * Reads conf->ca, which must be set, and conf->crl, which may be: whose signature makes a client's certificate good,
 * and which are good no longer. The credentials are told of the authorities, for the names that a client hears.
 * Afterwards *ret_trust is the caller's, after an error, too, where it is not NULL. 0, -ENOMEM, or -EINVAL with the
 * errors reported.
 */
int trust_load(const struct conf_pki *conf, struct key_errors *errors, struct dates *dates,
               gnutls_certificate_credentials_t credentials, gnutls_x509_trust_list_t *ret_trust);

#endif
