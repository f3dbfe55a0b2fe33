/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names that a certificate gives its holder, as the access rules know them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/util.h"
#include "security/names.h"

/* An alternative name of the certificate to come. */
struct alternative {
        gnutls_x509_subject_alt_name_t type;
        struct span value;
};

#define TEXT(type, text) { GNUTLS_SAN_##type, { (const uint8_t *)(text), sizeof(text) - 1 } }

static gnutls_datum_t make(const char *dn, const struct alternative *alternatives, size_t n)
{
        gnutls_x509_privkey_t key;
        gnutls_x509_crt_t crt;
        gnutls_datum_t der = { 0 };

        assert_true(gnutls_x509_privkey_init(&key) >= 0);
        assert_true(gnutls_x509_crt_init(&crt) >= 0);
        assert_true(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                                 GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) >= 0);
        assert_true(gnutls_x509_crt_set_version(crt, 3) >= 0);
        assert_true(gnutls_x509_crt_set_serial(crt, "\1", 1) >= 0);
        assert_true(gnutls_x509_crt_set_activation_time(crt, time(NULL) - 60) >= 0);
        assert_true(gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600) >= 0);
        assert_true(gnutls_x509_crt_set_key(crt, key) >= 0);
        if (dn)
                assert_true(gnutls_x509_crt_set_dn(crt, dn, NULL) >= 0);
        for (size_t i = 0; i < n; i++)
                assert_true(gnutls_x509_crt_set_subject_alt_name(
                                    crt, alternatives[i].type, alternatives[i].value.p,
                                    (unsigned)alternatives[i].value.n, GNUTLS_FSAN_APPEND) >= 0);
        assert_true(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) >= 0);
        assert_true(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der) >= 0);
        gnutls_x509_crt_deinit(crt);
        gnutls_x509_privkey_deinit(key);
        return der;
}

static struct names read_names(const char *dn, const struct alternative *alternatives, size_t n)
{
        gnutls_datum_t der = make(dn, alternatives, n);
        struct names names = { 0 };

        assert_int_equal(names_of_certificate(&der, &names), 0);
        gnutls_free(der.data);
        return names;
}

static void check(const struct names *names, const char *const *expected, size_t n)
{
        assert_int_equal(names->n, n);
        for (size_t i = 0; i < n; i++) {
                if (!span_equal(names->v[i], span_of_string(expected[i])))
                        fail_msg("%.*s instead of %s", (int)names->v[i].n, (const char *)names->v[i].p,
                                 expected[i]);
        }
}

static void every_attribute_and_alternative_is_a_name(void **state)
{
        static const struct alternative alternatives[] = {
                TEXT(DNSNAME, "a.example"),
                TEXT(URI, "urn:dev:1"),
                TEXT(RFC822NAME, "ops@example"),
                TEXT(IPADDRESS, "\x7f\0\0\1"),
                TEXT(IPADDRESS, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1"),
        };
        static const char *const expected[] = {
                "CN=ops",        "O=Example",         "OU=a",         "OU=b",   "C=DE", "DNS=a.example",
                "URI=urn:dev:1", "EMAIL=ops@example", "IP=127.0.0.1", "IP=::1",
        };
        struct names names =
                read_names("OU=b,OU=a,C=DE,O=Example,CN=ops", alternatives, ARRAY_LEN(alternatives));

        (void)state;
        check(&names, expected, ARRAY_LEN(expected));
        names_deinit(&names);
}

/* A comma within a value must not pass for the next part. */
static void values_are_escaped(void **state)
{
        static const char *const expected[] = { "CN=x\\,O=Example", "O=Other" };
        struct names names = read_names("CN=x\\,O=Example,O=Other", NULL, 0);

        (void)state;
        check(&names, expected, ARRAY_LEN(expected));
        assert_non_null(memmem(names.subject.p, names.subject.n, "CN=x\\,O=Example", 15));
        names_deinit(&names);
}

/* Else no rule could name it, and what stands behind the comma would be a part of its own there. */
static void alternatives_are_escaped_where_a_rule_would_end_them(void **state)
{
        static char commas[511];
        static char expected_commas[4 + 2 * sizeof(commas) + 1] = "URI=";
        const struct alternative alternatives[] = {
                TEXT(URI, "urn:a,O=Example"),
                TEXT(URI, "urn:b\\,c;d+e"),
                { GNUTLS_SAN_URI, { (const uint8_t *)commas, sizeof(commas) } },
        };
        const char *const expected[] = { "CN=ops", "URI=urn:a\\,O=Example", "URI=urn:b\\\\\\,c;d+e",
                                         expected_commas };
        struct names names;

        (void)state;
        memset(commas, ',', sizeof(commas));
        for (size_t i = 0; i < sizeof(commas); i++)
                memcpy(expected_commas + 4 + 2 * i, "\\,", 2);
        names = read_names("CN=ops", alternatives, ARRAY_LEN(alternatives));
        check(&names, expected, ARRAY_LEN(expected));
        names_deinit(&names);
}

static void a_name_that_is_too_long_hides_no_other(void **state)
{
        static char uri[600];
        const struct alternative alternatives[] = {
                TEXT(DNSNAME, "a.example"),
                { GNUTLS_SAN_URI, { (const uint8_t *)uri, sizeof(uri) } },
                TEXT(DNSNAME, "b.example"),
        };
        static const char *const expected[] = { "CN=ops", "DNS=a.example", "DNS=b.example" };
        struct names names;

        (void)state;
        memset(uri, 'u', sizeof(uri));
        names = read_names("CN=ops", alternatives, ARRAY_LEN(alternatives));
        check(&names, expected, ARRAY_LEN(expected));
        names_deinit(&names);
}

static void there_are_so_many_at_most(void **state)
{
        struct alternative alternatives[IDENTITY_MAX_NAMES + 5];
        struct names names;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(alternatives); i++)
                alternatives[i] = (struct alternative)TEXT(DNSNAME, "a.example");
        names = read_names("CN=ops", alternatives, ARRAY_LEN(alternatives));
        assert_int_equal(names.n, IDENTITY_MAX_NAMES);
        assert_true(span_equal(names.v[0], SPAN_LITERAL("CN=ops")));
        assert_true(span_equal(names.v[names.n - 1], SPAN_LITERAL("DNS=a.example")));
        names_deinit(&names);
}

static void an_empty_subject_is_no_name(void **state)
{
        static const struct alternative alternative = TEXT(DNSNAME, "a.example");
        static const char *const expected[] = { "DNS=a.example" };
        struct names names = read_names(NULL, &alternative, 1);

        (void)state;
        check(&names, expected, 1);
        assert_int_equal(names.subject.n, 0);
        names_deinit(&names);
}

static void what_is_no_certificate_has_no_names(void **state)
{
        gnutls_datum_t der = make("CN=ops", NULL, 0);
        struct names names = { 0 };

        (void)state;
        der.size /= 2;
        assert_int_equal(names_of_certificate(&der, &names), -EINVAL);
        assert_null(names.memory);
        gnutls_free(der.data);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_attribute_and_alternative_is_a_name),
                cmocka_unit_test(values_are_escaped),
                cmocka_unit_test(alternatives_are_escaped_where_a_rule_would_end_them),
                cmocka_unit_test(a_name_that_is_too_long_hides_no_other),
                cmocka_unit_test(there_are_so_many_at_most),
                cmocka_unit_test(an_empty_subject_is_no_name),
                cmocka_unit_test(what_is_no_certificate_has_no_names),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
