/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coap_check_option() of libcoap, which asks for ten options of each request that are nearly never there. Its own makes
 * a filter and asks that about each option up to the last, 310 instructions a time, a fifth of a GET.
 *
 * It asks for one number after the other in the same few bytes, so which numbers are in them is remembered: what is not
 * there is not searched. And options come in the order of their numbers (RFC 7252, 3.1), so that a search ends at the
 * first that is beyond.
 *
 * libcoap calls it by its public name, and the dynamic linker finds the executable's first. Where it did not, all would
 * be as right, but slower.
 */
#include <string.h>

#include <coap3/coap.h>

#include "base/coap_options.h"
#include "base/util.h"

enum {
        BYTES_MOST = 40,   /* longer options are searched each time */
        NUMBERS_TOLD = 64, /* numbers below are told apart, and what is beyond the highest */
};

/* Options that were looked through. It holds for all messages whose options are the same bytes. */
struct seen {
        size_t n;
        bool marked; /* the last byte is the payload marker; else they end with the message */
        unsigned highest;
        uint64_t present; /* a bit for each number */
        uint8_t bytes[BYTES_MOST];
};

/*
 * Those of a request and of its response. A search has no object to keep them at; and as they are nothing but bytes and
 * what follows from them, they cannot be wrong for anybody, only of no use.
 */
static _Thread_local struct {
        struct seen seen[2];
        unsigned next;
} memory;

static bool begin_with(struct span rest, const struct seen *seen)
{
        return seen->n > 0 && (seen->marked ? seen->n <= rest.n : seen->n == rest.n) &&
               memcmp(seen->bytes, rest.p, seen->n) == 0;
}

/* NULL: there is nothing to be remembered. */
static const struct seen *look_through(struct span rest)
{
        struct coap_options options = { .rest = rest };
        struct seen *seen = &memory.seen[memory.next++ % ARRAY_LEN(memory.seen)];
        uint64_t present = 0;
        struct span value;
        size_t n;

        while (coap_options_next(&options, &value)) {
                if (options.number < NUMBERS_TOLD)
                        present |= UINT64_C(1) << options.number;
        }
        seen->n = 0;
        seen->marked = options.rest.n > 0;
        n = rest.n - options.rest.n + seen->marked;
        if (n > BYTES_MOST || (seen->marked && !coap_options_at_marker(&options)))
                return NULL;
        memcpy(seen->bytes, rest.p, n);
        seen->n = n;
        seen->highest = options.number;
        seen->present = present;
        return seen;
}

static bool is_absent(struct span rest, coap_option_num_t number)
{
        const struct seen *seen = NULL;

        for (size_t i = 0; i < ARRAY_LEN(memory.seen) && !seen; i++) {
                if (begin_with(rest, &memory.seen[i]))
                        seen = &memory.seen[i];
        }
        if (!seen)
                seen = look_through(rest);
        return seen && (number > seen->highest ||
                        (number < NUMBERS_TOLD && (seen->present & UINT64_C(1) << number) == 0));
}

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
        if (is_absent(options.rest, number))
                return end(oi);
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
