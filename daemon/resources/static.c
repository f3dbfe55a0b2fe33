/* SPDX-License-Identifier: BSD-2-Clause */
/* The kind `static`: content that stands in the config. */
#include <errno.h>

#include "base/content_format.h"
#include "resources/kind.h"

struct static_conf {
        char *content;
        char *content_format;
};

static const char *check_content_format(const char *value)
{
        return content_format_by_name(span_of_string(value)) >= 0 ? NULL : "a content format such as \"text/plain\"";
}

static const struct conf_row rows[] = {
        {
                .key = "content",
                .type = CONF_STRING,
                .offset = offsetof(struct static_conf, content),
                .flags = CONF_REQUIRED | CONF_RELOAD | CONF_EMPTY_OK,
                .doc = "What a GET returns.",
                .example = "\"hello\"",
        },
        {
                .key = "content_format",
                .type = CONF_STRING,
                .offset = offsetof(struct static_conf, content_format),
                .fallback = "\"text/plain\"",
                .flags = CONF_RELOAD,
                .check = check_content_format,
                .doc = "Its content format, by the name or the number that IANA registered.",
        },
};

static int static_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        const struct static_conf *own = conf->fields;
        struct representation *rep;

        (void)resource;
        rep = representation_new(span_of_string(own->content),
                                 content_format_by_name(span_of_string(own->content_format)));
        if (!rep)
                return -ENOMEM;
        *ret_self = rep;
        return 0;
}

static void static_destroy(void *self)
{
        representation_unref(self);
}

static void static_get(void *self, const struct request *request, struct response *response)
{
        (void)request;
        response->code = CODE_CONTENT;
        response->content = representation_ref(self);
}

static size_t static_formats(void *self, int formats[], size_t max)
{
        const struct representation *rep = self;

        (void)max;
        formats[0] = rep->content_format;
        return 1;
}

static uint64_t static_size(void *self)
{
        const struct representation *rep = self;

        return rep->size;
}

const struct kind kind_static = {
        .name = "static",
        .doc = "Content that stands in the config. Observers are told when a reload changes it.",
        .rows = rows,
        .n_rows = ARRAY_LEN(rows),
        .conf_size = sizeof(struct static_conf),
        .create = static_create,
        .destroy = static_destroy,
        .handle = { [METHOD_GET] = static_get },
        .formats = static_formats,
        .size = static_size,
};
