/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coap_check_option() of libcoap, which asks for ten options of each request that are nearly never there. Its own makes
 * a filter and asks that about each option up to the last, 310 instructions a time, a fifth of a GET. Options come in
 * the order of their numbers (RFC 7252, 3.1), so that a search can end at the first that is beyond.
 *
 * libcoap calls it by its public name, and the dynamic linker finds the executable's first. Where it did not, all would
 * be as right, but slower.
 */
#include <coap3/coap.h>

#include "base/coap_options.h"

/* As libcoap leaves it behind the last option: there is no more. */
static coap_opt_t *end(coap_opt_iterator_t *oi)
{
        oi->bad = 1;
        return NULL;
}

__attribute__((used, visibility("default"))) coap_opt_t *
coap_check_option(const coap_pdu_t *pdu, coap_option_num_t number, coap_opt_iterator_t *oi)
{
        struct coap_options options;
        struct span value;
        coap_opt_t *option;

        if (!coap_option_iterator_init(pdu, oi, COAP_OPT_ALL))
                return NULL;
        options = (struct coap_options){ .rest = { oi->next_option, oi->length } };
        do {
                option = oi->next_option;
                if (!coap_options_next(&options, &value))
                        return end(oi);
                oi->next_option += oi->length - options.rest.n;
                oi->length = options.rest.n;
        } while (options.number < number);
        if (options.number > number)
                return end(oi);
        /* Whoever goes on from here looks for more of the same. */
        oi->number = number;
        oi->filtered = 1;
        coap_option_filter_set(&oi->filter, number);
        return option;
}
