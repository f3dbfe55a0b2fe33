/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `exec`: an operator's own program as the source of a resource. What it wrote to its standard output is the
 * representation; when it runs is in exec_schedule.c. Here the kind and its answers.
 *
 * A run that fails tells nobody: an error would end the observations (RFC 7641, 4.2), and the next run may be a good
 * one. Who asks is told 5.03, and observers hear of it when the Max-Age of what they have is over.
 */
#include "resources/exec.h"

#include <errno.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/content_format.h"

enum { US_PER_S = 1000000, MS_PER_S = 1000, MAX_LINES = 20, LINES_INTERVAL_S = 60 };

/* --- its life --- */

static void exec_destroy(void *self)
{
        exec_deinit(self);
        free(self);
}

static int exec_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        struct exec *exec = calloc(1, sizeof *exec);

        if (!exec || asprintf(&exec->path_variable, "COAPD_PATH=%s", conf->path) < 0) {
                free(exec);
                return -ENOMEM;
        }
        exec->resource = resource;
        exec->conf = conf->fields;
        exec->gate = exec->failures = (struct log_gate){ .burst = MAX_LINES, .interval_s = LINES_INTERVAL_S };
        /* From the loop: everything else is ready then. */
        exec_read_soon(exec);
        *ret_self = exec;
        return 0;
}

/* What was read stays until the new program has written something, so that observers stay, too. */
static void exec_reconfigure(void *self, const struct conf_resource *conf)
{
        struct exec *exec = self;
        bool same = exec_runs_the_same(exec->conf, conf->fields);

        if (!same)
                exec_abort(exec);
        exec->conf = conf->fields;
        if (!same)
                exec_read_soon(exec);
        else if (!exec->run)
                exec_read_when_due(exec);
}

/* --- answers --- */

static uint64_t age_ns(uint64_t since_ns)
{
        return clock_now_ns() - since_ns;
}

static uint64_t ns_of_seconds(long long seconds)
{
        return MSEC((uint64_t)seconds * MS_PER_S);
}

static bool exec_ready(void *self)
{
        const struct exec *exec = self;

        return exec->content != NULL;
}

/* Seconds until there may be something new. */
static int64_t until_next(const struct exec *exec)
{
        return MAX(exec->conf->interval - (int64_t)(age_ns(exec->began_ns) / ns_of_seconds(1)), 1);
}

static bool is_kept(const struct exec *exec)
{
        return exec->content && (!exec->failing || age_ns(exec->good_ns) <= ns_of_seconds(exec->conf->keep));
}

void exec_answer(const struct exec *exec, bool observe, struct response *response)
{
        if (exec->conf->command.n == 0) {
                response_error(response, CODE_METHOD_NOT_ALLOWED, "it can only be written");
                return;
        }
        /* An observer is never told of a failure; what it gets is stale, and says so. */
        if (is_kept(exec) || (exec->content && observe)) {
                response->code = CODE_CONTENT;
                response->content = representation_ref(exec->content);
                if (exec->failing)
                        response->max_age = 0;
                return;
        }
        if (exec->failing)
                response_error(response, CODE_UNAVAILABLE, "it cannot be read now: %s", exec->trouble);
        else
                response_error(response, CODE_UNAVAILABLE, "it has not been read yet");
        response->max_age = exec->failing && !exec->conf->on_demand ? until_next(exec) : 1;
}

static void visit_ended(void *user)
{
        struct exec_visitor *visitor = user;

        visitor->pending = NULL;
}

/* Returns whether it waits; else the response says why not. */
static bool wait_for_run(struct exec *exec, const struct request *request, struct response *response)
{
        enum { GRACE_S = 3 };
        struct exec_visitor *visitor = calloc(1, sizeof *visitor);
        /* That which goes on, one to read, those who wait to write, and its own. */
        uint64_t runs = 3 + exec_count_writers(exec);
        const struct wait wait = {
                .most_us = runs * (uint64_t)(exec->conf->timeout + GRACE_S) * US_PER_S,
                .ended = visit_ended,
                .user = visitor,
        };

        if (!visitor) {
                response_error(response, CODE_UNAVAILABLE, "out of memory");
                return false;
        }
        visitor->method = request->method;
        visitor->content_format = request->content_format;
        buf_append_span(&visitor->body, request->body);
        if (buf_ok(&visitor->body))
                visitor->pending = resource_answer_later(exec->resource, request, response, &wait);
        if (!visitor->pending) {
                buf_deinit(&visitor->body);
                free(visitor);
                return false;
        }
        exec_visit(exec, visitor);
        return true;
}

static bool wants_run(const struct exec *exec)
{
        if (exec->conf->command.n == 0)
                return false;
        if (exec->outdated)
                return true;
        if (exec->conf->on_demand)
                return !exec->content || exec->failing ||
                       age_ns(exec->good_ns) > ns_of_seconds(exec->conf->interval);
        return !exec->content && !exec->failing;
}

static void exec_get(void *self, const struct request *request, struct response *response)
{
        struct exec *exec = self;

        if (!wants_run(exec) || !wait_for_run(exec, request, response))
                exec_answer(exec, request->observe, response);
}

/* Its output may be what the client gets; afterwards it would be too late to say that it does not want that. */
static bool is_acceptable(const struct exec *exec, const struct request *request, struct response *response)
{
        int format = content_format_by_name(span_of_string(exec->conf->content_format));

        if (request->method != METHOD_POST || request->accept < 0 || request->accept == format)
                return true;
        response_error(response, CODE_NOT_ACCEPTABLE, "only content format %d is here", format);
        return false;
}

static void exec_write(void *self, const struct request *request, struct response *response)
{
        struct exec *exec = self;

        if (exec->conf->write_command.n == 0) {
                response_error(response, CODE_METHOD_NOT_ALLOWED, "it can only be read");
        } else if (exec_count_writers(exec) >= EXEC_MAX_WRITES) {
                response_error(response, CODE_UNAVAILABLE, "too many wait for their turn");
                response->max_age = 1;
        } else if (is_acceptable(exec, request, response)) {
                wait_for_run(exec, request, response);
        }
}

static void exec_observed(void *self)
{
        struct exec *exec = self;

        exec->watched = true;
        if (exec->conf->on_demand && !exec->run)
                exec_read_when_due(exec);
}

static size_t exec_formats(void *self, int formats[], size_t max)
{
        const struct exec *exec = self;

        (void)max;
        formats[0] = content_format_by_name(span_of_string(exec->conf->content_format));
        return exec->conf->command.n > 0;
}

static size_t exec_max_body(void *self)
{
        const struct exec *exec = self;

        return (size_t)exec->conf->max_size;
}

const struct kind kind_exec = {
        .name = "exec",
        .doc = "What a program of this machine writes to its standard output, such as a script that reads a sensor. "
               "It runs at the start and then at every interval, as coapd's user and within the limits that systemd "
               "sets for coapd. Observers are told when its output is another one. When it fails, with an exit status "
               "other than 0, a signal, a timeout or too much output, a GET is answered 5.03 until it runs well "
               "again, and observers hear nothing meanwhile. What it writes to its standard error is logged. "
               "Another program may take what clients write. "
               "A reload that changes how they run ends the run that goes on and begins another one.",
        .rows = exec_rows,
        .n_rows = EXEC_ROWS,
        .conf_size = sizeof(struct exec_conf),
        .flags = KIND_FLEETING,
        .check = exec_check,
        .create = exec_create,
        .reconfigure = exec_reconfigure,
        .destroy = exec_destroy,
        .handle = {
                [METHOD_GET] = exec_get,
                [METHOD_PUT] = exec_write,
                [METHOD_POST] = exec_write,
        },
        .ready = exec_ready,
        .observed = exec_observed,
        .formats = exec_formats,
        .max_body = exec_max_body,
};
