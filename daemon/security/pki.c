/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads what the config names: coapd's own certificate and raw key, and the raw keys of clients. */
#include "security/pki.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/crypto.h>
#include <gnutls/x509.h>
#include <string.h>

#include "base/log.h"
#include "base/util.h"
#include "security/dates.h"
#include "security/identity.h"
#include "security/pki_load.h"
#include "security/token.h"

struct pki {
        gnutls_certificate_credentials_t credentials;
        gnutls_x509_trust_list_t trust; /* NULL: no authority */
        gnutls_certificate_request_t request;
        bool has_certificate, has_raw_key;
        char (*raw_keys)[64]; /* of clients, sorted */
        size_t n_raw_keys;
        struct dates dates;
};

static int compare_names(const void *a, const void *b)
{
        return memcmp(a, b, 64);
}

int raw_key_name(struct span spki, char out[64])
{
        uint8_t digest[32];

        if (gnutls_hash_fast(GNUTLS_DIG_SHA256, spki.p, spki.n, digest) < 0)
                return -EIO;
        identity_hex(digest, sizeof(digest), out);
        return 0;
}

/* Of what TLS 1.2 has without signatures: no forward secrecy, and few clients take it (RFC 9325, 4.1). */
static bool may_encipher(gnutls_x509_crt_t certificate)
{
        unsigned usage = 0;

        return gnutls_x509_crt_get_pk_algorithm(certificate, NULL) == GNUTLS_PK_RSA &&
               gnutls_x509_crt_get_key_usage(certificate, &usage, NULL) >= 0 &&
               usage & GNUTLS_KEY_KEY_ENCIPHERMENT;
}

/* The first is coapd's own: with one that may not sign, handshakes fail, and in the log is nothing about it. */
static int take_chain(struct pki *pki, const struct pki_place *place, const char *name,
                      const gnutls_x509_crt_t *crts, unsigned n)
{
        static const char message[] = "its keyUsage does not allow digitalSignature";

        pki_watch(&pki->dates, name, crts, n);
        if (n == 0 || pki_may_sign(crts[0]))
                return 0;
        if (may_encipher(crts[0])) {
                log_warning("%s:%u: %s.%s: %s: %s: most clients cannot connect", place->at.file,
                            place->at.line, place->errors->group, place->key, name, message);
                return 0;
        }
        key_error(place->errors, place->at, place->key, "%s: %s, expected a certificate that may sign", name,
                  message);
        return -EINVAL;
}

/* A certificate of a token ends as one of a file does. */
static int watch_token(struct pki *pki, const struct pki_place *place)
{
        gnutls_x509_crt_t *crts = NULL;
        unsigned n = 0;
        int r = gnutls_certificate_get_x509_crt(pki->credentials, 0, &crts, &n);

        if (r < 0)
                return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : 0;
        r = take_chain(pki, place, "security.pki.certificate", crts, n); /* the URI may have a PIN in it */
        pki_free_certificates(crts, n);
        return r;
}

/* At least one of the two is a URI. */
static int load_from_token(struct pki *pki, const struct conf_pki *conf, const struct pki_place *place)
{
        CLEANUP(freep) char *certificate = NULL, *key = NULL;
        CLEANUP(secret_deinit) struct secret pin = { 0 };
        CLEANUP(secret_deinit) struct secret unused = { 0 };
        struct conf_origin at = config_origin(place->errors->config, &conf->private_key);
        int r = token_split(conf->certificate, place->errors, place->at, "certificate", &certificate,
                            &unused);

        if (r == 0)
                r = token_split(conf->private_key, place->errors, at, "private_key", &key, &pin);
        if (r < 0)
                return r == -ENOMEM ? r : -EINVAL;
        r = gnutls_certificate_set_x509_key_file2(pki->credentials, certificate, key, GNUTLS_X509_FMT_PEM,
                                                  pin.n ? (const char *)pin.p : NULL, 0);
        return r < 0 ? pki_complain(place, r, "a PKCS#11 URI of a certificate and its private key")
                     : watch_token(pki, place);
}

/* Owner's certificate chain and key, from files or a token. */
static int load_certificate(struct pki *pki, const struct conf_pki *conf, struct key_errors *errors)
{
        CLEANUP(secret_deinit) struct secret certificate = { 0 };
        CLEANUP(secret_deinit) struct secret key = { 0 };
        struct pki_place place = { errors, config_origin(errors->config, &conf->certificate), "certificate",
                                   conf->certificate };
        gnutls_x509_crt_t *crts = NULL;
        unsigned n = 0;
        int r;

        if (token_is_uri(conf->certificate) || token_is_uri(conf->private_key))
                return load_from_token(pki, conf, &place);
        r = secret_read_file(conf->certificate, false, errors, place.at, place.key, &certificate);
        if (secret_read_file(conf->private_key, true, errors,
                             config_origin(errors->config, &conf->private_key), "private_key", &key) < 0 ||
            r < 0)
                return -EINVAL;
        r = gnutls_x509_crt_list_import2(&crts, &n,
                                         &(gnutls_datum_t){ certificate.p, (unsigned)certificate.n },
                                         GNUTLS_X509_FMT_PEM, 0);
        if (r < 0)
                return pki_complain(&place, r, "certificates in PEM, coapd's own first");
        r = take_chain(pki, &place, conf->certificate, crts, n);
        pki_free_certificates(crts, n);
        if (r < 0)
                return r;
        place.at = config_origin(errors->config, &conf->private_key);
        place.key = "private_key";
        place.file = conf->private_key;
        r = gnutls_certificate_set_x509_key_mem2(
                pki->credentials, &(gnutls_datum_t){ certificate.p, (unsigned)certificate.n },
                &(gnutls_datum_t){ key.p, (unsigned)key.n }, GNUTLS_X509_FMT_PEM, NULL, 0);
        return r < 0 ? pki_complain(&place, r, "the certificate's private key, in PEM and not encrypted") : 0;
}

static int export_public_key(const struct secret *pem, struct secret *ret_spki)
{
        gnutls_privkey_t private_key = NULL;
        gnutls_pubkey_t public_key = NULL;
        gnutls_datum_t spki = { 0 };
        int r;

        if (gnutls_privkey_init(&private_key) < 0 || gnutls_pubkey_init(&public_key) < 0)
                r = GNUTLS_E_MEMORY_ERROR;
        else
                r = gnutls_privkey_import_x509_raw(private_key, &(gnutls_datum_t){ pem->p, (unsigned)pem->n },
                                                   GNUTLS_X509_FMT_PEM, NULL, 0);
        if (r >= 0)
                r = gnutls_pubkey_import_privkey(public_key, private_key, 0, 0);
        if (r >= 0)
                r = gnutls_pubkey_export2(public_key, GNUTLS_X509_FMT_PEM, &spki);
        if (r >= 0)
                *ret_spki = (struct secret){ spki.data, spki.size };
        gnutls_privkey_deinit(private_key);
        gnutls_pubkey_deinit(public_key);
        return r;
}

static int load_raw_key(struct pki *pki, const struct conf_rpk *conf, struct key_errors *errors)
{
        struct pki_place place = { errors, config_origin(errors->config, &conf->private_key), "private_key",
                                   conf->private_key };
        CLEANUP(secret_deinit) struct secret key = { 0 };
        CLEANUP(secret_deinit) struct secret spki = { 0 };
        int r;

        if (token_is_uri(conf->private_key))
                return pki_complain(&place, GNUTLS_E_UNIMPLEMENTED_FEATURE, "a file");
        if (secret_read_file(conf->private_key, true, errors, place.at, place.key, &key) < 0)
                return -EINVAL;
        r = export_public_key(&key, &spki);
        if (r >= 0)
                r = gnutls_certificate_set_rawpk_key_mem(
                        pki->credentials, &(gnutls_datum_t){ spki.p, (unsigned)spki.n },
                        &(gnutls_datum_t){ key.p, (unsigned)key.n }, GNUTLS_X509_FMT_PEM, NULL,
                        GNUTLS_KEY_DIGITAL_SIGNATURE | GNUTLS_KEY_KEY_AGREEMENT, NULL, 0, 0);
        return r < 0 ? pki_complain(&place, r, "a private key in PEM, not encrypted") : 0;
}

static int add_raw_client(struct pki *pki, const char *digits)
{
        char(*grown)[64] = reallocarray(pki->raw_keys, pki->n_raw_keys + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        pki->raw_keys = grown;
        for (size_t i = 0; i < 64; i++)
                grown[pki->n_raw_keys][i] = (char)tolower((unsigned char)digits[i]);
        pki->n_raw_keys++;
        return 0;
}

/* A raw key is believed when the config names it: anybody can make one. */
static int load_raw_clients(struct pki *pki, const struct config *config)
{
        const struct conf_access_rule *rules = config->access.v;

        for (size_t i = 0; i < config->access.n; i++) {
                for (size_t k = 0; k < rules[i].allow.n; k++) {
                        const char *subject = rules[i].allow.v[k];

                        if (strncmp(subject, "rpk:", 4) == 0 && strlen(subject + 4) == 64 &&
                            add_raw_client(pki, subject + 4) < 0)
                                return -ENOMEM;
                }
        }
        if (pki->n_raw_keys)
                qsort(pki->raw_keys, pki->n_raw_keys, sizeof(*pki->raw_keys), compare_names);
        return 0;
}

/* What belongs together: a certificate and its key, authorities and what needs them. */
static int check_completeness(const struct conf_pki *conf, struct key_errors *errors)
{
        unsigned before = errors->n;

        if (!conf->certificate != !conf->private_key)
                key_error(errors, config_origin(errors->config, conf), "",
                          "has one of certificate and private_key, expected both");
        if (conf->require_client_certificate && !conf->ca)
                key_error(errors, config_origin(errors->config, &conf->require_client_certificate),
                          "require_client_certificate",
                          "is true and there is no ca, expected the authorities of the clients");
        if (conf->crl && !conf->ca)
                key_error(errors, config_origin(errors->config, &conf->crl), "crl",
                          "is set and there is no ca, expected the authority that signed it");
        return errors->n == before ? 0 : -EINVAL;
}

static int load_parts(struct pki *pki, const struct conf_pki *conf, const struct conf_rpk *rpk,
                      struct key_errors *errors)
{
        int result = check_completeness(conf, errors);
        int r = 0;

        if (conf->certificate && conf->private_key)
                r = load_certificate(pki, conf, errors);
        pki->has_certificate = conf->certificate != NULL;
        result = r < 0 ? r : result;
        if (result != -ENOMEM && conf->ca) {
                r = trust_load(conf, errors, &pki->dates, pki->credentials, &pki->trust);
                result = r < 0 ? r : result;
        }
        if (result != -ENOMEM && rpk && rpk->private_key) {
                errors->group = "security.rpk";
                r = load_raw_key(pki, rpk, errors);
                pki->has_raw_key = true;
                result = r < 0 ? r : result;
        }
        return result < 0 ? result : load_raw_clients(pki, errors->config);
}

static void pki_freep(struct pki **pki)
{
        pki_free(*pki);
}

int pki_load(const struct conf_pki *conf, const struct conf_rpk *rpk,
             gnutls_certificate_verify_function *verify, struct key_errors *errors, struct pki **ret_pki)
{
        CLEANUP(pki_freep) struct pki *pki = NULL;
        int r;

        if (!conf->certificate && !conf->private_key && !(rpk && rpk->private_key)) {
                *ret_pki = NULL;
                return 0;
        }
        pki = calloc(1, sizeof(*pki));
        if (!pki || gnutls_certificate_allocate_credentials(&pki->credentials) < 0)
                return -ENOMEM;
        gnutls_certificate_set_verify_function(pki->credentials, verify);
        r = load_parts(pki, conf, rpk, errors);
        if (r < 0)
                return r;
        pki->request = conf->require_client_certificate  ? GNUTLS_CERT_REQUIRE
                       : conf->ca || pki->n_raw_keys > 0 ? GNUTLS_CERT_REQUEST
                                                         : GNUTLS_CERT_IGNORE;
        *ret_pki = TAKE(pki);
        return 0;
}

gnutls_certificate_credentials_t pki_credentials(const struct pki *pki)
{
        return pki->credentials;
}

gnutls_certificate_request_t pki_request(const struct pki *pki)
{
        return pki->request;
}

bool pki_has_certificate(const struct pki *pki)
{
        return pki && pki->has_certificate;
}

bool pki_has_raw_key(const struct pki *pki)
{
        return pki && pki->has_raw_key;
}

gnutls_x509_trust_list_t pki_trust(const struct pki *pki)
{
        return pki->trust;
}

bool pki_knows_raw_key(const struct pki *pki, const char name[64])
{
        return pki->n_raw_keys &&
               bsearch(name, pki->raw_keys, pki->n_raw_keys, sizeof(*pki->raw_keys), compare_names);
}

void pki_warn_of_end(const struct pki *pki, time_t now)
{
        if (pki)
                dates_warn(&pki->dates, now);
}

void pki_free(struct pki *pki)
{
        if (!pki)
                return;
        if (pki->credentials)
                gnutls_certificate_free_credentials(pki->credentials);
        if (pki->trust)
                gnutls_x509_trust_list_deinit(pki->trust, 1);
        dates_deinit(&pki->dates);
        free(pki->raw_keys);
        free(pki);
}
