/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What changed between two configurations, by the rows: keys are named in full, the groups of a list by what
 * tells them apart ("resources[time].title"), so that one more in front of others is one line.
 */
#include <string.h>

#include "base/log.h"
#include "config/memory.h"
#include "config/tables.h"
#include "config/values.h"

struct diff {
        const struct conf_vocabulary *vocabulary;
        FILE *out;
        size_t restarts;
};

static void name_change(struct diff *diff, unsigned reload, const char *path, const char *what)
{
        fprintf(diff->out, "%s%s%s\n", path, what, reload ? "" : " (needs a restart)");
        diff->restarts += !reload;
}

/* What tells a group of a list apart from its neighbours; NULL: only its place does. */
static const char *name_of(const struct conf_group *group, const void *base)
{
        for (size_t i = 0; i < group->n_rows; i++) {
                const struct conf_row *row = &group->rows[i];
                const struct conf_strings *strings = row_member_const(row, base);

                if (!(row->flags & CONF_NAME))
                        continue;
                if (row->type == CONF_STRINGS)
                        return strings->n ? strings->v[0] : NULL;
                return *(char *const *)row_member_const(row, base);
        }
        return NULL;
}

static const void *element_of(const struct conf_group *group, const struct conf_list *list, size_t i)
{
        return (const char *)list->v + i * group->size;
}

/* The element of `list` that is called as the one at `i` of another list is; NULL: none. */
static const void *partner_of(const struct conf_group *group, const struct conf_list *list, size_t i,
                              const char *name)
{
        const char *other = i < list->n ? name_of(group, element_of(group, list, i)) : NULL;

        if (!name)
                return i < list->n ? element_of(group, list, i) : NULL;
        /* Most lists keep their order: look at the same place first. */
        if (other && strcmp(other, name) == 0)
                return element_of(group, list, i);
        for (size_t j = 0; j < list->n; j++) {
                other = name_of(group, element_of(group, list, j));
                if (other && strcmp(other, name) == 0)
                        return element_of(group, list, j);
        }
        return NULL;
}

static void diff_rows(struct diff *diff, const struct conf_row *rows, size_t n, const void *a, const void *b,
                      const char *path);

static void diff_group(struct diff *diff, const struct conf_group *group, const void *a, const void *b,
                       const char *path)
{
        const struct conf_variant *variant = variant_of(diff->vocabulary, group, a);

        diff_rows(diff, group->rows, group->n_rows, a, b, path);
        if (variant && variant == variant_of(diff->vocabulary, group, b))
                diff_rows(diff, variant->rows, variant->n_rows, group_fields_const(group, a),
                          group_fields_const(group, b), path);
}

static char *element_name(const char *path, const char *name, size_t i)
{
        char *text;
        int n = name ? asprintf(&text, "%s[%s]", path, LOG_ESCAPE(span_of_string(name)))
                     : asprintf(&text, "%s[%zu]", path, i);

        return n < 0 ? NULL : text;
}

/* The elements of `from` that `to` has no partner for are named; unless those are the added ones, others
 * compared. */
static void diff_list(struct diff *diff, const struct conf_row *row, const struct conf_list *from,
                      const struct conf_list *to, const char *path, bool added)
{
        unsigned reload = row->flags & (added ? CONF_RELOAD | CONF_ADDABLE : CONF_RELOAD);

        for (size_t i = 0; i < from->n; i++) {
                const void *element = element_of(row->group, from, i);
                const char *name = name_of(row->group, element);
                const void *partner = partner_of(row->group, to, i, name);
                CLEANUP(freep) char *element_path = element_name(path, name, i);

                if (!partner)
                        name_change(diff, reload, element_path ? element_path : path,
                                    added ? ": added" : ": removed");
                else if (!added)
                        diff_group(diff, row->group, element, partner, element_path ? element_path : path);
        }
}

static void diff_rows(struct diff *diff, const struct conf_row *rows, size_t n, const void *a, const void *b,
                      const char *path)
{
        for (size_t i = 0; i < n; i++) {
                const struct conf_row *row = &rows[i];
                const void *x = row_member_const(row, a), *y = row_member_const(row, b);
                CLEANUP(freep) char *key = NULL;

                if (asprintf(&key, "%s%s%s", path, *path ? "." : "", row->key) < 0)
                        key = NULL;
                if (row->type == CONF_GROUP) {
                        diff_group(diff, row->group, x, y, key ? key : row->key);
                } else if (row->type == CONF_LIST) {
                        diff_list(diff, row, x, y, key ? key : row->key, false);
                        diff_list(diff, row, y, x, key ? key : row->key, true);
                } else if (!value_equal(diff->vocabulary, row, x, y)) {
                        name_change(diff, row->flags & CONF_RELOAD, key ? key : row->key, "");
                }
        }
}

size_t config_diff(const struct config *old, const struct config *new, FILE *out)
{
        const struct conf_memory *memory = old->memory;
        struct diff diff = { .vocabulary = &memory->vocabulary, .out = out };

        diff_group(&diff, &conf_root, old, new, "");
        return diff.restarts;
}
