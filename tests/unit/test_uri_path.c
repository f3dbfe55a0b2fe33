/* SPDX-License-Identifier: BSD-2-Clause */
/* The path of a request and its first options, as libcoap's own functions have them, and they take longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>

#include "base/find_real.h"
#include "resources/message.h"
#include "resources/uri_path.h"

static coap_pdu_t *new_request(void)
{
        coap_pdu_t *request = coap_pdu_init(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, 1, 2048);

        assert_non_null(request);
        assert_true(coap_add_token(request, 2, (const uint8_t *)"ab"));
        return request;
}

static void add(coap_pdu_t *request, coap_option_num_t number, struct span value)
{
        assert_true(coap_add_option(request, number, value.n, value.p));
}

typedef coap_string_t *string_of_request(const coap_pdu_t *request);

static string_of_request *libcoaps(const char *name, string_of_request *ours)
{
        string_of_request *function;

        find_real(name, &function);
        assert_non_null(function);
        assert_ptr_not_equal(function, ours);
        return function;
}

static void assert_same_string(coap_string_t *ours, const coap_string_t *theirs)
{
        assert_int_equal(!ours, !theirs);
        if (ours) {
                assert_int_equal(ours->length, theirs->length);
                assert_memory_equal(ours->s, theirs->s, ours->length);
        }
        coap_delete_string(ours);
}

/* Frees the request. */
static void assert_same_path(coap_pdu_t *request)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        coap_string_t *theirs = libcoaps("coap_get_uri_path", coap_get_uri_path)(request);
        coap_string_t *query = libcoaps("coap_get_query", coap_get_query)(request);

        assert_non_null(theirs);
        assert_same_string(coap_get_uri_path(request), theirs);
        assert_same_string(coap_get_query(request), query);
        coap_delete_string(query);
        assert_true(uri_path_of(request, &path));
        assert_non_null(path.p);
        assert_int_equal(path.n, theirs->length);
        assert_memory_equal(path.p, theirs->s, path.n);
        coap_delete_string(theirs);
        coap_delete_pdu(request);
}

static void spells_paths_as_libcoap_does(void **state)
{
        static const char *const segments[][4] = {
                { NULL },
                { "", NULL },
                { "time", NULL },
                { "a", "b", "c", NULL },
                { "", "", "", NULL },
                { "a", "", NULL },
                { "", "a", NULL },
                { "100%", "a/b", "\xc3\xa4 \x7f", NULL },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(segments); i++) {
                for (int beside = 0; beside < 2; beside++) {
                        coap_pdu_t *request = new_request();

                        if (beside)
                                add(request, COAP_OPTION_URI_HOST, SPAN_LITERAL("host"));
                        if (beside)
                                add(request, COAP_OPTION_OBSERVE, span_of(NULL, 0));
                        for (size_t k = 0; segments[i][k]; k++)
                                add(request, COAP_OPTION_URI_PATH, span_of_string(segments[i][k]));
                        if (beside) {
                                add(request, COAP_OPTION_URI_QUERY, SPAN_LITERAL("q=\xc3\xa4"));
                                add(request, COAP_OPTION_URI_QUERY, SPAN_LITERAL("r"));
                        }
                        assert_same_path(request);
                }
        }
}

static void spells_every_byte_as_libcoap_does(void **state)
{
        (void)state;
        for (unsigned byte = 0; byte < 256; byte++) {
                coap_pdu_t *request = new_request();

                add(request, COAP_OPTION_URI_PATH, span_of((uint8_t[]){ 'a', (uint8_t)byte, 'b' }, 3));
                assert_same_path(request);
        }
}

/* libcoap has the path out of the URI, and not a byte of it where it is none. */
static void leaves_a_proxy_uri_to_libcoap(void **state)
{
        static const char *const uris[] = { "coap://host/a/b?c", "coap://host", "no URI" };

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(uris); i++) {
                coap_pdu_t *request = new_request();
                coap_string_t *theirs;

                add(request, COAP_OPTION_URI_PATH, SPAN_LITERAL("path"));
                add(request, COAP_OPTION_PROXY_URI, span_of_string(uris[i]));
                theirs = libcoaps("coap_get_uri_path", coap_get_uri_path)(request);
                assert_same_string(coap_get_uri_path(request), theirs);
                coap_delete_string(theirs);
                coap_delete_pdu(request);
        }
}

/* Else it would be slow, in silence. */
static void libcoap_finds_ours(void **state)
{
        string_of_request *ours[] = { coap_get_uri_path, coap_get_query };
        void *first[] = { dlsym(RTLD_DEFAULT, "coap_get_uri_path"), dlsym(RTLD_DEFAULT, "coap_get_query") };

        (void)state;
        assert_memory_equal(first, ours, sizeof first);
}

static void finds_the_first_option_of_a_number(void **state)
{
        coap_pdu_t *request = new_request();
        coap_opt_t *option;

        (void)state;
        assert_null(message_option(request, COAP_OPTION_OBSERVE));
        add(request, COAP_OPTION_URI_HOST, SPAN_LITERAL("host"));
        assert_null(message_option(request, COAP_OPTION_IF_MATCH));
        assert_null(message_option(request, COAP_OPTION_OBSERVE));
        add(request, COAP_OPTION_URI_PATH, SPAN_LITERAL("a"));
        add(request, COAP_OPTION_URI_PATH, SPAN_LITERAL("bc"));
        assert_null(message_option(request, COAP_OPTION_OBSERVE));
        assert_null(message_option(request, COAP_OPTION_ACCEPT));
        option = message_option(request, COAP_OPTION_URI_PATH);
        assert_non_null(option);
        assert_int_equal(coap_opt_length(option), 1);
        option = message_option(request, COAP_OPTION_URI_HOST);
        assert_non_null(option);
        assert_int_equal(coap_opt_length(option), 4);
        coap_delete_pdu(request);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(spells_paths_as_libcoap_does),
                cmocka_unit_test(spells_every_byte_as_libcoap_does),
                cmocka_unit_test(leaves_a_proxy_uri_to_libcoap),
                cmocka_unit_test(libcoap_finds_ours),
                cmocka_unit_test(finds_the_first_option_of_a_number),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
