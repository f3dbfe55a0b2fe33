/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One run of a program of the kind `exec`: its arguments, its environment, and what is said when it fails; see exec.h.
 */
#include "resources/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "resources/exec_run.h"

enum { US_PER_S = 1000000 };

static char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char default_lang[] = "LANG=C.UTF-8";

/* The lists that execve(2) takes; their strings are borrowed. */
struct lists {
        char **command;
        char **environment;
};

static void lists_deinit(struct lists *lists)
{
        free(lists->command);
        free(lists->environment);
}

static bool gives(const struct conf_strings *variables, const char *like)
{
        size_t n = (size_t)(strchr(like, '=') - like) + 1;

        for (size_t i = 0; i < variables->n; i++)
                if (strncmp(variables->v[i], like, n) == 0)
                        return true;
        return false;
}

static bool make_lists(const struct exec_conf *conf, const struct conf_strings *command, char *const own[],
                       size_t n, struct lists *lists)
{
        const struct conf_strings *variables = &conf->environment;
        enum { DEFAULTS = 2 };
        size_t used = 0;

        lists->command = calloc(command->n + 1, sizeof *lists->command);
        lists->environment = calloc(variables->n + n + DEFAULTS + 1, sizeof *lists->environment);
        if (!lists->command || !lists->environment)
                return false;
        for (size_t i = 0; i < command->n; i++)
                lists->command[i] = command->v[i];
        for (size_t i = 0; i < n; i++)
                lists->environment[used++] = own[i];
        if (!gives(variables, default_path))
                lists->environment[used++] = default_path;
        if (!gives(variables, default_lang))
                lists->environment[used++] = default_lang;
        for (size_t i = 0; i < variables->n; i++)
                lists->environment[used++] = variables->v[i];
        return true;
}

void exec_describe_failure(const struct run_result *result, char *text, size_t size)
{
        const char *name;

        switch (result->outcome) {
        case RUN_FAILED:
                snprintf(text, size, "exit status %d", result->status);
                break;
        case RUN_KILLED:
                name = sigabbrev_np(result->status);
                if (name)
                        snprintf(text, size, "ended by SIG%s", name);
                else
                        snprintf(text, size, "ended by signal %d", result->status); /* one for real time */
                break;
        case RUN_TIMED_OUT:
                snprintf(text, size, "it took too long");
                break;
        case RUN_TOO_LARGE:
                snprintf(text, size, "it wrote too much");
                break;
        case RUN_GOOD:
                break;
        }
}

int exec_start(struct exec *exec, const struct conf_strings *command, enum method method, const char *format,
               struct span input, void (*done)(void *user, const struct run_result *result))
{
        CLEANUP(lists_deinit) struct lists lists = { 0 };
        char method_variable[32], format_variable[128];
        char *const own[] = { exec->path_variable, method_variable, format_variable };
        struct run_spec spec = {
                .name = resource_path(exec->resource),
                .gate = &exec->gate,
                .directory = exec->conf->directory,
                .input = input,
                .max_size = (size_t)exec->conf->max_size,
                .timeout_us = (uint64_t)exec->conf->timeout * US_PER_S,
        };

        snprintf(method_variable, sizeof method_variable, "COAPD_METHOD=%s",
                 method == METHOD_GET   ? "GET"
                 : method == METHOD_PUT ? "PUT"
                                        : "POST");
        snprintf(format_variable, sizeof format_variable, "COAPD_CONTENT_FORMAT=%s", format ? format : "");
        if (!make_lists(exec->conf, command, own, ARRAY_LEN(own) - (format ? 0 : 1), &lists))
                return -ENOMEM;
        spec.command = lists.command;
        spec.environment = lists.environment;
        return run_start(resource_event(exec->resource), &spec, done, exec, &exec->run);
}
