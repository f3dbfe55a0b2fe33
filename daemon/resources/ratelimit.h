/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests per second and address: a bucket of tokens for each IPv4 address and each IPv6 /64 (which one host has to
 * itself), in a table of fixed size, so that sources without number cost no memory. Where a set of the table is
 * full, the address that was idle for the longest makes room; it starts anew with a full bucket, so a flood of
 * forged sources makes the limit milder for some, never stricter.
 */
#ifndef COAPD_RESOURCES_RATELIMIT_H
#define COAPD_RESOURCES_RATELIMIT_H

#include <coap3/coap.h>
#include <stdbool.h>

struct ratelimit;

int ratelimit_new(struct ratelimit **ret_ratelimit);
void ratelimit_free(struct ratelimit *ratelimit);

/* Whether a request from this address may be served now, at `per_second`, bursts of twice as many; 0: always. */
bool ratelimit_pass(struct ratelimit *ratelimit, const coap_address_t *peer, long long per_second);

#endif
