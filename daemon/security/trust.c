/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The authorities of clients and what they have revoked. They go into a trust list of our own beside the credentials'
 * one, so that a reload can judge the chains of living sessions again.
 */
#include <errno.h>

#include "base/log.h"
#include "base/util.h"
#include "security/pki_load.h"

int pki_complain(const struct pki_place *place, int gnutls_error, const char *expected)
{
        const char *why = gnutls_strerror(gnutls_error);
        bool ends = why[0] && why[strlen(why) - 1] == '.'; /* some of GnuTLS's messages do */

        if (gnutls_error == GNUTLS_E_MEMORY_ERROR)
                return -ENOMEM;
        key_error(place->errors, place->at, place->key, "%s: %s%s Expected %s", place->file, why,
                  ends ? "" : ".", expected);
        return -EINVAL;
}

void pki_watch(struct dates *dates, const char *file, const gnutls_x509_crt_t *crts, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                dates_add(dates, file, gnutls_x509_crt_get_activation_time(crts[i]),
                          gnutls_x509_crt_get_expiration_time(crts[i]));
}

void pki_free_certificates(gnutls_x509_crt_t *crts, unsigned n)
{
        for (unsigned i = 0; i < n; i++)
                gnutls_x509_crt_deinit(crts[i]);
        gnutls_free(crts);
}

static void say_revoked(const char *file, gnutls_x509_crt_t authority)
{
        gnutls_datum_t dn = { 0 };

        if (gnutls_x509_crt_get_dn3(authority, &dn, 0) < 0)
                dn = (gnutls_datum_t){ 0 };
        log_warning("%s: the authority %s is revoked by security.pki.crl: no certificate that it has signed "
                    "is good",
                    file, LOG_ESCAPE(span_of(dn.data, dn.size)));
        gnutls_free(dn.data);
}

/*
 * GnuTLS believes whatever an authority of the list has signed, and asks about the authority itself only when the
 * client sends its certificate: that of one which another has revoked would be good for whoever leaves it out. The
 * certificates are read anew, as the list frees its own before it looks at ours.
 */
static int forget_revoked(gnutls_x509_trust_list_t trust, const char *file, const gnutls_datum_t *pem,
                          const gnutls_x509_crl_t *crls, unsigned n_crls)
{
        gnutls_x509_crt_t *crts = NULL;
        unsigned n = 0;
        int r = 0;

        if (gnutls_x509_crt_list_import2(&crts, &n, pem, GNUTLS_X509_FMT_PEM, 0) < 0)
                return -ENOMEM; /* it was read before */
        for (unsigned i = 0; i < n && r == 0; i++) {
                if (gnutls_x509_crt_check_revocation(crts[i], crls, n_crls) == 0)
                        continue;
                if (gnutls_x509_trust_list_remove_cas(trust, &crts[i], 1) < 0)
                        r = -ENOMEM;
                say_revoked(file, crts[i]);
        }
        pki_free_certificates(crts, n);
        return r;
}

/* Lists that no authority of ours has signed are not added: whose revocations would they be? */
static int load_revocations(gnutls_x509_trust_list_t trust, const struct conf_pki *conf,
                            const gnutls_datum_t *authorities, struct key_errors *errors, struct dates *dates)
{
        struct pki_place place = { errors, config_origin(errors->config, &conf->crl), "crl", conf->crl };
        CLEANUP(secret_deinit) struct secret file = { 0 };
        gnutls_x509_crl_t *crls = NULL;
        unsigned n = 0, added = 0;
        int r = secret_read_file(conf->crl, false, errors, place.at, place.key, &file);

        if (r < 0)
                return -EINVAL;
        r = gnutls_x509_crl_list_import2(&crls, &n, &(gnutls_datum_t){ file.p, (unsigned)file.n },
                                         GNUTLS_X509_FMT_PEM, 0);
        if (r < 0)
                return pki_complain(&place, r, "certificate revocation lists, in PEM");
        for (unsigned i = 0; i < n; i++) {
                dates_add(dates, conf->crl, gnutls_x509_crl_get_this_update(crls[i]),
                          gnutls_x509_crl_get_next_update(crls[i]));
                if (gnutls_x509_trust_list_add_crls(trust, &crls[i], 1, GNUTLS_TL_VERIFY_CRL, 0) == 1)
                        crls[added++] = crls[i];
                else
                        gnutls_x509_crl_deinit(crls[i]); /* one that is not added stays ours */
        }
        if (added < n) {
                key_error(errors, place.at, place.key,
                          "%s: %u of %u lists are not signed by ca, expected all: the authorities that sign "
                          "them "
                          "must be in ca, intermediate ones, too",
                          conf->crl, n - added, n);
                r = -EINVAL;
        } else {
                r = forget_revoked(trust, conf->ca, authorities, crls, n);
        }
        gnutls_free(crls);
        return r;
}

int trust_load(const struct conf_pki *conf, struct key_errors *errors, struct dates *dates,
               gnutls_certificate_credentials_t credentials, gnutls_x509_trust_list_t *ret_trust)
{
        struct pki_place place = { errors, config_origin(errors->config, &conf->ca), "ca", conf->ca };
        CLEANUP(secret_deinit) struct secret file = { 0 };
        gnutls_x509_crt_t *crts = NULL;
        gnutls_datum_t pem;
        unsigned n = 0;
        int r = secret_read_file(conf->ca, false, errors, place.at, place.key, &file);

        if (r < 0)
                return -EINVAL;
        pem = (gnutls_datum_t){ file.p, (unsigned)file.n };
        r = gnutls_x509_crt_list_import2(&crts, &n, &pem, GNUTLS_X509_FMT_PEM, 0);
        if (r < 0)
                return pki_complain(&place, r, "certificates of authorities, in PEM");
        pki_watch(dates, conf->ca, crts, n);
        if (gnutls_x509_trust_list_init(ret_trust, n) < 0) {
                pki_free_certificates(crts, n);
                return -ENOMEM;
        }
        /* The list takes the certificates over, but not the array. */
        r = gnutls_x509_trust_list_add_cas(*ret_trust, crts, n, 0);
        gnutls_free(crts);
        if (r < (int)n)
                return -ENOMEM;
        /* The credentials' own list is for the names of authorities that the client is told. */
        r = gnutls_certificate_set_x509_trust_mem(credentials, &pem, GNUTLS_X509_FMT_PEM);
        if (r < 0)
                return pki_complain(&place, r, "certificates of authorities, in PEM");
        return conf->crl ? load_revocations(*ret_trust, conf, &pem, errors, dates) : 0;
}
