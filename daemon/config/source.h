/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The text of the configuration: the file and all that it includes, in one piece, with a map that leads each
 * line back to its file.
 *
 * libconfig could include by itself, but resolves every path against one folder and can neither say which
 * include failed nor go on behind a duplicate key; here a path counts from the file that names it.
 */
#ifndef COAPD_CONFIG_SOURCE_H
#define COAPD_CONFIG_SOURCE_H

#include "base/buf.h"
#include "config/report.h"
#include "config/schema.h"

struct source {
        struct buf text;
        struct conf_origin *lines; /* of each line of the text */
        size_t n_lines, cap_lines;
        struct conf_strings files; /* names, referred to by the origins */
};

/*
 * Reads FILE with its includes. 0 when the text can be parsed; -EINVAL after errors went to the report;
 * -ENOMEM; or another -errno, reported too, when FILE itself cannot be read.
 */
int source_read(struct source *source, const char *file, struct report *report);

/* Lines count from 1; one beyond the end is taken for the last. */
struct conf_origin source_origin(const struct source *source, unsigned line);

/*
 * Puts groups together that stand in several files, and lists, each behind the one that was read before. What stands
 * twice in one file, and a value that stands twice, is left as it is. 0; -EINVAL after errors of the syntax went to the
 * report; -ENOMEM.
 */
int source_arrange(struct source *source, struct report *report);

/*
 * Append to a text that is made anew: whole lines, which stand where `lines` says; or a few marks behind them, whose
 * lines are taken for the last one. 0 or -ENOMEM.
 */
int source_append_lines(struct source *source, const char *p, size_t n, const struct conf_origin *lines);
int source_append(struct source *source, const char *text);

/* Reports every key that stands twice in one group. */
void source_find_duplicates(const struct source *source, struct report *report);

/* Wipes the text. */
void source_deinit(struct source *source);

#endif
