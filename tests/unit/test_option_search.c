/* SPDX-License-Identifier: BSD-2-Clause */
/* The search for an option that libcoap is given finds what its own does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include <coap3/coap.h>

#include "base/find_real.h"
#include "base/util.h"

typedef coap_opt_t *check_option(const coap_pdu_t *pdu, coap_option_num_t number, coap_opt_iterator_t *oi);

static check_option *libcoaps(void)
{
        check_option *function;

        find_real("coap_check_option", &function);
        assert_non_null(function);
        assert_ptr_not_equal(function, coap_check_option);
        return function;
}

/* What they find, and whatever a caller then takes. */
static void assert_same_search(const coap_pdu_t *pdu, coap_option_num_t number)
{
        coap_opt_iterator_t ours, theirs;
        coap_opt_t *option = coap_check_option(pdu, number, &ours);

        assert_ptr_equal(option, libcoaps()(pdu, number, &theirs));
        for (int i = 0; option && i < 5; i++) {
                assert_int_equal(ours.number, theirs.number);
                option = coap_option_next(&ours);
                assert_ptr_equal(option, coap_option_next(&theirs));
        }
        assert_null(option);
        assert_null(coap_option_next(&ours));
        assert_int_equal(ours.bad, theirs.bad);
}

static void finds_what_libcoap_does(void **state)
{
        static const coap_option_num_t numbers[] = { 0,  1,  4,   6,   9,   11,   12,   23,
                                                     27, 60, 258, 269, 292, 2049, 65535 };
        uint8_t value[400] = { 0 };
        unsigned seed = 1;

        (void)state;
        for (int i = 0; i < 3000; i++) {
                coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, 1, 4096);
                coap_option_num_t last = 0;

                coap_add_token(pdu, (size_t)(rand_r(&seed) % 9), value);
                for (int n = rand_r(&seed) % 5; n > 0; n--) {
                        last = MAX(last, numbers[rand_r(&seed) % ARRAY_LEN(numbers)]);
                        coap_add_option(pdu, last, (size_t)(rand_r(&seed) % (n == 3 ? 400 : 20)), value);
                }
                if (rand_r(&seed) % 2)
                        coap_add_data(pdu, 5, value);
                for (size_t k = 0; k < ARRAY_LEN(numbers); k++) {
                        assert_same_search(pdu, numbers[k]);
                        assert_same_search(pdu, (coap_option_num_t)(numbers[k] + 1));
                }
                coap_delete_pdu(pdu);
        }
}

static coap_pdu_t *message(const coap_option_num_t *numbers, size_t n, size_t length, const char *payload)
{
        coap_pdu_t *pdu = coap_pdu_init(COAP_MESSAGE_CON, COAP_REQUEST_CODE_GET, 1, 4096);
        uint8_t value[64] = { 0 };

        for (size_t i = 0; i < n; i++)
                coap_add_option(pdu, numbers[i], length, value);
        if (payload)
                coap_add_data(pdu, strlen(payload), (const uint8_t *)payload);
        return pdu;
}

/* One behind the other, as of a client and its server: what is known of one is not said of the next. */
static void tells_messages_apart_that_begin_alike(void **state)
{
        static const coap_option_num_t path[] = { 11 }, longer[] = { 11, 15 }, lower[] = { 3, 11 },
                                       far[] = { 11, 258 }, higher[] = { 12 };
        coap_pdu_t *pdus[] = {
                message(path, 1, 4, NULL),   message(path, 1, 4, "1"),   message(longer, 2, 4, NULL),
                message(longer, 2, 4, "1"),  message(lower, 2, 4, NULL), message(far, 2, 4, "1"),
                message(far, 2, 4, NULL),    message(higher, 1, 4, "1"), message(NULL, 0, 0, NULL),
                message(NULL, 0, 0, "1"),    message(path, 1, 37, NULL), message(path, 1, 38, NULL),
                message(path, 1, 39, NULL),  message(path, 1, 37, "1"),  message(path, 1, 38, "1"),
                message(path, 1, 0, "\xb4"), message(path, 1, 60, "1"),
        };
        unsigned seed = 1;

        (void)state;
        for (int i = 0; i < 20000; i++) {
                const coap_pdu_t *pdu = pdus[(size_t)rand_r(&seed) % ARRAY_LEN(pdus)];

                assert_same_search(pdu, (coap_option_num_t)(rand_r(&seed) % 18));
                assert_same_search(pdu, (coap_option_num_t)(rand_r(&seed) % 300));
        }
        for (size_t i = 0; i < ARRAY_LEN(pdus); i++)
                coap_delete_pdu(pdus[i]);
}

/* libcoap asks again in a message that has got one more. */
static void sees_what_was_added(void **state)
{
        static const coap_option_num_t numbers[] = { 6, 11 };
        coap_pdu_t *pdu = message(numbers, 2, 1, NULL);

        (void)state;
        assert_same_search(pdu, 23);
        coap_add_option(pdu, 23, 1, (const uint8_t *)"");
        assert_same_search(pdu, 23);
        coap_delete_pdu(pdu);
}

/* Else it would be slow, in silence. */
static void libcoap_finds_ours(void **state)
{
        void *first = dlsym(RTLD_DEFAULT, "coap_check_option");
        check_option *ours = coap_check_option;

        (void)state;
        assert_memory_equal(&first, &ours, sizeof first);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_what_libcoap_does),
                cmocka_unit_test(tells_messages_apart_that_begin_alike),
                cmocka_unit_test(sees_what_was_added),
                cmocka_unit_test(libcoap_finds_ours),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
