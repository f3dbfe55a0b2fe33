/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sample file and the manual page say alike about a row. */
#ifndef COAPD_CONFIG_DOCGEN_H
#define COAPD_CONFIG_DOCGEN_H

#include "base/buf.h"
#include "config/config.h"

/* The default as the file would have it; NULL: there is none. The buffer holds what had to be put together.
 */
const char *doc_fallback(const struct conf_vocabulary *vocabulary, const struct conf_row *row,
                         struct buf *text);

/* A default or example, for `KEY = `. */
const char *doc_value(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *text);

/* Appends the sentences of a row: the doc, and what values there are. */
void doc_sentences(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *out);

#endif
