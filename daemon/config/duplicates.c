/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys that stand twice in one group. libconfig stops at the first one with the bare line number, or, asked
 * to allow them, lets the last one win in silence; so they are found ahead of it, each with both places.
 */
#include <string.h>

#include "config/lexer.h"
#include "config/source.h"

enum { MAX_NESTING = 32 };

struct seen_key {
        struct span name;
        unsigned line;
};

/* A group, list or array that is open. */
struct scope {
        char open;        /* one of {([ ; 0 for the file itself */
        struct span name; /* the key that it is the value of */
        size_t index;     /* of the element that comes next */
        struct seen_key *keys;
        size_t n_keys;
};

struct search {
        const struct source *source;
        struct report *report;
        struct scope scopes[MAX_NESTING];
        size_t depth;    /* of the innermost scope */
        struct span key; /* the one whose value comes next */
};

/* "security.psk.identities[3].key" */
static void write_path(const struct search *search, struct span name, struct buf *path)
{
        for (size_t i = 1; i <= search->depth; i++) {
                const struct scope *outer = &search->scopes[i - 1];

                if (outer->open == '(' || outer->open == '[') {
                        buf_printf(path, "[%zu]", outer->index);
                        continue;
                }
                buf_append_string(path, path->n ? "." : "");
                buf_append_span(path, search->scopes[i].name);
        }
        buf_append_string(path, path->n ? "." : "");
        buf_append_span(path, name);
}

static void report_duplicate(struct search *search, const struct seen_key *first, unsigned line)
{
        CLEANUP(buf_deinit) struct buf path = { 0 };
        struct conf_origin at = source_origin(search->source, first->line);

        write_path(search, first->name, &path);
        report_add(search->report, line, source_origin(search->source, line), buf_string(&path),
                   "given twice, expected once: it stands at %s:%u already", at.file, at.line);
}

static void note_key(struct search *search, struct span name, unsigned line)
{
        struct scope *scope = &search->scopes[search->depth];
        struct seen_key *keys;

        search->key = name;
        for (size_t i = 0; i < scope->n_keys; i++) {
                if (span_equal(scope->keys[i].name, name)) {
                        report_duplicate(search, &scope->keys[i], line);
                        return;
                }
        }
        keys = reallocarray(scope->keys, scope->n_keys + 1, sizeof(*keys));
        if (!keys) {
                search->report->out_of_memory = true;
                return;
        }
        scope->keys = keys;
        keys[scope->n_keys++] = (struct seen_key){ name, line };
}

static void close_scope(struct search *search)
{
        free(search->scopes[search->depth].keys);
        search->scopes[search->depth] = (struct scope){ 0 };
        if (search->depth)
                search->depth--;
}

/* False: nested deeper than any configuration of ours; libconfig and the schema say the rest. */
static bool note_mark(struct search *search, char mark)
{
        switch (mark) {
        case '{':
        case '(':
        case '[':
                if (search->depth + 1 == MAX_NESTING)
                        return false;
                search->scopes[++search->depth] = (struct scope){ .open = mark, .name = search->key };
                break;
        case '}':
        case ')':
        case ']':
                if (search->depth == 0)
                        return false;
                close_scope(search);
                break;
        case ',':
                search->scopes[search->depth].index++;
                break;
        default:
                break;
        }
        return true;
}

void source_find_duplicates(const struct source *source, struct report *report)
{
        struct search search = { .source = source, .report = report };
        struct span name = { 0 };
        unsigned name_line = 0;
        struct lexer lexer;
        enum token token;

        lexer_init(&lexer, (const char *)source->text.p, source->text.n);
        while ((token = lexer_next(&lexer)) != TOKEN_END && token != TOKEN_BAD) {
                char mark = token == TOKEN_MARK ? *lexer.token : '\0';

                if ((mark == '=' || mark == ':') && name.n)
                        note_key(&search, name, name_line);
                else if (mark && !note_mark(&search, mark))
                        break;
                name = token == TOKEN_NAME ? span_of(lexer.token, lexer.n) : (struct span){ 0 };
                name_line = lexer.line;
        }
        while (search.depth)
                close_scope(&search);
        close_scope(&search);
}
