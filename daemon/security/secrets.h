/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key material from where the config says it is. Bytes that were secret are wiped before their memory is
 * given back, and never written anywhere.
 */
#ifndef COAPD_SECURITY_SECRETS_H
#define COAPD_SECURITY_SECRETS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/util.h"
#include "config/config.h"

/* Owned bytes, with a NUL behind them that is not counted. */
struct secret {
        uint8_t *p;
        size_t n;
};

void secret_deinit(struct secret *secret);

/* Where mistakes go: "FILE:LINE: KEY: what is wrong, what is expected". */
struct key_errors {
        const struct config *config;
        const char *group; /* in front of the keys that are named: "security.psk" */
        FILE *out;
        unsigned n;
};

void key_error(struct key_errors *errors, struct conf_origin at, const char *key, const char *fmt, ...)
        PRINTF_LIKE(4, 5);

/*
 * Reads a whole regular file. A `private` one must keep everybody but owner and group out. 0, or -errno
 * after having reported it as `key` at `at`.
 */
int secret_read_file(const char *path, bool private, struct key_errors *errors, struct conf_origin at,
                     const char *key, struct secret *ret_secret);

/* Hex digits, with blanks and newlines between them or not. 0, -EINVAL, -ENOMEM. */
int secret_from_hex(const char *digits, struct secret *ret_secret);
int secret_from_text(const char *text, struct secret *ret_secret);

/* In a time that does not depend on where they differ. */
bool secrets_equal(const struct secret *a, const struct secret *b);

#endif
