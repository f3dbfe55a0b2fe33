/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines of a handshake; see websocket_handshake.h. */
#include "endpoints/websocket_handshake.h"

#include <strings.h>

#include "base/util.h"

/* What libcoap looks at, and the one member of a list that it is to find there. */
static const struct field {
        const char *name, *member;
} fields[] = {
        { "Host", NULL },
        { "Upgrade", "websocket" },
        { "Connection", "Upgrade" },
        { "Sec-WebSocket-Key", NULL },
        { "Sec-WebSocket-Protocol", "coap" },
        { "Sec-WebSocket-Version", NULL },
};

static bool is_same(struct span text, const char *name)
{
        return text.n > 0 && text.n == strlen(name) && strncasecmp((const char *)text.p, name, text.n) == 0;
}

static struct span trim(struct span text)
{
        while (text.n > 0 && (text.p[0] == ' ' || text.p[0] == '\t'))
                text = span_skip(text, 1);
        while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t'))
                text.n--;
        return text;
}

/* How much of it there is before `c`. */
static size_t before(struct span text, char c)
{
        const uint8_t *found = text.n > 0 ? memchr(text.p, c, text.n) : NULL;

        return found ? (size_t)(found - text.p) : text.n;
}

static bool has_member(struct span list, const char *member)
{
        while (list.n > 0) {
                if (is_same(trim(span_cut(&list, ',')), member))
                        return true;
        }
        return false;
}

static const struct field *find_field(struct span name)
{
        for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
                if (is_same(name, fields[i].name))
                        return &fields[i];
        }
        return NULL;
}

static size_t put(uint8_t *to, size_t at, struct span text)
{
        size_t n = MIN(text.n, HANDSHAKE_LINE_MOST - 2 - at);

        if (n > 0)
                memcpy(to + at, text.p, n);
        return at + n;
}

static size_t put_end(uint8_t *to, size_t at)
{
        to[at] = '\r';
        to[at + 1] = '\n';
        return at + 2;
}

size_t handshake_line(struct span line, bool is_first, struct websocket_origins *origins,
                      uint8_t to[HANDSHAKE_LINE_MOST])
{
        size_t name = before(line, ':');
        const struct field *field;
        struct span value;
        size_t at;

        /* One that is broken stays so, and is never taken for the empty one, behind which frames begin. */
        if (before(line, '\0') < line.n || (!is_first && line.n > 0 && name == line.n))
                return put_end(to, put(to, 0, SPAN_LITERAL("?")));
        if (is_first || line.n == 0)
                return put_end(to, put(to, 0, line));
        if (is_same(span_of(line.p, name), "Origin"))
                return websocket_allows_origin(origins, trim(span_skip(line, name + 1)))
                               ? 0
                               : put_end(to, put(to, 0, SPAN_LITERAL("?")));
        field = find_field(span_of(line.p, name));
        if (!field)
                return 0;
        value = trim(span_skip(line, name + 1));
        if (field->member && has_member(value, field->member))
                value = span_of_string(field->member);
        at = put(to, 0, span_of_string(field->name));
        at = put(to, at, SPAN_LITERAL(": "));
        return put_end(to, put(to, at, value));
}
