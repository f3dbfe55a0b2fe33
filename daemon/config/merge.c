/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Groups and lists that stand in several files, put together: what a drop-in adds to `security` or `access`. The text
 * is written anew with all members of a group in one place, each line of it still
 * known by its file. What cannot be put together stays as it is, for source_find_duplicates() to report.
 */
#include <errno.h>
#include <string.h>

#include "config/parse.h"

struct writing {
        const struct source *from;
        struct source *to;
        int error; /* the first */
};

/* A piece of the old text, on lines of its own. */
static void write_piece(struct writing *writing, size_t begin, size_t end, unsigned line)
{
        if (writing->error == 0 && begin < end)
                writing->error = source_append_lines(writing->to, (const char *)writing->from->text.p + begin,
                                                     end - begin, &writing->from->lines[line - 1]);
}

/* At the end of the last line of what was written. */
static void write_mark(struct writing *writing, const char *text)
{
        if (writing->error == 0)
                writing->error = source_append(writing->to, text);
}

static const char *file_of(const struct writing *writing, const struct member *member)
{
        return source_origin(writing->from, member->line).file;
}

static bool goes_with(const struct writing *writing, struct member *const *parts, size_t n,
                      const struct member *other)
{
        if (other->done || other->open != parts[0]->open || !span_equal(other->name, parts[0]->name))
                return false;
        for (size_t i = 0; i < n; i++)
                if (strcmp(file_of(writing, parts[i]), file_of(writing, other)) == 0)
                        return false; /* twice in one file is a mistake */
        return true;
}

static void write_members(struct writing *writing, struct member *const *groups, size_t n);

static void write_list(struct writing *writing, struct member *const *parts, size_t n)
{
        const struct member *last = parts[0];

        write_piece(writing, last->begin, last->body_end, last->line);
        for (size_t i = 1; i < n; i++) {
                if (!parts[i]->elements)
                        continue;
                /* On a line of its own: the one before may end in a comment. */
                if (last->elements && !last->comma)
                        write_mark(writing, "\n,");
                write_piece(writing, parts[i]->body, parts[i]->body_end, parts[i]->body_line);
                last = parts[i];
        }
        write_mark(writing, parts[0]->open == '(' ? "\n);" : "\n];");
}

/* The member with all that goes together with it, from here on and in the groups behind. */
static void write_together(struct writing *writing, struct member *const *groups, size_t n_groups,
                           struct member *first)
{
        CLEANUP(freep) struct member **parts = malloc(sizeof(struct member *));
        size_t n = 1;

        if (!parts) {
                writing->error = -ENOMEM;
                return;
        }
        parts[0] = first;
        for (size_t g = 0; first->open && g < n_groups; g++) {
                for (size_t i = 0; i < groups[g]->n; i++) {
                        struct member *other = &groups[g]->members[i];
                        struct member **grown;

                        if (other == first || !goes_with(writing, parts, n, other))
                                continue;
                        grown = reallocarray(parts, n + 1, sizeof(struct member *));
                        if (!grown) {
                                writing->error = -ENOMEM;
                                return;
                        }
                        parts = grown;
                        parts[n++] = other;
                }
        }
        for (size_t i = 0; i < n; i++)
                parts[i]->done = true;
        if (n == 1) {
                write_piece(writing, first->begin, first->end, first->line);
                write_mark(writing, ";");
        } else if (first->open != '{') {
                write_list(writing, parts, n);
        } else {
                write_piece(writing, first->begin, first->body, first->line);
                write_members(writing, parts, n);
                write_mark(writing, "\n};");
        }
}

static void write_members(struct writing *writing, struct member *const *groups, size_t n)
{
        for (size_t g = 0; g < n; g++)
                for (size_t i = 0; i < groups[g]->n && writing->error == 0; i++)
                        if (!groups[g]->members[i].done)
                                write_together(writing, groups, n, &groups[g]->members[i]);
}

static int merge(struct source *source, struct member *root)
{
        CLEANUP(source_deinit) struct source merged = { 0 };
        struct writing writing = { .from = source, .to = &merged };

        write_members(&writing, &root, 1);
        if (writing.error)
                return writing.error;
        merged.files = source->files;
        source->files = (struct conf_strings){ 0 };
        source_deinit(source);
        *source = merged;
        merged = (struct source){ 0 };
        return 0;
}

int source_arrange(struct source *source, struct report *report)
{
        struct member root;
        int r = parse_source(source, report, &root);

        if (r == 0 && source->files.n > 1)
                r = merge(source, &root);
        members_free(&root);
        return r;
}
