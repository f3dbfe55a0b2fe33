/* SPDX-License-Identifier: BSD-2-Clause */
/* The CoRE link format; see link_format.h. */
#include "resources/link_format.h"

#include <errno.h>
#include <string.h>

static bool is_alnum(uint8_t c)
{
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* strchr() finds the end of the string, too. */
static bool is_of(const char *set, uint8_t c)
{
        return c != '\0' && strchr(set, c);
}

static bool is_name_char(uint8_t c)
{
        return is_alnum(c) || is_of("!#$&+-.^_`|~", c);
}

static bool is_token_char(uint8_t c)
{
        return is_alnum(c) || is_of("!#$%&'()*+-./:<=>?@[]^_`{|}~", c);
}

static bool take(struct span *rest, char c)
{
        if (rest->n == 0 || rest->p[0] != (uint8_t)c)
                return false;
        *rest = span_skip(*rest, 1);
        return true;
}

static struct span take_while(struct span *rest, bool (*is)(uint8_t c))
{
        struct span taken = { rest->p, 0 };

        while (taken.n < rest->n && is(rest->p[taken.n]))
                taken.n++;
        *rest = span_skip(*rest, taken.n);
        return taken;
}

bool link_is_parameter_name(struct span name)
{
        struct span rest = name;

        return take_while(&rest, is_name_char).n == name.n && name.n > 0;
}

/* Behind the opening quote. RFC 2616, 2.2: a backslash takes the next character for what it is. */
static bool take_quoted(struct span *rest, struct span *ret_value)
{
        for (size_t i = 0; i < rest->n; i++) {
                uint8_t c = rest->p[i];

                if (c == '"') {
                        *ret_value = span_of(rest->p, i);
                        *rest = span_skip(*rest, i + 1);
                        return true;
                }
                if (c == '\\' && ++i == rest->n)
                        return false;
                if (rest->p[i] < 0x20 || rest->p[i] == 0x7f)
                        return false;
        }
        return false;
}

static bool take_value(struct span *rest, struct link_parameter *parameter)
{
        parameter->has_value = true;
        parameter->quoted = take(rest, '"');
        if (parameter->quoted)
                return take_quoted(rest, &parameter->value);
        parameter->value = take_while(rest, is_token_char);
        return parameter->value.n > 0;
}

int link_parameter_next(struct span *rest, struct link_parameter *ret_parameter)
{
        struct link_parameter parameter = { 0 };
        struct span left = *rest;
        const uint8_t *begin;

        if (!take(&left, ';'))
                return left.n == 0 ? 0 : -EINVAL;
        begin = left.p;
        parameter.name = take_while(&left, is_name_char);
        if (parameter.name.n == 0)
                return -EINVAL;
        if (take(&left, '*'))
                parameter.name.n++;
        if (take(&left, '=') && !take_value(&left, &parameter))
                return -EINVAL;
        parameter.whole = span_of(begin, left.n ? (size_t)(left.p - begin) : rest->n - 1);
        *rest = left;
        *ret_parameter = parameter;
        return 1;
}

int link_next(struct span *rest, struct link_value *ret_link)
{
        struct link_parameter parameter;
        struct link_value link;
        struct span left = *rest;
        const uint8_t *end;
        int r = 1;

        if (left.n == 0)
                return 0;
        if (!take(&left, '<'))
                return -EINVAL;
        end = left.n ? memchr(left.p, '>', left.n) : NULL;
        if (!end)
                return -EINVAL;
        link.target = span_of(left.p, (size_t)(end - left.p));
        left = span_skip(left, link.target.n + 1);
        link.parameters = left;
        while (r > 0 && left.n > 0 && left.p[0] == ';')
                r = link_parameter_next(&left, &parameter);
        if (r < 0)
                return r;
        link.parameters.n -= left.n;
        /* RFC 6690, 2: behind a comma comes another link. */
        if (left.n > 0 && (!take(&left, ',') || left.n == 0))
                return -EINVAL;
        *rest = left;
        *ret_link = link;
        return 1;
}

struct span link_parameter_value(const struct link_parameter *parameter, struct buf *scratch)
{
        struct span value = parameter->value;

        if (!parameter->quoted || value.n == 0 || !memchr(value.p, '\\', value.n))
                return value;
        buf_reset(scratch);
        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] == '\\')
                        i++;
                buf_append_byte(scratch, value.p[i]);
        }
        return buf_span(scratch);
}

void link_append_quoted(struct buf *out, struct span value)
{
        buf_append_byte(out, '"');
        for (size_t i = 0; i < value.n; i++) {
                if (value.p[i] < 0x20 || value.p[i] == 0x7f)
                        continue;
                if (value.p[i] == '"' || value.p[i] == '\\')
                        buf_append_byte(out, '\\');
                buf_append_byte(out, value.p[i]);
        }
        buf_append_byte(out, '"');
}

bool link_matches(struct span value, struct span pattern)
{
        if (pattern.n > 0 && pattern.p[pattern.n - 1] == '*')
                return span_starts_with(value, span_of(pattern.p, pattern.n - 1));
        return span_equal(value, pattern);
}

bool link_matches_word(struct span words, struct span pattern)
{
        while (words.n > 0) {
                const uint8_t *space = memchr(words.p, ' ', words.n);
                size_t n = space ? (size_t)(space - words.p) : words.n;

                if (link_matches(span_of(words.p, n), pattern))
                        return true;
                words = span_skip(words, n + 1);
        }
        return false;
}
