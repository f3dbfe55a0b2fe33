/* SPDX-License-Identifier: BSD-2-Clause */
/* When the programs of the kind `exec` run, and what comes of it; see exec.h. */
#include "resources/exec.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/content_format.h"
#include "resources/exec_run.h"

enum { US_PER_S = 1000000, MAX_UNCHANGED = 16 };

/* --- arguments and environment --- */

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

/* --- visitors --- */

static void visitor_free(struct exec_visitor *visitor)
{
        buf_deinit(&visitor->body);
        free(visitor);
}

static void append(struct exec_visitor **list, struct exec_visitor *visitor)
{
        while (*list)
                list = &(*list)->next;
        *list = visitor;
}

static struct exec_visitor *pop(struct exec_visitor **list)
{
        struct exec_visitor *first = *list;

        if (first)
                *list = first->next;
        return first;
}

size_t exec_count_writers(const struct exec *exec)
{
        size_t n = 0;

        for (const struct exec_visitor *visitor = exec->writers; visitor; visitor = visitor->next)
                n++;
        return n;
}

static void answer(struct exec_visitor *visitor, struct response *response)
{
        if (visitor->pending)
                request_answer(visitor->pending, response);
        else
                representation_unref(response->content);
        visitor_free(visitor);
}

/* The config has changed under it. */
static void refuse(struct exec_visitor *visitor)
{
        struct response response = { .max_age = 1 };

        response_error(&response, CODE_UNAVAILABLE, "it has just changed");
        answer(visitor, &response);
}

static void answer_readers(struct exec *exec)
{
        struct exec_visitor *visitor;

        while ((visitor = pop(&exec->readers))) {
                struct response response = { .max_age = -1 };

                exec_answer(exec, false, &response);
                answer(visitor, &response);
        }
}

/* --- runs --- */

static void next_run(struct exec *exec);

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

static int start(struct exec *exec, const struct conf_strings *command, enum method method,
                 const char *format, struct span input,
                 void (*done)(void *user, const struct run_result *result))
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

/* --- reading --- */

static bool tell_failure(struct exec *exec, const char *program, const char *trouble)
{
        return log_gated(&exec->failures, LOG_WARNING,
                         &(struct log_fields){ .resource = resource_path(exec->resource) },
                         "resource %s: its program %s failed: %s", resource_path(exec->resource), program,
                         trouble);
}

/* Said once, and once when it is over. */
static void note_failure(struct exec *exec, const char *trouble)
{
        if (!exec->failing || strcmp(exec->trouble, trouble) != 0)
                exec->told = tell_failure(exec, exec->conf->command.v[0], trouble);
        exec->failing = true;
        snprintf(exec->trouble, sizeof exec->trouble, "%s", trouble);
}

static void tell_observers(struct exec *exec)
{
        exec->unchanged = 0;
        exec->watched = resource_changed(exec->resource);
}

/* Once in a while all the same: nothing else would find out that it runs for nobody any more. */
static bool is_due_to_tell(struct exec *exec)
{
        return exec->watched && exec->conf->on_demand && ++exec->unchanged == MAX_UNCHANGED;
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
        if (again && exec->told)
                log_notice("resource %s: its program runs well again", resource_path(exec->resource));
        exec->failing = false;
        exec->good_ns = clock_now_ns();
        old = TAKE(exec->content);
        exec->content = TAKE(fresh);
        if (old && old->content_format != format)
                resource_changed_format(exec->resource);
        else if (!old || again || !etag_equal(&old->etag, &exec->content->etag) || is_due_to_tell(exec))
                tell_observers(exec);
}

static void on_read(void *user, const struct run_result *result)
{
        struct exec *exec = user;
        char trouble[sizeof exec->trouble] = "";

        exec->run = NULL;
        exec->outdated = false;
        describe_failure(result, trouble, sizeof trouble);
        if (result->outcome == RUN_GOOD)
                take_content(exec, result->output);
        else
                note_failure(exec, trouble);
        answer_readers(exec);
        exec_read_when_due(exec);
        next_run(exec);
}

static void read_now(struct exec *exec)
{
        int r;

        exec->due = false;
        exec->began_ns = clock_now_ns();
        r = start(exec, &exec->conf->command, METHOD_GET, NULL, (struct span){ 0 }, on_read);
        if (r == 0)
                return;
        exec->outdated = false;
        note_failure(exec, strerror(-r));
        answer_readers(exec);
        exec_read_when_due(exec);
}

/* --- writing --- */

/* The programs' own words for what was wrong: sysexits.h. */
static uint8_t code_of_status(int status)
{
        switch (status) {
        case EX_DATAERR:
                return CODE_BAD_REQUEST;
        case EX_NOPERM:
                return CODE_FORBIDDEN;
        case EX_TEMPFAIL:
                return CODE_UNAVAILABLE;
        default:
                return CODE_INTERNAL_ERROR;
        }
}

/* The output of a POST is the client's; no state of the resource, so that it has no ETag. */
static void give_output(const struct exec *exec, struct span output, struct response *response)
{
        const struct etag none = { 0 };

        response->content = representation_new_tagged(
                output, content_format_by_name(span_of_string(exec->conf->content_format)), &none);
        response->with_content = true;
}

static void on_written(void *user, const struct run_result *result)
{
        struct exec *exec = user;
        struct exec_visitor *visitor = TAKE(exec->writing);
        struct response response = { .max_age = -1, .code = CODE_CHANGED };
        char trouble[sizeof exec->trouble] = "";

        exec->run = NULL;
        describe_failure(result, trouble, sizeof trouble);
        if (result->outcome == RUN_GOOD && visitor->method == METHOD_POST && result->output.n)
                give_output(exec, result->output, &response);
        if (result->outcome != RUN_GOOD) {
                response_error(&response,
                               result->outcome == RUN_FAILED ? code_of_status(result->status)
                                                             : CODE_INTERNAL_ERROR,
                               "its program failed: %s", trouble);
                tell_failure(exec, exec->conf->write_command.v[0], trouble);
        }
        answer(visitor, &response);
        exec->due = true;
        exec->outdated = true;
        next_run(exec);
}

static void write_now(struct exec *exec, struct exec_visitor *visitor)
{
        struct response response = { .max_age = -1 };
        char number[16];
        const char *format = NULL;
        int r;

        if (visitor->content_format >= 0) {
                format = content_format_name((unsigned)visitor->content_format);
                snprintf(number, sizeof number, "%d", visitor->content_format);
        }
        if (visitor->content_format >= 0 && !format)
                format = number;
        exec->writing = visitor;
        r = start(exec, &exec->conf->write_command, visitor->method, format, buf_span(&visitor->body),
                  on_written);
        if (r == 0)
                return;
        exec->writing = NULL;
        tell_failure(exec, exec->conf->write_command.v[0], strerror(-r));
        response_error(&response, CODE_INTERNAL_ERROR, "its program failed: %s", strerror(-r));
        answer(visitor, &response);
}

/* --- in turn --- */

static void next_run(struct exec *exec)
{
        while (!exec->run && exec->writers) {
                struct exec_visitor *visitor = pop(&exec->writers);

                if (!visitor->pending) /* gone before its turn came */
                        visitor_free(visitor);
                else if (exec->conf->write_command.n == 0) /* since a reload */
                        refuse(visitor);
                else
                        write_now(exec, visitor);
        }
        if (exec->run)
                return;
        if (exec->conf->command.n == 0)
                answer_readers(exec);
        else if (exec->due)
                read_now(exec);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
        struct exec *exec = user;

        (void)source;
        (void)usec;
        exec->due = true;
        next_run(exec);
        return 0;
}

static void arm(struct exec *exec, uint64_t at_us)
{
        int r;

        if (!exec->timer) {
                r = sd_event_add_time(resource_event(exec->resource), &exec->timer, CLOCK_MONOTONIC, at_us, 0,
                                      on_timer, exec);
        } else {
                r = sd_event_source_set_time(exec->timer, at_us);
                if (r >= 0)
                        r = sd_event_source_set_enabled(exec->timer, SD_EVENT_ONESHOT);
        }
        if (r < 0)
                log_error("resource %s: its program does not run any more: %s", resource_path(exec->resource),
                          strerror(-r));
}

void exec_read_soon(struct exec *exec)
{
        arm(exec, 0);
}

void exec_read_when_due(struct exec *exec)
{
        if (exec->conf->on_demand && !exec->watched)
                sd_event_source_set_enabled(exec->timer, SD_EVENT_OFF);
        else
                arm(exec, exec->began_ns / 1000 + (uint64_t)MAX(exec->conf->interval, 1) * US_PER_S);
}

void exec_visit(struct exec *exec, struct exec_visitor *visitor)
{
        bool reads = visitor->method == METHOD_GET;

        append(reads ? &exec->readers : &exec->writers, visitor);
        exec->due = exec->due || (reads && (!exec->run || exec->writing));
        next_run(exec);
}

void exec_abort(struct exec *exec)
{
        run_stop(TAKE(exec->run));
        if (exec->writing)
                refuse(TAKE(exec->writing));
}

void exec_deinit(struct exec *exec)
{
        struct exec_visitor *visitor;

        exec_abort(exec);
        while ((visitor = pop(&exec->readers)) || (visitor = pop(&exec->writers)))
                refuse(visitor);
        sd_event_source_disable_unref(exec->timer);
        representation_unref(exec->content);
        free(exec->path_variable);
}
