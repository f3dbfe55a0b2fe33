/* SPDX-License-Identifier: BSD-2-Clause */
/* A table for people: columns as wide as what is in them, numbers to the right. */
#ifndef COAPCTL_TABLE_H
#define COAPCTL_TABLE_H

#include <stdbool.h>
#include <stddef.h>

enum { TABLE_COLUMNS = 8 };

struct table {
        const char *const
                *titles; /* NULL-terminated, at most TABLE_COLUMNS; "#NAME" is a column of numbers */
        char **cells;
        size_t n; /* cells that are filled; whole rows */
};

/* The next cell, copied, with what is no text made visible. 0 or -ENOMEM. */
int table_add(struct table *table, const char *text);
int table_add_number(struct table *table, unsigned long long number);

/* In the order in which the rows came. */
void table_print(const struct table *table);
void table_deinit(struct table *table);

#endif
