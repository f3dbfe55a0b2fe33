/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys, certificates, OSCORE contexts and access rules that cannot work, and that no secret is ever shown.
 */
#include "config_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"

#define PSK(identities) ENDPOINT "security: { psk: { identities = (\n" identities " ); }; };\n"
#define OSCORE(contexts) ENDPOINT "security: { oscore = (\n" contexts " ); };\n"
#define NOT_FOR_OTHERS "is open to every user, expected a file without access for others (chmod o= FILE)"

static const struct fixture_case psk_cases[] = {
        { PSK("{ identity = \"a\"; },\n{ identity = \"b\"; key = \"k\"; key_hex = \"00\"; }"),
          "@/c:3: security.psk.identities[0]: has no key, expected exactly one of key_file, key and key_hex\n"
          "@/c:4: security.psk.identities[1]: has more than one key, expected exactly one of key_file, key "
          "and key_hex\n" },
        { PSK("{ identity = \"a\"; key = \"k\"; }, { identity = \"b\"; key = \"k\"; },\n{ identity = \"a\"; "
              "key = \"k\"; }"),
          "@/c:4: security.psk.identities[2].identity: \"a\" is taken, expected another one: @/c:3 has it "
          "already\n" },
        { PSK("{ identity = \"a\"; key_hex = \"0\"; }, { identity = \"b\"; key_hex = \"zz\"; }"),
          "@/c:3: security.psk.identities[0].key_hex: the value is not valid, expected 2 to 128 bytes\n"
          "@/c:3: security.psk.identities[1].key_hex: the value is not valid, expected pairs of hex "
          "digits\n" },
        { PSK("{ identity = \"a\"; key_file = \"missing.key\"; },\n{ identity = \"b\"; key_file = "
              "\"@/open.key\"; },\n"
              "{ identity = \"c\"; key_file = \"empty.key\"; },\n{ identity = \"d\"; key_file = "
              "\"newline.key\"; },\n"
              "{ identity = \"e\"; key_file = \"long.key\"; },\n{ identity = \"f\"; key_file = \"folder\"; "
              "}"),
          "@/c:3: security.psk.identities[0].key_file: \"@/missing.key\" does not exist, expected a file\n"
          "@/c:4: security.psk.identities[1].key_file: \"@/open.key\" " NOT_FOR_OTHERS "\n"
          "@/c:5: security.psk.identities[2].key_file: \"@/empty.key\" is empty, expected a file with "
          "content\n"
          "@/c:6: security.psk.identities[3].key_file: \"@/newline.key\" holds an empty line, expected a key "
          "of 1 to 64 bytes\n"
          "@/c:7: security.psk.identities[4].key_file: \"@/long.key\" holds more, expected a key of 1 to 64 "
          "bytes\n"
          "@/c:8: security.psk.identities[5].key_file: \"@/folder\" is not a regular file, expected one\n" },
        { ENDPOINT "security: { psk: { hint = \"\"; }; };\n",
          "@/c:2: security.psk.hint: is empty, expected a string in double quotes\n" },
};

static const struct fixture_case pki_cases[] = {
        { ENDPOINT "security: { pki: {\n  private_key = \"good.key\"; }; };\n",
          "@/c:2: security.pki.certificate: is missing, expected the file of coapd's certificate\n" },
        { ENDPOINT "security: { pki: {\n  certificate = \"cert.pem\"; }; };\n",
          "@/c:2: security.pki.private_key: is missing, expected the file of the certificate's private "
          "key\n" },
        { ENDPOINT "security: { pki: {\n  certificate = \"cert.pem\"; private_key = \"open.key\";\n"
                   "  crl = \"missing.pem\"; require_client_certificate = true; }; };\n",
          "@/c:3: security.pki.private_key: \"@/open.key\" " NOT_FOR_OTHERS "\n"
          "@/c:4: security.pki.crl: \"@/missing.pem\" does not exist, expected a file\n"
          "@/c:4: security.pki.require_client_certificate: cannot tell good clients from bad ones, expected "
          "ca to name their authorities\n"
          "@/c:4: security.pki.crl: is of no use alone, expected ca to name the authorities of clients\n" },
        { ENDPOINT "security: { rpk: { private_key = \"dir-like.key\"; }; };\n",
          "@/c:2: security.rpk.private_key: \"@/dir-like.key\" " NOT_FOR_OTHERS "\n" },
};

static const struct fixture_case oscore_cases[] = {
        { OSCORE("{ sender_id = \"0\"; recipient_ids = ( \"0102030405060708\" ); master_secret = \"00\"; },\n"
                 "{ recipient_ids = ( ); master_secret = \"0x\"; master_salt = \"salt\"; id_context = \"\"; "
                 "}"),
          "@/c:3: security.oscore[0].sender_id: \"0\" is not valid, expected 0 to 7 bytes as pairs of hex "
          "digits\n"
          "@/c:3: security.oscore[0].recipient_ids[0]: \"0102030405060708\" is not valid, expected 0 to 7 "
          "bytes as pairs of hex digits\n"
          "@/c:4: security.oscore[1].sender_id: is missing, expected a string in double quotes\n"
          "@/c:4: security.oscore[1].recipient_ids: is empty, expected a string, or a list of strings such "
          "as ( \"a\", \"b\" )\n"
          "@/c:4: security.oscore[1].id_context: is empty, expected a string in double quotes\n"
          "@/c:4: security.oscore[1].master_secret: the value is not valid, expected pairs of hex digits\n"
          "@/c:4: security.oscore[1].master_salt: \"salt\" is not valid, expected pairs of hex digits\n" },
        { OSCORE("{ sender_id = \"01\"; recipient_ids = \"02\"; },\n"
                 "{ sender_id = \"01\"; recipient_ids = \"03\"; master_secret = \"00\"; master_secret_file = "
                 "\"good.hex\"; },\n"
                 "{ sender_id = \"01\"; recipient_ids = \"04\"; master_secret_file = \"bad.hex\"; }"),
          "@/c:3: security.oscore[0]: has no master secret, expected exactly one of master_secret_file and "
          "master_secret\n"
          "@/c:4: security.oscore[1]: has two master secrets, expected exactly one of master_secret_file and "
          "master_secret\n"
          "@/c:5: security.oscore[2].master_secret_file: \"@/bad.hex\" holds something else, expected 1 to "
          "128 bytes as pairs of hex digits\n" },
        { OSCORE("{ sender_id = \"aB\"; recipient_ids = ( \"02\", \"Ab\" ); master_secret = \"00\"; },\n"
                 "{ sender_id = \"05\"; recipient_ids = ( \"06\", \"02\" ); master_secret = \"00\"; },\n"
                 "{ sender_id = \"05\"; recipient_ids = ( \"02\" ); id_context = \"01\"; master_secret = "
                 "\"00\"; }"),
          "@/c:3: security.oscore[0].recipient_ids: \"Ab\" is the sender_id too, expected another id: both "
          "sides would use one key with the same nonces\n"
          "@/c:4: security.oscore[1].recipient_ids: \"02\" is taken with this id_context, expected another "
          "id: @/c:3 has it already\n" },
        /* 49 bytes, twice the recipient id and the id context have to fit into 60. */
        { "persist: { observers = \"@/observers\"; };\n" OSCORE(
                  "{ sender_id = \"01\"; recipient_ids = ( \"0203040506\", \"020304050607\" ); master_secret "
                  "= \"00\"; },\n{ sender_id = \"01\"; recipient_ids = ( \"02\", \"0203\" ); id_context = "
                  "\"0102030405060708\"; master_secret = \"00\"; }"),
          "@/c:4: security.oscore[0].recipient_ids: \"020304050607\" is too long to keep this client's "
          "observations (persist.observers), expected twice its bytes and those of id_context to be at most "
          "11, not 12: libcoap would abort\n"
          "@/c:5: security.oscore[1].recipient_ids: \"0203\" is too long to keep this client's observations "
          "(persist.observers), expected twice its bytes and those of id_context to be at most 11, not 12: "
          "libcoap would abort\n" },
};

static const struct fixture_case access_cases[] = {
        { PSK("{ identity = \"a\"; key = \"k\"; }") "access = (\n"
                                                    "  { path = \"/\"; methods = \"GET\"; allow = ( "
                                                    "\"psk:a\", \"psk:b\", \"oscore:01\", \"cert:CN=x\" ); } "
                                                    ");\n",
          "@/c:5: access[0].allow: nobody is \"psk:b\", expected one of the identities of security.psk\n"
          "@/c:5: access[0].allow: nobody is \"oscore:01\", expected one of the recipient_ids of "
          "security.oscore\n"
          "@/c:5: access[0].allow: nobody is \"cert:CN=x\", expected security.pki.ca to name the authorities "
          "of clients\n" },
};

static void psk(void **state)
{
        (void)state;
        fixture_run(psk_cases, ARRAY_LEN(psk_cases));
}

static void pki(void **state)
{
        (void)state;
        fixture_run(pki_cases, ARRAY_LEN(pki_cases));
}

static void oscore(void **state)
{
        (void)state;
        fixture_run(oscore_cases, ARRAY_LEN(oscore_cases));
}

static void access_rules(void **state)
{
        (void)state;
        fixture_run(access_cases, ARRAY_LEN(access_cases));
}

static void good_keys(void **state)
{
        struct config *config = fixture_good(
                "endpoints = ( { uri = \"coaps://127.0.0.1\"; }, { uri = \"coaps+ws://[::1]\"; } );\n"
                "persist: { observers = \"@/observers\"; };\n"
                "security: {\n"
                "  psk: { hint = \"h\"; identities = (\n"
                "    { identity = \"a\"; key_file = \"good.key\"; }, { identity = \"b\"; key = \"text\"; },\n"
                "    { identity = \"c\"; key_hex = \"00fF\"; } ); };\n"
                "  pki: { certificate = \"cert.pem\"; private_key = \"good.key\"; ca = \"cert.pem\"; crl = "
                "\"cert.pem\";\n"
                "    require_client_certificate = true; };\n"
                "  rpk: { private_key = \"@/good.key\"; };\n"
                "  oscore = ( { sender_id = \"\"; recipient_ids = ( \"01\", \"0203040506\" ); "
                "master_secret_file = \"good.hex\";\n    master_salt = \"00\"; },\n"
                "    { sender_id = \"09\"; recipient_ids = \"01\"; id_context = \"0102030405060708\"; "
                "master_secret = \"aa\"; } );\n};\n"
                "access = ( { path = \"/\"; methods = ( \"GET\", \"OBSERVE\" );\n"
                "  allow = ( \"anyone\", \"psk:a\", \"cert:CN=x\", \"oscore:01\", \"net:10.0.0.0/8\", "
                "\"net:::1\", \"net:0.0.0.0/0\" ); } );\n");
        const struct conf_psk_identity *identities = config->security.psk.identities.v;
        const struct conf_oscore *contexts = config->security.oscore.v;

        (void)state;
        assert_string_equal(identities[0].key_file, fixture_path("good.key"));
        assert_string_equal(identities[1].key, "text");
        assert_string_equal(identities[2].key_hex, "00fF");
        assert_string_equal(config->security.pki.private_key, fixture_path("good.key"));
        assert_true(config->security.pki.require_client_certificate);
        assert_string_equal(contexts[0].sender_id, "");
        assert_int_equal(contexts[0].recipient_ids.n, 2);
        assert_string_equal(contexts[1].id_context, "0102030405060708");
        config_free(config);
}

/* What systemd hands over with LoadCredential= is found by its name alone. */
static void credentials(void **state)
{
        static const struct fixture_case none = {
                PSK("{ identity = \"a\"; key_file = \"credential:a\"; }"),
                "@/c:3: security.psk.identities[0].key_file: "
                "\"/run/credentials/coapd.service/a\" is no credential of the running service, expected one "
                "in "
                "/etc/credstore or of LoadCredential=, which the next start finds\n"
        };
        static const struct fixture_case missing = {
                PSK("{ identity = \"a\"; key_file = \"credential:b\"; }"),
                "@/c:3: security.psk.identities[0].key_file: \"@/credentials/b\" does not exist, expected a "
                "file\n"
        };
        const struct conf_psk_identity *identities;
        struct config *config;

        (void)state;
        fixture_write("credentials/a", "from systemd", 0400);
        unsetenv("CREDENTIALS_DIRECTORY");
        fixture_run(&none, 1);
        setenv("CREDENTIALS_DIRECTORY", fixture_path("credentials"), 1);
        fixture_run(&missing, 1);
        config = fixture_good(PSK("{ identity = \"a\"; key_file = \"credential:a\"; },\n"
                                  "{ identity = \"b\"; key_file = \"a\"; },\n"
                                  "{ identity = \"c\"; key_file = \"good.key\"; }"));
        identities = config->security.psk.identities.v;
        assert_string_equal(identities[0].key_file, fixture_path("credentials/a"));
        assert_string_equal(identities[1].key_file, fixture_path("credentials/a"));
        assert_string_equal(identities[2].key_file, fixture_path("good.key"));
        config_free(config);
        unsetenv("CREDENTIALS_DIRECTORY");
}

/* Each line has a secret in it and something wrong with it. */
static void secrets_are_never_shown(void **state)
{
        static const char *const texts[] = {
                PSK("{ identity = \"a\"; key_hex = \"hunter2\"; }"),
                PSK("{ identity = \"a\"; key = "
                    "\"hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-hunter2-x-x\"; }"),
                PSK("{ identity = \"a\"; key = \"hunter2\"; key_hex = \"hunter2\"; }"),
                PSK("{ identity = \"a\"; key = ( \"hunter2\" ); }"),
                PSK("{ identity = \"a\"; key \"hunter2\"; }"),
                PSK("{ identity = \"a\"; key = \"hunter2; }"),
                PSK("{ identity = \"a\"; kye = \"hunter2\"; }"),
                OSCORE("{ sender_id = \"01\"; recipient_ids = \"02\"; master_secret = \"hunter2\"; }"),
        };
        struct config *config = NULL;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
                assert_int_equal(fixture_load(texts[i], &config), -EINVAL);
                assert_string_not_equal(fixture_errors(), "");
                if (strstr(fixture_errors(), "hunter2"))
                        fail_msg("a secret is shown: %s", fixture_errors());
        }
}

/* Stand in for libc's, to see what is wiped; the second one is what _FORTIFY_SOURCE makes of the first. */
void spy_bzero(void *p, size_t n) __asm__("explicit_bzero");
void spy_bzero_checked(void *p, size_t n, size_t room) __asm__("__explicit_bzero_chk");

static unsigned wiped;

void spy_bzero(void *p, size_t n)
{
        wiped += memmem(p, n, "to-be-wiped", 11) != NULL;
        memset(p, 0, n);
}

void spy_bzero_checked(void *p, size_t n, size_t room)
{
        assert_true(n <= room);
        spy_bzero(p, n);
}

static void secrets_are_wiped(void **state)
{
        struct config *config;

        (void)state;
        wiped = 0;
        config = fixture_good(PSK("{ identity = \"a\"; key = \"to-be-wiped\"; }"));
        /* What was read, the file's text, the text with includes before and after it is enlarged, libconfig's tree. */
        assert_int_equal(wiped, 5);
        config_free(config);
        assert_int_equal(wiped, 6);

        /* Once more what groups put together come from. What they grow in counts by what malloc() left in its room. */
        fixture_write("empty.conf", "security: { };\n", 0644);
        wiped = 0;
        config =
                fixture_good(PSK("{ identity = \"a\"; key = \"to-be-wiped\"; }") "@include \"empty.conf\"\n");
        assert_in_range(wiped, 6, 7);
        config_free(config);
}

static void secrets_are_not_in_the_diff(void **state)
{
        struct config *old = fixture_good(PSK("{ identity = \"a\"; key = \"hunter1\"; }"));
        struct config *new = fixture_good(PSK("{ identity = \"a\"; key = \"hunter2\"; }"));
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        (void)state;
        assert_int_equal(config_diff(old, new, out), 0);
        fclose(out);
        assert_string_equal(text, "security.psk.identities[a].key\n");
        free(text);
        config_free(old);
        config_free(new);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(psk),
                cmocka_unit_test(pki),
                cmocka_unit_test(oscore),
                cmocka_unit_test(access_rules),
                cmocka_unit_test(good_keys),
                cmocka_unit_test(credentials),
                cmocka_unit_test(secrets_are_never_shown),
                cmocka_unit_test(secrets_are_wiped),
                cmocka_unit_test(secrets_are_not_in_the_diff),
        };

        return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
