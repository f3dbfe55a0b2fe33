/* SPDX-License-Identifier: BSD-2-Clause */
/* Columns; see table.h. */
#include "table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

int table_add(struct table *table, const char *text)
{
        /* In steps, so that a hundred thousand rows are not moved a hundred thousand times. */
        enum { STEP = 1024 };
        char *copy = strdup(*text ? text : "-");

        if (copy && table->n % STEP == 0) {
                char **grown = reallocarray(table->cells, table->n + STEP, sizeof *grown);

                if (!grown) {
                        free(copy);
                        return -ENOMEM;
                }
                table->cells = grown;
        }
        if (!copy)
                return -ENOMEM;
        for (char *c = copy; *c; c++)
                if ((unsigned char)*c < ' ' || *c == 0x7f)
                        *c = '?';
        table->cells[table->n++] = copy;
        return 0;
}

int table_add_number(struct table *table, unsigned long long number)
{
        char text[24];

        snprintf(text, sizeof text, "%llu", number);
        return table_add(table, text);
}

/* Columns of the terminal; bytes where it is no text of this locale. */
static size_t width_of(const char *text)
{
        mbstate_t state = { 0 };
        const char *rest = text;
        size_t n = mbsrtowcs(NULL, &rest, 0, &state);

        return n == (size_t)-1 ? strlen(text) : n;
}

static void print_cell(const char *text, size_t width, bool right, bool last)
{
        size_t n = width_of(text);
        int pad = n < width ? (int)(width - n) : 0;

        if (right)
                printf("%*s%s%s", pad, "", text, last ? "\n" : "  ");
        else if (last)
                printf("%s\n", text);
        else
                printf("%s%*s  ", text, pad, "");
}

void table_print(const struct table *table)
{
        size_t width[TABLE_COLUMNS] = { 0 }, columns = 0;

        for (; table->titles[columns]; columns++)
                width[columns] = strlen(table->titles[columns]) - (table->titles[columns][0] == '#');
        if (columns == 0)
                return;
        for (size_t i = 0; i < table->n; i++) {
                size_t n = width_of(table->cells[i]);

                if (n > width[i % columns])
                        width[i % columns] = n;
        }
        for (size_t i = 0; i < columns; i++) {
                bool right = table->titles[i][0] == '#';

                print_cell(table->titles[i] + right, width[i], right, i + 1 == columns);
        }
        for (size_t i = 0; i < table->n; i++)
                print_cell(table->cells[i], width[i % columns], table->titles[i % columns][0] == '#',
                           (i + 1) % columns == 0);
}

void table_deinit(struct table *table)
{
        for (size_t i = 0; i < table->n; i++)
                free(table->cells[i]);
        free(table->cells);
}
