/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Options on their way through the proxy, as bytes: number and length (2 bytes each, big end first), then the value; as
 * in `options` of struct response. What goes through and what does not is RFC 7252, 5.4.2, 5.7 and 5.10.
 */
#ifndef COAPD_RESOURCES_PROXY_OPTIONS_H
#define COAPD_RESOURCES_PROXY_OPTIONS_H

#include <coap3/coap.h>

#include "base/buf.h"

void options_add(struct buf *out, unsigned number, struct span value);
void options_add_uint(struct buf *out, unsigned number, uint32_t value);

/* The next one; false at the end. */
bool options_next(struct span *rest, unsigned *ret_number, struct span *ret_value);

/*
 * Those of a request that the target is to see: its path is `base` and what follows the first `n_own` segments of the
 * request's own. `host` NULL: no Uri-Host. 0; or the number of an option that there is no way through for.
 */
unsigned options_of_request(const coap_pdu_t *request, size_t n_own, struct span base, const char *host,
                            struct buf *out);

/*
 * Those of an answer that the client is to see, apart from those of the representation (ETag, Content-Format, Max-Age).
 * A location below `base` becomes one below `own`, both as Uri-Path options; another one is left out. 0; or the number
 * of one that must not go through, as nobody here knows what it means.
 */
unsigned options_of_answer(const coap_pdu_t *answer, struct span base, struct span own, struct buf *out);

/* The cache key of a request (RFC 7252, 5.6): its method, options and the body of a FETCH. */
void options_write_key(unsigned method, struct span options, struct span body, struct buf *out);

#endif
