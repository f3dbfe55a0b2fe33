/* SPDX-License-Identifier: BSD-2-Clause */
/* Links from resources, and their filters; see discovery_link.h. */
#include "resources/discovery_link.h"

#include "resources/link_format.h"
#include "resources/uri_path.h"

/* Their order in a link. */
enum { RT, IF, TITLE, CT, SZ, OBS };

/* --- what it says --- */

static void join_words(struct buf *out, const struct conf_strings *words)
{
        for (size_t i = 0; i < words->n; i++)
                buf_printf(out, i ? " %s" : "%s", words->v[i]);
}

static void describe_formats(struct discovery_link *link)
{
        const struct resource *resource = link->resource;
        struct discovery_attribute *ct = &link->attributes[CT];
        int formats[MAX_FORMATS];
        size_t n =
                resource->kind->formats ? resource->kind->formats(resource->self, formats, MAX_FORMATS) : 0;

        for (size_t i = 0; i < n; i++)
                buf_printf(&ct->value, i ? " %d" : "%d", formats[i]);
        ct->number = n == 1;
}

static void describe_configured(struct discovery_link *link)
{
        const struct resource *resource = link->resource;
        const struct conf_resource *conf = resource->conf;

        join_words(&link->attributes[RT].value, &conf->resource_types);
        if (conf->resource_types.n == 0 && resource->kind->resource_type)
                buf_append_string(&link->attributes[RT].value, resource->kind->resource_type);
        join_words(&link->attributes[IF].value, &conf->interfaces);
        if (conf->title)
                buf_append_string(&link->attributes[TITLE].value, conf->title);
        link->attributes[OBS].flag = conf->observable;
}

static void append_word(struct buf *out, struct span word)
{
        if (out->n > 0)
                buf_append_byte(out, ' ');
        buf_append_span(out, word);
}

/* What a client has called it: "rt=light&title=Lamp". */
static void describe_dynamic(struct discovery_link *link)
{
        struct span rest = dynamic_attributes(link->resource->self);

        while (rest.n > 0) {
                struct span one = span_cut(&rest, '&');

                for (int i = RT; i <= TITLE; i++) {
                        struct span name = span_of_string(link->attributes[i].name);

                        if (one.n > name.n && span_starts_with(one, name) && one.p[name.n] == '=')
                                append_word(&link->attributes[i].value, span_skip(one, name.n + 1));
                }
        }
        link->attributes[OBS].flag = true;
}

/* One of the links of a kind that has several. */
static void describe_link(struct discovery_link *link, const struct kind_link *one)
{
        struct buf *rt = &link->attributes[RT].value;

        if (*one->rest) {
                buf_append_byte(&link->path, '/');
                buf_append_string(&link->path, one->rest);
                buf_reset(rt);
                buf_reset(&link->attributes[IF].value);
                buf_reset(&link->attributes[TITLE].value);
        }
        if (rt->n == 0)
                buf_append_string(rt, one->resource_type);
        link->attributes[OBS].flag &= one->observable;
}

void discovery_link_describe(struct discovery_link *link, const struct resource *resource,
                             const struct kind_link *one)
{
        static const char *const names[DISCOVERY_ATTRIBUTES] = { "rt", "if", "title", "ct", "sz", "obs" };
        uint64_t size = resource->kind->size ? resource->kind->size(resource->self) : 0;

        link->resource = resource;
        buf_reset(&link->path);
        buf_append_string(&link->path, resource->path);
        for (int i = 0; i < DISCOVERY_ATTRIBUTES; i++) {
                buf_reset(&link->attributes[i].value);
                link->attributes[i].name = names[i];
                link->attributes[i].flag = link->attributes[i].number = false;
        }
        if (resource->conf)
                describe_configured(link);
        else
                describe_dynamic(link);
        describe_formats(link);
        if (size > 0)
                buf_printf(&link->attributes[SZ].value, "%llu", (unsigned long long)size);
        link->attributes[SZ].number = true;
        if (one)
                describe_link(link, one);
}

void discovery_link_deinit(struct discovery_link *link)
{
        buf_deinit(&link->path);
        for (int i = 0; i < DISCOVERY_ATTRIBUTES; i++)
                buf_deinit(&link->attributes[i].value);
}

void discovery_link_append(const struct discovery_link *link, struct buf *out)
{
        buf_append_string(out, out->n ? ",</" : "</");
        buf_append_span(out, buf_span(&link->path));
        buf_append_byte(out, '>');
        for (int i = 0; i < DISCOVERY_ATTRIBUTES; i++) {
                const struct discovery_attribute *a = &link->attributes[i];

                if (a->flag) {
                        buf_printf(out, ";%s", a->name);
                } else if (a->value.n > 0) {
                        buf_printf(out, ";%s=", a->name);
                        if (a->number)
                                buf_append_span(out, buf_span(&a->value));
                        else
                                link_append_quoted(out, buf_span(&a->value));
                }
        }
}

/* --- filters: RFC 6690, 4.1 --- */

/* Spelled as in the link, or as a client's URI parser leaves it, which decodes a query before it is an option. */
static bool matches_path(struct span path, struct span pattern)
{
        CLEANUP(buf_deinit) struct buf encoded = { 0 };

        if (pattern.n > 0 && pattern.p[0] == '/')
                pattern = span_skip(pattern, 1);
        uri_path_encode(pattern, &encoded);
        return link_matches(path, pattern) || link_matches(path, buf_span(&encoded));
}

static bool passes_one(const struct discovery_link *link, struct span name, struct span pattern,
                       bool has_pattern)
{
        if (span_equal_string(name, "href"))
                return matches_path(buf_span(&link->path), pattern);
        for (int i = 0; i < DISCOVERY_ATTRIBUTES; i++) {
                const struct discovery_attribute *a = &link->attributes[i];

                if (!span_equal_string(name, a->name))
                        continue;
                /* Without the attribute not even "*" matches. */
                if (a->flag || !has_pattern || a->value.n == 0)
                        return a->flag || a->value.n > 0;
                return i == TITLE ? link_matches(buf_span(&a->value), pattern)
                                  : link_matches_word(buf_span(&a->value), pattern);
        }
        return false;
}

bool discovery_link_passes(const struct discovery_link *link, const struct request *request)
{
        for (size_t i = 0; i < request->n_queries; i++) {
                struct span pattern = request->queries[i];
                size_t n = pattern.n;
                struct span name = span_cut(&pattern, '=');

                if (!passes_one(link, name, pattern, name.n < n))
                        return false;
        }
        return true;
}
