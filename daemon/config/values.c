/* SPDX-License-Identifier: BSD-2-Clause */
/* Structs through their rows; see values.h. */
#include "config/values.h"

#include <errno.h>
#include <string.h>

#include "config/tables.h"

static void free_string(char *s, bool secret)
{
        if (s && secret)
                explicit_bzero(s, strlen(s));
        free(s);
}

static void free_value(const struct conf_vocabulary *vocabulary, const struct conf_row *row, void *value)
{
        struct conf_strings *strings = value;
        struct conf_list *list = value;
        bool secret = row->flags & CONF_SECRET;

        switch (row->type) {
        case CONF_STRING:
                free_string(*(char **)value, secret);
                *(char **)value = NULL;
                break;
        case CONF_STRINGS:
                for (size_t i = 0; i < strings->n; i++)
                        free_string(strings->v[i], secret);
                free(strings->v);
                *strings = (struct conf_strings){ 0 };
                break;
        case CONF_GROUP:
                values_free(vocabulary, row->group, value);
                break;
        case CONF_LIST:
                for (size_t i = 0; i < list->n; i++)
                        values_free(vocabulary, row->group, (char *)list->v + i * row->group->size);
                free(list->v);
                *list = (struct conf_list){ 0 };
                break;
        case CONF_BOOL:
        case CONF_INT:
        case CONF_CHOICE:
                break;
        }
}

void values_free(const struct conf_vocabulary *vocabulary, const struct conf_group *group, void *base)
{
        const struct conf_variant *variant = variant_of(vocabulary, group, base);
        void **fields = group_fields(group, base);

        if (variant && *fields) {
                for (size_t i = 0; i < variant->n_rows; i++)
                        free_value(vocabulary, &variant->rows[i], row_member(&variant->rows[i], *fields));
                free(*fields);
                *fields = NULL;
        }
        for (size_t i = 0; i < group->n_rows; i++)
                free_value(vocabulary, &group->rows[i], row_member(&group->rows[i], base));
}

static bool string_equal(const char *a, const char *b)
{
        return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool lists_equal(const struct conf_vocabulary *vocabulary, const struct conf_group *group,
                        const struct conf_list *a, const struct conf_list *b)
{
        if (a->n != b->n)
                return false;
        for (size_t i = 0; i < a->n; i++)
                if (!values_equal(vocabulary, group, (const char *)a->v + i * group->size,
                                  (const char *)b->v + i * group->size))
                        return false;
        return true;
}

bool value_equal(const struct conf_vocabulary *vocabulary, const struct conf_row *row, const void *a,
                 const void *b)
{
        const struct conf_strings *x = a, *y = b;

        switch (row->type) {
        case CONF_BOOL:
                return *(const bool *)a == *(const bool *)b;
        case CONF_INT:
                return *(const long long *)a == *(const long long *)b;
        case CONF_CHOICE:
                return *(const int *)a == *(const int *)b;
        case CONF_STRING:
                return string_equal(*(char *const *)a, *(char *const *)b);
        case CONF_STRINGS:
                if (x->n != y->n)
                        return false;
                for (size_t i = 0; i < x->n; i++)
                        if (strcmp(x->v[i], y->v[i]) != 0)
                                return false;
                return true;
        case CONF_GROUP:
                return values_equal(vocabulary, row->group, a, b);
        case CONF_LIST:
                return lists_equal(vocabulary, row->group, a, b);
        }
        return false;
}

bool values_equal(const struct conf_vocabulary *vocabulary, const struct conf_group *group, const void *a,
                  const void *b)
{
        const struct conf_variant *variant = variant_of(vocabulary, group, a);
        const void *a_fields, *b_fields;

        for (size_t i = 0; i < group->n_rows; i++)
                if (!value_equal(vocabulary, &group->rows[i], row_member_const(&group->rows[i], a),
                                 row_member_const(&group->rows[i], b)))
                        return false;
        if (!variant)
                return true;
        a_fields = group_fields_const(group, a);
        b_fields = group_fields_const(group, b);
        for (size_t i = 0; i < variant->n_rows; i++)
                if (!value_equal(vocabulary, &variant->rows[i], row_member_const(&variant->rows[i], a_fields),
                                 row_member_const(&variant->rows[i], b_fields)))
                        return false;
        return true;
}

size_t value_size(const struct conf_row *row)
{
        switch (row->type) {
        case CONF_BOOL:
                return sizeof(bool);
        case CONF_INT:
                return sizeof(long long);
        case CONF_CHOICE:
                return sizeof(int);
        case CONF_STRING:
                return sizeof(char *);
        case CONF_STRINGS:
                return sizeof(struct conf_strings);
        case CONF_GROUP:
                return row->group->size;
        case CONF_LIST:
                return sizeof(struct conf_list);
        }
        return 0;
}

/* The text between the next two double quotes, moving `*p` behind them; defaults need no escapes. */
static char *next_quoted(const char **p)
{
        const char *begin = strchr(*p, '"');
        const char *end = begin ? strchr(begin + 1, '"') : NULL;

        if (!end)
                return NULL;
        *p = end + 1;
        return strndup(begin + 1, (size_t)(end - begin - 1));
}

static int fallback_strings(const char *text, struct conf_strings *strings)
{
        size_t quotes = 0;

        for (const char *p = text; *p; p++)
                quotes += *p == '"';
        strings->v = calloc(quotes / 2 + 1, sizeof(*strings->v));
        if (!strings->v)
                return -ENOMEM;
        while (strings->n < quotes / 2) {
                strings->v[strings->n] = next_quoted(&text);
                if (!strings->v[strings->n])
                        return -ENOMEM;
                strings->n++;
        }
        return 0;
}

int value_set_fallback(const struct conf_vocabulary *vocabulary, const struct conf_row *row, void *value)
{
        const char *text = row->fallback;
        CLEANUP(freep) char *word = NULL;

        if (row->flags & CONF_ENGINE) {
                *(char **)value = strdup(vocabulary->engines[0]);
                return *(char **)value ? 0 : -ENOMEM;
        }
        if (!text)
                return 0;
        switch (row->type) {
        case CONF_BOOL:
                *(bool *)value = strcmp(text, "true") == 0;
                return 0;
        case CONF_INT:
                *(long long *)value = strtoll(text, NULL, 10);
                return 0;
        case CONF_STRINGS:
                return fallback_strings(text, value);
        case CONF_CHOICE:
                word = next_quoted(&text);
                for (int i = 0; word && row->choices[i]; i++)
                        if (strcmp(word, row->choices[i]) == 0)
                                *(int *)value = i;
                return word ? 0 : -ENOMEM;
        case CONF_STRING:
                *(char **)value = next_quoted(&text);
                return *(char **)value ? 0 : -ENOMEM;
        case CONF_GROUP:
        case CONF_LIST:
                break;
        }
        return 0;
}

static void list_word(size_t i, bool last, const char *word, struct buf *out)
{
        buf_printf(out, "%s\"%s\"", i == 0 ? "" : last ? " and " : ", ", word);
}

void value_words(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *out)
{
        const char *const *words = row->flags & CONF_ENGINE ? vocabulary->engines : row->choices;

        if (row->flags & CONF_KIND)
                for (size_t i = 0; i < vocabulary->n_kinds; i++)
                        list_word(i, i + 1 == vocabulary->n_kinds, vocabulary->kinds[i].name, out);
        else
                for (size_t i = 0; words[i]; i++)
                        list_word(i, !words[i + 1], words[i], out);
}

void value_describe(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *out)
{
        if (row->type == CONF_CHOICE || row->flags & (CONF_ENGINE | CONF_KIND)) {
                buf_append_string(out, "one of ");
                value_words(vocabulary, row, out);
                return;
        }
        switch (row->type) {
        case CONF_BOOL:
                buf_append_string(out, "true or false");
                break;
        case CONF_INT:
                buf_printf(out, "an integer from %lld to %lld", row->min, row->max);
                if (row->unit)
                        buf_printf(out, " (%s)", row->unit);
                break;
        case CONF_CHOICE:
        case CONF_STRING:
                buf_append_string(out, "a string in double quotes");
                break;
        case CONF_STRINGS:
                buf_append_string(out, "a string, or a list of strings such as ( \"a\", \"b\" )");
                break;
        case CONF_GROUP:
                buf_append_string(out, "a group in braces: { ... }");
                break;
        case CONF_LIST:
                buf_append_string(out, "a list of groups: ( { ... }, { ... } )");
                break;
        }
}
