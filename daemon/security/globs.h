/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path globs as a trie of segments, walked for all globs at once: the state of a walk is the set of nodes
 * that the segments so far lead to, so a path costs its length times the globs that go along with it.
 *
 * Each glob carries a rule's number and a set of methods; a walk finds the lowest number for each method.
 */
#ifndef COAPD_SECURITY_GLOBS_H
#define COAPD_SECURITY_GLOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

#define GLOBS_N_METHODS 9
#define GLOBS_NO_RULE UINT32_MAX

struct globs;

/* Without a glob, and NULL without memory. */
struct globs *globs_new(void);
/* Accepts NULL. */
void globs_free(struct globs *globs);

/* What would have been expected instead of `glob`; NULL when it is good. */
const char *globs_check(const char *glob);

/* Whether `wide` has every path that `narrow` has, two good globs. False where that takes a look into a segment. */
bool globs_cover(const char *wide, const char *narrow);

/* `glob` is good and must outlive `globs`. 0 or -ENOMEM. */
int globs_add(struct globs *globs, const char *glob, unsigned methods, uint32_t rule);

/* After the last glob, before the first walk. 0 or -ENOMEM. */
int globs_finish(struct globs *globs);

/*
 * `path` as access_decide() has it. `first[i]` is the lowest rule for method 1 << i, where that is one of `methods`,
 * or GLOBS_NO_RULE.
 */
void globs_find(const struct globs *globs, struct span path, unsigned methods,
                uint32_t first[GLOBS_N_METHODS]);

#endif
