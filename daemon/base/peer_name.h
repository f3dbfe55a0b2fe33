/* SPDX-License-Identifier: BSD-2-Clause */
/* An address and its port as people write them. */
#ifndef COAPD_BASE_PEER_NAME_H
#define COAPD_BASE_PEER_NAME_H

struct sockaddr;

enum { PEER_NAME = 80 };

/*
 * "192.0.2.1:5683" or "[fe80::1%eth0]:5683" (RFC 3986, 3.2.2). One of IPv4 that came to a socket of IPv6 (RFC 4291,
 * 2.5.5.2) is written as one of IPv4, so that a client has one name in the log, wherever it was heard. "?" where there
 * is none: NULL, or of another family. Returns `out`.
 */
const char *peer_name(const struct sockaddr *address, char out[static PEER_NAME]);

#endif
