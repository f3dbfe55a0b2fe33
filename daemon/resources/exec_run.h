/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One run of an operator's program, for the kind `exec`: started without a shell, in a session of its own, with a
 * clean environment, nothing or a request's body on its standard input, and no descriptor of coapd's. Its standard
 * output is collected, its standard error goes to the log line by line. Nothing here blocks.
 *
 * When the program ends, what it left behind in its process group is killed; what its output was until then counts.
 */
#ifndef COAPD_RESOURCES_EXEC_RUN_H
#define COAPD_RESOURCES_EXEC_RUN_H

#include <systemd/sd-event.h>

#include "base/log.h"

struct run;

struct run_spec {
        const char *name;         /* whose run it is, for the log; outlives the run */
        struct log_gate *gate;    /* for its standard error; outlives the run */
        char *const *command;     /* an absolute path and arguments, NULL-terminated */
        char *const *environment; /* all of it, NULL-terminated */
        const char *directory;
        struct span input;   /* for its standard input; copied */
        size_t max_size;     /* of the output, bytes */
        uint64_t timeout_us; /* then SIGTERM, and SIGKILL two seconds later, to all of its process group */
};

enum run_outcome {
        RUN_GOOD,   /* exit status 0 */
        RUN_FAILED, /* another one, in `status` */
        RUN_KILLED, /* by the signal `status` */
        RUN_TIMED_OUT,
        RUN_TOO_LARGE, /* more than max_size: it was ended */
};

struct run_result {
        enum run_outcome outcome;
        int status;
        struct span output; /* of a good run; borrowed for the call */
};

/*
 * Starts it. `done` is called once, from the loop, and the run is no more when it returns; never after run_stop().
 * `spec` is borrowed for the call. 0; or -errno where it cannot be executed.
 */
int run_start(sd_event *event, const struct run_spec *spec,
              void (*done)(void *user, const struct run_result *result), void *user, struct run **ret_run);

/* Kills it with all of its process group, and waits for its end, which is at once. Accepts NULL. */
void run_stop(struct run *run);

#endif
