/* SPDX-License-Identifier: BSD-2-Clause */
/* An endpoint's address: scheme://host:port (RFC 7252, 6; RFC 8323, 8), a scope as in RFC 9844 allowed. */
#ifndef COAPD_CONFIG_URI_H
#define COAPD_CONFIG_URI_H

#include <stdint.h>

#include "config/config.h"

struct uri {
        enum transport transport;
        char host[256]; /* without brackets; "::1", "fe80::1%eth0", "127.0.0.1", "localhost" */
        uint16_t port;  /* the scheme's default when the uri gives none */
};

/* NULL and *ret_uri filled, or what would have been expected. */
const char *uri_parse(const char *text, struct uri *ret_uri);

bool transport_is_secure(enum transport transport);
bool transport_is_datagram(enum transport transport);

#endif
