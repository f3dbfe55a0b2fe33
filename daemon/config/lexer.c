/* SPDX-License-Identifier: BSD-2-Clause */
/* Tokens of libconfig's language; see lexer.h. */
#include "config/lexer.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

void lexer_init(struct lexer *lexer, const char *text, size_t n)
{
        *lexer = (struct lexer){ .begin = text, .p = text, .end = text + n, .token = text, .line = 1 };
}

static bool at(const struct lexer *lexer, const char *text)
{
        size_t n = strlen(text);

        return (size_t)(lexer->end - lexer->p) >= n && memcmp(lexer->p, text, n) == 0;
}

static enum token bad(struct lexer *lexer, const char *problem)
{
        lexer->problem = problem;
        lexer->p = lexer->end;
        return TOKEN_BAD;
}

static void advance_to(struct lexer *lexer, const char *to, unsigned *line)
{
        for (; lexer->p < to; lexer->p++)
                if (*lexer->p == '\n')
                        ++*line;
}

/* Skips blanks and comments. False: a comment is not closed. */
static bool skip_blanks(struct lexer *lexer, unsigned *line)
{
        for (;;) {
                const char *to = NULL;

                if (lexer->p == lexer->end)
                        return true;
                if (strchr(" \t\r\n\f\v", *lexer->p) && *lexer->p) {
                        to = lexer->p + 1;
                } else if (*lexer->p == '#' || at(lexer, "//")) {
                        to = memchr(lexer->p, '\n', (size_t)(lexer->end - lexer->p));
                        to = to ? to : lexer->end;
                } else if (at(lexer, "/*")) {
                        to = memmem(lexer->p + 2, (size_t)(lexer->end - lexer->p) - 2, "*/", 2);
                        if (!to)
                                return false;
                        to += 2;
                } else {
                        return true;
                }
                advance_to(lexer, to, line);
        }
}

static enum token read_string(struct lexer *lexer)
{
        for (lexer->p++; lexer->p < lexer->end && *lexer->p != '"'; lexer->p++) {
                if (*lexer->p == '\0')
                        return bad(lexer, "a NUL byte, expected text");
                if (*lexer->p != '\\')
                        continue;
                /* libconfig would end the value there in silence. */
                if (at(lexer, "\\x00"))
                        return bad(lexer, "\\x00 in a string, expected text");
                lexer->p++;
        }
        if (lexer->p >= lexer->end)
                return bad(lexer, "a string without its end, expected a double quote");
        lexer->p++;
        lexer->n = (size_t)(lexer->p - lexer->token);
        return TOKEN_STRING;
}

/* libconfig calls a large decimal number a syntax error, and cuts a large hexadecimal one to 32 bits. */
static enum token check_number(struct lexer *lexer)
{
        char digits[32] = { 0 };
        const char *unsigned_digits;
        char *rest;
        long long value;

        if (lexer->n >= sizeof(digits))
                return TOKEN_NUMBER;
        memcpy(digits, lexer->token, lexer->n);
        unsigned_digits = digits + (*digits == '-' || *digits == '+');
        errno = 0;
        if (strncasecmp(unsigned_digits, "0x", 2) != 0) {
                (void)strtoll(digits, &rest, 10);
                if (errno == ERANGE && (*rest == '\0' || toupper(*rest) == 'L'))
                        return bad(lexer, "a number beyond 64 bits, expected a smaller one");
                return TOKEN_NUMBER;
        }
        value = strtoll(unsigned_digits, &rest, 16);
        if (*rest == '\0' && (errno == ERANGE || value > INT_MAX))
                return bad(lexer, "a hexadecimal number beyond 31 bits, expected it in decimal");
        return TOKEN_NUMBER;
}

static enum token read_number(struct lexer *lexer)
{
        do {
                lexer->p++;
        } while (lexer->p < lexer->end &&
                 (isalnum((unsigned char)*lexer->p) || *lexer->p == '.' ||
                  ((*lexer->p == '+' || *lexer->p == '-') && toupper((unsigned char)lexer->p[-1]) == 'E')));
        lexer->n = (size_t)(lexer->p - lexer->token);
        return check_number(lexer);
}

static bool first_on_its_line(const struct lexer *lexer)
{
        const char *p = lexer->p;

        while (p > lexer->begin && (p[-1] == ' ' || p[-1] == '\t'))
                p--;
        return p == lexer->begin || p[-1] == '\n';
}

static enum token read_include(struct lexer *lexer)
{
        static const char expected[] =
                "not an @include, expected the line to begin with @include \"PATH\" on its own";
        bool first = first_on_its_line(lexer);
        const char *quote;

        lexer->directive = lexer->p;
        if (!at(lexer, "@include") || !first)
                return bad(lexer, expected);
        lexer->p += strlen("@include");
        while (lexer->p < lexer->end && (*lexer->p == ' ' || *lexer->p == '\t'))
                lexer->p++;
        if (lexer->p == lexer->end || *lexer->p != '"')
                return bad(lexer, expected);
        lexer->token = ++lexer->p;
        quote = memchr(lexer->p, '"', (size_t)(lexer->end - lexer->p));
        if (!quote || memchr(lexer->p, '\n', (size_t)(quote - lexer->p)))
                return bad(lexer, expected);
        lexer->n = (size_t)(quote - lexer->p);
        lexer->p = quote + 1;
        return lexer->n ? TOKEN_INCLUDE : bad(lexer, expected);
}

static bool name_first(char c)
{
        return isalpha((unsigned char)c) || c == '*';
}

static bool name_next(char c)
{
        return isalnum((unsigned char)c) || c == '*' || c == '-' || c == '_';
}

/* A string may hold newlines: they count for the token behind it. */
static unsigned lines_in(const char *p, size_t n)
{
        unsigned lines = 0;

        for (size_t i = 0; i < n; i++)
                lines += p[i] == '\n';
        return lines;
}

enum token lexer_next(struct lexer *lexer)
{
        lexer->line += lines_in(lexer->token, lexer->n);
        lexer->n = 0;
        lexer->token = lexer->p;
        if (!skip_blanks(lexer, &lexer->line)) {
                lexer->token = lexer->p;
                return bad(lexer, "a comment without its end, expected */");
        }
        lexer->token = lexer->p;
        if (lexer->p == lexer->end)
                return TOKEN_END;
        if (*lexer->p == '"')
                return read_string(lexer);
        if (*lexer->p == '@')
                return read_include(lexer);
        if (*lexer->p == '\0')
                return bad(lexer, "a NUL byte, expected text");
        if (isdigit((unsigned char)*lexer->p) || strchr("+-.", *lexer->p))
                return read_number(lexer);
        if (name_first(*lexer->p)) {
                while (lexer->p < lexer->end && name_next(*lexer->p))
                        lexer->p++;
                lexer->n = (size_t)(lexer->p - lexer->token);
                return TOKEN_NAME;
        }
        lexer->p++;
        lexer->n = 1;
        return TOKEN_MARK;
}
