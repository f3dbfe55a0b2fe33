/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keys of the kind `exec`, in exec_keys.c. What it does with them is in exec.c, and a run of its program in
 * exec_run.c.
 */
#ifndef COAPD_RESOURCES_EXEC_H
#define COAPD_RESOURCES_EXEC_H

#include "config/config.h"

struct exec_conf {
        struct conf_strings command;
        long long interval;
        long long timeout;
        long long max_size;
        long long keep;
        char *content_format;
        char *directory;
        struct conf_strings environment;
};

enum { EXEC_ROWS = 8 };

extern const struct conf_row exec_rows[EXEC_ROWS];

/* As kind.check. */
const char *exec_check(const void *fields, const void **ret_member);

/* Whether a run by one of them is a run by the other. */
bool exec_runs_the_same(const struct exec_conf *a, const struct exec_conf *b);

#endif
