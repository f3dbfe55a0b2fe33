/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys on PKCS#11 tokens, named by URIs (RFC 7512). GnuTLS takes a PIN from pin-value= itself; the file
 * behind pin-source= it leaves to the program, and refuses the URI.
 */
#ifndef COAPD_SECURITY_TOKEN_H
#define COAPD_SECURITY_TOKEN_H

#include <stdbool.h>

#include "security/secrets.h"

bool token_is_uri(const char *name);

/*
 * Takes pin-source= off a URI and reads its file, which must keep everybody but owner and group out. *ret_uri
 * is what is left of the URI, *ret_pin is empty when there is no such attribute. 0, -ENOMEM, or another
 * -errno after having reported it as `key` at `at`.
 */
int token_split(const char *uri, struct key_errors *errors, struct conf_origin at, const char *key,
                char **ret_uri, struct secret *ret_pin);

#endif
