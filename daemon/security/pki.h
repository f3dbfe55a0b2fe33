/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Certificates (X.509) and raw public keys (RFC 7250): what coapd shows, and whom it believes.
 *
 * libcoap's own set-up knows neither revocation lists nor optional client certificates nor both kinds of key
 * at once, and parses every file anew for each ClientHello. So the credentials are GnuTLS's, made once here
 * and given to each session by tls.c.
 */
#ifndef COAPD_SECURITY_PKI_H
#define COAPD_SECURITY_PKI_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <time.h>

#include "base/span.h"
#include "security/secrets.h"

struct pki;

/*
 * `verify` is what GnuTLS will ask about clients. `rpk` may be NULL. *ret_pki is NULL when there is neither a
 * certificate nor a raw public key. 0, -ENOMEM, or -EINVAL with the errors reported.
 */
int pki_load(const struct conf_pki *conf, const struct conf_rpk *rpk,
             gnutls_certificate_verify_function *verify, struct key_errors *errors, struct pki **ret_pki);

/* For any number of sessions. Owned by `pki`. */
gnutls_certificate_credentials_t pki_credentials(const struct pki *pki);

/* Whether clients are asked for a certificate or raw key, and whether they must have one. */
gnutls_certificate_request_t pki_request(const struct pki *pki);

bool pki_has_certificate(const struct pki *pki);
bool pki_has_raw_key(const struct pki *pki);

/* What judge.c needs: the authorities, NULL when there are none; whether the config names a raw key. */
gnutls_x509_trust_list_t pki_trust(const struct pki *pki);
bool pki_knows_raw_key(const struct pki *pki, const char name[64]);

/*
 * Judges the chain of a peer, leaf first; of type GNUTLS_CRT_X509 or GNUTLS_CRT_RAWPK. Returns NULL when it
 * is good, else why not, with the alert for it. Accepts NULL for `pki`: nobody is good then.
 */
const char *pki_judge(const struct pki *pki, gnutls_certificate_type_t type, const gnutls_datum_t *chain,
                      unsigned n, gnutls_alert_description_t *ret_alert);

/*
 * Whether its owner may sign with it, as handshakes take: it has no keyUsage, or one with digitalSignature (RFC 5280,
 * 4.2.1.3; RFC 7252, 9.1.3.3). GnuTLS ends the handshake of who may not without the alert for it, that of TLS 1.3
 * before its certificate is judged.
 */
bool pki_may_sign(gnutls_x509_crt_t certificate);

/* Warns of certificates and lists that end within 30 days, or have. */
void pki_warn_of_end(const struct pki *pki, time_t now);

/* Accepts NULL. */
void pki_free(struct pki *pki);

/* SHA-256 of a SubjectPublicKeyInfo in DER, as 64 lower-case hex digits. 0 or -EIO. */
int raw_key_name(struct span spki, char out[64]);

#endif
