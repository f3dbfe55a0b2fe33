/* SPDX-License-Identifier: BSD-2-Clause */
/* PATCH and iPATCH; see patch.h. */
#include "resources/patch.h"

#include "base/content_format.h"
#include "resources/json_merge.h"

/* application/json, and what is written in it: application/senml+json. */
static bool is_json(int content_format)
{
        const char *name = content_format >= 0 ? content_format_name((unsigned)content_format) : NULL;
        const char *slash = name ? strchr(name, '/') : NULL;

        return slash && (strcmp(slash, "/json") == 0 || strstr(slash, "+json"));
}

struct representation *patch_apply(const struct representation *content, const struct request *request,
                                   size_t max, struct response *response)
{
        CLEANUP(buf_deinit) struct buf merged = { 0 };
        struct representation *patched = NULL;
        int r;

        if (request->content_format != CONTENT_FORMAT_MERGE_PATCH) {
                response_error(response, CODE_UNSUPPORTED_FORMAT,
                               "a patch here is application/merge-patch+json (%d)",
                               CONTENT_FORMAT_MERGE_PATCH);
                return NULL;
        }
        if (!is_json(content->content_format)) {
                response_error(response, CODE_CONFLICT, "the present content is not of a JSON format");
                return NULL;
        }
        r = json_merge(span_of(content->data, (size_t)content->size), request->body, &merged);
        if (r == 0 && merged.n <= max)
                patched = representation_new(buf_span(&merged), content->content_format);
        if (r == JSON_MERGE_BAD_PATCH)
                response_error(response, CODE_UNPROCESSABLE, "the patch is not valid JSON");
        else if (r == JSON_MERGE_BAD_TARGET)
                response_error(response, CODE_CONFLICT, "the present content is not valid JSON");
        else if (merged.n > max)
                response_error(response, CODE_TOO_LARGE, "the result would be larger than %zu bytes", max);
        else if (!patched)
                response_error(response, CODE_UNAVAILABLE, "out of memory");
        return patched;
}
