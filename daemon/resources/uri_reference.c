/* SPDX-License-Identifier: BSD-2-Clause */
/* URI references; see uri_reference.h. */
#include "resources/uri_reference.h"

#include <errno.h>
#include <uriparser/Uri.h>

/* Frees what uriAddBaseUriExA() made, and nothing of one that was not made. */
static void uri_deinit(UriUriA *uri)
{
        uriFreeUriMembersA(uri);
}

static int parse(struct span text, UriUriA *ret_uri)
{
        const char *first = text.n ? (const char *)text.p : "";
        UriUriA uri = { 0 };
        int r = uriParseSingleUriExA(&uri, first, first + text.n, NULL);

        if (r != URI_SUCCESS)
                return r == URI_ERROR_MALLOC ? -ENOMEM : -EINVAL;
        *ret_uri = uri;
        return 0;
}

bool uri_reference_is_valid(struct span reference)
{
        CLEANUP(uri_deinit) UriUriA uri = { 0 };

        return parse(reference, &uri) == 0;
}

bool uri_is_base(struct span uri)
{
        CLEANUP(uri_deinit) UriUriA parsed = { 0 };

        return parse(uri, &parsed) == 0 && parsed.scheme.first && parsed.hostText.first &&
               parsed.hostText.first < parsed.hostText.afterLast;
}

bool uri_is_link_local(struct span uri)
{
        CLEANUP(uri_deinit) UriUriA parsed = { 0 };
        const unsigned char *six, *four;

        if (parse(uri, &parsed) < 0)
                return false;
        six = parsed.hostData.ip6 ? parsed.hostData.ip6->data : NULL;
        four = parsed.hostData.ip4 ? parsed.hostData.ip4->data : NULL;
        return (six && six[0] == 0xfe && (six[1] & 0xc0) == 0x80) ||
               (four && four[0] == 169 && four[1] == 254);
}

static void append_range(struct buf *out, const char *before, UriTextRangeA range, const char *behind)
{
        if (!range.first)
                return;
        buf_append_string(out, before);
        buf_append(out, range.first, (size_t)(range.afterLast - range.first));
        buf_append_string(out, behind);
}

/* RFC 3986, 5.3. The library's own writes IPv6 addresses at full length, and links would look like other ones. */
static int write_uri(const UriUriA *uri, struct buf *out)
{
        bool bracket = uri->hostData.ip6 || uri->hostData.ipFuture.first;

        append_range(out, "", uri->scheme, ":");
        if (uri->hostText.first) {
                buf_append_string(out, "//");
                append_range(out, "", uri->userInfo, "@");
                append_range(out, bracket ? "[" : "", uri->hostText, bracket ? "]" : "");
                append_range(out, ":", uri->portText, "");
        }
        for (const UriPathSegmentA *segment = uri->pathHead; segment; segment = segment->next)
                append_range(out,
                             segment != uri->pathHead || uri->absolutePath || uri->hostText.first ? "/" : "",
                             segment->text, "");
        append_range(out, "?", uri->query, "");
        append_range(out, "#", uri->fragment, "");
        return buf_ok(out) ? 0 : -ENOMEM;
}

int uri_resolve(struct span base, struct span reference, struct buf *out)
{
        CLEANUP(uri_deinit) UriUriA relative = { 0 };
        CLEANUP(uri_deinit) UriUriA absolute = { 0 };
        CLEANUP(uri_deinit) UriUriA resolved = { 0 };
        int r = parse(reference, &relative);

        if (r < 0)
                return r;
        if (relative.scheme.first) {
                buf_append_span(out, reference);
                return buf_ok(out) ? 0 : -ENOMEM;
        }
        r = parse(base, &absolute);
        if (r < 0)
                return r;
        r = uriAddBaseUriExA(&resolved, &relative, &absolute, URI_RESOLVE_STRICTLY);
        if (r != URI_SUCCESS)
                return r == URI_ERROR_MALLOC ? -ENOMEM : -EINVAL;
        return write_uri(&resolved, out);
}
