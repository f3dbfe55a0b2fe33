/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sample file, from the schema. Every key is in it: those of the smallest sensible configuration set, all
 * others behind `//` with their default or an example, so that the file can be used and edited as it is.
 */
#include "config/docgen.h"

#include <string.h>

#include "config/tables.h"
#include "config/values.h"

enum { WIDTH = 100, STEP = 2 };

struct sample {
        const struct conf_vocabulary *vocabulary;
        FILE *out;
};

const char *doc_fallback(const struct conf_vocabulary *vocabulary, const struct conf_row *row,
                         struct buf *text)
{
        if (!(row->flags & CONF_ENGINE))
                return row->fallback;
        buf_reset(text);
        buf_printf(text, "\"%s\"", vocabulary->engines[0]);
        return buf_string(text);
}

const char *doc_value(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *text)
{
        const char *fallback = doc_fallback(vocabulary, row, text);

        return fallback ? fallback : row->example ? row->example : "\"...\"";
}

void doc_sentences(const struct conf_vocabulary *vocabulary, const struct conf_row *row, struct buf *out)
{
        bool word = row->type == CONF_CHOICE || row->flags & (CONF_ENGINE | CONF_KIND);

        buf_append_string(out, row->doc);
        if (word) {
                buf_append_string(out, " Values: ");
                value_words(vocabulary, row, out);
                buf_append_string(out, ".");
        } else if (row->type == CONF_INT) {
                buf_printf(out, " From %lld to %lld%s%s.", row->min, row->max, row->unit ? " " : "",
                           row->unit ? row->unit : "");
        }
}

/* A comment of whole words: `//` at the depth of the code, the text indented behind it, later lines more. */
static void comment(const struct sample *sample, int depth, int indent, const char *text)
{
        int hang = indent ? STEP : 0;
        int column = 0;

        while (*text) {
                int n = (int)strcspn(text, " ");

                if (column && column + 1 + n > WIDTH) {
                        fputc('\n', sample->out);
                        column = 0;
                        indent += hang;
                        hang = 0;
                }
                column +=
                        column ? fprintf(sample->out, " %.*s", n, text)
                               : fprintf(sample->out, "%*s// %*s%.*s", depth * STEP, "", indent, "", n, text);
                text += n;
                text += strspn(text, " ");
        }
        fputc('\n', sample->out);
}

/* KEY = VALUE; the value may have several lines. */
static void setting(const struct sample *sample, int depth, const struct conf_row *row)
{
        const char *mark = row->flags & CONF_SAMPLE ? "" : "// ";
        CLEANUP(buf_deinit) struct buf text = { 0 };
        const char *value = doc_value(sample->vocabulary, row, &text);

        fprintf(sample->out, "%*s%s%s = ", depth * STEP, "", mark, row->key);
        for (; *value; value++) {
                fputc(*value, sample->out);
                if (*value == '\n')
                        fprintf(sample->out, "%*s%s", depth * STEP, "", mark);
        }
        fputs(";\n", sample->out);
}

/* The keys of a list's groups can only be told in front of it. */
static void element_rows(const struct sample *sample, int depth, int indent, const struct conf_row *rows,
                         size_t n)
{
        for (size_t i = 0; i < n; i++) {
                CLEANUP(buf_deinit) struct buf text = { 0 };
                CLEANUP(buf_deinit) struct buf scratch = { 0 };
                const char *fallback = doc_fallback(sample->vocabulary, &rows[i], &scratch);

                buf_printf(&text, "%s: ", rows[i].key);
                doc_sentences(sample->vocabulary, &rows[i], &text);
                if (rows[i].flags & CONF_REQUIRED)
                        buf_append_string(&text, " Required.");
                else if (fallback)
                        buf_printf(&text, " Default: %s.", fallback);
                comment(sample, depth, indent, buf_string(&text));
        }
}

static void list(const struct sample *sample, int depth, const struct conf_row *row)
{
        CLEANUP(buf_deinit) struct buf text = { 0 };

        buf_printf(&text, "%s Keys:", row->group->doc);
        comment(sample, depth, 0, buf_string(&text));
        element_rows(sample, depth, STEP, row->group->rows, row->group->n_rows);
        for (size_t i = 0; variant_row(row->group) && i < sample->vocabulary->n_kinds; i++) {
                const struct conf_variant *variant = &sample->vocabulary->kinds[i];

                buf_reset(&text);
                buf_printf(&text, "kind = \"%s\": %s%s", variant->name, variant->doc,
                           variant->n_rows ? " Keys:" : "");
                comment(sample, depth, 0, buf_string(&text));
                element_rows(sample, depth, STEP, variant->rows, variant->n_rows);
        }
        setting(sample, depth, row);
}

static void group_rows(const struct sample *sample, int depth, const struct conf_group *group)
{
        for (size_t i = 0; i < group->n_rows; i++) {
                const struct conf_row *row = &group->rows[i];
                CLEANUP(buf_deinit) struct buf text = { 0 };

                if (i || depth == 0)
                        fputc('\n', sample->out);
                if (row->type == CONF_LIST) {
                        list(sample, depth, row);
                } else if (row->type == CONF_GROUP) {
                        comment(sample, depth, 0, row->group->doc);
                        fprintf(sample->out, "%*s%s: {\n", depth * STEP, "", row->key);
                        group_rows(sample, depth + 1, row->group);
                        fprintf(sample->out, "%*s};\n", depth * STEP, "");
                } else {
                        doc_sentences(sample->vocabulary, row, &text);
                        comment(sample, depth, 0, buf_string(&text));
                        setting(sample, depth, row);
                }
        }
}

void config_write_sample(const struct conf_vocabulary *vocabulary, FILE *out)
{
        struct sample sample = { .vocabulary = vocabulary, .out = out };

        comment(&sample, 0, 0, "The configuration of coapd; coapd.conf(5) says more.");
        comment(&sample, 0, 0,
                "What stands behind // at the beginning of a line is the default of a key or, where it has "
                "none, an "
                "example. `coapd --check` tells every mistake in this file.");
        group_rows(&sample, 0, &conf_root);
        fputc('\n', out);
        comment(&sample, 0, 0,
                "Files that add to this one: what they have in a group goes into the group here, and what "
                "they have in a "
                "list behind the list here, in the order of their names. A single value stands in one place "
                "only.");
        fputs("@include \"coapd.d/*.conf\"\n", out);
}
