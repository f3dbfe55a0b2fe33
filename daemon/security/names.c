/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Walks the subject, attribute by attribute, and the alternative names. Values come escaped as in RFC 4514,
 * so that a comma or a NUL within one cannot pass for something else; in alternative names only what a rule would
 * take for the end of one.
 */
#include "security/names.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/x509.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/util.h"

/* Names are collected in one buffer, which moves while it grows; so first their ends, later the spans. */
struct collector {
        struct buf bytes;
        size_t ends[IDENTITY_MAX_NAMES];
        size_t n;
};

static void collect(struct collector *c, const char *attribute, const void *value, size_t n)
{
        if (c->n == IDENTITY_MAX_NAMES)
                return;
        buf_append_string(&c->bytes, attribute);
        buf_append_byte(&c->bytes, '=');
        buf_append(&c->bytes, value, n);
        c->ends[c->n++] = c->bytes.n;
}

static void collect_subject(struct collector *c, gnutls_x509_crt_t crt)
{
        static const struct {
                const char *oid, *name;
        } attributes[] = {
                { GNUTLS_OID_X520_COMMON_NAME, "CN" },
                { GNUTLS_OID_X520_ORGANIZATION_NAME, "O" },
                { GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, "OU" },
                { GNUTLS_OID_X520_COUNTRY_NAME, "C" },
                { GNUTLS_OID_X520_STATE_OR_PROVINCE_NAME, "ST" },
                { GNUTLS_OID_X520_LOCALITY_NAME, "L" },
                { "2.5.4.5", "SERIALNUMBER" },
                { GNUTLS_OID_LDAP_UID, "UID" },
                { GNUTLS_OID_LDAP_DC, "DC" },
        };

        for (size_t a = 0; a < ARRAY_LEN(attributes); a++) {
                for (unsigned i = 0; i < IDENTITY_MAX_NAMES; i++) {
                        char value[512];
                        size_t n = sizeof(value);

                        /* What does not fit is no name that a rule could hold. */
                        if (gnutls_x509_crt_get_dn_by_oid(crt, attributes[a].oid, i, 0, value, &n) < 0)
                                break;
                        collect(c, attributes[a].name, value, n);
                }
        }
}

static void collect_alternative(struct collector *c, const char *kind, const char *value, size_t n)
{
        char escaped[1024];
        size_t used = 0;

        for (size_t i = 0; i < n && used + 2 <= sizeof(escaped); i++) {
                if (value[i] == ',' || value[i] == '\\')
                        escaped[used++] = '\\';
                escaped[used++] = value[i];
        }
        collect(c, kind, escaped, used);
}

static void collect_address(struct collector *c, const uint8_t *p, size_t n)
{
        char text[INET6_ADDRSTRLEN];

        if ((n == 4 && inet_ntop(AF_INET, p, text, sizeof(text))) ||
            (n == 16 && inet_ntop(AF_INET6, p, text, sizeof(text))))
                collect(c, "IP", text, strlen(text));
}

static void collect_alternatives(struct collector *c, gnutls_x509_crt_t crt)
{
        for (unsigned i = 0; i < IDENTITY_MAX_NAMES; i++) {
                char value[512]; /* half of what it is when all of it is escaped */
                size_t n = sizeof(value);
                unsigned type;
                int r = gnutls_x509_crt_get_subject_alt_name2(crt, i, value, &n, &type, NULL);

                if (r == GNUTLS_E_SHORT_MEMORY_BUFFER)
                        continue;
                if (r < 0)
                        return;
                if (type == GNUTLS_SAN_DNSNAME)
                        collect_alternative(c, "DNS", value, n);
                else if (type == GNUTLS_SAN_URI)
                        collect_alternative(c, "URI", value, n);
                else if (type == GNUTLS_SAN_RFC822NAME)
                        collect_alternative(c, "EMAIL", value, n);
                else if (type == GNUTLS_SAN_IPADDRESS)
                        collect_address(c, (const uint8_t *)value, n);
        }
}

static int settle(struct collector *c, const gnutls_datum_t *dn, struct names *ret_names)
{
        struct names names = { .n = c->n };
        size_t start = 0;

        buf_append(&c->bytes, dn->data, dn->size);
        if (!buf_ok(&c->bytes))
                return -ENOMEM;
        for (size_t i = 0; i < c->n; i++) {
                names.v[i] = span_of(c->bytes.p + start, c->ends[i] - start);
                start = c->ends[i];
        }
        names.subject = span_of(c->bytes.p + start, dn->size);
        names.memory = TAKE(c->bytes.p);
        *ret_names = names;
        return 0;
}

int names_of_certificate(const gnutls_datum_t *der, struct names *ret_names)
{
        struct collector c = { 0 };
        gnutls_datum_t dn = { 0 };
        gnutls_x509_crt_t crt;
        int r = -EINVAL;

        if (gnutls_x509_crt_init(&crt) < 0)
                return -ENOMEM;
        if (gnutls_x509_crt_import(crt, der, GNUTLS_X509_FMT_DER) >= 0) {
                collect_subject(&c, crt);
                collect_alternatives(&c, crt);
                if (gnutls_x509_crt_get_dn3(crt, &dn, 0) < 0)
                        dn = (gnutls_datum_t){ 0 }; /* an empty subject */
                r = settle(&c, &dn, ret_names);
        }
        gnutls_free(dn.data);
        gnutls_x509_crt_deinit(crt);
        buf_deinit(&c.bytes);
        return r;
}

void names_deinit(struct names *names)
{
        free(names->memory);
        *names = (struct names){ 0 };
}
