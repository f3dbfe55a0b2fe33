/* SPDX-License-Identifier: BSD-2-Clause */
/* What coapctl asks the daemon, over Varlink. Failures are told on stderr in words for people. */
#ifndef COAPCTL_CALL_H
#define COAPCTL_CALL_H

#include <stdbool.h>

#include <systemd/sd-varlink.h>

#define CLEANUP(func) __attribute__((cleanup(func)))

/* Connects to the daemon's socket. 0; or -errno, told. */
int call_connect(const char *socket, sd_varlink **ret_link);

/*
 * Calls a method of io.coapd.Control, "Status". 0; or -errno, told. The reply is borrowed until the next call.
 * `parameters` may be NULL.
 */
int call_method(sd_varlink *link, const char *method, sd_json_variant *parameters,
                sd_json_variant **ret_reply);

/*
 * All pages of a listing: each row of the array `name` goes to `visit` as it comes, which returns 0 or -errno.
 * Returns 0 or -errno; that of calls is told.
 */
int call_list(sd_varlink *link, const char *method, const char *name, bool bodies,
              int (*visit)(void *user, sd_json_variant *row), void *user);

#endif
