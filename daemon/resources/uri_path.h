/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths in the spelling by which libcoap finds a resource: segments joined by '/', every byte outside of
 * RFC 3986's unreserved and sub-delims plus ":@" percent-encoded in upper case (coap_get_uri_path(3)). Config
 * files spell paths as plain text; these functions lead from one to the other.
 */
#ifndef COAPD_RESOURCES_URI_PATH_H
#define COAPD_RESOURCES_URI_PATH_H

#include <coap3/coap.h>

#include "base/buf.h"

/* Plain text -> libcoap's spelling; '/' separates segments. Appends to `out`. */
void uri_path_encode(struct span plain, struct buf *out);

/* One segment: a '/' in it is encoded too. */
void uri_path_encode_segment(struct span segment, struct buf *out);

/*
 * The path of a request, as coap_get_uri_path() gives it, but for a Proxy-Uri, which is not looked at: libcoap answers
 * such requests itself. False: out of memory.
 */
bool uri_path_of(const coap_pdu_t *request, struct buf *out);

/*
 * Whether `path` is `prefix` or lies below it, segment by segment: "a/b" is below "a", "ab" is not. The
 * empty prefix holds everything.
 */
bool uri_path_below(struct span path, struct span prefix);

/* `n` letters and digits of chance and a NUL: a name that is not in use again soon. False: there is no chance. */
bool uri_path_chance(char *name, size_t n);

#endif
