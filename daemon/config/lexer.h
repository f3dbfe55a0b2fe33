/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tokens of libconfig's language, as far as they are needed ahead of libconfig itself: to expand
 * @include, to name a key that is given twice, and to say what libconfig only calls a "syntax error".
 */
#ifndef COAPD_CONFIG_LEXER_H
#define COAPD_CONFIG_LEXER_H

#include <stddef.h>

enum token {
        TOKEN_END,
        TOKEN_NAME,
        TOKEN_STRING,
        TOKEN_NUMBER,
        TOKEN_INCLUDE, /* the token is the path between the quotes */
        TOKEN_MARK,    /* one character: = : { } ( ) [ ] , ; and all that is none of the above */
        TOKEN_BAD,     /* `problem` says why; nothing follows */
};

struct lexer {
        const char *begin, *p, *end; /* the text, and where the next token is looked for */
        const char *token;           /* the last token */
        size_t n;
        const char *directive; /* TOKEN_INCLUDE: where the `@` stands */
        const char *problem;
        unsigned line; /* of the last token's beginning, from 1 */
};

void lexer_init(struct lexer *lexer, const char *text, size_t n);
enum token lexer_next(struct lexer *lexer);

#endif
