/* SPDX-License-Identifier: BSD-2-Clause */
/* What can be done with a struct of the configuration through its rows, whatever it is. */
#ifndef COAPD_CONFIG_VALUES_H
#define COAPD_CONFIG_VALUES_H

#include "base/buf.h"
#include "config/config.h"

/* Frees the members of a struct, secrets wiped, but not the struct. */
void values_free(const struct conf_vocabulary *vocabulary, const struct conf_group *group, void *base);

bool value_equal(const struct conf_vocabulary *vocabulary, const struct conf_row *row, const void *a,
                 const void *b);

/* The same value in two structs of one group: all rows, those of the variant too. */
bool values_equal(const struct conf_vocabulary *vocabulary, const struct conf_group *group, const void *a,
                  const void *b);

size_t value_size(const struct conf_row *row);

/* The default of a row that has one; 0 or -ENOMEM. */
int value_set_fallback(const struct conf_vocabulary *vocabulary, const struct conf_row *row, void *value);

/* Appends the words that a CONF_CHOICE, an engine or a kind may be: "a", "b" and "c", quoted. */
void value_words(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *out);

/* Appends what a good value looks like: "an integer from 1 to 100 (seconds)". */
void value_describe(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *out);

#endif
