/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON merge patches; see json_merge.h. json-c never parses deeper than MAX_DEPTH. It is strict but for names
 * in single quotes, which it writes with double ones, and for NaN and Infinity, which are refused here.
 */
#include "resources/json_merge.h"

#include <errno.h>
#include <json-c/json.h>
#include <json-c/json_visit.h>
#include <limits.h>
#include <math.h>

enum { MAX_DEPTH = 64 };

static void value_put(struct json_object **value)
{
        json_object_put(*value);
}

static void tokener_freep(struct json_tokener **tokener)
{
        if (*tokener)
                json_tokener_free(*tokener);
}

static int refuse_what_is_no_number(struct json_object *value, int flags, struct json_object *parent,
                                    const char *name, size_t *index, void *user)
{
        bool is_double = json_object_is_type(value, json_type_double);

        (void)flags, (void)parent, (void)name, (void)index, (void)user;
        return is_double && !isfinite(json_object_get_double(value)) ? JSON_C_VISIT_RETURN_ERROR
                                                                     : JSON_C_VISIT_RETURN_CONTINUE;
}

/*
 * 0, -EINVAL when it is no JSON text, or -ENOMEM. The value of `null` is NULL. A text with an escaped NUL is
 * refused, since json-c would cut a name there.
 */
static int parse(struct span text, struct json_object **ret_value)
{
        CLEANUP(tokener_freep) struct json_tokener *tokener = json_tokener_new_ex(MAX_DEPTH);
        CLEANUP(buf_deinit) struct buf copy = { 0 };
        struct json_object *value;

        buf_append_span(&copy, text);
        buf_append_byte(&copy, '\0');
        if (!tokener || !buf_ok(&copy))
                return -ENOMEM;
        if (text.n >= INT_MAX || memchr(copy.p, '\0', text.n) || strstr((const char *)copy.p, "\\u0000"))
                return -EINVAL;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        /* The NUL goes in as well: it ends a number that stands alone. */
        value = json_tokener_parse_ex(tokener, (const char *)copy.p, (int)copy.n);
        if (json_tokener_get_error(tokener) != json_tokener_success ||
            json_c_visit(value, 0, refuse_what_is_no_number, NULL) < 0) {
                json_object_put(value);
                return -EINVAL;
        }
        *ret_value = value;
        return 0;
}

/* RFC 7396, 2. Both are borrowed; the result is the caller's, and `target` may be a part of it. */
static int merge(struct json_object *target, struct json_object *patch, struct json_object **ret_value)
{
        CLEANUP(value_put) struct json_object *value = NULL;

        if (!json_object_is_type(patch, json_type_object)) {
                *ret_value = json_object_get(patch);
                return 0;
        }
        value = json_object_is_type(target, json_type_object) ? json_object_get(target)
                                                              : json_object_new_object();
        if (!value)
                return -ENOMEM;
        json_object_object_foreach(patch, name, change)
        {
                struct json_object *member = NULL;
                int r;

                if (!change) {
                        json_object_object_del(value, name);
                        continue;
                }
                r = merge(json_object_object_get(value, name), change, &member);
                if (r < 0)
                        return r;
                if (json_object_object_add(value, name, member) < 0) {
                        json_object_put(member);
                        return -ENOMEM;
                }
        }
        *ret_value = TAKE(value);
        return 0;
}

int json_merge(struct span target_text, struct span patch_text, struct buf *out)
{
        CLEANUP(value_put) struct json_object *target = NULL;
        CLEANUP(value_put) struct json_object *patch = NULL;
        CLEANUP(value_put) struct json_object *value = NULL;
        const char *text;
        size_t n;
        int r = parse(patch_text, &patch);

        if (r < 0)
                return r == -EINVAL ? JSON_MERGE_BAD_PATCH : r;
        r = parse(target_text, &target);
        if (r < 0)
                return r == -EINVAL ? JSON_MERGE_BAD_TARGET : r;
        r = merge(target, patch, &value);
        if (r < 0)
                return r;
        text = json_object_to_json_string_length(value,
                                                 JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
        if (!text)
                return -ENOMEM;
        buf_append(out, text, n);
        return buf_ok(out) ? 0 : -ENOMEM;
}
