/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins what check_security.c leans on: how long OSCORE ids may be before libcoap overruns the buffer in which
 * it describes an observer to whoever tracks observers. A client whose partial IV has the full 5 bytes
 * registers within one process; what is just short enough is tracked, what is a byte longer aborts. Where the
 * latter no longer holds, libcoap was repaired and the check can go.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <coap3/coap.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"

enum { ROUNDS = 500, ROUND_MS = 10 };

static bool tracked;
static const char *const digits = "0102030405060708090a0b0c0d0e0f10";

static int on_observe_added(coap_session_t *session, coap_subscription_t *key, coap_proto_t proto,
                            coap_address_t *address, coap_addr_tuple_t *addresses, coap_bin_const_t *packet,
                            coap_bin_const_t *oscore, void *user)
{
        (void)session, (void)key, (void)proto, (void)address, (void)addresses, (void)packet, (void)user;
        tracked = oscore != NULL;
        return 1;
}

static void on_get(coap_resource_t *resource, coap_session_t *session, const coap_pdu_t *request,
                   const coap_string_t *query, coap_pdu_t *response)
{
        (void)resource, (void)session, (void)request, (void)query;
        coap_pdu_set_code(response, COAP_RESPONSE_CODE_CONTENT);
}

static coap_oscore_conf_t *conf_of(const char *sender, size_t sender_n, const char *recipient,
                                   size_t recipient_n, size_t context_n, uint64_t sequence)
{
        char text[512], context[64] = "";
        coap_str_const_t memory = { 0, (const uint8_t *)text };

        if (context_n)
                snprintf(context, sizeof(context), "id_context,hex,\"%.*s\"\n", (int)context_n * 2, digits);
        memory.length = (size_t)snprintf(
                text, sizeof(text),
                "master_secret,hex,\"%s\"\nsender_id,hex,\"%.*s\"\nrecipient_id,hex,\"%.*s\"\n%s"
                "rfc8613_b_1_2,bool,false\n",
                digits, (int)sender_n * 2, sender, (int)recipient_n * 2, recipient, context);
        return coap_new_oscore_conf(memory, NULL, NULL, sequence);
}

static coap_context_t *new_server(size_t id, size_t context, coap_address_t *ret_address)
{
        coap_context_t *server = coap_new_context(NULL);
        coap_resource_t *resource = coap_resource_init(coap_make_str_const("r"), 0);
        coap_endpoint_t *endpoint;

        coap_address_init(ret_address);
        ret_address->size = sizeof(ret_address->addr.sin);
        ret_address->addr.sin.sin_family = AF_INET;
        ret_address->addr.sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        endpoint = coap_new_endpoint(server, ret_address, COAP_PROTO_UDP);
        /* libcoap has bound a free port but does not tell it but in text: "127.0.0.1:PORT UDP". */
        ret_address->addr.sin.sin_port = htons((uint16_t)atoi(strchr(coap_endpoint_str(endpoint), ':') + 1));
        coap_resource_set_get_observable(resource, 1);
        coap_register_request_handler(resource, COAP_REQUEST_GET, on_get);
        coap_add_resource(server, resource);
        coap_persist_track_funcs(server, on_observe_added, NULL, NULL, NULL, NULL, 1, NULL);
        if (!coap_context_oscore_server(server, conf_of("ff", 1, digits, id, context, 0)))
                _exit(2);
        return server;
}

/* In a process of its own: 0 when the observer was tracked, 1 when nothing came. */
static int observe(size_t id, size_t context)
{
        const struct rlimit none = { 0, 0 };
        coap_context_t *client = coap_new_context(NULL);
        coap_address_t address;
        coap_context_t *server = new_server(id, context, &address);
        coap_session_t *session = coap_new_client_session_oscore(
                client, NULL, &address, COAP_PROTO_UDP, conf_of(digits, id, "ff", 1, context, 1ULL << 32));
        coap_pdu_t *request = coap_new_pdu(COAP_MESSAGE_NON, COAP_REQUEST_CODE_GET, session);

        setrlimit(RLIMIT_CORE, &none);
        coap_add_token(request, 1, (const uint8_t *)"t");
        coap_add_option(request, COAP_OPTION_OBSERVE, 0, NULL);
        coap_add_option(request, COAP_OPTION_URI_PATH, 1, (const uint8_t *)"r");
        coap_send(session, request);
        for (unsigned i = 0; i < ROUNDS && !tracked; i++) {
                coap_io_process(client, COAP_IO_NO_WAIT);
                coap_io_process(server, ROUND_MS);
        }
        return !tracked;
}

static int outcome(size_t id, size_t context)
{
        pid_t child = fork();
        int status = 0;

        if (child == 0) {
                freopen("/dev/null", "w", stderr);
                _exit(observe(id, context));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        return WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
}

static void libcoap_has_room_for_11_bytes(void **state)
{
        static const struct {
                size_t id, context;
                bool fits;
        } cases[] = {
                { 1, 0, true },  { 5, 0, true }, { 6, 0, false }, { 1, 9, true },  { 1, 10, false },
                { 0, 11, true }, { 2, 7, true }, { 2, 8, false }, { 7, 8, false },
        };

        (void)state;
        if (!coap_oscore_is_supported())
                skip();
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
                int result = outcome(cases[i].id, cases[i].context);

                if (result != (cases[i].fits ? 0 : SIGABRT))
                        fail_msg("an id of %zu bytes with a context of %zu: %d", cases[i].id,
                                 cases[i].context, result);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(libcoap_has_room_for_11_bytes),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
