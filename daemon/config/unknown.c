/* SPDX-License-Identifier: BSD-2-Clause */
/* Keys that no row knows, each with the one that was probably meant. */
#include <string.h>

#include "config/nearest.h"
#include "config/read.h"
#include "config/tables.h"

static bool has_key(const struct conf_row *rows, size_t n, const char *key, struct nearest *nearest)
{
        for (size_t i = 0; i < n; i++) {
                if (strcmp(rows[i].key, key) == 0)
                        return true;
                nearest_offer(nearest, rows[i].key);
        }
        return false;
}

static void list_keys(const struct conf_row *rows, size_t n, struct buf *out)
{
        for (size_t i = 0; i < n; i++)
                buf_printf(out, "%s%s", out->n ? ", " : "", rows[i].key);
}

/* A key that another kind has; NULL when no kind does. */
static const struct conf_variant *other_kind(const struct reader *reader, const struct conf_group *group,
                                             const char *key)
{
        const struct conf_vocabulary *vocabulary = &reader->memory->vocabulary;
        struct nearest ignored;

        nearest_init(&ignored, key);
        for (size_t i = 0; variant_row(group) && i < vocabulary->n_kinds; i++)
                if (has_key(vocabulary->kinds[i].rows, vocabulary->kinds[i].n_rows, key, &ignored))
                        return &vocabulary->kinds[i];
        return NULL;
}

static void report_unknown(struct reader *reader, const config_setting_t *setting,
                           const struct conf_group *group, const struct conf_variant *variant,
                           const char *path, const struct nearest *nearest)
{
        const struct conf_variant *other = other_kind(reader, group, config_setting_name(setting));
        CLEANUP(freep) char *key = read_path(path, config_setting_name(setting));
        CLEANUP(buf_deinit) struct buf known = { 0 };
        struct conf_origin at = read_origin(reader, setting);

        if (!key) {
                reader->out_of_memory = true;
        } else if (other && variant) {
                list_keys(variant->rows, variant->n_rows, &known);
                report_add(reader->report, read_order(setting), at, key,
                           "belongs to kind = \"%s\", expected for \"%s\" %s%s", other->name, variant->name,
                           variant->n_rows ? "one of " : "no key of its own", buf_string(&known));
        } else if (nearest->best) {
                report_add(reader->report, read_order(setting), at, key, "is not known, expected perhaps %s",
                           nearest->best);
        } else {
                list_keys(group->rows, group->n_rows, &known);
                if (variant)
                        list_keys(variant->rows, variant->n_rows, &known);
                report_add(reader->report, read_order(setting), at, key, "is not known, expected one of %s",
                           buf_string(&known));
        }
}

void read_unknown(struct reader *reader, const config_setting_t *setting, const struct conf_group *group,
                  const struct conf_variant *variant, const char *path)
{
        for (int i = 0; i < config_setting_length(setting); i++) {
                const config_setting_t *member = config_setting_get_elem(setting, (unsigned)i);
                const char *key = config_setting_name(member);
                struct nearest nearest;

                nearest_init(&nearest, key);
                if (has_key(group->rows, group->n_rows, key, &nearest) ||
                    (variant && has_key(variant->rows, variant->n_rows, key, &nearest)))
                        continue;
                /* Without a good kind nobody knows which of the kinds' keys are meant. */
                if (variant || !variant_row(group) || !other_kind(reader, group, key))
                        report_unknown(reader, member, group, variant, path, &nearest);
        }
}
