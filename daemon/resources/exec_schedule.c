/* SPDX-License-Identifier: BSD-2-Clause */
/* When the programs of the kind `exec` run, and what comes of it; see exec.h. */
#include "resources/exec.h"

#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#include "base/clock.h"
#include "base/content_format.h"
#include "resources/exec_run.h"

enum { US_PER_S = 1000000, MAX_UNCHANGED = 16 };

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

static void next_run(struct exec *exec);

/* --- reading --- */

static void read_next(struct exec *exec)
{
        if (!exec->due)
                exec->writes_before = exec_count_writers(exec);
        exec->due = true;
}

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
        exec_describe_failure(result, trouble, sizeof trouble);
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
        r = exec_start(exec, &exec->conf->command, METHOD_GET, NULL, (struct span){ 0 }, on_read);
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
        exec_describe_failure(result, trouble, sizeof trouble);
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
        read_next(exec);
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
        r = exec_start(exec, &exec->conf->write_command, visitor->method, format, buf_span(&visitor->body),
                       on_written);
        if (r == 0)
                return;
        exec->writing = NULL;
        tell_failure(exec, exec->conf->write_command.v[0], strerror(-r));
        response_error(&response, CODE_INTERNAL_ERROR, "its program failed: %s", strerror(-r));
        answer(visitor, &response);
}

/* --- in turn --- */

/* Whether it is the first writer's turn. */
static bool writes_next(const struct exec *exec)
{
        return exec->writers && (!exec->due || exec->writes_before > 0 || exec->conf->command.n == 0);
}

static void next_run(struct exec *exec)
{
        while (!exec->run && writes_next(exec)) {
                struct exec_visitor *visitor = pop(&exec->writers);

                exec->writes_before -= exec->writes_before > 0;
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
        read_next(exec);
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
        if (reads && (!exec->run || exec->writing))
                read_next(exec);
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
