/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors in the order of the file; see report.h. */
#include "config/report.h"

#include <stdarg.h>
#include <stdlib.h>

#include "base/buf.h"

PRINTF_LIKE(3, 0)
static char *format_line(struct conf_origin at, const char *key, const char *fmt, va_list ap)
{
        CLEANUP(freep) char *message = NULL;
        CLEANUP(freep) char *place = NULL;
        char *text;

        if (vasprintf(&message, fmt, ap) < 0) {
                message = NULL;
                return NULL;
        }
        if ((at.line ? asprintf(&place, "%s:%u", at.file, at.line) : asprintf(&place, "%s", at.file)) < 0) {
                place = NULL;
                return NULL;
        }
        return asprintf(&text, "%s: %s: %s", place, key, message) < 0 ? NULL : text;
}

void report_add(struct report *report, unsigned order, struct conf_origin at, const char *key,
                const char *fmt, ...)
{
        struct report_line *v = reallocarray(report->v, report->n + 1, sizeof(*v));
        va_list ap;
        char *text;

        if (v)
                report->v = v;
        va_start(ap, fmt);
        text = format_line(at, key, fmt, ap);
        va_end(ap);
        if (!v || !text) {
                report->out_of_memory = true;
                free(text);
                return;
        }
        v[report->n] = (struct report_line){ .order = order, .sequence = report->n, .text = text };
        report->n++;
}

static int by_order(const void *a, const void *b)
{
        const struct report_line *x = a, *y = b;

        if (x->order != y->order)
                return x->order < y->order ? -1 : 1;
        return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

void report_write(struct report *report, FILE *out)
{
        if (report->n == 0)
                return;
        qsort(report->v, report->n, sizeof(*report->v), by_order);
        for (size_t i = 0; i < report->n; i++)
                fprintf(out, "%s\n", report->v[i].text);
}

void report_deinit(struct report *report)
{
        for (size_t i = 0; i < report->n; i++)
                free(report->v[i].text);
        free(report->v);
        *report = (struct report){ 0 };
}
