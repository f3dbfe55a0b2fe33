/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who a peer is, as the access rules and the log name it: what it proved with its keys, and where it sends
 * from. A view: the bytes belong to the session's entry in struct security, or to the caller.
 */
#ifndef COAPD_SECURITY_IDENTITY_H
#define COAPD_SECURITY_IDENTITY_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/span.h"

enum identity_kind {
        IDENTITY_NONE,   /* proved nothing: a stranger */
        IDENTITY_PSK,    /* name: the identity of the pre-shared key, as sent */
        IDENTITY_CERT,   /* name: the whole subject (RFC 4514); names: its parts and the alternative names */
        IDENTITY_RPK,    /* name: SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hex digits */
        IDENTITY_OSCORE, /* name: the recipient id, lower-case hex digits */
};

#define IDENTITY_MAX_NAMES 32

struct identity {
        enum identity_kind kind;
        struct span name;
        /*
         * Certificates only: "CN=ops", "O=Example", then the subjectAltName as "DNS=", "URI=", "EMAIL=" and
         * "IP=". At most IDENTITY_MAX_NAMES.
         */
        const struct span *names;
        size_t n_names;
        /* An IPv4 address stands in its IPv4-mapped form (RFC 4291, 2.5.5.2). */
        bool has_address;
        uint8_t address[16];
};

/* Sets the address members; one that is neither IPv4 nor IPv6 leaves none. */
void identity_set_address(struct identity *who, const struct sockaddr *address);

/* "psk:sensor-1", "cert:CN=ops,O=Example", "anyone": escaped for the log, cut where it does not fit. */
const char *identity_describe(const struct identity *who, char *out, size_t size);

/* "psk:sensor-1" and the like: the kind, and in *ret_name what stands behind the colon. IDENTITY_NONE: it is none. */
enum identity_kind identity_kind_of(const char *text, const char **ret_name);

/* Lower-case digits, without a NUL: `out` takes 2 * n bytes. */
void identity_hex(const uint8_t *p, size_t n, char *out);

#endif
