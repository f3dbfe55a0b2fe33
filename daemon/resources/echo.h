/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values of the Echo option (RFC 9175) that prove to have been received: a keyed hash of the address they were sent to
 * and of the time. Nothing is remembered of whoever does not send one back.
 */
#ifndef COAPD_RESOURCES_ECHO_H
#define COAPD_RESOURCES_ECHO_H

#include <coap3/coap.h>

#include "base/span.h"

enum { ECHO_SIZE = 12 };

struct echo;

int echo_new(struct echo **ret_echo);
void echo_free(struct echo *echo);

/* 0 or -errno. */
int echo_make(const struct echo *echo, const coap_address_t *peer, uint8_t ret_value[static ECHO_SIZE]);

/* Whether we have sent this value to this address and port within the last hour. In constant time. */
bool echo_check(const struct echo *echo, const coap_address_t *peer, struct span value);

#endif
