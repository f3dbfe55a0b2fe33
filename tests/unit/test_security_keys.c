/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key files: what is read from them, and what is said of those that are no good.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder_fixture.h"

#include "base/log.h"
#include "base/util.h"
#include "security/dates.h"
#include "security/keys.h"
#include "security/security.h"

static const char make_files[] =
        "set -e\n"
        "key() { for k; do certtool --generate-privkey --key-type ecdsa --curve secp256r1 --no-text"
        " --outfile $k.key 2>/dev/null; done; chmod 600 *.key; }\n"
        "self() { name=$1; shift; printf '%s\\n' \"$@\" >$name.cfg; certtool --generate-self-signed"
        " --load-privkey $name.key --template $name.cfg --outfile $name.crt 2>/dev/null; }\n"
        "crl() { printf 'crl_next_update = 90\\ncrl_number = 1\\n' >crl.cfg; certtool --generate-crl"
        " --load-ca-privkey $1.key --load-ca-certificate $1.crt --template crl.cfg --outfile $1.crl"
        " 2>/dev/null; }\n"
        "key ca other server\n"
        "self ca 'cn = ca' ca cert_signing_key crl_signing_key 'expiration_days = 100'\n"
        "self other 'cn = other' ca cert_signing_key crl_signing_key 'expiration_days = 100'\n"
        "self server 'cn = server' 'expiration_days = 100'\n"
        "crl ca; crl other\n"
        "signed() { name=$1 by=$2; shift 2; printf '%s\\n' \"$@\" >$name.cfg; certtool --generate-certificate"
        " --load-privkey $name.key --load-ca-privkey $by.key --load-ca-certificate $by.crt --template "
        "$name.cfg"
        " --outfile $name.crt 2>/dev/null; }\n"
        "key between leaf\n"
        "signed between ca 'cn = between' ca cert_signing_key crl_signing_key 'expiration_days = 100'\n"
        "signed leaf between 'cn = leaf' tls_www_client signing_key 'expiration_days = 100'\n"
        "cat ca.crt between.crt >both.crt; crl between; cat ca.crl between.crl >none.crl\n"
        "cp leaf.key plain-leaf.key\n"
        "signed plain-leaf between 'cn = leaf' tls_www_client 'expiration_days = 100'\n"
        /* certtool makes every EC key one that may sign */
        "echo keyUsage=critical,keyEncipherment >sealed.ext\n"
        "openssl req -new -key leaf.key -subj /CN=leaf | openssl x509 -req -CA between.crt -CAkey between.key"
        " -days 100 -extfile sealed.ext -out sealed-leaf.crt 2>/dev/null\n"
        "certtool --generate-crl --load-ca-privkey ca.key --load-ca-certificate ca.crt --template crl.cfg"
        " --load-certificate between.crt --outfile revoked.crl 2>/dev/null; cat between.crl >>revoked.crl\n"
        "cp server.key open.key; chmod 604 open.key\n"
        "cp server.key group.key; chmod 640 group.key\n"
        "certtool --to-p8 --load-privkey server.key --password secret --outfile locked.key 2>/dev/null\n"
        "chmod 600 locked.key\n"
        "echo garbage >garbage; : >empty\n"
        "printf 'secret\\n' >psk.key; printf '\\n' >newline.key; head -c 65 /dev/zero >long.key\n"
        "chmod 600 psk.key newline.key long.key; cp psk.key psk-open.key; chmod 644 psk-open.key\n";

/* What is said of a config's keys; NULL: they are good. Lives until the next call. */
static const char *mistakes_of(const struct config *config)
{
        static char *text;
        struct security *security = NULL;
        size_t n;
        FILE *out;
        int r;

        free(text);
        text = NULL;
        out = open_memstream(&text, &n);
        r = security_load(config, out, &security);
        fclose(out);
        security_free(security);
        assert_true(r == 0 || r == -EINVAL);
        assert_int_equal(r < 0, n > 0);
        return n ? text : NULL;
}

static void server_keys_are_checked(void **state)
{
        static const struct {
                const char *certificate, *key, *ca, *crl;
                bool require;
                const char *key_name, *mistake; /* NULL: none */
        } cases[] = {
                { "server.crt", "server.key", NULL, NULL, false, NULL, NULL },
                { "server.crt", "group.key", "ca.crt", "ca.crl", true, NULL, NULL },
                { "server.crt", "none.key", NULL, NULL, false, "pki.private_key", "No such file" },
                { "none.crt", "server.key", NULL, NULL, false, "pki.certificate", "No such file" },
                { "server.crt", "open.key", NULL, NULL, false, "pki.private_key", "open to every user" },
                { "server.crt", "other.key", NULL, NULL, false, "pki.private_key", "do not match" },
                { "server.crt", "locked.key", NULL, NULL, false, "pki.private_key", "not encrypted" },
                { "server.crt", "garbage", NULL, NULL, false, "pki.private_key", "" },
                { "garbage", "server.key", NULL, NULL, false, "pki.certificate", "" },
                { "empty", "server.key", NULL, NULL, false, "pki.certificate", "1 byte" },
                { ".", "server.key", NULL, NULL, false, "pki.certificate", "regular file" },
                { "sealed-leaf.crt", "leaf.key", NULL, NULL, false, "pki.certificate",
                  "keyUsage does not allow digitalSignature" },
                { "server.crt", NULL, NULL, NULL, false, "pki", "expected both" },
                { "server.crt", "server.key", NULL, NULL, true, "pki.require_client_certificate", "no ca" },
                { "server.crt", "server.key", NULL, "ca.crl", false, "pki.crl", "no ca" },
                { "server.crt", "server.key", "garbage", NULL, false, "pki.ca", "" },
                { "server.crt", "server.key", "ca.crt", "garbage", false, "pki.crl", "" },
                { "server.crt", "server.key", "ca.crt", "other.crl", false, "pki.crl", "1 of 1" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct config config = { .file = (char *)"test.conf" };
                struct conf_pki *pki = &config.security.pki;
                const char *said, *where;
                char expected[64];

                pki->certificate = in_folder(cases[i].certificate);
                pki->private_key = cases[i].key ? in_folder(cases[i].key) : NULL;
                pki->ca = cases[i].ca ? in_folder(cases[i].ca) : NULL;
                pki->crl = cases[i].crl ? in_folder(cases[i].crl) : NULL;
                pki->require_client_certificate = cases[i].require;
                said = mistakes_of(&config);
                if (!cases[i].key_name) {
                        if (said)
                                fail_msg("case %zu: %s", i, said);
                        continue;
                }
                snprintf(expected, sizeof(expected), "test.conf: security.%s: ", cases[i].key_name);
                where = said ? strstr(said, expected) : NULL;
                if (!where || !strstr(where, cases[i].mistake) || !strcasestr(where, "expected"))
                        fail_msg("case %zu: \"%s\", not \"%s...%s\"", i, said ? said : "", expected,
                                 cases[i].mistake);
        }
}

static int no_key(gnutls_session_t session, const gnutls_datum_t *username, gnutls_datum_t *key)
{
        (void)session;
        (void)username;
        (void)key;
        return 1;
}

static void pre_shared_keys_are_read(void **state)
{
        struct conf_psk_identity identities[] = {
                { .identity = (char *)"file", .key_file = in_folder("psk.key") },
                { .identity = (char *)"text", .key = (char *)"secret\n" },
                { .identity = (char *)"hex", .key_hex = (char *)"00fF10" },
        };
        struct conf_psk conf = { .identities = { identities, ARRAY_LEN(identities) } };
        struct config config = { .file = (char *)"test.conf" };
        struct key_errors errors = { .config = &config, .group = "security.psk", .out = stderr };
        struct psk *psk = NULL;
        const struct secret *key;

        (void)state;
        assert_int_equal(psk_load(&conf, no_key, &errors, &psk), 0);
        key = psk_find(psk, SPAN_LITERAL("file"));
        assert_non_null(key);
        assert_int_equal(key->n, 6); /* without the newline */
        assert_memory_equal(key->p, "secret", 6);
        key = psk_find(psk, SPAN_LITERAL("text"));
        assert_int_equal(key->n, 7);
        key = psk_find(psk, SPAN_LITERAL("hex"));
        assert_int_equal(key->n, 3);
        assert_memory_equal(key->p, "\x00\xff\x10", 3);
        assert_null(psk_find(psk, SPAN_LITERAL("fil")));
        assert_null(psk_find(psk, SPAN_LITERAL("files")));
        assert_null(psk_find(psk, SPAN_LITERAL("file\0")));
        assert_null(psk_find(psk, span_of(NULL, 0)));
        psk_free(psk);
}

static void pre_shared_keys_are_checked(void **state)
{
        static const struct {
                const char *file, *text, *hex, *mistake;
        } cases[] = {
                { NULL, NULL, NULL, "has no key" },
                { "psk.key", "a", NULL, "more than one key" },
                { "psk-open.key", NULL, NULL, "open to every user" },
                { "none.key", NULL, NULL, "No such file" },
                { "newline.key", NULL, NULL, "has 0 bytes" },
                { "long.key", NULL, NULL, "has 65 bytes" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct conf_psk_identity identity = { .at = { "test.conf", 7 },
                                                      .identity = (char *)"a",
                                                      .key = (char *)cases[i].text,
                                                      .key_hex = (char *)cases[i].hex };
                struct config config = { .file = (char *)"test.conf" };
                const char *said;

                identity.key_file = cases[i].file ? in_folder(cases[i].file) : NULL;
                config.security.psk.identities = (struct conf_list){ &identity, 1 };
                said = mistakes_of(&config);
                if (!said || strncmp(said, "test.conf:7: security.psk.identities", 36) != 0 ||
                    !strstr(said, cases[i].mistake) || strstr(said, "secret"))
                        fail_msg("case %zu: \"%s\"", i, said ? said : "");
        }
}

static void identities_are_checked(void **state)
{
        static char longest[129], longer[130];
        struct conf_psk_identity identities[] = {
                { .at = { "test.conf", 1 }, .identity = longest, .key = (char *)"secret" },
                { .at = { "test.conf", 2 }, .identity = longer, .key = (char *)"secret" },
                { .at = { "test.conf", 3 }, .identity = (char *)"", .key = (char *)"secret" },
                { .at = { "test.conf", 4 }, .identity = (char *)"a", .key = (char *)"secret" },
                { .at = { "test.conf", 5 }, .identity = (char *)"a", .key = (char *)"another" },
        };
        struct config config = { .file = (char *)"test.conf",
                                 .security.psk.identities = { identities, ARRAY_LEN(identities) } };
        static const char key[] = "security.psk.identities.identity: ";
        char expected[512];

        (void)state;
        memset(longest, 'i', sizeof(longest) - 1);
        memset(longer, 'i', sizeof(longer) - 1);
        snprintf(expected, sizeof(expected),
                 "test.conf:2: %shas 129 bytes, expected 1 to 128\n"
                 "test.conf:3: %shas 0 bytes, expected 1 to 128\n"
                 "test.conf:5: %s\"a\" is there twice, expected it once\n",
                 key, key, key);
        assert_string_equal(mistakes_of(&config), expected);
}

/* What pki.c makes of a config whose rules name these raw keys. */
static struct pki *load_pki(const char *const *subjects, size_t n)
{
        struct conf_access_rule rule = { .allow = { (char **)subjects, n } };
        struct config config = { .file = (char *)"test.conf", .access = { &rule, 1 } };
        struct key_errors errors = { .config = &config, .group = "security.pki", .out = stderr };
        struct pki *pki = NULL;

        config.security.pki = (struct conf_pki){ .certificate = in_folder("server.crt"),
                                                 .private_key = in_folder("server.key"),
                                                 .ca = in_folder("ca.crt"),
                                                 .crl = in_folder("ca.crl") };
        assert_int_equal(pki_load(&config.security.pki, NULL, NULL, &errors, &pki), 0);
        return pki;
}

static void raw_keys_are_known_however_they_are_written(void **state)
{
        static const char *const subjects[] = {
                "rpk:FFEEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100",
                "rpk:*",
                "rpk:80EEDDCCBBAA99887766554433221100ffeeddccbbaa99887766554433221100",
                "psk:00eeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
                "rpk:10eeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100",
        };
        static const struct {
                const char *name;
                bool known;
        } cases[] = {
                { "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100", true },
                { "80eeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100", true },
                { "10eeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100", true },
                { "00eeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100", false },
                { "80eeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221101", false },
        };
        struct pki *pki = load_pki(subjects, ARRAY_LEN(subjects));

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                if (pki_knows_raw_key(pki, cases[i].name) != cases[i].known)
                        fail_msg("%s", cases[i].name);
        }
        pki_free(pki);
}

static void a_chain_has_an_end(void **state)
{
        enum { LONGEST = 10 };
        CLEANUP(secret_deinit) struct secret pem = { 0 };
        gnutls_datum_t der = { 0 }, chain[LONGEST + 1];
        gnutls_alert_description_t alert;
        struct pki *pki = load_pki(NULL, 0);

        (void)state;
        assert_int_equal(
                secret_read_file(in_folder("server.crt"), false, NULL, (struct conf_origin){ 0 }, "", &pem),
                0);
        assert_true(gnutls_pem_base64_decode2(NULL, &(gnutls_datum_t){ pem.p, (unsigned)pem.n }, &der) >= 0);
        for (size_t i = 0; i < ARRAY_LEN(chain); i++)
                chain[i] = der;
        assert_string_equal(pki_judge(pki, GNUTLS_CRT_X509, chain, LONGEST, &alert),
                            "no authority of security.pki.ca has signed it");
        assert_string_equal(pki_judge(pki, GNUTLS_CRT_X509, chain, LONGEST + 1, &alert),
                            "its chain is too long");
        gnutls_free(der.data);
        pki_free(pki);
}

static void many_identities_are_found(void **state)
{
        enum { N = 20000 };
        struct conf_psk_identity *identities = calloc(N, sizeof(*identities));
        struct config config = { .file = (char *)"test.conf" };
        struct key_errors errors = { .config = &config, .group = "security.psk", .out = stderr };
        char(*names)[32] = calloc(N, sizeof(*names));
        struct conf_psk conf = { .identities = { identities, N } };
        struct psk *psk = NULL;

        (void)state;
        for (int i = 0; i < N; i++) {
                snprintf(names[i], sizeof(names[i]), "device-%d", i);
                identities[i].identity = identities[i].key = names[i];
        }
        assert_int_equal(psk_load(&conf, no_key, &errors, &psk), 0);
        for (int i = 0; i < N; i++) {
                const struct secret *key = psk_find(psk, span_of_string(names[i]));

                assert_non_null(key);
                assert_string_equal((const char *)key->p, names[i]);
        }
        assert_null(psk_find(psk, SPAN_LITERAL("device-20000")));
        psk_free(psk);
        free(identities);
        free(names);
}

/* The lines that are written to standard error by a function. */
static void capture(void (*function)(const void *user), const void *user, char *out, size_t size)
{
        int saved = dup(STDERR_FILENO);
        FILE *file = tmpfile();
        size_t n;

        fflush(stderr);
        dup2(fileno(file), STDERR_FILENO);
        function(user);
        dup2(saved, STDERR_FILENO);
        close(saved);
        rewind(file);
        n = fread(out, 1, size - 1, file);
        out[n] = '\0';
        fclose(file);
}

static void warn_of_dates(const void *dates)
{
        dates_warn(dates, 1700000000);
}

/* What is said of something that lasts from `from` to `until`. */
static void warn(int64_t from, int64_t until, char *out, size_t size)
{
        struct dates dates = { 0 };

        dates_add(&dates, "server.crt", (time_t)from, (time_t)until);
        capture(warn_of_dates, &dates, out, size);
        dates_deinit(&dates);
}

static void warn_of_pki(const void *pki)
{
        enum { DAY = 86400 };

        pki_warn_of_end(pki, time(NULL) + 80 * DAY);
}

/* coapd's own certificate, and the authorities of its clients. */
static void every_file_is_watched(void **state)
{
        struct pki *pki = load_pki(NULL, 0);
        char text[1024];

        (void)state;
        capture(warn_of_pki, pki, text, sizeof(text));
        assert_non_null(strstr(text, "server.crt ends on "));
        assert_non_null(strstr(text, "ca.crt ends on "));
        assert_non_null(strstr(text, "ca.crl ends on "));
        pki_free(pki);
}

static void what_ends_soon_is_told(void **state)
{
        enum { DAY = 86400 };
        const int64_t now = 1700000000;
        char said[512];

        (void)state;
        warn(0, now + 31 * DAY, said, sizeof(said));
        assert_string_equal(said, "");
        warn(0, now + 29 * DAY, said, sizeof(said));
        assert_non_null(strstr(said, "warning server.crt ends on 2023-12-13, in 29 days"));
        warn(0, now - DAY, said, sizeof(said));
        assert_non_null(strstr(said, "warning server.crt has ended on 2023-11-13"));
        warn(now + DAY, now + 100 * DAY, said, sizeof(said));
        assert_non_null(strstr(said, "warning server.crt is not valid yet"));
        warn(0, -1, said, sizeof(said)); /* a list of revocations without an end */
        assert_string_equal(said, "");
}

/* What is said of a leaf, and of between.crt behind it where that is given. */
static const char *judge_chain(const char *leaf, const char *crl, bool with_between)
{
        struct config config = { .file = (char *)"test.conf" };
        struct key_errors errors = { .config = &config, .group = "security.pki", .out = stderr };
        gnutls_datum_t pem, chain[2];
        gnutls_alert_description_t alert;
        gnutls_x509_crt_t crt;
        struct pki *pki = NULL;
        const char *why;

        config.security.pki = (struct conf_pki){ .certificate = in_folder("server.crt"),
                                                 .private_key = in_folder("server.key"),
                                                 .ca = in_folder("both.crt"),
                                                 .crl = in_folder(crl) };
        assert_int_equal(pki_load(&config.security.pki, NULL, NULL, &errors, &pki), 0);
        for (size_t i = 0; i < ARRAY_LEN(chain); i++) {
                assert_int_equal(gnutls_load_file(in_folder(i ? "between.crt" : leaf), &pem), 0);
                gnutls_x509_crt_init(&crt);
                assert_int_equal(gnutls_x509_crt_import(crt, &pem, GNUTLS_X509_FMT_PEM), 0);
                assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &chain[i]), 0);
                gnutls_x509_crt_deinit(crt);
                gnutls_free(pem.data);
        }
        why = pki_judge(pki, GNUTLS_CRT_X509, chain, with_between ? 2 : 1, &alert);
        gnutls_free(chain[0].data);
        gnutls_free(chain[1].data);
        pki_free(pki);
        return why;
}

static const char *judge_leaf(const char *crl, bool with_between)
{
        return judge_chain("leaf.crt", crl, with_between);
}

static void who_may_not_sign_is_not_let_in(void **state)
{
        (void)state;
        assert_null(judge_chain("plain-leaf.crt", "none.crl", true)); /* no keyUsage */
        assert_string_equal(judge_chain("sealed-leaf.crt", "none.crl", true),
                            "its keyUsage does not allow digitalSignature");
        assert_string_equal(judge_chain("sealed-leaf.crt", "revoked.crl", true), "it is revoked");
}

/* An authority that ca names and that another of them has revoked; the client chooses what it sends of the chain. */
static void a_revoked_authority_lets_nobody_in(void **state)
{
        (void)state;
        assert_null(judge_leaf("none.crl", false));
        assert_null(judge_leaf("none.crl", true));
        assert_string_equal(judge_leaf("revoked.crl", true), "it is revoked");
        assert_non_null(judge_leaf("revoked.crl", false));
}

static int make_folder(void **state)
{
        (void)state;
        log_open();
        return test_folder_make(make_files);
}

static int remove_folder(void **state)
{
        (void)state;
        mistakes_of(&(struct config){ .file = (char *)"test.conf" });
        return test_folder_remove();
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(server_keys_are_checked),
                cmocka_unit_test(pre_shared_keys_are_read),
                cmocka_unit_test(pre_shared_keys_are_checked),
                cmocka_unit_test(many_identities_are_found),
                cmocka_unit_test(identities_are_checked),
                cmocka_unit_test(raw_keys_are_known_however_they_are_written),
                cmocka_unit_test(a_chain_has_an_end),
                cmocka_unit_test(what_ends_soon_is_told),
                cmocka_unit_test(every_file_is_watched),
                cmocka_unit_test(a_revoked_authority_lets_nobody_in),
                cmocka_unit_test(who_may_not_sign_is_not_let_in),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
