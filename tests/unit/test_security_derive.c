/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A GnuTLS that derives no keys, as one may that is restricted by a policy: the functions of its name here come first.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

#include "base/util.h"
#include "security/oscore.h"

#define INTERPOSED __attribute__((used, visibility("default")))

/* Which of the three fails. */
static enum { NONE, EXTRACT, EXPAND, HMAC } failing;

INTERPOSED int gnutls_hkdf_extract(gnutls_mac_algorithm_t mac, const gnutls_datum_t *key,
                                   const gnutls_datum_t *salt, void *output)
{
        (void)mac, (void)key, (void)salt;
        memset(output, 1, 32);
        return failing == EXTRACT ? GNUTLS_E_UNWANTED_ALGORITHM : 0;
}

INTERPOSED int gnutls_hkdf_expand(gnutls_mac_algorithm_t mac, const gnutls_datum_t *key,
                                  const gnutls_datum_t *info, void *output, size_t n)
{
        (void)mac, (void)key;
        for (size_t i = 0; i < n; i++)
                ((uint8_t *)output)[i] = info->data[i % info->size];
        return failing == EXPAND ? GNUTLS_E_UNWANTED_ALGORITHM : 0;
}

INTERPOSED int gnutls_hmac_fast(gnutls_mac_algorithm_t mac, const void *key, size_t key_n, const void *text,
                                size_t n, void *digest)
{
        (void)mac, (void)text, (void)n;
        memset(digest, 2, 32);
        memcpy(digest, key, MIN(key_n, (size_t)16));
        return failing == HMAC ? GNUTLS_E_UNWANTED_ALGORITHM : 0;
}

static int load(char **ret_said)
{
        char *ids[] = { (char *)"02" };
        struct conf_oscore contexts[2] = {
                { .at = { "test.conf", 7 },
                  .sender_id = (char *)"01",
                  .recipient_ids = { ids, 1 },
                  .master_secret = (char *)"0102" },
                { .at = { "test.conf", 9 },
                  .sender_id = (char *)"03",
                  .recipient_ids = { ids, 1 },
                  .id_context = (char *)"aa",
                  .master_secret = (char *)"0304" },
        };
        struct config config = { .file = (char *)"test.conf", .security.oscore = { contexts, 2 } };
        size_t n;
        FILE *out = open_memstream(ret_said, &n);
        struct key_errors errors = { .config = &config, .out = out };
        struct oscore *oscore = NULL;
        int r = oscore_load(&config, &errors, &oscore);

        fclose(out);
        oscore_free(oscore);
        return r;
}

static void keys_that_are_not_derived_are_an_error(void **state)
{
        static const char message[] =
                "security.oscore: its keys can not be derived, expected a GnuTLS that has "
                "HKDF and HMAC with SHA-256\n";
        char expected[512];

        (void)state;
        snprintf(expected, sizeof expected, "test.conf:7: %stest.conf:9: %s", message, message);
        for (failing = NONE; failing <= HMAC; failing++) {
                CLEANUP(freep) char *said = NULL;

                assert_int_equal(load(&said), failing == NONE ? 0 : -EINVAL);
                assert_string_equal(said, failing == NONE ? "" : expected);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = { cmocka_unit_test(keys_that_are_not_derived_are_an_error) };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
