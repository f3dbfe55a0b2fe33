/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the kind `exec`: exec.c (the kind, and its answers), exec_keys.c (its keys), exec_schedule.c (when its
 * programs run, and what comes of it), exec_command.c (what one of them is given), exec_run.c (one run).
 *
 * There are two programs, one to read and one to write, and only one of them runs at a time.
 */
#ifndef COAPD_RESOURCES_EXEC_H
#define COAPD_RESOURCES_EXEC_H

#include <systemd/sd-event.h>

#include "base/buf.h"
#include "base/log.h"
#include "resources/kind.h"

struct exec_conf {
        struct conf_strings command;
        struct conf_strings write_command;
        long long interval;
        bool on_demand;
        long long timeout;
        long long max_size;
        long long keep;
        char *content_format;
        char *directory;
        struct conf_strings environment;
};

enum { EXEC_ROWS = 10, EXEC_MAX_WRITES = 16 };

struct run;
struct run_result;

/* A client that waits for a run to end. */
struct exec_visitor {
        struct exec_visitor *next;
        struct exec *exec;
        struct pending *pending; /* NULL: it waits no more */
        enum method method;
        int content_format;
        struct buf body;
};

struct exec {
        struct resource *resource;
        const struct exec_conf *conf; /* of the config that is in force */
        char *path_variable;          /* of its programs' environment */
        struct log_gate gate;         /* of what they say */
        struct log_gate failures;

        sd_event_source *timer;
        bool outdated;        /* written since it was read last: who asks waits */
        bool due;             /* to be read, */
        size_t writes_before; /* after so many more of those who wait to write: later ones do not overtake it */
        bool watched;         /* on_demand: somebody observes it, as far as is known */
        unsigned unchanged;   /* on_demand: runs since the observers were told something */
        struct run *run;      /* NULL: none goes on */
        struct exec_visitor *writing; /* whose it is; NULL: it reads */
        struct exec_visitor *readers; /* for the next output */
        struct exec_visitor *writers; /* for their turn, the first one first */
        uint64_t began_ns;            /* the last one that read */

        struct representation *content; /* of the last good run; NULL: none yet */
        uint64_t good_ns;               /* when that ended */
        bool failing;                   /* the last run failed */
        bool told;                      /* and that is in the log */
        char trouble[64];               /* how */
};

/* --- exec_keys.c --- */

extern const struct conf_row exec_rows[EXEC_ROWS];

/* As kind.check. */
const char *exec_check(const void *fields, const void **ret_member);

/* Whether a run by one of them is a run by the other. */
bool exec_runs_the_same(const struct exec_conf *a, const struct exec_conf *b);

/* --- exec.c --- */

/* Answers a GET with what there is now. */
void exec_answer(const struct exec *exec, bool observe, struct response *response);

/* --- exec_command.c --- */

/* Runs `command` with `input` for its standard input; `format` NULL: that has no content format. Becomes exec->run, and
 * `done` is called with `exec` when it ends. 0, or -errno. */
int exec_start(struct exec *exec, const struct conf_strings *command, enum method method, const char *format,
               struct span input, void (*done)(void *user, const struct run_result *result));

/* Nothing of a good run. */
void exec_describe_failure(const struct run_result *result, char *text, size_t size);

/* --- exec_schedule.c --- */

/* Reads as soon as nothing runs. */
void exec_read_soon(struct exec *exec);
/* When the interval is over, counted from the last beginning. */
void exec_read_when_due(struct exec *exec);

/* Queues a visitor, which is taken over, and serves it. */
void exec_visit(struct exec *exec, struct exec_visitor *visitor);
size_t exec_count_writers(const struct exec *exec);

/* Ends the run that goes on. */
void exec_abort(struct exec *exec);

/* Nothing runs any more, nobody waits, nothing is kept. */
void exec_deinit(struct exec *exec);

#endif
