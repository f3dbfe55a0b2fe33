/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses between libcoap's struct and text. libcoap compares whole structs byte for byte, so what comes
 * back from text has every byte that libcoap does not set at zero, as it has them itself.
 */
#ifndef COAPD_PERSIST_ADDRESS_H
#define COAPD_PERSIST_ADDRESS_H

#include <stdbool.h>

#include <coap3/coap.h>
#include <net/if.h>
#include <netinet/in.h>

enum { ADDRESS_TEXT = INET6_ADDRSTRLEN + IF_NAMESIZE + 1 };

/* "192.0.2.1", "fe80::1%eth0". False for what is neither IPv4 nor IPv6. */
bool address_to_text(const coap_address_t *address, char out[ADDRESS_TEXT]);

/* False when it is no address, or names an interface that is not here now. */
bool address_from_text(const char *text, uint16_t port, coap_address_t *ret_address);

/* IPv4, or IPv4 in an IPv6 address (RFC 4291, 2.5.5.2): as either of the two. False for others. */
bool address_as_ipv4(const coap_address_t *address, coap_address_t *ret_address);
bool address_as_mapped(const coap_address_t *address, coap_address_t *ret_address);

/* The wildcard of the same family and port. */
void address_any(const coap_address_t *address, coap_address_t *ret_address);

#endif
