/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path globs of access rules, beside the plainest way to match them, which gives up where it would take ages. An input
 * is lines: the path, as libcoap spells it, then globs.
 */
#include "resources/uri_path.h"
#include "rig.h"
#include "security/globs.h"

enum { GLOBS_MOST = 12, ALL = (1 << GLOBS_N_METHODS) - 1, LINE_MOST = 64, STEPS_MOST = 1 << 20 };

static struct span take_line(struct span *input)
{
        const uint8_t *end = input->n ? memchr(input->p, '\n', input->n) : NULL;
        struct span line = take_bytes(input, end ? (size_t)(end - input->p) : input->n);

        take_byte(input);
        return line;
}

static size_t segment_end(const char *s)
{
        return strcspn(s, "/");
}

/* The byte that a path's spelling begins with, and how many characters it takes. */
static uint8_t byte_at(const char *path, size_t *ret_n)
{
        unsigned byte = (uint8_t)path[0];

        *ret_n = 1;
        if (path[0] == '%' && sscanf(path + 1, "%2x", &byte) == 1)
                *ret_n = 3;
        return (uint8_t)byte;
}

static bool segment_matches(const char *glob, size_t g, const char *path, size_t p, unsigned *steps)
{
        size_t n;

        if (++*steps > STEPS_MOST)
                return false;
        if (g == 0)
                return p == 0;
        if (glob[0] == '*') {
                if (segment_matches(glob + 1, g - 1, path, p, steps))
                        return true;
                if (p == 0)
                        return false;
                byte_at(path, &n);
                return segment_matches(glob, g, path + n, p - n, steps);
        }
        return p > 0 && byte_at(path, &n) == (uint8_t)glob[0] &&
               segment_matches(glob + 1, g - 1, path + n, p - n, steps);
}

/* Both begin behind a slash; NULL: behind the last segment. */
static bool path_matches(const char *glob, const char *path, unsigned *steps)
{
        size_t g, p;
        bool any;

        if (++*steps > STEPS_MOST)
                return false;
        if (!glob)
                return !path;
        g = segment_end(glob);
        any = g == 2 && memcmp(glob, "**", 2) == 0;
        if (any && path_matches(glob[g] ? glob + g + 1 : NULL, path, steps))
                return true;
        if (!path)
                return false;
        p = segment_end(path);
        if (!any && !segment_matches(glob, g, path, p, steps))
                return false;
        return path_matches(any ? glob : glob[g] ? glob + g + 1 : NULL, path[p] ? path + p + 1 : NULL, steps);
}

/* Any bytes as libcoap spells them; one of them stands for a slash within a segment. */
static void spell(struct span line, struct buf *path)
{
        enum { STANDS_FOR_SLASH = 1 };

        line.n = MIN(line.n, (size_t)LINE_MOST);
        for (size_t i = 0; i < line.n; i++) {
                if (line.p[i] == STANDS_FOR_SLASH)
                        buf_append_string(path, "%2F");
                else
                        uri_path_encode(span_of(line.p + i, 1), path);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        CLEANUP(buf_deinit) struct buf spelled = { 0 };
        struct span input = span_of(data, n);
        uint32_t found[GLOBS_N_METHODS], expected = GLOBS_NO_RULE;
        char text[GLOBS_MOST][LINE_MOST + 1];
        struct globs *globs = globs_new();
        uint32_t count = 0;
        unsigned steps = 0;
        const char *path;

        RIG_CHECK(globs, "no memory");
        spell(take_line(&input), &spelled);
        path = buf_string(&spelled);
        while (input.n && count < GLOBS_MOST) {
                struct span line = take_line(&input);
                char *glob = text[count];

                line.n = MIN(line.n, (size_t)LINE_MOST);
                snprintf(glob, sizeof text[0], "%.*s", (int)line.n, (const char *)line.p);
                if (globs_check(glob))
                        continue;
                RIG_CHECK(globs_add(globs, glob, ALL, count) == 0, "no memory");
                if (expected == GLOBS_NO_RULE &&
                    path_matches(glob[1] ? glob + 1 : NULL, *path ? path : NULL, &steps))
                        expected = count;
                count++;
        }
        RIG_CHECK(globs_finish(globs) == 0, "no memory");
        globs_find(globs, buf_span(&spelled), ALL, found);
        for (size_t i = 0; i < GLOBS_N_METHODS && steps <= STEPS_MOST; i++)
                RIG_CHECK(found[i] == expected, "%s: rule %u, expected %u", path, found[i], expected);
        globs_free(globs);
        return 0;
}
