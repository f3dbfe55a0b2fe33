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

#include "base/util.h"

typedef coap_opt_t *check_option(const coap_pdu_t *pdu, coap_option_num_t number, coap_opt_iterator_t *oi);

static check_option *libcoaps(void)
{
        void *found = dlsym(RTLD_NEXT, "coap_check_option");
        check_option *function;

        assert_non_null(found);
        memcpy(&function, &found, sizeof function);
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
                cmocka_unit_test(libcoap_finds_ours),
        };

        coap_startup();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
