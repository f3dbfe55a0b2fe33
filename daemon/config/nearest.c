/* SPDX-License-Identifier: BSD-2-Clause */
/* Edit distance; see nearest.h. */
#include "config/nearest.h"

#include <string.h>

#include "base/util.h"

enum { LONGEST = 63 };

/* Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
static size_t distance(const char *a, size_t n, const char *b, size_t m)
{
        size_t rows[3][LONGEST + 1];
        size_t *before = rows[0], *above = rows[1], *row = rows[2];

        for (size_t j = 0; j <= m; j++)
                above[j] = j;
        for (size_t i = 1; i <= n; i++) {
                size_t *next = before;

                row[0] = i;
                for (size_t j = 1; j <= m; j++) {
                        size_t replaced = above[j - 1] + (a[i - 1] != b[j - 1]);

                        row[j] = MIN(replaced, MIN(above[j], row[j - 1]) + 1);
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                                row[j] = MIN(row[j], before[j - 2] + 1);
                }
                before = above;
                above = row;
                row = next;
        }
        return above[m];
}

void nearest_init(struct nearest *nearest, const char *to)
{
        /* About one letter in three may be wrong, else anything short is near to anything. */
        *nearest = (struct nearest){ .to = to, .distance = MAX(strlen(to) / 3, (size_t)1) + 1 };
}

void nearest_offer(struct nearest *nearest, const char *word)
{
        size_t n = strlen(nearest->to), m = strlen(word), d;

        if (n > LONGEST || m > LONGEST)
                return;
        d = distance(nearest->to, n, word, m);
        /* Of two that are as near the longer one: a letter is forgotten more often than added. */
        if (d < nearest->distance || (nearest->best && d == nearest->distance && m > strlen(nearest->best))) {
                nearest->distance = d;
                nearest->best = word;
        }
}
