/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether one glob has all the paths of another; see globs.h. */
#include <string.h>

#include "security/globs.h"

/* The segments of a path from `p` on; NULL: none is left. */
static const char *next(const char *p)
{
        const char *slash = strchr(p, '/');

        return slash ? slash + 1 : NULL;
}

static struct span segment(const char *p)
{
        return span_of(p, strcspn(p, "/"));
}

static bool is(const char *p, const char *text)
{
        return span_equal(segment(p), span_of_string(text));
}

/* A star that shares its segment with something else covers itself alone: this may miss, and never mistakes. */
static bool covers(const char *wide, const char *narrow)
{
        if (!wide)
                return !narrow;
        if (is(wide, "**"))
                return covers(next(wide), narrow) || (narrow && covers(wide, next(narrow)));
        if (!narrow || is(narrow, "**"))
                return false;
        return (is(wide, "*") || span_equal(segment(wide), segment(narrow))) &&
               covers(next(wide), next(narrow));
}

/* Behind the slash in front; that alone is the root, which has no segment. */
static const char *first(const char *glob)
{
        return glob[1] ? glob + 1 : NULL;
}

bool globs_cover(const char *wide, const char *narrow)
{
        return covers(first(wide), first(narrow));
}
