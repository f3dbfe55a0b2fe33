/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Link-format (RFC 6690) and the URI references in it (RFC 3986), as a resource directory reads them. What was read is
 * written again as a lookup writes it, and is then read as the same.
 */
#include "resources/link_format.h"
#include "resources/uri_reference.h"
#include "rig.h"

static void write_link(const struct link_value *link, struct buf *out)
{
        CLEANUP(buf_deinit) struct buf scratch = { 0 };
        struct span rest = link->parameters;
        struct link_parameter parameter;
        int r;

        buf_append_string(out, out->n ? ",<" : "<");
        buf_append_span(out, link->target);
        buf_append_byte(out, '>');
        while ((r = link_parameter_next(&rest, &parameter)) > 0) {
                RIG_CHECK(parameter.whole.n >= parameter.name.n + parameter.value.n, "a parameter is cut");
                buf_append_byte(out, ';');
                buf_append_span(out, parameter.name);
                if (!parameter.has_value)
                        continue;
                buf_append_byte(out, '=');
                link_append_quoted(out, link_parameter_value(&parameter, &scratch));
        }
        RIG_CHECK(r == 0, "a link was read whose parameters are not");
}

static int rewrite(struct span document, struct buf *out)
{
        struct link_value link;
        int r;

        while ((r = link_next(&document, &link)) > 0)
                write_link(&link, out);
        return r;
}

static void resolve(struct span reference)
{
        static const char *const bases[] = { "coap://[2001:db8::1]:61616", "coap://h/a/b?c" };

        for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
                CLEANUP(buf_deinit) struct buf uri = { 0 };
                int r = uri_resolve(span_of_string(bases[i]), reference, &uri);

                RIG_CHECK((r == 0) == uri_reference_is_valid(reference), "resolved: %d", r);
                RIG_CHECK(r < 0 || uri_reference_is_valid(buf_span(&uri)), "%s is no URI", buf_string(&uri));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        CLEANUP(buf_deinit) struct buf once = { 0 };
        CLEANUP(buf_deinit) struct buf twice = { 0 };
        struct span document = span_of(data, n);
        struct link_value link;

        resolve(document);
        uri_is_base(document);
        uri_is_link_local(document);
        while (link_next(&document, &link) > 0)
                resolve(link.target);
        if (rewrite(span_of(data, n), &once) < 0)
                return 0;
        RIG_CHECK(rewrite(buf_span(&once), &twice) == 0, "%s is not read again", buf_string(&once));
        RIG_CHECK(span_equal(buf_span(&once), buf_span(&twice)), "%s becomes another", buf_string(&once));
        return 0;
}
