/* SPDX-License-Identifier: BSD-2-Clause */
/* From libconfig's tree into the structs, by the rows of the schema. */
#ifndef COAPD_CONFIG_READ_H
#define COAPD_CONFIG_READ_H

#include <libconfig.h>

#include "config/memory.h"
#include "config/report.h"
#include "config/source.h"

struct reader {
        struct conf_memory *memory;
        const struct source *source;
        struct report *report;
        bool out_of_memory;
};

/* Fills `config` by conf_root. Errors go to the report; what is left in `config` is freed by values_free().
 */
void read_config(struct reader *reader, const config_setting_t *root, struct config *config);

/* Reports the members of a group that have no row; `variant` is NULL where the kind is not known. */
void read_unknown(struct reader *reader, const config_setting_t *setting, const struct conf_group *group,
                  const struct conf_variant *variant, const char *path);

/* A setting's line in the text, and where that is. */
static inline unsigned read_order(const config_setting_t *setting)
{
        return config_setting_source_line(setting);
}

static inline struct conf_origin read_origin(const struct reader *reader, const config_setting_t *setting)
{
        return source_origin(reader->source, read_order(setting));
}

/* "server" and "log_level" make "server.log_level". NULL without memory. */
static inline char *read_path(const char *path, const char *key)
{
        char *child;

        return asprintf(&child, "%s%s%s", path, *path ? "." : "", key) < 0 ? NULL : child;
}

#endif
