/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `exec`: an operator's own program as the source of a resource. It runs at the start and then at every
 * interval, one run at a time, and what it wrote to its standard output is the representation. Here the
 * schedule and the answers; the keys are in exec_keys.c, a run itself in exec_run.c.
 *
 * A run that fails tells nobody: an error would end the observations (RFC 7641, 4.2), and the next run may be a good
 * one. Who asks is told 5.03, and observers hear of it when the Max-Age of what they have is over.
 */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/content_format.h"
#include "base/log.h"
#include "resources/exec.h"
#include "resources/exec_run.h"
#include "resources/kind.h"

enum { US_PER_S = 1000000, MS_PER_S = 1000, MAX_LINES = 20, LINES_INTERVAL_S = 60 };

/* --- the state --- */

struct exec {
        struct resource *resource;
        const struct exec_conf *conf; /* of the config that is in force */
        char **command;               /* its strings, with a NULL */
        char **environment;
        struct buf path_variable;
        struct log_gate gate;
        sd_event_source *next;
        struct run *run;   /* NULL: none goes on */
        uint64_t began_ns; /* the last one */

        struct representation *content; /* of the last good run; NULL: none yet */
        uint64_t good_ns;               /* when that ended */
        bool failing;                   /* the last run failed */
        char trouble[64];               /* how */
};

static char default_path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
static char default_lang[] = "LANG=C.UTF-8";

static char **list_of(const struct conf_strings *strings, char *const before[], size_t n_before)
{
        char **list = calloc(n_before + strings->n + 1, sizeof *list);

        for (size_t i = 0; list && i < n_before; i++)
                list[i] = before[i];
        for (size_t i = 0; list && i < strings->n; i++)
                list[n_before + i] = strings->v[i];
        return list;
}

static bool gives(const struct conf_strings *variables, const char *like)
{
        size_t n = (size_t)(strchr(like, '=') - like) + 1;

        for (size_t i = 0; i < variables->n; i++)
                if (strncmp(variables->v[i], like, n) == 0)
                        return true;
        return false;
}

/* Argument and environment lists that point into the config, and are used no longer than it is in force. */
static int exec_use(struct exec *exec, const struct exec_conf *conf)
{
        char *before[3] = { (char *)buf_string(&exec->path_variable) };
        size_t n = 1;
        char **command, **environment;

        if (!gives(&conf->environment, default_path))
                before[n++] = default_path;
        if (!gives(&conf->environment, default_lang))
                before[n++] = default_lang;
        command = list_of(&conf->command, NULL, 0);
        environment = list_of(&conf->environment, before, n);
        if (!command || !environment) {
                free(command);
                free(environment);
                return -ENOMEM;
        }
        free(exec->command);
        free(exec->environment);
        exec->command = command;
        exec->environment = environment;
        exec->conf = conf;
        return 0;
}

/* --- runs --- */

static void run_at(struct exec *exec, uint64_t at_us);

static void describe_failure(const struct run_result *result, char *text, size_t size)
{
        switch (result->outcome) {
        case RUN_FAILED:
                snprintf(text, size, "exit status %d", result->status);
                break;
        case RUN_KILLED:
                snprintf(text, size, "ended by SIG%s", sigabbrev_np(result->status));
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

/* Said once, and once when it is over. */
static void note_failure(struct exec *exec, const char *trouble)
{
        if (!exec->failing || strcmp(exec->trouble, trouble) != 0)
                log_warning("resource %s: its program %s failed: %s", resource_path(exec->resource),
                            exec->command[0], trouble);
        exec->failing = true;
        snprintf(exec->trouble, sizeof exec->trouble, "%s", trouble);
}

static void take_content(struct exec *exec, struct span output)
{
        int format = content_format_by_name(span_of_string(exec->conf->content_format));
        CLEANUP(representation_unrefp) struct representation *fresh = representation_new(output, format);
        CLEANUP(representation_unrefp) struct representation *old = NULL;
        bool again = exec->failing;

        if (!fresh) {
                note_failure(exec, "out of memory");
                return;
        }
        if (again)
                log_notice("resource %s: its program runs well again", resource_path(exec->resource));
        exec->failing = false;
        exec->good_ns = clock_now_ns();
        old = TAKE(exec->content);
        exec->content = TAKE(fresh);
        if (old && old->content_format != format)
                resource_changed_format(exec->resource);
        else if (!old || again || !etag_equal(&old->etag, &exec->content->etag))
                resource_changed(exec->resource);
}

static void run_when_due(struct exec *exec)
{
        run_at(exec, exec->began_ns / 1000 + (uint64_t)exec->conf->interval * US_PER_S);
}

static void on_done(void *user, const struct run_result *result)
{
        struct exec *exec = user;
        char trouble[sizeof exec->trouble] = "";

        exec->run = NULL;
        describe_failure(result, trouble, sizeof trouble);
        if (result->outcome == RUN_GOOD)
                take_content(exec, result->output);
        else
                note_failure(exec, trouble);
        run_when_due(exec);
}

static void run_now(struct exec *exec)
{
        const struct run_spec spec = {
                .name = resource_path(exec->resource),
                .gate = &exec->gate,
                .command = exec->command,
                .environment = exec->environment,
                .directory = exec->conf->directory,
                .max_size = (size_t)exec->conf->max_size,
                .timeout_us = (uint64_t)exec->conf->timeout * US_PER_S,
        };
        int r;

        exec->began_ns = clock_now_ns();
        r = run_start(resource_event(exec->resource), &spec, on_done, exec, &exec->run);
        if (r == 0)
                return;
        note_failure(exec, strerror(-r));
        run_when_due(exec);
}

static int on_next(sd_event_source *source, uint64_t usec, void *user)
{
        struct exec *exec = user;

        (void)source;
        (void)usec;
        if (!exec->run)
                run_now(exec);
        return 0;
}

static void run_at(struct exec *exec, uint64_t at_us)
{
        int r;

        if (!exec->next) {
                r = sd_event_add_time(resource_event(exec->resource), &exec->next, CLOCK_MONOTONIC, at_us, 0,
                                      on_next, exec);
        } else {
                r = sd_event_source_set_time(exec->next, at_us);
                if (r >= 0)
                        r = sd_event_source_set_enabled(exec->next, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_error("resource %s: its program does not run any more: %s", resource_path(exec->resource),
                          strerror(-r));
}

/* --- its life --- */

static void exec_destroy(void *self)
{
        struct exec *exec = self;

        sd_event_source_disable_unref(exec->next);
        run_stop(exec->run);
        representation_unref(exec->content);
        free(exec->command);
        free(exec->environment);
        buf_deinit(&exec->path_variable);
        free(exec);
}

static int exec_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        struct exec *exec = calloc(1, sizeof *exec);
        int r;

        if (!exec)
                return -ENOMEM;
        exec->resource = resource;
        exec->gate = (struct log_gate){ .burst = MAX_LINES, .interval_s = LINES_INTERVAL_S };
        buf_printf(&exec->path_variable, "COAPD_PATH=%s", conf->path);
        r = buf_ok(&exec->path_variable) ? exec_use(exec, conf->fields) : -ENOMEM;
        if (r < 0) {
                exec_destroy(exec);
                return r;
        }
        /* Not before the loop runs: everything else is ready then. */
        run_at(exec, 0);
        *ret_self = exec;
        return 0;
}

/* What was read stays until the new program has written something, so that observers stay, too. */
static void exec_reconfigure(void *self, const struct conf_resource *conf)
{
        struct exec *exec = self;
        bool same = exec_runs_the_same(exec->conf, conf->fields);

        if (exec_use(exec, conf->fields) < 0) {
                log_error("resource %s: out of memory, its program does not run any more", conf->path);
                run_stop(TAKE(exec->run));
                sd_event_source_disable_unref(TAKE(exec->next));
                exec->failing = true;
                exec->conf = conf->fields;
                return;
        }
        if (!same) {
                run_stop(TAKE(exec->run));
                run_at(exec, 0);
        } else if (!exec->run) {
                run_when_due(exec);
        }
}

/* --- requests --- */

static bool exec_ready(void *self)
{
        const struct exec *exec = self;

        return exec->content != NULL;
}

/* Seconds until there may be something new. */
static int64_t until_next(const struct exec *exec)
{
        int64_t passed = (int64_t)((clock_now_ns() - exec->began_ns) / MSEC(MS_PER_S));

        return MAX(exec->conf->interval - passed, 1);
}

static bool is_kept(const struct exec *exec)
{
        return exec->content && (!exec->failing || clock_now_ns() - exec->good_ns <=
                                                           MSEC((uint64_t)exec->conf->keep * MS_PER_S));
}

static void exec_get(void *self, const struct request *request, struct response *response)
{
        const struct exec *exec = self;

        /* An observer is never told of a failure; what it gets is stale, and says so. */
        if (is_kept(exec) || (exec->content && request->observe)) {
                response->code = CODE_CONTENT;
                response->content = representation_ref(exec->content);
                if (exec->failing)
                        response->max_age = 0;
                return;
        }
        if (exec->failing)
                response_error(response, CODE_UNAVAILABLE, "it can not be read now: %s", exec->trouble);
        else
                response_error(response, CODE_UNAVAILABLE, "it has not been read yet");
        response->max_age = exec->failing ? until_next(exec) : 1;
}

static size_t exec_formats(void *self, int formats[], size_t max)
{
        const struct exec *exec = self;

        (void)max;
        formats[0] = content_format_by_name(span_of_string(exec->conf->content_format));
        return 1;
}

const struct kind kind_exec = {
        .name = "exec",
        .doc = "What a program of this machine writes to its standard output, such as a script that reads a "
               "sensor. "
               "It runs at the start and then at every interval, as coapd's user and within the limits that "
               "systemd "
               "sets for coapd. Observers are told when its output is another one. When it fails, with an "
               "exit status "
               "other than 0, a signal, a timeout or too much output, a GET is answered 5.03 until it runs "
               "well "
               "again, and observers hear nothing meanwhile. What it writes to its standard error is logged. "
               "A reload that changes how it runs ends the run that goes on and begins another one.",
        .rows = exec_rows,
        .n_rows = EXEC_ROWS,
        .conf_size = sizeof(struct exec_conf),
        .flags = KIND_FLEETING,
        .check = exec_check,
        .create = exec_create,
        .reconfigure = exec_reconfigure,
        .destroy = exec_destroy,
        .handle = { [METHOD_GET] = exec_get },
        .ready = exec_ready,
        .formats = exec_formats,
};
