/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The errors of one run, kept until all are known and then written in the order of the file:
 * "FILE:LINE: KEY: what is wrong, what is expected".
 */
#ifndef COAPD_CONFIG_REPORT_H
#define COAPD_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/util.h"
#include "config/schema.h"

struct report_line {
        unsigned order; /* by which lines are written; those of one order as they came */
        size_t sequence;
        char *text;
};

struct report {
        struct report_line *v;
        size_t n;
        bool out_of_memory;
};

/* A line of 0 is not written, for errors of a file as a whole. */
void report_add(struct report *report, unsigned order, struct conf_origin at, const char *key,
                const char *fmt, ...) PRINTF_LIKE(5, 6);

void report_write(struct report *report, FILE *out);
void report_deinit(struct report *report);

#endif
