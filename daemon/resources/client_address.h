/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses of peers, as far as they tell one client from another: what one may use up is counted by these. */
#ifndef COAPD_RESOURCES_CLIENT_ADDRESS_H
#define COAPD_RESOURCES_CLIENT_ADDRESS_H

#include <coap3/coap.h>
#include <stdbool.h>
#include <stdint.h>

/* A number of an IPv4 address, or an IPv6 /64, which one host has to itself: never 0, but for what is neither. */
uint64_t client_address(const coap_address_t *peer);

/* Nobody elsewhere can send from there. */
bool client_address_is_loopback(const coap_address_t *peer);

#endif
