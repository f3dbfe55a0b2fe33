/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys of every kind, with a libcoap server in this process and coap-client-gnutls as its clients: who gets
 * in, and as whom.
 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "folder_fixture.h"

#include "base/log.h"
#include "base/util.h"
#include "security/security.h"

#define KEY "0123456789abcdef"

/* Authorities, a server, clients of every sort. Runs once, in the folder of the test. */
static const char make_files[] =
        "set -e\n"
        "key() { for k; do certtool --generate-privkey --key-type ecdsa --curve secp256r1 --no-text"
        " --outfile $k.key 2>/dev/null; done; chmod 600 *.key; }\n"
        "sign() { name=$1; ca=$2; shift 2; printf '%s\\n' \"$@\" >$name.cfg; certtool --generate-certificate"
        " --load-privkey $name.key --load-ca-certificate $ca.crt --load-ca-privkey $ca.key --template "
        "$name.cfg"
        " --outfile $name.crt 2>/dev/null; }\n"
        "self() { name=$1; shift; printf '%s\\n' \"$@\" >$name.cfg; certtool --generate-self-signed"
        " --load-privkey $name.key --template $name.cfg --outfile $name.crt 2>/dev/null; }\n"
        "key ca otherca server ops self old revoked stranger forserver raw rawclient rawother\n"
        "self ca 'cn = Test CA' ca cert_signing_key crl_signing_key 'expiration_days = 1000'\n"
        "self otherca 'cn = Other CA' ca cert_signing_key 'expiration_days = 1000'\n"
        "sign server ca 'cn = localhost' 'dns_name = localhost' 'ip_address = 127.0.0.1' tls_www_server"
        " signing_key 'expiration_days = 1000'\n"
        "sign ops ca 'cn = ops' 'organization = Example' 'dns_name = ops.example' signing_key"
        " 'expiration_days = 1000'\n"
        "sign old ca 'cn = old' signing_key 'activation_date = 2020-01-01 00:00:00'"
        " 'expiration_date = 2021-01-01 00:00:00'\n"
        "sign revoked ca 'cn = revoked' signing_key 'serial = 77' 'expiration_days = 1000'\n"
        "sign stranger otherca 'cn = ops' signing_key 'expiration_days = 1000'\n"
        "sign forserver ca 'cn = ops' tls_www_server signing_key 'expiration_days = 1000'\n"
        "self self 'cn = ops' signing_key 'expiration_days = 1000'\n"
        "printf 'crl_next_update = 900\\ncrl_number = 1\\n' >crl.cfg\n"
        "certtool --generate-crl --load-ca-privkey ca.key --load-ca-certificate ca.crt"
        " --load-certificate revoked.crt --template crl.cfg --outfile ca.crl 2>/dev/null\n"
        "printf 'crl_next_update = 900\\ncrl_number = 1\\n' >crl.cfg\n"
        "certtool --generate-crl --load-ca-privkey ca.key --load-ca-certificate ca.crt"
        " --template crl.cfg --outfile empty.crl 2>/dev/null\n"
        "for k in raw rawclient rawother; do openssl ec -in $k.key -out $k.pem 2>/dev/null; cp $k.pem $k.key;"
        " done; chmod 600 *.key\n"
        "openssl pkey -in rawclient.key -pubout -outform DER 2>/dev/null | sha256sum | cut -c1-64 "
        ">rawclient.sha\n";

struct fixture {
        struct conf_psk_identity identities[2];
        struct conf_access_rule rule;
        char *allow[1];
        struct config config;
        struct security *security;
        coap_context_t *context;
        uint16_t port;
        char who[256]; /* of the last request */
        unsigned requests;
};

static void handle(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
        struct fixture *f = coap_resource_get_userdata(resource);
        struct identity who;

        (void)query;
        security_begin(f->security, session, request, false);
        security_identify(f->security, session, &who);
        identity_describe(&who, f->who, sizeof(f->who));
        for (size_t i = 0; i < who.n_names; i++)
                snprintf(f->who + strlen(f->who), sizeof(f->who) - strlen(f->who), " %.*s",
                         (int)who.names[i].n, (const char *)who.names[i].p);
        f->requests++;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
        coap_add_data(response, strlen(f->who), (const uint8_t *)f->who);
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));

        f->config.file = (char *)"test.conf";
        f->identities[0] = (struct conf_psk_identity){ .identity = (char *)"sensor-1", .key = (char *)KEY };
        f->identities[1] =
                (struct conf_psk_identity){ .identity = (char *)"sensor-2", .key_hex = (char *)"00ff10" };
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        coap_free_context(f->context);
        security_free(f->security);
        free(f);
        return 0;
}

static void use_psk(struct fixture *f)
{
        f->config.security.psk.hint = (char *)"coapd";
        f->config.security.psk.identities = (struct conf_list){ f->identities, 2 };
}

static void use_pki(struct fixture *f)
{
        f->config.security.pki = (struct conf_pki){ .certificate = in_folder("server.crt"),
                                                    .private_key = in_folder("server.key"),
                                                    .ca = in_folder("ca.crt") };
}

static struct security *load(struct fixture *f)
{
        struct security *security = NULL;

        assert_int_equal(security_load(&f->config, stderr, &security), 0);
        return security;
}

/* An endpoint for UDP or TCP with security on a free port of loopback. */
static void open_endpoint(struct fixture *f, coap_proto_t proto)
{
        coap_address_t address;
        coap_endpoint_t *endpoint = NULL;

        for (int i = 0; i < 50 && !endpoint; i++) {
                coap_address_init(&address);
                address.addr.sin.sin_family = AF_INET;
                address.size = sizeof(address.addr.sin);
                address.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                f->port = (uint16_t)(20000 + random() % 12000);
                address.addr.sin.sin_port = htons(f->port);
                endpoint = coap_new_endpoint(f->context, &address, proto);
        }
        assert_non_null(endpoint);
}

static void serve(struct fixture *f, coap_proto_t proto)
{
        coap_resource_t *resource = coap_resource_init(coap_make_str_const("who"), 0);

        f->security = load(f);
        f->context = coap_new_context(NULL);
        assert_int_equal(security_attach(f->security, shards_of_one(&f->context)), 0);
        coap_resource_set_userdata(resource, f);
        coap_register_request_handler(resource, COAP_REQUEST_GET, handle);
        coap_resource_set_get_observable(resource, 1);
        coap_add_resource(f->context, resource);
        open_endpoint(f, proto);
}

static pid_t start_client(const struct fixture *f, bool tcp, const char *seconds, const char *const options[])
{
        const char *argv[32] = { "coap-client-gnutls", "-B", seconds, "-v", "6" };
        char uri[64];
        size_t n = 5;
        pid_t pid;

        while (*options)
                argv[n++] = *options++;
        snprintf(uri, sizeof(uri), "coaps%s://127.0.0.1:%u/who", tcp ? "+tcp" : "", f->port);
        argv[n++] = uri;
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                int fd = open(in_folder("client.log"), O_WRONLY | O_CREAT | O_TRUNC, 0600);

                dup2(fd, 1);
                dup2(fd, 2);
                execvp(argv[0], (char **)argv);
                _exit(127);
        }
        return pid;
}

static void serve_until_exit(struct fixture *f, pid_t pid)
{
        while (waitpid(pid, NULL, WNOHANG) == 0)
                coap_io_process(f->context, 20);
        for (int i = 0; i < 5; i++) /* its last words */
                coap_io_process(f->context, COAP_IO_NO_WAIT);
}

/* The identity that the server saw, or NULL when no request came through. */
static const char *ask(struct fixture *f, bool tcp, const char *const options[])
{
        unsigned before = f->requests;

        serve_until_exit(f, start_client(f, tcp, "2", options));
        return f->requests > before ? f->who : NULL;
}

#define ASK(f, tcp, ...) ask((f), (tcp), (const char *const[]){ __VA_ARGS__, NULL })
#define CLIENT(name)                                                                                         \
        "-n", "-c", in_folder(name ".crt"), "-j", in_folder(name ".key"), "-C", in_folder("ca.crt")

static void read_log(char *out, size_t size)
{
        CLEANUP(closep) int fd = open(in_folder("client.log"), O_RDONLY);
        ssize_t n = read(fd, out, size - 1);

        out[n > 0 ? n : 0] = '\0';
}

static void psk_over(coap_proto_t proto, struct fixture *f)
{
        bool tcp = proto == COAP_PROTO_TLS;

        use_psk(f);
        serve(f, proto);
        assert_string_equal(ASK(f, tcp, "-u", "sensor-1", "-k", KEY), "psk:sensor-1");
        assert_null(ASK(f, tcp, "-u", "sensor-1", "-k", "fedcba9876543210"));
        assert_null(ASK(f, tcp, "-u", "sensor-3", "-k", KEY));
        assert_null(ASK(f, tcp, "-u", "sensor-2", "-k", KEY));
        assert_null(ASK(f, tcp, "-n"));
}

static void psk_over_dtls(void **state)
{
        psk_over(COAP_PROTO_DTLS, *state);
}

static void psk_over_tls(void **state)
{
        psk_over(COAP_PROTO_TLS, *state);
}

static void certificates_over(coap_proto_t proto, struct fixture *f)
{
        bool tcp = proto == COAP_PROTO_TLS;

        use_pki(f);
        f->config.security.pki.crl = in_folder("ca.crl");
        serve(f, proto);
        assert_string_equal(ASK(f, tcp, CLIENT("ops")),
                            "cert:CN=ops,O=Example CN=ops O=Example DNS=ops.example");
        assert_string_equal(ASK(f, tcp, "-C", in_folder("ca.crt")), "anyone");
        assert_null(ASK(f, tcp, CLIENT("old")));
        assert_null(ASK(f, tcp, CLIENT("revoked")));
        assert_null(ASK(f, tcp, CLIENT("forserver")));
        /* GnuTLS does not show a certificate of an authority that the server did not ask for. */
        assert_string_equal(ASK(f, tcp, CLIENT("self")), "anyone");
        assert_string_equal(ASK(f, tcp, CLIENT("stranger")), "anyone");
        assert_null(ASK(f, tcp, "-u", "sensor-1", "-k", KEY));
}

static void certificates_over_dtls(void **state)
{
        certificates_over(COAP_PROTO_DTLS, *state);
}

static void certificates_over_tls(void **state)
{
        certificates_over(COAP_PROTO_TLS, *state);
}

/* OpenSSL shows whatever it is told to. What its client says of the server's alert, or NULL. */
static const char *openssl_alert(struct fixture *f, const char *certificate)
{
        static char output[16384];
        char command[512];
        const char *alert;
        pid_t pid;

        snprintf(command, sizeof(command),
                 "sleep 1 | timeout 10 openssl s_client -connect 127.0.0.1:%u -cert %s/%s.crt -key %s/%s.key"
                 " >%s/client.log 2>&1",
                 f->port, test_folder, certificate, test_folder, certificate, test_folder);
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                execl("/bin/sh", "sh", "-c", command, NULL);
                _exit(127);
        }
        serve_until_exit(f, pid);
        read_log(output, sizeof(output));
        alert = strstr(output, "alert ");
        output[alert ? (size_t)(alert - output) + strcspn(alert, ":\n") : 0] = '\0';
        return alert;
}

static void a_refused_certificate_is_told_why(void **state)
{
        struct fixture *f = *state;

        use_pki(f);
        f->config.security.pki.crl = in_folder("ca.crl");
        serve(f, COAP_PROTO_TLS);
        assert_null(openssl_alert(f, "ops"));
        assert_string_equal(openssl_alert(f, "self"), "alert unknown ca");
        assert_string_equal(openssl_alert(f, "stranger"), "alert unknown ca");
        assert_string_equal(openssl_alert(f, "old"), "alert certificate expired");
        assert_string_equal(openssl_alert(f, "revoked"), "alert certificate revoked");
        assert_string_equal(openssl_alert(f, "forserver"), "alert unsupported certificate");
        assert_int_equal(f->requests, 0);
}

/* Whether `openssl s_client` with these options gets through the handshake; what it says is in the log. */
static bool openssl_connects(struct fixture *f, const char *options)
{
        static char output[16384];
        char command[512];
        const char *cipher;
        pid_t pid;

        snprintf(command, sizeof(command),
                 "sleep 0.5 | timeout 10 openssl s_client -tls1_2 -connect 127.0.0.1:%u %s >%s/client.log "
                 "2>&1",
                 f->port, options, test_folder);
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                execl("/bin/sh", "sh", "-c", command, NULL);
                _exit(127);
        }
        serve_until_exit(f, pid);
        read_log(output, sizeof(output));
        cipher = strstr(output, "Cipher is ");
        return cipher && strncmp(cipher, "Cipher is (NONE)", 16) != 0 && !strstr(output, ":SSL alert number");
}

static bool log_has(const char *text)
{
        char output[16384];

        read_log(output, sizeof(output));
        return strstr(output, text);
}

static void names_have_keys_of_their_own(void **state)
{
#define OPENSSL_PSK(key) " -cipher PSK -psk_identity sensor-1 -psk " key
        static char *org[] = { (char *)"Coap.Example.org" }, *net[] = { (char *)"*.example.net" };
        struct fixture *f = *state;
        struct conf_psk_identity other = { .identity = (char *)"sensor-1", .key_hex = (char *)"bbbb" };
        struct conf_sni hosts[] = {
                { .names = { org, 1 },
                  .psk = { .identities = { &other, 1 } },
                  .pki = { .certificate = in_folder("ops.crt"), .private_key = in_folder("ops.key") } },
                { .names = { net, 1 },
                  .pki = { .certificate = in_folder("old.crt"), .private_key = in_folder("old.key") } },
        };

        f->identities[0].key = NULL;
        f->identities[0].key_hex = (char *)"aaaa";
        use_psk(f);
        use_pki(f);
        f->config.security.sni = (struct conf_list){ hosts, 2 };
        serve(f, COAP_PROTO_TLS);
        assert_true(openssl_connects(f, "-noservername" OPENSSL_PSK("aaaa")));
        assert_false(openssl_connects(f, "-noservername" OPENSSL_PSK("bbbb")));
        assert_true(openssl_connects(f, "-servername elsewhere.example" OPENSSL_PSK("aaaa")));
        assert_true(openssl_connects(f, "-servername coap.example.org" OPENSSL_PSK("bbbb")));
        assert_true(openssl_connects(f, "-servername COAP.EXAMPLE.ORG" OPENSSL_PSK("bbbb")));
        assert_false(openssl_connects(f, "-servername coap.example.org" OPENSSL_PSK("aaaa")));
        assert_false(openssl_connects(f, "-servername a.example.net" OPENSSL_PSK("aaaa")));
        assert_true(openssl_connects(f, "-noservername") && log_has("localhost"));
        assert_true(openssl_connects(f, "-servername coap.example.org") && log_has("Example"));
        assert_true(openssl_connects(f, "-servername a.example.net") && log_has("CN=old"));
        assert_true(openssl_connects(f, "-servername a.b.example.net") && log_has("localhost"));
        assert_true(openssl_connects(f, "-servername example.net") && log_has("localhost"));
}

static void certificates_can_be_required(void **state)
{
        struct fixture *f = *state;

        use_pki(f);
        f->config.security.pki.require_client_certificate = true;
        serve(f, COAP_PROTO_DTLS);
        assert_null(ASK(f, false, "-C", in_folder("ca.crt")));
        assert_non_null(ASK(f, false, CLIENT("ops")));
}

static void all_kinds_of_keys_at_once(void **state)
{
        struct fixture *f = *state;

        use_psk(f);
        use_pki(f);
        serve(f, COAP_PROTO_DTLS);
        assert_string_equal(ASK(f, false, "-u", "sensor-1", "-k", KEY), "psk:sensor-1");
        assert_non_null(ASK(f, false, CLIENT("ops")));
        assert_null(ASK(f, false, "-u", "sensor-1", "-k", "wrong"));
}

static void read_text(const char *name, char *out, size_t size)
{
        CLEANUP(closep) int fd = open(in_folder(name), O_RDONLY);
        ssize_t n = read(fd, out, size - 1);

        out[n > 0 ? n : 0] = '\0';
        out[strcspn(out, "\n")] = '\0';
}

static void use_rpk(struct fixture *f)
{
        static char subject[80] = "rpk:";

        read_text("rawclient.sha", subject + 4, sizeof(subject) - 4);
        f->allow[0] = subject;
        f->rule.allow = (struct conf_strings){ f->allow, 1 };
        f->config.access = (struct conf_list){ &f->rule, 1 };
        f->config.security.rpk.private_key = in_folder("raw.key");
}

static void raw_public_keys(void **state)
{
        struct fixture *f = *state;

        use_rpk(f);
        serve(f, COAP_PROTO_DTLS);
        assert_string_equal(ASK(f, false, "-n", "-M", in_folder("rawclient.pem")), f->allow[0]);
        assert_null(ASK(f, false, "-n", "-M", in_folder("rawother.pem")));
        assert_null(ASK(f, false, CLIENT("ops")));
}

static void raw_public_keys_beside_certificates(void **state)
{
        struct fixture *f = *state;

        use_rpk(f);
        use_pki(f);
        use_psk(f);
        serve(f, COAP_PROTO_DTLS);
        assert_string_equal(ASK(f, false, "-n", "-M", in_folder("rawclient.pem")), f->allow[0]);
        assert_non_null(ASK(f, false, CLIENT("ops")));
        assert_string_equal(ASK(f, false, "-u", "sensor-1", "-k", KEY), "psk:sensor-1");
        assert_null(ASK(f, false, "-n", "-M", in_folder("rawother.pem")));
}

/* What a client can see of a failed handshake: everything that its log says, ports and times aside. */
static void failure_of(struct fixture *f, bool tcp, const char *identity, const char *key, char *out,
                       size_t size)
{
        char raw[16384], *to = out;
        size_t lines = 0;

        assert_null(ASK(f, tcp, "-u", identity, "-k", key));
        read_log(raw, sizeof(raw));
        for (char *line = strtok(raw, "\n"); line; line = strtok(NULL, "\n")) {
                char *alert = strstr(line, "lert");

                if (alert)
                        to += snprintf(to, size - (size_t)(to - out), "%s\n", alert);
                lines++;
        }
        assert_true(lines > 0);
        *to = '\0';
}

static void an_unknown_identity_looks_like_a_wrong_key(void **state)
{
        static const bool transports[] = { false, true };

        for (size_t i = 0; i < ARRAY_LEN(transports); i++) {
                char wrong_key[4096], unknown[4096];
                struct fixture *f = *state;

                use_psk(f);
                serve(f, transports[i] ? COAP_PROTO_TLS : COAP_PROTO_DTLS);
                failure_of(f, transports[i], "sensor-1", "fedcba9876543210", wrong_key, sizeof(wrong_key));
                failure_of(f, transports[i], "sensor-9", "fedcba9876543210", unknown, sizeof(unknown));
                assert_string_equal(wrong_key, unknown);
                print_message("a refused client is told: %s", unknown);
                tear_down(state);
                set_up(state);
        }
}

/* Observes with `options`, reloads what `change` makes of the config, and tells whether the session lived on.
 */
static bool survives(struct fixture *f, void (*change)(struct fixture *f), const char *const options[])
{
        const char *all[32] = { "-s", "30" };
        unsigned before = f->requests;
        size_t closed;
        pid_t pid;

        for (size_t i = 0; options[i]; i++)
                all[i + 2] = options[i];
        pid = start_client(f, false, "30", all);
        while (f->requests == before)
                coap_io_process(f->context, 20);
        change(f);
        closed = security_replace(f->security, load(f));
        before = f->requests;
        coap_resource_notify_observers(
                coap_get_resource_from_uri_path(f->context, coap_make_str_const("who")), NULL);
        for (int i = 0; i < 100 && f->requests == before; i++) {
                coap_io_process(f->context, 20);
                if (closed && i == 10)
                        break;
        }
        assert_int_equal(f->requests > before, closed == 0);
        kill(pid, SIGINT); /* on which it says goodbye */
        serve_until_exit(f, pid);
        return closed == 0;
}

#define SURVIVES(f, change, ...) survives((f), (change), (const char *const[]){ __VA_ARGS__, NULL })
#define SENSOR_1 "-u", "sensor-1", "-k", KEY

static void change_nothing(struct fixture *f)
{
        (void)f;
}

static void change_other_key(struct fixture *f)
{
        f->identities[1].key_hex = (char *)"aabb";
}

static void change_key(struct fixture *f)
{
        f->identities[0].key = (char *)"another key";
}

static void change_identity(struct fixture *f)
{
        f->identities[0].identity = (char *)"sensor-7";
}

static void change_to_revoked(struct fixture *f)
{
        f->config.security.pki.crl = in_folder("ca.crl");
}

static void change_authority(struct fixture *f)
{
        f->config.security.pki.ca = in_folder("otherca.crt");
        f->config.security.pki.crl = NULL;
}

static void a_reload_ends_only_who_is_no_longer_welcome(void **state)
{
        struct fixture *f = *state;

        use_psk(f);
        use_pki(f);
        serve(f, COAP_PROTO_DTLS);
        assert_true(SURVIVES(f, change_nothing, SENSOR_1));
        assert_true(SURVIVES(f, change_other_key, SENSOR_1));
        assert_false(SURVIVES(f, change_key, SENSOR_1));
        assert_null(ASK(f, false, SENSOR_1));
        assert_non_null(ASK(f, false, "-u", "sensor-1", "-k", "another key"));
        f->identities[0].key = (char *)KEY;
        security_replace(f->security, load(f));
        assert_false(SURVIVES(f, change_identity, SENSOR_1));
        assert_true(SURVIVES(f, change_nothing, CLIENT("ops")));
        assert_true(SURVIVES(f, change_nothing, CLIENT("revoked")));
        assert_false(SURVIVES(f, change_to_revoked, CLIENT("revoked")));
        assert_true(SURVIVES(f, change_nothing, CLIENT("ops")));
        assert_false(SURVIVES(f, change_authority, CLIENT("ops")));
}

/*
 * Whenever in a handshake the reload comes: who was let in by the keys of before alone is nobody. Whether it came in
 * the middle of one is seen by that.
 */
static void who_shook_hands_over_a_reload_is_judged_again(void **state)
{
        enum { STEPS = 12 };
        struct fixture *f = *state;
        unsigned strangers = 0;

        use_psk(f);
        serve(f, COAP_PROTO_TLS);
        for (int steps = 1; steps < STEPS; steps++) {
                unsigned before = f->requests;
                pid_t pid = start_client(f, true, "2", (const char *const[]){ SENSOR_1, NULL });

                for (int i = 0; i < steps && f->requests == before; i++) {
                        struct pollfd fd = { .fd = coap_context_get_coap_fd(f->context), .events = POLLIN };

                        assert_int_equal(poll(&fd, 1, 20000), 1);
                        coap_io_process(f->context, COAP_IO_NO_WAIT);
                }
                if (f->requests > before)
                        steps = STEPS; /* all were there */
                f->who[0] = '\0';
                change_identity(f);
                security_replace(f->security, load(f));
                serve_until_exit(f, pid);
                assert_string_not_equal(f->who, "psk:sensor-1");
                strangers += strcmp(f->who, "anyone") == 0;
                f->identities[0].identity = (char *)"sensor-1";
                security_replace(f->security, load(f));
        }
        assert_true(strangers > 0);
}

static int make_folder(void **state)
{
        (void)state;
        log_open();
        srandom((unsigned)getpid());
        coap_startup();
        coap_set_log_level(COAP_LOG_EMERG);
        return test_folder_make(make_files);
}

static int remove_folder(void **state)
{
        (void)state;
        coap_cleanup();
        return test_folder_remove();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                TEST(psk_over_dtls),
                TEST(psk_over_tls),
                TEST(certificates_over_dtls),
                TEST(certificates_over_tls),
                TEST(certificates_can_be_required),
                TEST(all_kinds_of_keys_at_once),
                TEST(a_refused_certificate_is_told_why),
                TEST(names_have_keys_of_their_own),
                TEST(raw_public_keys),
                TEST(raw_public_keys_beside_certificates),
                TEST(an_unknown_identity_looks_like_a_wrong_key),
                TEST(a_reload_ends_only_who_is_no_longer_welcome),
                TEST(who_shook_hands_over_a_reload_is_judged_again),
        };

        return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
