/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether a peer's certificate chain or raw key is to be believed; pki_judge() of pki.h.
 */
#include <gnutls/x509.h>

#include "base/util.h"
#include "security/pki.h"

#define CHAIN_MAX 10

/* The first that applies is told: the one that the operator can do something about. */
static const struct {
        unsigned status;
        const char *why;
        gnutls_alert_description_t alert;
} verdicts[] = {
        { GNUTLS_CERT_REVOKED, "it is revoked", GNUTLS_A_CERTIFICATE_REVOKED },
        { GNUTLS_CERT_EXPIRED, "it has ended", GNUTLS_A_CERTIFICATE_EXPIRED },
        { GNUTLS_CERT_NOT_ACTIVATED, "it is not valid yet", GNUTLS_A_CERTIFICATE_EXPIRED },
        { GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, "security.pki.crl has ended",
          GNUTLS_A_CERTIFICATE_UNKNOWN },
        { GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE, "security.pki.crl is not valid yet",
          GNUTLS_A_CERTIFICATE_UNKNOWN },
        { GNUTLS_CERT_SIGNER_NOT_FOUND, "no authority of security.pki.ca has signed it",
          GNUTLS_A_UNKNOWN_CA },
        { GNUTLS_CERT_PURPOSE_MISMATCH, "it is not for clients", GNUTLS_A_UNSUPPORTED_CERTIFICATE },
        { GNUTLS_CERT_INSECURE_ALGORITHM, "its signature is too weak", GNUTLS_A_BAD_CERTIFICATE },
};

static const char *judge_status(unsigned status, gnutls_alert_description_t *ret_alert)
{
        if (status == 0)
                return NULL;
        for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
                if (status & verdicts[i].status) {
                        *ret_alert = verdicts[i].alert;
                        return verdicts[i].why;
                }
        }
        *ret_alert = GNUTLS_A_BAD_CERTIFICATE;
        return "it does not verify";
}

bool pki_may_sign(gnutls_x509_crt_t certificate)
{
        unsigned usage = 0;
        int r = gnutls_x509_crt_get_key_usage(certificate, &usage, NULL);

        return r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE || (r >= 0 && usage & GNUTLS_KEY_DIGITAL_SIGNATURE);
}

static const char *judge_chain(const struct pki *pki, const gnutls_datum_t *chain, unsigned n,
                               gnutls_alert_description_t *ret_alert)
{
        gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                          .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT };
        gnutls_x509_crt_t crts[CHAIN_MAX];
        const char *why = "it cannot be read";
        unsigned status = 0, imported = 0;

        *ret_alert = GNUTLS_A_BAD_CERTIFICATE;
        if (n > CHAIN_MAX)
                return "its chain is too long";
        for (; imported < n; imported++) {
                if (gnutls_x509_crt_init(&crts[imported]) < 0)
                        break;
                if (gnutls_x509_crt_import(crts[imported], &chain[imported], GNUTLS_X509_FMT_DER) < 0) {
                        gnutls_x509_crt_deinit(crts[imported]);
                        break;
                }
        }
        if (imported == n &&
            gnutls_x509_trust_list_verify_crt2(pki_trust(pki), crts, n, &purpose, 1, 0, &status, NULL) >= 0)
                why = judge_status(status, ret_alert);
        if (!why && !pki_may_sign(crts[0])) {
                *ret_alert = GNUTLS_A_UNSUPPORTED_CERTIFICATE;
                why = "its keyUsage does not allow digitalSignature";
        }
        while (imported > 0)
                gnutls_x509_crt_deinit(crts[--imported]);
        return why;
}

const char *pki_judge(const struct pki *pki, gnutls_certificate_type_t type, const gnutls_datum_t *chain,
                      unsigned n, gnutls_alert_description_t *ret_alert)
{
        char name[64];

        *ret_alert = GNUTLS_A_UNKNOWN_CA;
        if (!pki || n == 0)
                return "there is nothing to check it with";
        if (type == GNUTLS_CRT_RAWPK) {
                if (raw_key_name(span_of(chain[0].data, chain[0].size), name) == 0 &&
                    pki_knows_raw_key(pki, name))
                        return NULL;
                *ret_alert = GNUTLS_A_ACCESS_DENIED;
                return "no access rule names this raw public key";
        }
        if (type != GNUTLS_CRT_X509 || !pki_trust(pki))
                return "there is no security.pki.ca";
        return judge_chain(pki, chain, n, ret_alert);
}
