/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libcoap dies of, and coapd therefore keeps away from it. When one of these fails after an upgrade of libcoap,
 * the comment says which restriction of coapd can go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <coap3/coap.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LIVED = 0, DIED, STRANGE };

/* --- a server and a client in one process, which is a child of ours --- */

struct pair {
        coap_context_t *server, *client;
        coap_endpoint_t *endpoint;
        coap_address_t address;
        coap_session_t *session;
        unsigned added;
        bool answered;
};

static int on_added(coap_session_t *session, coap_subscription_t *subscription, coap_proto_t proto,
                    coap_address_t *listen, coap_addr_tuple_t *addresses, coap_bin_const_t *request,
                    coap_bin_const_t *oscore, void *user)
{
        struct pair *pair = user;

        (void)session;
        (void)subscription;
        (void)proto;
        (void)listen;
        (void)addresses;
        (void)request;
        (void)oscore;
        pair->added++;
        return 1;
}

static void handle(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
        (void)resource;
        (void)session;
        (void)request;
        (void)query;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent,
                                   const coap_pdu_t *received, const coap_mid_t mid)
{
        struct pair *pair = coap_session_get_app_data(session);

        (void)sent;
        (void)received;
        (void)mid;
        pair->answered = true;
        return COAP_RESPONSE_OK;
}

static uint16_t free_port(void)
{
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
        socklen_t n = sizeof address;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (bind(fd, (struct sockaddr *)&address, n) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &n) < 0)
                _exit(STRANGE);
        close(fd);
        return ntohs(address.sin_port);
}

static void serve(struct pair *pair)
{
        enum { TRIES = 10 };
        static const coap_str_const_t path = { 1, (const uint8_t *)"a" };
        coap_resource_t *resource = coap_resource_init((coap_str_const_t *)&path, 0);

        pair->server = coap_new_context(NULL);
        pair->client = coap_new_context(NULL);
        coap_address_init(&pair->address);
        pair->address.size = sizeof pair->address.addr.sin;
        pair->address.addr.sin.sin_family = AF_INET;
        pair->address.addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        /* Somebody may take a free port before we do. */
        for (int i = 0; i < TRIES && !pair->endpoint; i++) {
                pair->address.addr.sin.sin_port = htons(free_port());
                pair->endpoint = coap_new_endpoint(pair->server, &pair->address, COAP_PROTO_UDP);
        }
        if (!resource || !pair->client || !pair->endpoint)
                _exit(STRANGE);
        coap_resource_set_get_observable(resource, 1);
        coap_register_request_handler(resource, COAP_REQUEST_GET, handle);
        coap_add_resource(pair->server, resource);
        coap_persist_track_funcs(pair->server, on_added, NULL, NULL, NULL, NULL, 10, pair);
        coap_register_response_handler(pair->client, on_response);
}

/* Registers as an observer, and lives on after the answer. */
static void observe(struct pair *pair)
{
        enum { TURNS = 2000, TURN_MS = 10 };
        coap_pdu_t *pdu;

        if (!pair->session)
                _exit(STRANGE);
        coap_session_set_app_data(pair->session, pair);
        pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, pair->session);
        coap_add_token(pdu, 1, (const uint8_t *)"t");
        coap_add_option(pdu, COAP_OPTION_OBSERVE, 0, NULL);
        coap_add_option(pdu, COAP_OPTION_URI_PATH, 1, (const uint8_t *)"a");
        if (coap_send(pair->session, pdu) == COAP_INVALID_MID)
                _exit(STRANGE);
        for (int i = 0; i < TURNS && !pair->answered; i++) {
                coap_io_process(pair->client, COAP_IO_NO_WAIT);
                coap_io_process(pair->server, TURN_MS);
        }
        if (!pair->answered || pair->added != 1)
                _exit(STRANGE);
}

/* Runs `scenario` in a child that dies quietly. How it ended. */
static int end_of(void (*scenario)(const void *what), const void *what)
{
        int status;
        pid_t pid;

        fflush(stdout);
        fflush(stderr);
        pid = fork();
        if (pid == 0) {
                int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

                signal(SIGABRT, SIG_DFL);
                setrlimit(RLIMIT_CORE, &(struct rlimit){ 0 });
                dup2(null, STDERR_FILENO);
                coap_startup();
                scenario(what);
                _exit(LIVED);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status))
                return WTERMSIG(status) == SIGABRT ? DIED : STRANGE;
        return WEXITSTATUS(status);
}

/* --- the facts --- */

static void free_endpoint(const void *observed)
{
        struct pair pair = { 0 };

        serve(&pair);
        if (observed) {
                pair.session = coap_new_client_session(pair.client, NULL, &pair.address, COAP_PROTO_UDP);
                observe(&pair);
        }
        coap_free_endpoint(pair.endpoint);
}

/* Why a change of `endpoints` asks for a restart. */
static void an_endpoint_with_an_observer_cannot_be_freed(void **state)
{
        (void)state;
        assert_int_equal(end_of(free_endpoint, NULL), LIVED);
        assert_int_equal(end_of(free_endpoint, "observed"), DIED);
}

struct ids {
        const char *recipient, *id_context; /* hex digits; NULL: none */
};

static coap_oscore_conf_t *keys(const char *sender, const char *recipient, const char *id_context,
                                uint64_t first)
{
        char text[512];
        int n = snprintf(text, sizeof text,
                         "master_secret,hex,\"0102030405060708090a0b0c0d0e0f10\"\n"
                         "master_salt,hex,\"9e7ca92223786340\"\n"
                         "sender_id,hex,\"%s\"\nrecipient_id,hex,\"%s\"\nrfc8613_b_1_2,bool,false\n",
                         sender, recipient);

        if (id_context)
                n += snprintf(text + n, sizeof text - (size_t)n, "id_context,hex,\"%s\"\n", id_context);
        return coap_new_oscore_conf((coap_str_const_t){ (size_t)n, (const uint8_t *)text }, NULL, NULL,
                                    first);
}

static void observe_protected(const void *what)
{
        /* A partial IV of five bytes, the longest (RFC 8613, 6.1). */
        const uint64_t far = (uint64_t)1 << 32;
        const struct ids *ids = what;
        struct pair pair = { 0 };

        serve(&pair);
        if (!coap_context_oscore_server(pair.server, keys("01", ids->recipient, ids->id_context, 0)))
                _exit(STRANGE);
        pair.session = coap_new_client_session_oscore(pair.client, NULL, &pair.address, COAP_PROTO_UDP,
                                                      keys(ids->recipient, "01", ids->id_context, far));
        observe(&pair);
}

/* Why check_security.c bounds the ids while observers are kept: 49 + 2 r + c bytes have room in 60, and no more. */
static void long_ids_of_oscore_do_not_fit(void **state)
{
        (void)state;
        assert_int_equal(end_of(observe_protected, &(struct ids){ "02", NULL }), LIVED);
        assert_int_equal(end_of(observe_protected, &(struct ids){ "0203", "11223344556677" }), LIVED);
        assert_int_equal(end_of(observe_protected, &(struct ids){ "0203", "1122334455667788" }), DIED);
        assert_int_equal(end_of(observe_protected, &(struct ids){ "02030405060708", "1122334455667788" }),
                         DIED);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_endpoint_with_an_observer_cannot_be_freed),
                cmocka_unit_test(long_ids_of_oscore_do_not_fit),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
