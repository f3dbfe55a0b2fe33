/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON merge patches; see json_merge.h. json-c never parses deeper than MAX_DEPTH. It is strict but for names
 * in single quotes, which it writes with double ones, and for NaN, Infinity and "1.", which are refused here.
 */
#include "resources/json_merge.h"

#include <ctype.h>
#include <errno.h>
#include <json-c/json.h>
#include <json-c/json_visit.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/utf8.h"

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
        const char *point;

        (void)flags, (void)parent, (void)name, (void)index, (void)user;
        if (!json_object_is_type(value, json_type_double))
                return JSON_C_VISIT_RETURN_CONTINUE;
        /* It is written as it was read. */
        point = strchr(json_object_to_json_string(value), '.');
        if (!isfinite(json_object_get_double(value)) || (point && !isdigit((unsigned char)point[1])))
                return JSON_C_VISIT_RETURN_ERROR;
        return JSON_C_VISIT_RETURN_CONTINUE;
}

/*
 * Where it is strict, json-c 0.18 takes no character beyond ASCII, not even within a string (its issue 892). So
 * they go in as escapes. False when the text is no JSON.
 */
static bool spell_in_ascii(struct span text, struct buf *out)
{
        bool escaped = false; /* by a backslash, which would escape that of ours, too */

        while (text.n) {
                uint32_t character;
                size_t n = utf8_first(text, &character);

                if (n == 0 || character == 0 || (character >= 0x80 && escaped))
                        return false;
                text = span_skip(text, n);
                escaped = character == '\\' && !escaped;
                if (character < 0x80)
                        buf_append_byte(out, (uint8_t)character);
                else if (character < 0x10000)
                        buf_printf(out, "\\u%04x", character);
                else
                        buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((character - 0x10000) >> 10),
                                   0xdc00 + (character & 0x3ff));
        }
        return true;
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

        if (!spell_in_ascii(text, &copy))
                return -EINVAL;
        buf_append_byte(&copy, '\0');
        if (!tokener || !buf_ok(&copy))
                return -ENOMEM;
        if (copy.n >= INT_MAX || strstr((const char *)copy.p, "\\u0000"))
                return -EINVAL;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
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
