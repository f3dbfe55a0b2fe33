/* SPDX-License-Identifier: BSD-2-Clause */
/* UTF-8 (RFC 3629). */
#ifndef COAPD_BASE_UTF8_H
#define COAPD_BASE_UTF8_H

#include "base/span.h"

/*
 * How many bytes the character has that `text` begins with, and in *ret_character which it is. 0 and nothing there:
 * the text is empty or begins with no character. Surrogates are none, nor is what is longer than needed.
 */
size_t utf8_first(struct span text, uint32_t *ret_character);

/* Whether there are only characters in it. */
bool utf8_is_valid(struct span text);

/* The same without control characters: U+0000 to U+001F and U+007F to U+009F. */
bool utf8_is_printable(struct span text);

#endif
