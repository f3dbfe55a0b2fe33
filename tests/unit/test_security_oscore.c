/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * OSCORE with a libcoap server in this process, coap-client-gnutls as the client, and between them a relay of
 * ours that keeps what it passes on, so that the test can replay and forge what comes from the client's
 * address.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/log.h"
#include "base/util.h"
#include "security/oscore_internal.h"
#include "security/security.h"

#define SECRET "0102030405060708090a0b0c0d0e0f10"
#define SALT "9e7ca92223786340"
#define MAX_DATAGRAMS 32

struct datagram {
        uint8_t p[1500];
        size_t n;
};

struct fixture {
        struct conf_oscore contexts[2];
        char *recipients[2];
        struct config config;
        struct security *security;
        struct security_store store;
        uint64_t stored;
        bool has_stored;
        int store_error;
        unsigned saves;
        coap_context_t *context;
        uint16_t port;
        char who[128]; /* of the last request */
        unsigned requests;
        int outside, inside; /* the relay's sockets: to the client, to the server */
        uint16_t relay_port;
        struct sockaddr_in client;
        struct datagram to_server[MAX_DATAGRAMS], to_client[MAX_DATAGRAMS];
        size_t n_to_server, n_to_client;
        char client_conf[64], client_sequence[64]; /* a client that counted anew would look like a replay */
};

static int load_number(void *user, const char *name, uint64_t *ret_number)
{
        struct fixture *f = user;

        assert_int_equal(strlen(name), OSCORE_NAME_SIZE - 1);
        *ret_number = f->stored;
        return f->has_stored ? 0 : -ENOENT;
}

static int save_number(void *user, const char *name, uint64_t number)
{
        struct fixture *f = user;

        (void)name;
        f->saves++;
        if (f->store_error)
                return f->store_error;
        assert_true(!f->has_stored || number > f->stored);
        f->stored = number;
        f->has_stored = true;
        return 0;
}

static void handle(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
        struct fixture *f = coap_resource_get_userdata(resource);
        struct identity who;

        (void)query;
        security_begin(f->security, session, request, false);
        security_identify(f->security, session, &who);
        identity_describe(&who, f->who, sizeof(f->who));
        security_end(f->security);
        f->requests++;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
        coap_add_data(response, strlen(f->who), (const uint8_t *)f->who);
}

static int bound_socket(uint16_t *ret_port)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        socklen_t n = sizeof(address);
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
        *ret_port = ntohs(address.sin_port);
        return fd;
}

static void write_client_conf(struct fixture *f, const char *secret, const char *sender)
{
        FILE *out = fopen(f->client_conf, "w");

        assert_non_null(out);
        fprintf(out,
                "master_secret,hex,\"%s\"\nmaster_salt,hex,\"%s\"\nsender_id,hex,\"%s\"\n"
                "recipient_id,hex,\"01\"\n",
                secret, SALT, sender);
        fclose(out);
}

static struct security *load(struct fixture *f)
{
        struct security *security = NULL;

        assert_int_equal(security_load(&f->config, stderr, &security), 0);
        return security;
}

static void start_server(struct fixture *f)
{
        coap_resource_t *resource = coap_resource_init(coap_make_str_const("who"), 0);
        struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        coap_endpoint_t *endpoint = NULL;
        coap_address_t address;

        f->security = load(f);
        f->context = coap_new_context(NULL);
        assert_int_equal(security_attach(f->security, shards_of_one(&f->context)), 0);
        assert_int_equal(security_open_oscore(f->security, shards_of_one(&f->context), &f->store), 0);
        coap_resource_set_userdata(resource, f);
        coap_register_request_handler(resource, COAP_REQUEST_GET, handle);
        coap_resource_set_get_observable(resource, 1);
        coap_add_resource(f->context, resource);
        for (int i = 0; i < 50 && !endpoint; i++) {
                f->port = (uint16_t)(20000 + random() % 12000);
                to.sin_port = htons(f->port);
                coap_address_init(&address);
                address.size = sizeof(to);
                memcpy(&address.addr.sin, &to, sizeof(to));
                endpoint = coap_new_endpoint(f->context, &address, COAP_PROTO_UDP);
        }
        assert_non_null(endpoint);
        assert_int_equal(connect(f->inside, (struct sockaddr *)&to, sizeof(to)), 0);
}

static void stop_server(struct fixture *f)
{
        coap_free_context(f->context);
        security_free(f->security);
        f->context = NULL;
        f->security = NULL;
}

static int set_up(void **state)
{
        struct fixture *f = calloc(1, sizeof(*f));
        uint16_t unused;
        int fd;

        f->config.file = (char *)"test.conf";
        f->recipients[0] = (char *)"02";
        f->recipients[1] = (char *)"03";
        f->contexts[0] = (struct conf_oscore){ .at = { "test.conf", 1 },
                                               .sender_id = (char *)"01",
                                               .recipient_ids = { f->recipients, 1 },
                                               .master_secret = (char *)SECRET,
                                               .master_salt = (char *)SALT };
        f->config.security.oscore = (struct conf_list){ f->contexts, 1 };
        f->store = (struct security_store){ .load = load_number, .save = save_number, .user = f };
        strcpy(f->client_conf, "/tmp/coapd-oscore-XXXXXX");
        fd = mkstemp(f->client_conf);
        close(fd);
        snprintf(f->client_sequence, sizeof(f->client_sequence), "%s.seq", f->client_conf);
        write_client_conf(f, SECRET, "02");
        f->outside = bound_socket(&f->relay_port);
        f->inside = bound_socket(&unused);
        start_server(f);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        stop_server(f);
        close(f->outside);
        close(f->inside);
        unlink(f->client_conf);
        unlink(f->client_sequence);
        free(f);
        return 0;
}

static void keep(struct datagram *kept, size_t *n, const uint8_t *p, size_t size)
{
        if (*n == MAX_DATAGRAMS)
                return;
        memcpy(kept[*n].p, p, size);
        kept[(*n)++].n = size;
}

/* One turn of everything; returns whether something happened. */
static bool turn(struct fixture *f)
{
        socklen_t length = sizeof(f->client);
        uint8_t buffer[1500];
        bool any = false;
        ssize_t n;

        coap_io_process(f->context, COAP_IO_NO_WAIT);
        while ((n = recvfrom(f->outside, buffer, sizeof(buffer), 0, (struct sockaddr *)&f->client, &length)) >
               0) {
                keep(f->to_server, &f->n_to_server, buffer, (size_t)n);
                assert_int_equal(send(f->inside, buffer, (size_t)n, 0), n);
                any = true;
        }
        while ((n = recv(f->inside, buffer, sizeof(buffer), 0)) > 0) {
                keep(f->to_client, &f->n_to_client, buffer, (size_t)n);
                sendto(f->outside, buffer, (size_t)n, 0, (struct sockaddr *)&f->client, sizeof(f->client));
                any = true;
        }
        return any;
}

/* Waits a little for anything to come. */
static void idle(struct fixture *f)
{
        struct pollfd fds[] = { { .fd = f->outside, .events = POLLIN },
                                { .fd = f->inside, .events = POLLIN },
                                { .fd = coap_context_get_coap_fd(f->context), .events = POLLIN } };

        poll(fds, 3, 5);
}

static void settle(struct fixture *f)
{
        for (int quiet = 0; quiet < 5;) {
                quiet = turn(f) ? 0 : quiet + 1;
                if (quiet)
                        idle(f);
        }
}

static pid_t start_client(struct fixture *f, bool oscore, const char *const options[])
{
        const char *argv[24] = { "coap-client-gnutls", "-B", "2", "-v", "0" };
        char uri[64], files[160];
        size_t n = 5;
        pid_t pid;

        snprintf(files, sizeof(files), "%s,%s", f->client_conf, f->client_sequence);
        if (oscore) {
                argv[n++] = "-E";
                argv[n++] = files;
        }
        while (*options)
                argv[n++] = *options++;
        snprintf(uri, sizeof(uri), "coap://127.0.0.1:%u/who", f->relay_port);
        argv[n++] = uri;
        f->n_to_server = f->n_to_client = 0;
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                int fd = open("/dev/null", O_WRONLY);

                dup2(fd, 1);
                dup2(fd, 2);
                execvp(argv[0], (char **)argv);
                _exit(127);
        }
        return pid;
}

/* The identity that the handler saw last, or NULL when none was called. */
static const char *ask(struct fixture *f, bool oscore, const char *const options[])
{
        unsigned before = f->requests;
        pid_t pid = start_client(f, oscore, options);

        while (waitpid(pid, NULL, WNOHANG) == 0) {
                if (!turn(f))
                        idle(f);
        }
        settle(f);
        return f->requests > before ? f->who : NULL;
}

#define ASK(f, oscore, ...) ask((f), (oscore), (const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* Sends to the server from the client's address; what the handler saw, or NULL. */
static const char *inject(struct fixture *f, const void *p, size_t n)
{
        unsigned before = f->requests;

        f->n_to_client = 0;
        assert_int_equal(send(f->inside, p, n, 0), (ssize_t)n);
        settle(f);
        return f->requests > before ? f->who : NULL;
}

/* An unprotected GET of /who. */
static size_t make_get(uint8_t out[64], bool confirmable, uint16_t mid, const uint8_t *token, uint8_t token_n,
                       bool observe)
{
        uint8_t *p = out;

        *p++ = (uint8_t)((confirmable ? 0x40 : 0x50) | token_n);
        *p++ = 1;
        *p++ = (uint8_t)(mid >> 8);
        *p++ = (uint8_t)mid;
        memcpy(p, token, token_n);
        p += token_n;
        if (observe)
                *p++ = 0x60;
        *p++ = observe ? 0x53 : 0xb3;
        memcpy(p, "who", 3);
        return (size_t)(p + 3 - out);
}

static void keys_are_those_of_the_rfc(void **state)
{
        /* RFC 8613, C.1.2: the server's view. */
        static const uint8_t secret[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
        static const uint8_t salt[] = { 0x9e, 0x7c, 0xa9, 0x22, 0x23, 0x78, 0x63, 0x40 };
        static const uint8_t sender[] = { 0xff, 0xb1, 0x4e, 0x09, 0x3c, 0x94, 0xc9, 0xca,
                                          0xc9, 0x47, 0x16, 0x48, 0xb4, 0xf9, 0x87, 0x10 };
        static const uint8_t recipient[] = { 0xf0, 0x91, 0x0e, 0xd7, 0x29, 0x5e, 0x6a, 0xd4,
                                             0xb5, 0x4f, 0xc7, 0x93, 0x15, 0x43, 0x02, 0xff };
        static const uint8_t iv[] = { 0x46, 0x22, 0xd4, 0xdd, 0x6d, 0x94, 0x41,
                                      0x68, 0xee, 0xfb, 0x54, 0x98, 0x7c };
        /* C.3.2: with an id context. */
        static const uint8_t id_context[] = { 0x37, 0xcb, 0xf3, 0x21, 0x00, 0x17, 0xa2, 0xd3 };
        static const uint8_t other_iv[] = { 0x2c, 0xa5, 0x8f, 0xb8, 0x5f, 0xf1, 0xb8,
                                            0x1c, 0x0b, 0x71, 0x81, 0xb8, 0x5e };
        struct oscore_master master = { .secret = span_of(secret, sizeof(secret)),
                                        .salt = span_of(salt, sizeof(salt)) };
        uint8_t key[OSCORE_KEY_SIZE], nonce[OSCORE_NONCE_SIZE];
        uint64_t number;

        (void)state;
        assert_int_equal(oscore_derive_key(&master, SPAN_LITERAL("\1"), key), 0);
        assert_memory_equal(key, sender, sizeof(key));
        assert_int_equal(oscore_derive_key(&master, span_of(NULL, 0), key), 0);
        assert_memory_equal(key, recipient, sizeof(key));
        assert_int_equal(oscore_derive_common_iv(&master, nonce), 0);
        assert_memory_equal(nonce, iv, sizeof(iv));
        master.id_context = span_of(id_context, sizeof(id_context));
        assert_int_equal(oscore_derive_common_iv(&master, nonce), 0);
        assert_memory_equal(nonce, other_iv, sizeof(iv));
        /* C.8: a response with a Partial IV of 0 from the server, whose id is 01. */
        memcpy(nonce, iv, sizeof(iv));
        nonce[0] ^= 1;
        nonce[7] ^= 1;
        assert_true(oscore_nonce_is_of(nonce, iv, SPAN_LITERAL("\1"), &number));
        assert_int_equal(number, 0);
        nonce[12] ^= 0x14;
        nonce[11] ^= 0x01;
        assert_true(oscore_nonce_is_of(nonce, iv, SPAN_LITERAL("\1"), &number));
        assert_int_equal(number, 0x114);
        assert_false(oscore_nonce_is_of(nonce, iv, SPAN_LITERAL("\2"), &number));
        assert_false(oscore_nonce_is_of(nonce, iv, span_of(NULL, 0), &number));
}

static void a_protected_request_has_an_identity(void **state)
{
        struct fixture *f = *state;

        assert_string_equal(ASK(f, true), "oscore:02");
        assert_string_equal(ASK(f, true, "-N"), "oscore:02");
        assert_string_equal(ASK(f, false), "anyone");
        write_client_conf(f, "ff02030405060708090a0b0c0d0e0f10", "02");
        assert_null(ASK(f, true));
        write_client_conf(f, SECRET, "04");
        assert_null(ASK(f, true));
}

static void an_unprotected_request_on_its_session_has_none(void **state)
{
        static const uint8_t token[] = { 1, 2, 3, 4 };
        struct fixture *f = *state;
        uint8_t get[64];
        const char *who;

        assert_string_equal(ASK(f, true), "oscore:02");
        for (uint16_t i = 0; i < 4; i++) {
                who = inject(f, get,
                             make_get(get, i % 2, (uint16_t)(0x7000 + i), token, sizeof(token), i / 2));
                if (who)
                        assert_string_equal(who, "anyone");
        }
        /* And nothing goes out that an eavesdropper could use: libcoap has no nonce for it. */
        assert_int_equal(f->n_to_client, 0);
}

static void an_option_is_read_as_the_rfc_has_it(void **state)
{
        static const struct {
                struct span value, partial_iv, id_context, id;
        } good[] = {
                /* RFC 8613, 6.3. */
                { SPAN_LITERAL("\x09\x05\x25"), SPAN_LITERAL("\5"), SPAN_LITERAL(""), SPAN_LITERAL("\x25") },
                { SPAN_LITERAL("\x09\0"), SPAN_LITERAL("\0"), SPAN_LITERAL(""), SPAN_LITERAL("") },
                { SPAN_LITERAL("\x19\x05\x08\x44\x61\x6c\x65\x6b\x76\x61\x72\x25"), SPAN_LITERAL("\5"),
                  SPAN_LITERAL("\x44\x61\x6c\x65\x6b\x76\x61\x72"), SPAN_LITERAL("\x25") },
                { SPAN_LITERAL(""), SPAN_LITERAL(""), SPAN_LITERAL(""), SPAN_LITERAL("") },
                { SPAN_LITERAL("\1\7"), SPAN_LITERAL("\7"), SPAN_LITERAL(""), SPAN_LITERAL("") },
                { SPAN_LITERAL("\x18\0"), SPAN_LITERAL(""), SPAN_LITERAL(""), SPAN_LITERAL("") },
        };
        static const struct span bad[] = {
                SPAN_LITERAL("\x0e\1\2\3\4\5\6"), /* a Partial IV of 6 bytes */
                SPAN_LITERAL("\x29\1\2"),         /* a reserved flag */
                SPAN_LITERAL("\x0a\1"),           /* cut off in the Partial IV, */
                SPAN_LITERAL("\x10"),             /* at the length of the id context, */
                SPAN_LITERAL("\x11\1\2\3"),       /* and in it */
        };
        struct oscore_option option;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(good); i++) {
                assert_true(oscore_option_read(good[i].value, &option));
                assert_true(span_equal(option.partial_iv, good[i].partial_iv));
                assert_true(span_equal(option.id_context, good[i].id_context));
                assert_true(span_equal(option.id, good[i].id));
        }
        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_false(oscore_option_read(bad[i], &option));
}

static void a_replayed_request_is_not_served(void **state)
{
        struct fixture *f = *state;

        assert_string_equal(ASK(f, true), "oscore:02");
        assert_true(f->n_to_server >= 2); /* the first one was asked for its freshness (RFC 8613, B.1.2) */
        for (size_t i = 0; i < f->n_to_server; i++) {
                struct datagram again = f->to_server[i];

                assert_null(inject(f, again.p, again.n));
                again.p[2] ^= 0x55; /* as another message */
                assert_null(inject(f, again.p, again.n));
        }
}

static void a_replay_after_a_restart_opens_no_door(void **state)
{
        static const uint8_t token[] = { 9 };
        struct fixture *f = *state;
        struct datagram requests[MAX_DATAGRAMS];
        uint8_t get[64];
        size_t n;

        assert_string_equal(ASK(f, true), "oscore:02");
        n = f->n_to_server;
        memcpy(requests, f->to_server, sizeof(requests));
        stop_server(f);
        start_server(f);
        for (size_t i = 0; i < n; i++) {
                const char *who;

                if ((requests[i].p[0] >> 4 & 3) > 1)
                        continue; /* an acknowledgement */
                assert_null(inject(f, requests[i].p, requests[i].n));
                /* Its plain text, as the attacker guesses it, right behind. */
                who = inject(f, get, make_get(get, true, (uint16_t)(0x6000 + i), token, 1, false));
                assert_string_equal(who, "anyone");
        }
}

/* Whether a message is protected. */
static bool has_oscore_option(const struct datagram *d)
{
        size_t at = 4 + (d->p[0] & 15u);
        unsigned number = 0;

        while (at < d->n && d->p[at] != 0xff) {
                unsigned delta = d->p[at] >> 4, length = d->p[at] & 15;

                at++;
                if (delta == 13)
                        delta = 13u + d->p[at++];
                if (length == 13)
                        length = 13u + d->p[at++];
                number += delta;
                if (number == 9)
                        return true;
                at += length;
        }
        return false;
}

static pid_t observe(struct fixture *f)
{
        unsigned before = f->requests;
        pid_t pid = start_client(f, true, (const char *const[]){ "-s", "30", "-B", "30", NULL });

        while (f->requests == before) {
                if (!turn(f))
                        idle(f);
        }
        settle(f);
        return pid;
}

/* Whether the handler was called, and a protected message left. */
static bool notify(struct fixture *f)
{
        coap_str_const_t *path = coap_make_str_const("who");
        unsigned before = f->requests;

        f->n_to_client = 0;
        strcpy(f->who, "nobody");
        coap_resource_notify_observers(coap_get_resource_from_uri_path(f->context, path), NULL);
        settle(f);
        assert_true(f->requests > before);
        for (size_t i = 0; i < f->n_to_client; i++) {
                if (has_oscore_option(&f->to_client[i]))
                        return true;
        }
        return false;
}

static void notifications_have_the_observers_identity(void **state)
{
        struct fixture *f = *state;
        pid_t pid = observe(f);

        for (int i = 0; i < 3; i++) {
                assert_true(notify(f));
                assert_string_equal(f->who, "oscore:02");
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void an_observers_nonce_is_used_once(void **state)
{
        struct fixture *f = *state;
        pid_t pid = observe(f);
        const struct datagram *last = &f->to_server[f->n_to_server - 1];
        uint8_t token_n = last->p[0] & 15, token[8], get[64];

        for (size_t i = 0; i < f->n_to_server; i++) {
                if (has_oscore_option(&f->to_server[i]))
                        last = &f->to_server[i];
        }
        token_n = last->p[0] & 15;
        memcpy(token, last->p + 4, token_n);
        for (uint16_t i = 0; i < 3; i++) {
                inject(f, get, make_get(get, false, (uint16_t)(0x5000 + i), token, token_n, false));
                /* It is the observation's token, so libcoap would protect the answer: with the old nonce. */
                for (size_t k = 0; k < f->n_to_client; k++)
                        assert_false(has_oscore_option(&f->to_client[k]) && i > 0);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void sequence_numbers_are_stored_ahead(void **state)
{
        struct fixture *f = *state;
        pid_t pid = observe(f);
        uint64_t before;

        assert_true(f->has_stored);
        before = f->stored;
        for (int i = 0; i < 70; i++)
                assert_true(notify(f));
        assert_true(f->stored > before);
        assert_in_range(f->saves, 1, 4);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        stop_server(f);
        before = f->stored;
        start_server(f);
        pid = observe(f);
        assert_true(f->stored > before);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
}

static void without_a_stored_number_none_is_used(void **state)
{
        struct fixture *f = *state;
        pid_t pid = observe(f);
        unsigned sent = 0;

        f->store_error = -ENOSPC;
        for (int i = 0; i < 140; i++)
                sent += notify(f);
        assert_in_range(sent, 1, 70);
        assert_false(notify(f));
        f->store_error = 0;
        assert_true(notify(f));
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        /* Answers to requests need no number. */
        assert_string_equal(ASK(f, true), "oscore:02");
        f->store_error = -ENOSPC;
        assert_string_equal(ASK(f, true), "oscore:02");
        assert_true(f->n_to_client > 0);
}

static void a_reload_changes_who_is_welcome(void **state)
{
        struct fixture *f = *state;

        assert_string_equal(ASK(f, true), "oscore:02");
        f->contexts[0].recipient_ids.n = 2;
        security_replace(f->security, load(f));
        assert_string_equal(ASK(f, true), "oscore:02");
        write_client_conf(f, SECRET, "03");
        assert_string_equal(ASK(f, true), "oscore:03");
        f->contexts[0].recipient_ids.n = 1;
        security_replace(f->security, load(f));
        assert_string_equal(ASK(f, true), "anyone");
        f->contexts[1] = f->contexts[0];
        f->contexts[1].master_secret = (char *)"aabbccddeeff00112233445566778899";
        f->contexts[1].recipient_ids.v = f->recipients + 1;
        f->config.security.oscore.n = 2;
        security_replace(f->security, load(f)); /* 03 has another key now: only from a restart on */
        write_client_conf(f, "aabbccddeeff00112233445566778899", "03");
        assert_null(ASK(f, true));
        stop_server(f);
        start_server(f);
        assert_string_equal(ASK(f, true), "oscore:03");
}

static void one_sender_key_twice_is_refused(void **state)
{
        struct fixture *f = *state;
        struct security *security;
        char *errors = NULL;
        size_t n;
        FILE *out = open_memstream(&errors, &n);

        f->contexts[1] = f->contexts[0];
        f->contexts[1].at.line = 7;
        f->contexts[1].recipient_ids.v = f->recipients + 1;
        f->config.security.oscore.n = 2;
        assert_int_equal(security_load(&f->config, out, &security), -EINVAL);
        fclose(out);
        assert_non_null(strstr(errors, "test.conf:7: security.oscore: has the sender key of line 1"));
        free(errors);
}

/* Of two peers libcoap would find one. */
static void one_peer_twice_is_refused(void **state)
{
        struct fixture *f = *state;
        struct security *security = NULL;
        char *errors = NULL;
        size_t n;
        FILE *out = open_memstream(&errors, &n);

        f->contexts[1] = f->contexts[0];
        f->contexts[1].at.line = 7;
        f->contexts[1].master_secret = (char *)"aabbccddeeff00112233445566778899";
        f->config.security.oscore.n = 2;
        assert_int_equal(security_load(&f->config, out, &security), -EINVAL);
        fclose(out);
        assert_non_null(strstr(errors, "test.conf:7: security.oscore: has a recipient id of line 1"));
        free(errors);
        f->contexts[1].id_context = (char *)"37cb";
        security = load(f);
        security_free(security);
}

static void write_text(const char *path, const char *text, mode_t mode)
{
        CLEANUP(closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);

        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        assert_int_equal(fchmod(fd, mode), 0);
}

static void files_of_libcoap_are_read(void **state)
{
        static const struct {
                const char *text, *error;
        } cases[] = {
                { "sender_id,hex,\"01\"\nmaster_secret,hex,\"00\"\nrecipient_id,ascii,\"a\"\n", NULL },
                { "# a "
                  "comment\r\n\r\nsender_id,ascii,s\r\nmaster_secret,ascii,\"key\"\r\nreplay_window,integer,"
                  "63\r\n"
                  "aead_alg,text,\"AES-CCM-16-64-128\"\nhkdf_alg,integer,-10\nssn_freq,integer,5\n"
                  "rfc8613_b_1_2,bool,true",
                  NULL },
                { "master_secret,hex,00\n", "has no sender_id" },
                { "sender_id,hex,01\n", "has no master secret" },
                { "sender_id,hex,01\nsender_id,hex,02\n", ":2 is not valid" },
                { "sender_id,hex,0102030405060708\nmaster_secret,hex,00\n", "a sender id of 8" },
                { "sender_id,hex,01\nmaster_secret,hex,00\nrecipient_id,hex,01\n",
                  "both sender and recipient" },
                { "sender_id,hex,01\nmaster_secret,hex,00\nrecipient_id,hex,0102030405060708\n",
                  "has 8 bytes" },
                { "sender_id,hex,1\n", ":1 is not valid" },
                { "sender_id,base64,AA\n", ":1 is not valid" },
                { "sender_id\n", ":1 is not valid" },
                { "aead_alg,text,\"AES-CCM-16-64-256\"\n", ":1 is not valid" },
                { "rfc8613_b_2,bool,true\n", ":1 is not valid" },
                { "replay_window,integer,64\n", ":1 is not valid" },
                { "break_sender_key,bool,true\n", ":1 is not valid" },
                { "secret,hex,00\n", ":1 is not valid" },
        };
        struct fixture *f = *state;
        char *files[] = { f->client_conf };

        f->config.security.oscore.n = 0;
        f->config.security.oscore_files = (struct conf_strings){ files, 1 };
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                struct security *security = NULL;
                char *errors = NULL;
                size_t n;
                FILE *out = open_memstream(&errors, &n);
                int r;

                write_text(f->client_conf, cases[i].text, 0600);
                r = security_load(&f->config, out, &security);
                fclose(out);
                if (r != (cases[i].error ? -EINVAL : 0) || (r && !strstr(errors, cases[i].error)))
                        fail_msg("case %zu: %d, \"%s\"", i, r, errors);
                security_free(security);
                free(errors);
        }
        write_text(f->client_conf, cases[0].text, 0604);
        assert_int_equal(security_load(&f->config, stderr, &(struct security *){ NULL }), -EINVAL);
}

/* What libcoap has room for with an observer that is kept; it aborts beyond. */
static void ids_of_a_file_fit_what_is_kept(void **state)
{
        static const char most[] = "sender_id,hex,01\nmaster_secret,hex,00\nid_context,hex,aa\n"
                                   "recipient_id,hex,0102030405\n",
                          more[] = "sender_id,hex,01\nmaster_secret,hex,00\nid_context,hex,aabb\n"
                                   "recipient_id,hex,0102030405\n";
        struct fixture *f = *state;
        char *files[] = { f->client_conf }, *errors = NULL;
        struct security *security = NULL;
        size_t n;
        FILE *out = open_memstream(&errors, &n);

        f->config.security.oscore.n = 0;
        f->config.security.oscore_files = (struct conf_strings){ files, 1 };
        write_text(f->client_conf, more, 0600);
        security_free(load(f));
        f->config.persist.observers = (char *)"observers";
        assert_int_equal(security_load(&f->config, out, &security), -EINVAL);
        fclose(out);
        assert_non_null(strstr(errors, "\"0102030405\" is too long to keep this client's observations"));
        free(errors);
        write_text(f->client_conf, most, 0600);
        security_free(load(f));
}

static void a_file_of_libcoap_is_a_context(void **state)
{
        struct fixture *f = *state;
        char path[80], *files[] = { path };

        snprintf(path, sizeof(path), "%s.server", f->client_conf);
        write_text(path,
                   "sender_id,hex,01\nrecipient_id,hex,02\nmaster_secret,hex," SECRET
                   "\nmaster_salt,hex," SALT "\n",
                   0600);
        f->config.security.oscore.n = 0;
        f->config.security.oscore_files = (struct conf_strings){ files, 1 };
        stop_server(f);
        start_server(f);
        assert_string_equal(ASK(f, true), "oscore:02");
        unlink(path);
}

static int start(void **state)
{
        (void)state;
        log_open();
        srandom((unsigned)getpid());
        coap_startup();
        coap_set_log_level(COAP_LOG_EMERG);
        return 0;
}

static int end(void **state)
{
        (void)state;
        coap_cleanup();
        return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(keys_are_those_of_the_rfc),
                TEST(a_protected_request_has_an_identity),
                TEST(an_unprotected_request_on_its_session_has_none),
                cmocka_unit_test(an_option_is_read_as_the_rfc_has_it),
                TEST(a_replayed_request_is_not_served),
                TEST(a_replay_after_a_restart_opens_no_door),
                TEST(notifications_have_the_observers_identity),
                TEST(an_observers_nonce_is_used_once),
                TEST(sequence_numbers_are_stored_ahead),
                TEST(without_a_stored_number_none_is_used),
                TEST(a_reload_changes_who_is_welcome),
                TEST(one_sender_key_twice_is_refused),
                TEST(one_peer_twice_is_refused),
                TEST(files_of_libcoap_are_read),
                TEST(ids_of_a_file_fit_what_is_kept),
                TEST(a_file_of_libcoap_is_a_context),
        };

        return cmocka_run_group_tests(tests, start, end);
}
