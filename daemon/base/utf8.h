/* SPDX-License-Identifier: BSD-2-Clause */
/* UTF-8 (RFC 3629). */
#ifndef COAPD_BASE_UTF8_H
#define COAPD_BASE_UTF8_H

#include "base/span.h"

/* Whether it is UTF-8 throughout: no surrogates, nothing longer than needed. */
bool utf8_is_valid(struct span text);

/* The same without control characters: U+0000 to U+001F and U+007F to U+009F. */
bool utf8_is_printable(struct span text);

#endif
