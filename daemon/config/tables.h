/* SPDX-License-Identifier: BSD-2-Clause */
/* The schema: the file as a whole, and the groups that are written down in files of their own. */
#ifndef COAPD_CONFIG_TABLES_H
#define COAPD_CONFIG_TABLES_H

#include "base/util.h"
#include "config/config.h"
#include "config/schema.h"

/* A row whose key is the member's name. */
#define ROW(type_, struct_, member)                                                                          \
        .key = #member, .type = (type_), .offset = offsetof(struct struct_, member)

#define GROUP_OF(struct_, rows_) .size = sizeof(struct struct_), .rows = (rows_), .n_rows = ARRAY_LEN(rows_)

extern const struct conf_group conf_root;
extern const struct conf_group conf_group_security; /* schema_security.c */
extern const struct conf_group conf_group_access;

static inline void *row_member(const struct conf_row *row, void *base)
{
        return (char *)base + row->offset;
}

static inline const void *row_member_const(const struct conf_row *row, const void *base)
{
        return (const char *)base + row->offset;
}

/* The variant's struct of a group that has a CONF_KIND. */
static inline void **group_fields(const struct conf_group *group, void *base)
{
        void *member = (char *)base + group->fields;

        return member;
}

static inline const void *group_fields_const(const struct conf_group *group, const void *base)
{
        const void *member = (const char *)base + group->fields;

        return *(void *const *)member;
}

/* NULL when there is none of that name. */
const struct conf_variant *variant_find(const struct conf_vocabulary *vocabulary, const char *name);
/* The variant that a group's struct has taken; NULL when the group has none. */
const struct conf_variant *variant_of(const struct conf_vocabulary *vocabulary,
                                      const struct conf_group *group, const void *base);
/* The CONF_KIND row of a group, or NULL. */
const struct conf_row *variant_row(const struct conf_group *group);

#endif
