/* SPDX-License-Identifier: BSD-2-Clause */
/* Which options go through the proxy; see proxy_options.h. */
#include "resources/proxy_options.h"

enum { HEAD = 4, HOP_LIMIT_DEFAULT = 16 };

void options_add(struct buf *out, unsigned number, struct span value)
{
        uint8_t head[HEAD] = { (uint8_t)(number >> 8), (uint8_t)number, (uint8_t)(value.n >> 8),
                               (uint8_t)value.n };

        buf_append(out, head, sizeof head);
        buf_append_span(out, value);
}

void options_add_uint(struct buf *out, unsigned number, uint32_t value)
{
        uint8_t encoded[4];
        unsigned n = coap_encode_var_safe(encoded, sizeof encoded, value);

        options_add(out, number, span_of(encoded, n));
}

bool options_next(struct span *rest, unsigned *ret_number, struct span *ret_value)
{
        size_t length;

        if (rest->n < HEAD)
                return false;
        length = (size_t)rest->p[2] << 8 | rest->p[3];
        if (rest->n - HEAD < length)
                return false;
        *ret_number = (unsigned)rest->p[0] << 8 | rest->p[1];
        *ret_value = span_of(rest->p + HEAD, length);
        *rest = span_skip(*rest, HEAD + length);
        return true;
}

static void add_all(struct buf *out, unsigned as, struct span options)
{
        struct span value;
        unsigned number;

        while (options_next(&options, &number, &value))
                options_add(out, as, value);
}

/* RFC 7252, 5.4.6. */
static bool is_critical(unsigned number)
{
        return number & 1;
}

static bool is_unsafe(unsigned number)
{
        return number & 2;
}

/* Those that concern this leg of the way alone, or that the proxy makes itself. */
static bool stays(unsigned number)
{
        switch (number) {
        case COAP_OPTION_URI_HOST:
        case COAP_OPTION_URI_PORT:
        case COAP_OPTION_URI_PATH:
        case COAP_OPTION_ETAG:
        case COAP_OPTION_OBSERVE:
        case COAP_OPTION_BLOCK1:
        case COAP_OPTION_BLOCK2:
        case COAP_OPTION_SIZE1:
        case COAP_OPTION_SIZE2:
        case COAP_OPTION_HOP_LIMIT:
        case COAP_OPTION_NORESPONSE:
        case COAP_OPTION_ECHO:
        case COAP_OPTION_RTAG:
        case COAP_OPTION_MAXAGE:
                return true;
        default:
                return false;
        }
}

static bool is_understood(unsigned number)
{
        switch (number) {
        case COAP_OPTION_IF_MATCH:
        case COAP_OPTION_IF_NONE_MATCH:
        case COAP_OPTION_URI_QUERY:
        case COAP_OPTION_CONTENT_FORMAT:
        case COAP_OPTION_ACCEPT:
                return true;
        default:
                return false;
        }
}

/* RFC 8768: libcoap has counted down what came. */
static void add_hop_limit(const coap_pdu_t *request, struct buf *out)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option = coap_check_option(request, COAP_OPTION_HOP_LIMIT, &iterator);

        if (option)
                options_add(out, COAP_OPTION_HOP_LIMIT,
                            span_of(coap_opt_value(option), coap_opt_length(option)));
        else
                options_add_uint(out, COAP_OPTION_HOP_LIMIT, HOP_LIMIT_DEFAULT);
}

unsigned options_of_request(const coap_pdu_t *request, size_t n_own, struct span base, const char *host,
                            struct buf *out)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option;
        size_t segment = 0;

        if (host)
                options_add(out, COAP_OPTION_URI_HOST, span_of_string(host));
        add_all(out, COAP_OPTION_URI_PATH, base);
        coap_option_iterator_init(request, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                struct span value = { coap_opt_value(option), coap_opt_length(option) };
                unsigned number = iterator.number;

                if (number == COAP_OPTION_URI_PATH && segment++ >= n_own)
                        options_add(out, number, value);
                if (stays(number))
                        continue;
                if (!is_understood(number) && is_unsafe(number))
                        return number;
                options_add(out, number, value);
        }
        add_hop_limit(request, out);
        return 0;
}

/* The location that an answer gives, if it is below `base`. */
static void add_location(const coap_pdu_t *answer, struct span base, struct span own, struct buf *out)
{
        coap_opt_iterator_t iterator;
        coap_opt_filter_t only_path;
        struct span expected;
        coap_opt_t *option;
        unsigned number;
        bool any = false;

        coap_option_filter_clear(&only_path);
        coap_option_filter_set(&only_path, COAP_OPTION_LOCATION_PATH);
        coap_option_iterator_init(answer, &iterator, &only_path);
        while ((option = coap_option_next(&iterator))) {
                struct span value = { coap_opt_value(option), coap_opt_length(option) };

                if (options_next(&base, &number, &expected)) {
                        if (!span_equal(expected, value))
                                return;
                        continue;
                }
                if (!any)
                        add_all(out, COAP_OPTION_LOCATION_PATH, own);
                any = true;
                options_add(out, COAP_OPTION_LOCATION_PATH, value);
        }
}

unsigned options_of_answer(const coap_pdu_t *answer, struct span base, struct span own, struct buf *out)
{
        coap_opt_iterator_t iterator;
        coap_opt_t *option;

        add_location(answer, base, own, out);
        coap_option_iterator_init(answer, &iterator, COAP_OPT_ALL);
        while ((option = coap_option_next(&iterator))) {
                struct span value = { coap_opt_value(option), coap_opt_length(option) };
                unsigned number = iterator.number;

                if (number == COAP_OPTION_LOCATION_QUERY)
                        options_add(out, number, value);
                if (stays(number) || is_understood(number) || number == COAP_OPTION_LOCATION_PATH ||
                    number == COAP_OPTION_LOCATION_QUERY)
                        continue;
                if (is_unsafe(number))
                        return number;
                if (!is_critical(number))
                        options_add(out, number, value);
        }
        return 0;
}

void options_write_key(unsigned method, struct span options, struct span body, struct buf *out)
{
        enum { NO_CACHE_KEY_MASK = 0x1e, NO_CACHE_KEY = 0x1c };
        struct span value;
        unsigned number;

        buf_append_byte(out, (uint8_t)method);
        while (options_next(&options, &number, &value))
                /* Hop-Limit is part of it, so that a request that has come round does not wait for itself. */
                if ((number & NO_CACHE_KEY_MASK) != NO_CACHE_KEY)
                        options_add(out, number, value);
        buf_append_span(out, body);
}
