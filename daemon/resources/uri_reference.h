/* SPDX-License-Identifier: BSD-2-Clause */
/* URI references (RFC 3986), by liburiparser. */
#ifndef COAPD_RESOURCES_URI_REFERENCE_H
#define COAPD_RESOURCES_URI_REFERENCE_H

#include "base/buf.h"

bool uri_reference_is_valid(struct span reference);

/* Whether it is a URI with a scheme and a host, to which references can be relative. */
bool uri_is_base(struct span uri);

/* Whether its host is a link-local address (RFC 4291, 2.5.6). */
bool uri_is_link_local(struct span uri);

/*
 * Appends the URI that `reference` stands for below `base` (RFC 3986, 5.2); one that is a URI itself as it stands.
 * 0, -EINVAL when either is not in order, or -ENOMEM.
 */
int uri_resolve(struct span base, struct span reference, struct buf *out);

#endif
