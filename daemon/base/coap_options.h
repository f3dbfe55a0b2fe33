/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A first look at a CoAP message over UDP (RFC 7252, 3), as it came from the wire and before libcoap reads it in
 * full: anything may be wrong with it, and whatever is ends the walk.
 */
#ifndef COAPD_BASE_COAP_OPTIONS_H
#define COAPD_BASE_COAP_OPTIONS_H

#include "base/span.h"

enum { COAP_HEADER_SIZE = 4 };

struct coap_options {
        struct span rest;
        unsigned number; /* of the option that was taken last */
};

/* Goes past header and token (RFC 8974). False: there is no whole one. */
bool coap_options_begin(struct span datagram, struct coap_options *ret_options);

/* The next option; false behind the last, and where it is cut off. */
bool coap_options_next(struct coap_options *options, struct span *ret_value);

/*
 * Behind the last option, whether it was the payload marker that ended them: not the end of the message, nor an error.
 */
bool coap_options_at_marker(const struct coap_options *options);

#endif
