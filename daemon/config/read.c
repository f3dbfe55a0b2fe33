/* SPDX-License-Identifier: BSD-2-Clause */
/* libconfig's tree into the structs; see read.h. */
#include "config/read.h"

#include <errno.h>
#include <string.h>

#include "base/credential.h"
#include "base/log.h"
#include "base/sandbox.h"
#include "config/keyfile.h"
#include "config/tables.h"
#include "config/values.h"

/* One key of the file and the row that it belongs to. */
struct item {
        const config_setting_t *setting;
        const struct conf_row *row;
        const char *path;
};

static void wrong(struct reader *reader, const struct item *item, const char *what)
{
        CLEANUP(buf_deinit) struct buf expected = { 0 };

        value_describe(&reader->memory->vocabulary, item->row, &expected);
        report_add(reader->report, read_order(item->setting), read_origin(reader, item->setting), item->path,
                   "%s, expected %s", what, buf_string(&expected));
}

/* For values that are of the right type; a secret is not shown. */
static void wrong_value(struct reader *reader, const struct item *item, const char *value,
                        const char *expected)
{
        struct conf_origin at = read_origin(reader, item->setting);

        if (item->row->flags & CONF_SECRET)
                report_add(reader->report, read_order(item->setting), at, item->path,
                           "the value is not valid, expected %s", expected);
        else
                report_add(reader->report, read_order(item->setting), at, item->path,
                           "\"%s\" is not valid, expected %s%s", LOG_ESCAPE(span_of_string(value)), expected,
                           item->row->flags & CONF_PATH ? sandbox_hint(value, ENOENT) : "");
}

static void wrong_type(struct reader *reader, const struct item *item)
{
        static const char *const types[] = {
                [CONFIG_TYPE_NONE] = "has no value",
                [CONFIG_TYPE_GROUP] = "is a group",
                [CONFIG_TYPE_INT] = "is an integer",
                [CONFIG_TYPE_INT64] = "is an integer",
                [CONFIG_TYPE_FLOAT] = "is a number with a fraction",
                [CONFIG_TYPE_STRING] = "is a string",
                [CONFIG_TYPE_BOOL] = "is true or false",
                [CONFIG_TYPE_ARRAY] = "is an array",
                [CONFIG_TYPE_LIST] = "is a list",
        };

        wrong(reader, item, types[config_setting_type(item->setting)]);
}

static char *element_path(const char *path, size_t index)
{
        char *element;

        return asprintf(&element, "%s[%zu]", path, index) < 0 ? NULL : element;
}

static void remember(struct reader *reader, const config_setting_t *setting, const char *path,
                     const void *begin, size_t size, const struct conf_row *row)
{
        struct place place = { .begin = begin,
                               .size = size,
                               .order = read_order(setting),
                               .at = read_origin(reader, setting),
                               .key = strdup(path),
                               .row = row };

        if (!place.key || memory_add(reader->memory, place) < 0)
                reader->out_of_memory = true;
}

/* A relative path counts from the folder of the file that names it. NULL after an error. */
static char *resolve_path(struct reader *reader, const struct item *item, const char *value)
{
        struct conf_origin at = read_origin(reader, item->setting);
        const char *slash = *value == '/' ? NULL : strrchr(at.file, '/');
        char *path = NULL;
        int r = item->row->flags & CONF_KEY_FILE ? credential_find(value, &path) : 0;

        if (r > 0)
                return path;
        if (r == 0 && asprintf(&path, "%.*s%s", slash ? (int)(slash - at.file + 1) : 0, at.file, value) >= 0)
                return path;
        reader->out_of_memory = true;
        return NULL;
}

static bool check_length(struct reader *reader, const struct item *item, const char *value)
{
        size_t n = strlen(value);
        char expected[80];

        if (n == 0 && !(item->row->flags & CONF_EMPTY_OK)) {
                wrong(reader, item, "is empty");
                return false;
        }
        if (item->row->max <= 0 || ((long long)n >= item->row->min && (long long)n <= item->row->max))
                return true;
        snprintf(expected, sizeof(expected), "%lld to %lld bytes", MAX(item->row->min, 1), item->row->max);
        wrong_value(reader, item, value, expected);
        return false;
}

static void check_file(struct reader *reader, const struct item *item, const char *path)
{
        const char *expected;

        if (!(item->row->flags & CONF_KEY_FILE))
                return;
        expected = keyfile_check(path, item->row->flags & CONF_PRIVATE);
        if (expected)
                report_add(reader->report, read_order(item->setting), read_origin(reader, item->setting),
                           item->path, "\"%s\" %s%s", LOG_ESCAPE(span_of_string(path)), expected,
                           sandbox_hint(path, ENOENT));
}

static bool check_word(struct reader *reader, const struct item *item, const char *value)
{
        const struct conf_vocabulary *vocabulary = &reader->memory->vocabulary;
        CLEANUP(buf_deinit) struct buf expected = { 0 };
        bool known = true;

        if (item->row->flags & CONF_KIND)
                known = variant_find(vocabulary, value);
        if (item->row->flags & CONF_ENGINE) {
                known = false;
                for (size_t i = 0; vocabulary->engines[i]; i++)
                        known |= strcmp(vocabulary->engines[i], value) == 0;
        }
        if (known)
                return true;
        value_describe(vocabulary, item->row, &expected);
        wrong_value(reader, item, value, buf_string(&expected));
        return false;
}

/* NULL after an error. */
static char *take_string(struct reader *reader, const struct item *item)
{
        const char *value = config_setting_get_string(item->setting);
        const char *expected = NULL;
        char *copy;

        if (!check_length(reader, item, value) || !check_word(reader, item, value))
                return NULL;
        if (item->row->check)
                expected = item->row->check(value);
        if (expected) {
                wrong_value(reader, item, value, expected);
                return NULL;
        }
        if (item->row->flags & CONF_PATH &&
            !(item->row->flags & CONF_TOKEN && strncmp(value, "pkcs11:", strlen("pkcs11:")) == 0)) {
                copy = resolve_path(reader, item, value);
                if (copy)
                        check_file(reader, item, copy);
                return copy;
        }
        copy = strdup(value);
        if (!copy)
                reader->out_of_memory = true;
        return copy;
}

static void read_string(struct reader *reader, const struct item *item, char **value)
{
        if (config_setting_type(item->setting) != CONFIG_TYPE_STRING)
                wrong_type(reader, item);
        else
                *value = take_string(reader, item);
}

static void read_strings(struct reader *reader, const struct item *item, struct conf_strings *strings)
{
        bool alone = config_setting_type(item->setting) == CONFIG_TYPE_STRING;
        int n = alone ? 1 : config_setting_length(item->setting);

        if (!alone && !config_setting_is_array(item->setting) && !config_setting_is_list(item->setting)) {
                wrong_type(reader, item);
                return;
        }
        if (n == 0) {
                if (!(item->row->flags & CONF_NONE_OK))
                        wrong(reader, item, "is empty");
                return;
        }
        strings->v = calloc((size_t)n, sizeof(*strings->v));
        if (!strings->v) {
                reader->out_of_memory = true;
                return;
        }
        for (int i = 0; i < n; i++) {
                CLEANUP(freep) char *path = alone ? strdup(item->path) : element_path(item->path, (size_t)i);
                struct item element = *item;
                char *value;

                element.setting = alone ? item->setting : config_setting_get_elem(item->setting, (unsigned)i);
                element.path = path ? path : item->path;
                if (config_setting_type(element.setting) != CONFIG_TYPE_STRING) {
                        wrong_type(reader, &element);
                        continue;
                }
                value = take_string(reader, &element);
                if (value)
                        strings->v[strings->n++] = value;
        }
}

static void read_int(struct reader *reader, const struct item *item, long long *value)
{
        int type = config_setting_type(item->setting);
        long long number;
        char what[64];

        if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) {
                wrong_type(reader, item);
                return;
        }
        number = config_setting_get_int64(item->setting);
        if (number < item->row->min || number > item->row->max) {
                snprintf(what, sizeof(what), "%lld is out of range", number);
                wrong(reader, item, what);
                return;
        }
        *value = number;
}

static void read_bool(struct reader *reader, const struct item *item, bool *value)
{
        if (config_setting_type(item->setting) != CONFIG_TYPE_BOOL)
                wrong_type(reader, item);
        else
                *value = config_setting_get_bool(item->setting);
}

static void read_choice(struct reader *reader, const struct item *item, int *value)
{
        CLEANUP(buf_deinit) struct buf expected = { 0 };
        const char *word;

        if (config_setting_type(item->setting) != CONFIG_TYPE_STRING) {
                wrong_type(reader, item);
                return;
        }
        word = config_setting_get_string(item->setting);
        for (int i = 0; item->row->choices[i]; i++) {
                if (strcmp(word, item->row->choices[i]) == 0) {
                        *value = i;
                        return;
                }
        }
        value_describe(&reader->memory->vocabulary, item->row, &expected);
        wrong_value(reader, item, word, buf_string(&expected));
}

static void read_group(struct reader *reader, const config_setting_t *setting, const struct conf_group *group,
                       void *base, const char *path);

static void read_list(struct reader *reader, const struct item *item, struct conf_list *list)
{
        const struct conf_group *group = item->row->group;
        int n = config_setting_length(item->setting);

        if (!config_setting_is_list(item->setting) && !(config_setting_is_array(item->setting) && n == 0)) {
                wrong_type(reader, item);
                return;
        }
        list->v = n ? calloc((size_t)n, group->size) : NULL;
        if (n && !list->v) {
                reader->out_of_memory = true;
                return;
        }
        for (int i = 0; i < n; i++) {
                const config_setting_t *element = config_setting_get_elem(item->setting, (unsigned)i);
                CLEANUP(freep) char *path = element_path(item->path, (size_t)i);
                void *base = (char *)list->v + list->n * group->size;
                struct conf_origin *at = base;

                if (!path) {
                        reader->out_of_memory = true;
                        return;
                }
                if (!config_setting_is_group(element)) {
                        report_add(reader->report, read_order(element), read_origin(reader, element), path,
                                   "is no group, expected a group in braces: { ... }");
                        continue;
                }
                *at = read_origin(reader, element);
                remember(reader, element, path, base, group->size, NULL);
                list->n++;
                read_group(reader, element, group, base, path);
        }
}

static void read_value(struct reader *reader, const struct item *item, void *value)
{
        switch (item->row->type) {
        case CONF_BOOL:
                read_bool(reader, item, value);
                break;
        case CONF_INT:
                read_int(reader, item, value);
                break;
        case CONF_STRING:
                read_string(reader, item, value);
                break;
        case CONF_CHOICE:
                read_choice(reader, item, value);
                break;
        case CONF_STRINGS:
                read_strings(reader, item, value);
                break;
        case CONF_GROUP:
                if (config_setting_is_group(item->setting))
                        read_group(reader, item->setting, item->row->group, value, item->path);
                else
                        wrong_type(reader, item);
                break;
        case CONF_LIST:
                read_list(reader, item, value);
                break;
        }
}

/* `setting` is the group's, NULL when the file does not have it: then everything takes its default. */
static void read_row(struct reader *reader, const config_setting_t *setting, const struct conf_row *row,
                     void *base, const char *path)
{
        const config_setting_t *member = setting ? config_setting_get_member(setting, row->key) : NULL;
        CLEANUP(freep) char *child = read_path(path, row->key);
        struct item item = { .setting = member ? member : setting, .row = row, .path = child };
        void *value = row_member(row, base);

        reader->out_of_memory |= !child;
        if (!child)
                return;
        if (member) {
                remember(reader, member, child, value, value_size(row), row);
                read_value(reader, &item, value);
        } else if (row->type == CONF_GROUP) {
                read_group(reader, NULL, row->group, value, child);
        } else if (setting && row->flags & CONF_REQUIRED) {
                wrong(reader, &item, "is missing");
        } else if (value_set_fallback(&reader->memory->vocabulary, row, value) < 0) {
                reader->out_of_memory = true;
        }
}

static void read_group(struct reader *reader, const config_setting_t *setting, const struct conf_group *group,
                       void *base, const char *path)
{
        const struct conf_variant *variant;
        void **fields = group_fields(group, base);

        for (size_t i = 0; i < group->n_rows; i++)
                read_row(reader, setting, &group->rows[i], base, path);
        if (!setting)
                return; /* what is not there is of no kind */
        variant = variant_of(&reader->memory->vocabulary, group, base);
        read_unknown(reader, setting, group, variant, path);
        if (!variant || variant->size == 0)
                return;
        *fields = calloc(1, variant->size);
        if (!*fields) {
                reader->out_of_memory = true;
                return;
        }
        remember(reader, setting, path, *fields, variant->size, NULL);
        for (size_t i = 0; i < variant->n_rows; i++)
                read_row(reader, setting, &variant->rows[i], *fields, path);
}

void read_config(struct reader *reader, const config_setting_t *root, struct config *config)
{
        read_group(reader, root, &conf_root, config, "");
}
