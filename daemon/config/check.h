/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules between keys, which no row can tell. */
#ifndef COAPD_CONFIG_CHECK_H
#define COAPD_CONFIG_CHECK_H

#include "base/util.h"
#include "config/config.h"
#include "config/report.h"

struct check {
        const struct config *config;
        struct report *report;
        bool out_of_memory;
};

/* Reports every rule that is broken; values whose rows were not good are skipped. 0 or -ENOMEM. */
int check_config(const struct config *config, struct report *report);

/* `persist`, in check_persist.c. */
void check_persist(struct check *check);

/* `security` and `access`, in check_security.c. */
void check_security(struct check *check);

/*
 * Reports a rule broken by a member, or, where the file does not give it, by the group around it. `key` is
 * appended to what is found; "" for none.
 */
void check_failed(struct check *check, const void *member, const char *key, const char *fmt, ...)
        PRINTF_LIKE(4, 5);

/* Whether the file gives the member, with a good value or a bad one. */
#define CHECK_GIVEN(check, member) check_given((check), (member), sizeof(*(member)))
bool check_given(const struct check *check, const void *member, size_t size);

/* Reports each struct of a list whose string at `offset` another one before it has, too. */
void check_twins(struct check *check, const struct conf_list *list, size_t size, size_t offset);

#endif
