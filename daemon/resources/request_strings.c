/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * coap_get_uri_path(3) and coap_get_query() of libcoap, which it calls for each request, to find the resource and for
 * the handler. Its own search the options twice by a filter, once for the length, a tenth of what a GET takes it; here
 * the path is read in one pass that ends behind it, and a query that is not there is not searched.
 *
 * libcoap calls them by their public names, and the dynamic linker finds the executable's first.
 */
#include "base/find_real.h"
#include "resources/uri_path.h"

#define INTERPOSED __attribute__((used, visibility("default")))

typedef coap_string_t *string_of_request(const coap_pdu_t *request);

static bool has(const coap_pdu_t *request, coap_option_num_t number)
{
        coap_opt_iterator_t iterator;

        return coap_check_option(request, number, &iterator) != NULL;
}

INTERPOSED coap_string_t *coap_get_uri_path(const coap_pdu_t *request)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        static string_of_request *real;
        coap_string_t *string;

        if (!real)
                find_real("coap_get_uri_path", &real);
        if (has(request, COAP_OPTION_PROXY_URI))
                return real(request);
        string = uri_path_of(request, &path) ? coap_new_string(path.n) : NULL;
        if (!string)
                return NULL;
        memcpy(string->s, path.p, path.n);
        string->length = path.n;
        return string;
}

INTERPOSED coap_string_t *coap_get_query(const coap_pdu_t *request)
{
        static string_of_request *real;

        if (!real)
                find_real("coap_get_query", &real);
        return has(request, COAP_OPTION_URI_QUERY) ? real(request) : NULL;
}
