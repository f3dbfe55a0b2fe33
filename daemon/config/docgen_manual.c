/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys in mdoc(7), for coapd.conf(5): a subsection for each group, a tagged paragraph for each key.
 */
#include <ctype.h>
#include <string.h>

#include "config/docgen.h"
#include "config/tables.h"

struct manual {
        const struct conf_vocabulary *vocabulary;
        FILE *out;
};

enum { LINE_MAX_BYTES = 80 };

static void put_escaped(FILE *out, const char *text, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                if (text[i] == '\\')
                        fputs("\\e", out);
                else
                        fputc(text[i], out);
        }
}

/* Text lines of whole words, none of which roff would take for a macro. */
static void put_text(FILE *out, const char *text, size_t n)
{
        size_t column = 0;

        while (n) {
                const char *blank = memchr(text, ' ', n);
                size_t word = blank ? (size_t)(blank - text) : n;

                if (column && column + 1 + word > LINE_MAX_BYTES) {
                        fputc('\n', out);
                        column = 0;
                }
                if (column)
                        fputc(' ', out);
                else if (*text == '.' || *text == '\'')
                        fputs("\\&", out);
                put_escaped(out, text, word);
                column += word + (column > 0);
                word += blank != NULL;
                text += word;
                n -= word;
        }
        fputc('\n', out);
}

/* A sentence ends at ". " before a capital; roff wants each on a line of its own. */
static void put_sentences(FILE *out, const char *text)
{
        const char *begin = text;

        for (const char *p = text; *p; p++) {
                if (p[0] != '.' || p[1] != ' ' || islower((unsigned char)p[2]))
                        continue;
                put_text(out, begin, (size_t)(p + 1 - begin));
                begin = p + 2;
        }
        put_text(out, begin, strlen(begin));
}

/* A value in a macro's arguments. */
static void put_quoted(FILE *out, const char *text)
{
        fputc('"', out);
        for (; *text; text++) {
                if (*text == '"')
                        fputs("\\(dq", out);
                else if (*text == '\\')
                        fputs("\\e", out);
                else
                        fputc(*text, out);
        }
        fputc('"', out);
}

static const char *placeholder(const struct conf_row *row)
{
        switch (row->type) {
        case CONF_BOOL:
                return "boolean";
        case CONF_INT:
                return row->unit ? row->unit : "integer";
        case CONF_STRINGS:
                return "list";
        case CONF_CHOICE:
                return "word";
        default:
                return "string";
        }
}

static void write_row(const struct manual *manual, const struct conf_row *row)
{
        CLEANUP(buf_deinit) struct buf text = { 0 };
        CLEANUP(buf_deinit) struct buf scratch = { 0 };
        const char *fallback = doc_fallback(manual->vocabulary, row, &scratch);

        fprintf(manual->out, ".It Cm %s No = Ar %s\n", row->key, placeholder(row));
        doc_sentences(manual->vocabulary, row, &text);
        put_sentences(manual->out, buf_string(&text));
        if (row->flags & CONF_REQUIRED) {
                fputs("It is required.\n", manual->out);
        } else if (fallback) {
                fputs("The default is\n.Ql ", manual->out);
                put_quoted(manual->out, fallback);
                fputs(" .\n", manual->out);
        }
        if (row->example && !fallback) {
                buf_reset(&text);
                buf_printf(&text, "%s = %s", row->key, row->example);
                fputs("Example:\n.Ql ", manual->out);
                put_quoted(manual->out, buf_string(&text));
                fputc('\n', manual->out);
        }
}

/* The keys that are values; groups within follow as subsections of their own. */
static void write_rows(const struct manual *manual, const struct conf_row *rows, size_t n)
{
        bool any = false;

        for (size_t i = 0; i < n; i++) {
                if (rows[i].type == CONF_GROUP || rows[i].type == CONF_LIST)
                        continue;
                if (!any)
                        fputs(".Bl -tag -width Ds\n", manual->out);
                any = true;
                write_row(manual, &rows[i]);
        }
        if (any)
                fputs(".El\n", manual->out);
}

/* The groups of a list as they would stand in the file. */
static void write_example(const struct manual *manual, const struct conf_row *row)
{
        fprintf(manual->out, "Example:\n.Bd -literal -offset indent\n%s = ", row->key);
        put_escaped(manual->out, row->example, strlen(row->example));
        fputs(";\n.Ed\n", manual->out);
}

static void write_group(const struct manual *manual, const struct conf_row *group_row, const char *path)
{
        const struct conf_group *group = group_row->group;
        bool is_list = group_row->type == CONF_LIST;
        const struct conf_vocabulary *vocabulary = manual->vocabulary;

        fprintf(manual->out, ".Ss %s\n", path);
        put_sentences(manual->out, group->doc);
        fprintf(manual->out, "%s\n",
                is_list ? "A list of groups with these keys:" : "A group with these keys:");
        write_rows(manual, group->rows, group->n_rows);
        if (group_row->example)
                write_example(manual, group_row);
        for (size_t i = 0; variant_row(group) && i < vocabulary->n_kinds; i++) {
                fprintf(manual->out, ".Ss %s of kind %s\n", path, vocabulary->kinds[i].name);
                put_sentences(manual->out, vocabulary->kinds[i].doc);
                write_rows(manual, vocabulary->kinds[i].rows, vocabulary->kinds[i].n_rows);
        }
        for (size_t i = 0; i < group->n_rows; i++) {
                const struct conf_row *row = &group->rows[i];
                CLEANUP(freep) char *child = NULL;

                if (!row->group || asprintf(&child, "%s.%s", path, row->key) < 0)
                        continue;
                write_group(manual, row, child);
        }
}

void config_write_manual(const struct conf_vocabulary *vocabulary, FILE *out)
{
        struct manual manual = { .vocabulary = vocabulary, .out = out };

        for (size_t i = 0; i < conf_root.n_rows; i++)
                write_group(&manual, &conf_root.rows[i], conf_root.rows[i].key);
}
