/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queries to /.well-known/core (RFC 6690, 4.1), and the attributes that resources are created with. An input is a
 * list of steps: a byte that says what to do, a byte of length, and the queries, joined by '&'. Whatever is listed
 * is well-formed link-format (RFC 6690, 2).
 */
#include "rig.h"

enum {
        CREATE = 1,
        OBSERVE_IT = 2,
        SMALL_BLOCKS = 4,
        PLACES = 16,
        STEPS_MOST = 30,
        GET = 1,
        POST = 2,
        PUT = 3,
        OBSERVE = 6,
        URI_QUERY = 15,
        BLOCK2 = 23,
};

static void add_queries(struct buf *out, unsigned *last, struct span text)
{
        while (text.n) {
                const uint8_t *end = memchr(text.p, '&', text.n);
                size_t n = end ? (size_t)(end - text.p) : text.n;

                wire_option(out, last, URI_QUERY, take_bytes(&text, n));
                take_byte(&text);
        }
}

static void step(struct rig *rig, uint8_t what, struct span queries)
{
        CLEANUP(buf_deinit) struct buf request = { 0 };
        char path[16];
        unsigned last = 0;

        snprintf(path, sizeof path, "d/%u", what / PLACES);
        wire_begin(&request, &(struct wire_head){ WIRE_CON, what & CREATE ? PUT : GET, ++rig->mid, { 0 } });
        if (what & OBSERVE_IT)
                wire_uint(&request, &last, OBSERVE, 0);
        wire_path(&request, &last, span_of_string(what & CREATE ? path : ".well-known/core"));
        add_queries(&request, &last, queries);
        if (what & SMALL_BLOCKS)
                wire_uint(&request, &last, BLOCK2, 0);
        if (what & CREATE)
                wire_payload(&request, SPAN_LITERAL("x"));
        rig_send(rig, 0, buf_span(&request));
        rig_turn(rig);
}

static void look_at_answers(struct rig *rig)
{
        uint8_t buffer[RIG_DATAGRAM];
        struct span datagram;

        while ((datagram = rig_receive(rig, 0, buffer)).n) {
                struct wire_reply reply;

                RIG_CHECK(wire_read(datagram, &reply), "an answer that is no message");
                RIG_CHECK(reply.code >> 5 != 5 || reply.code == 0xa3, "an answer of %d.%02d", reply.code >> 5,
                          reply.code & 31);
        }
}

/* --- link-format --- */

static bool skip_quoted(struct span *text)
{
        take_byte(text);
        while (text->n) {
                uint8_t c = take_byte(text);

                if (c == '\\')
                        take_byte(text);
                if (c == '"')
                        return true;
        }
        return false;
}

/* The characters of a ptoken, of which the names of attributes are a part. */
static bool is_token(uint8_t c)
{
        return c > ' ' && c < 0x7f && !strchr("\"\\,;=", c);
}

static bool skip_attribute(struct span *text)
{
        size_t n = text->n;

        while (text->n && is_token(text->p[0]))
                take_byte(text);
        if (text->n == n)
                return false;
        if (!text->n || text->p[0] != '=')
                return true;
        take_byte(text);
        if (text->n && text->p[0] == '"')
                return skip_quoted(text);
        n = text->n;
        while (text->n && (is_token(text->p[0]) || text->p[0] == '='))
                take_byte(text);
        return text->n < n;
}

static bool is_link_format(struct span text)
{
        while (text.n) {
                if (take_byte(&text) != '<')
                        return false;
                while (text.n && text.p[0] != '>')
                        if (take_byte(&text) <= ' ')
                                return false;
                if (take_byte(&text) != '>')
                        return false;
                while (text.n && text.p[0] == ';') {
                        take_byte(&text);
                        if (!skip_attribute(&text))
                                return false;
                }
                if (text.n && take_byte(&text) != ',')
                        return false;
        }
        return true;
}

static void check_list(struct rig *rig)
{
        CLEANUP(buf_deinit) struct buf list = { 0 };
        int format = -1;
        uint8_t code = rig_get(rig, SPAN_LITERAL(".well-known/core"), &list, &format);

        RIG_CHECK(code == 0x45 && format == 40, "the list comes as %d.%02d", code >> 5, code & 31);
        RIG_CHECK(is_link_format(buf_span(&list)), "no link-format: %.*s", (int)list.n, (char *)list.p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct span input = span_of(data, n);
        struct rig *rig = rig_next(input);

        for (unsigned i = 0; input.n && i < STEPS_MOST; i++) {
                uint8_t what = take_byte(&input);

                step(rig, what, take_bytes(&input, take_byte(&input)));
                look_at_answers(rig);
        }
        check_list(rig);
        rig_after(rig);
        return 0;
}
