/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libconfig's grammar by recursive descent; see parse.h. It goes on behind errors that leave no doubt about the rest.
 * Values are never shown: they may be secret.
 */
#include "config/parse.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/log.h"
#include "config/lexer.h"

enum { MAX_NESTING = 32 };

struct parser {
        const struct source *source;
        struct report *report;
        struct lexer lexer;
        enum token token;
        struct buf path; /* of the key that is being read */
        unsigned depth;
        bool wrong;
        bool out_of_memory;
};

static void PRINTF_LIKE(3, 4) wrong(struct parser *parser, unsigned line, const char *fmt, ...)
{
        CLEANUP(freep) char *text = NULL;
        va_list ap;
        int r;

        parser->wrong = true;
        va_start(ap, fmt);
        r = vasprintf(&text, fmt, ap);
        va_end(ap);
        if (r < 0) {
                text = NULL;
                parser->out_of_memory = true;
                return;
        }
        report_add(parser->report, line, source_origin(parser->source, line),
                   parser->path.n ? buf_string(&parser->path) : "syntax", "%s", text);
}

static void advance(struct parser *parser)
{
        parser->token = lexer_next(&parser->lexer);
}

static size_t offset(const struct parser *parser)
{
        return (size_t)(parser->lexer.token - parser->lexer.begin);
}

static struct span token_text(const struct parser *parser)
{
        return span_of(parser->lexer.token, parser->lexer.n);
}

static char mark(const struct parser *parser)
{
        return parser->token == TOKEN_MARK ? *parser->lexer.token : '\0';
}

static bool is_one_of(char c, const char *marks)
{
        return c && strchr(marks, c);
}

static char closing(char open)
{
        return open == '{' ? '}' : open == '(' ? ')' : ']';
}

/* What is open was not closed where it should have been. */
static bool not_closed(struct parser *parser, const struct member *member)
{
        if (parser->token == TOKEN_END)
                wrong(parser, member->body_line, "the %c of this line is never closed, expected %c",
                      member->open, closing(member->open));
        else
                wrong(parser, parser->lexer.line, "%c closes the %c of line %u, expected %c", mark(parser),
                      member->open, source_origin(parser->source, member->body_line).line,
                      closing(member->open));
        return false;
}

static void check_number(struct parser *parser)
{
        char digits[64] = { 0 }, *rest, *rest_of_real;

        if (parser->lexer.n < sizeof(digits)) {
                memcpy(digits, parser->lexer.token, parser->lexer.n);
                (void)strtoll(digits, &rest, 0);
                (void)strtod(digits, &rest_of_real);
                if (*rest_of_real == '\0' ||
                    (rest != digits && (strcmp(rest, "L") == 0 || strcmp(rest, "LL") == 0)))
                        return;
        }
        wrong(parser, parser->lexer.line,
              "is no number, expected one without a unit, or a string in double quotes");
}

static bool is_word(struct span text, const char *word)
{
        return text.n == strlen(word) && strncasecmp((const char *)text.p, word, text.n) == 0;
}

static bool is_any_word(struct span text, const char *const *words)
{
        while (*words && !is_word(text, *words))
                words++;
        return *words;
}

/* False: it is not clear where the value ends. */
static bool parse_word(struct parser *parser)
{
        static const char *const booleans[] = { "true", "false", NULL };
        static const char *const almost[] = { "yes", "no", "on", "off", "enable", "disable", NULL };
        struct span word = token_text(parser);
        unsigned line = parser->lexer.line;

        advance(parser);
        if (is_any_word(word, booleans))
                return true;
        if (is_any_word(word, almost))
                wrong(parser, line, "is neither true nor false, expected one of them");
        else
                wrong(parser, line, "stands without quotes, expected a string in double quotes");
        return is_one_of(mark(parser), ";,})]");
}

static bool parse_members(struct parser *parser, struct member *group);
static bool parse_elements(struct parser *parser, struct member *list);

static bool parse_aggregate(struct parser *parser, struct member *member)
{
        bool ok;

        if (++parser->depth == MAX_NESTING) {
                wrong(parser, parser->lexer.line, "is nested too deep, expected no more than a few levels");
                return false;
        }
        member->open = mark(parser);
        member->body = offset(parser) + 1;
        member->body_line = parser->lexer.line;
        advance(parser);
        ok = member->open == '{' ? parse_members(parser, member) : parse_elements(parser, member);
        parser->depth--;
        if (!ok)
                return false;
        if (mark(parser) != closing(member->open))
                return not_closed(parser, member);
        member->body_end = offset(parser);
        member->end = member->body_end + 1;
        advance(parser);
        return true;
}

/* False: what follows cannot be told from the value. */
static bool parse_value(struct parser *parser, struct member *member)
{
        unsigned line = parser->lexer.line;

        switch (parser->token) {
        case TOKEN_STRING: /* "a" "b" are one */
                do {
                        member->end = offset(parser) + parser->lexer.n;
                        advance(parser);
                } while (parser->token == TOKEN_STRING);
                return true;
        case TOKEN_NUMBER:
                check_number(parser);
                member->end = offset(parser) + parser->lexer.n;
                advance(parser);
                return true;
        case TOKEN_NAME:
                member->end = offset(parser) + parser->lexer.n;
                return parse_word(parser);
        default:
                break;
        }
        if (is_one_of(mark(parser), "{(["))
                return parse_aggregate(parser, member);
        if (mark(parser) == '\'')
                wrong(parser, line, "stands in single quotes, expected double quotes");
        else if (parser->token == TOKEN_END || is_one_of(mark(parser), ";,})]"))
                wrong(parser, line, "has no value, expected one");
        else
                wrong(parser, line, "%s begins no value, expected one", LOG_ESCAPE(token_text(parser)));
        return false;
}

/* Up to the closing mark, or what stands in its place. */
static bool parse_elements(struct parser *parser, struct member *list)
{
        size_t length = parser->path.n;

        for (size_t index = 0; parser->token != TOKEN_END && !is_one_of(mark(parser), ")]}"); index++) {
                struct member element = { 0 };
                bool ok;

                buf_printf(&parser->path, "[%zu]", index);
                ok = parse_value(parser, &element);
                members_free(&element);
                if (!ok)
                        return false;
                list->elements = true;
                list->comma = mark(parser) == ',';
                if (mark(parser) == ';') {
                        wrong(parser, parser->lexer.line, "a semicolon stands behind it, expected , or %c",
                              closing(list->open));
                        return false;
                }
                if (list->comma)
                        advance(parser);
                else if (parser->token != TOKEN_END && !is_one_of(mark(parser), ")]}"))
                        wrong(parser, parser->lexer.line,
                              "no comma stands behind it, expected one before the next");
                parser->path.n = length;
        }
        return true;
}

static struct member *add_member(struct parser *parser, struct member *group)
{
        struct member *members = reallocarray(group->members, group->n + 1, sizeof(*members));

        if (!members) {
                parser->out_of_memory = true;
                return NULL;
        }
        group->members = members;
        members[group->n] = (struct member){ .name = token_text(parser),
                                             .begin = offset(parser),
                                             .line = parser->lexer.line };
        return &members[group->n++];
}

static bool parse_member(struct parser *parser, struct member *group)
{
        struct member *member = add_member(parser, group);
        size_t length = parser->path.n;
        bool ok;

        if (!member)
                return false;
        buf_append_string(&parser->path, length ? "." : "");
        buf_append_span(&parser->path, member->name);
        advance(parser);
        if (mark(parser) != '=' && mark(parser) != ':') {
                wrong(parser, member->line, "%s",
                      is_word(member->name, "include")
                              ? "stands alone, expected @include \"PATH\" on a line of its own"
                              : "has no value, expected = and one behind it");
                return false;
        }
        advance(parser);
        ok = parse_value(parser, member);
        if (ok && is_one_of(mark(parser), ";,"))
                advance(parser);
        parser->path.n = length;
        return ok;
}

/* Up to the closing mark, or what stands in its place. */
static bool parse_members(struct parser *parser, struct member *group)
{
        while (parser->token == TOKEN_NAME)
                if (!parse_member(parser, group))
                        return false;
        if (parser->token == TOKEN_END || is_one_of(mark(parser), ")]}"))
                return true;
        if (parser->token == TOKEN_STRING)
                wrong(parser, parser->lexer.line,
                      "a string stands in place of a key, expected that without quotes");
        else
                wrong(parser, parser->lexer.line, "%s stands in place of a key, expected KEY = VALUE;",
                      LOG_ESCAPE(token_text(parser)));
        return false;
}

void members_free(struct member *group)
{
        for (size_t i = 0; i < group->n; i++)
                members_free(&group->members[i]);
        free(group->members);
}

int parse_source(const struct source *source, struct report *report, struct member *ret_root)
{
        struct parser parser = { .source = source, .report = report };

        *ret_root = (struct member){ 0 };
        lexer_init(&parser.lexer, (const char *)source->text.p, source->text.n);
        advance(&parser);
        if (parse_members(&parser, ret_root) && parser.token != TOKEN_END)
                wrong(&parser, parser.lexer.line, "%c closes nothing, expected KEY = VALUE;", mark(&parser));
        buf_deinit(&parser.path);
        return parser.out_of_memory ? -ENOMEM : parser.wrong ? -EINVAL : 0;
}
