/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The messages of libcoap and GnuTLS, led through our log. What libcoap warns of is mostly what peers provoke, so
 * it passes a gate: a flood of it must not become a flood in the journal.
 */
#ifndef COAPD_BASE_FOREIGN_LOG_H
#define COAPD_BASE_FOREIGN_LOG_H

/* Sets the libraries' levels to fit log_level(). Call after coap_startup() and after each log_set_level(). */
void foreign_log_follow(void);

#endif
