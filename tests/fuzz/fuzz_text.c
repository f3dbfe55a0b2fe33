/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The small readers of text: endpoint URIs, content formats, paths, and what is escaped for the log. The first byte
 * chooses one.
 */
#include "base/content_format.h"
#include "base/log.h"
#include "config/uri.h"
#include "resources/uri_path.h"
#include "rig.h"
#include "security/access.h"

static void read_uri(const char *text)
{
        struct uri uri = { 0 };

        if (uri_parse(text, &uri) == NULL)
                RIG_CHECK(*uri.host && memchr(uri.host, 0, sizeof uri.host), "%s: no host", text);
}

static void read_format(const char *text)
{
        int number = content_format_by_name(span_of_string(text));

        RIG_CHECK(number >= -1 && number <= CONTENT_FORMAT_MAX, "%s: %d", text, number);
        RIG_CHECK(number < 0 || !content_format_name((unsigned)number) ||
                          content_format_by_name(span_of_string(content_format_name((unsigned)number))) ==
                                  number,
                  "%s: %d has another name", text, number);
        content_format_by_extension(text);
}

static void escape(struct span input)
{
        char small[8], large[700];
        const char *p = log_escape(input, large, sizeof large);

        for (; *p; p++)
                RIG_CHECK((uint8_t)*p >= ' ' && *p != 0x7f, "a control character comes through");
        RIG_CHECK(strlen(log_escape(input, small, sizeof small)) < sizeof small, "too long");
}

static void spell_path(struct span input)
{
        CLEANUP(buf_deinit) struct buf spelled = { 0 };

        uri_path_encode(input, &spelled);
        for (size_t i = 0; i < spelled.n; i++)
                RIG_CHECK(spelled.p[i] > ' ' && spelled.p[i] < 0x7f, "byte %d is not encoded", spelled.p[i]);
        uri_path_below(buf_span(&spelled), SPAN_LITERAL("a/b"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        struct span input = span_of(data, n);
        uint8_t which = take_byte(&input);
        CLEANUP(freep) char *text = strndup(input.n ? (const char *)input.p : "", input.n);

        RIG_CHECK(text, "no memory");
        switch (which % 5) {
        case 0:
                read_uri(text);
                break;
        case 1:
                read_format(text);
                break;
        case 2:
                escape(input);
                break;
        case 3:
                spell_path(input);
                break;
        default:
                access_check_path(text);
                access_check_method(text);
                access_check_subject(text);
        }
        return 0;
}
