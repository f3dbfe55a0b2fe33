/* SPDX-License-Identifier: BSD-2-Clause */
/* The keys of the kind `exec`; see exec.h. */
#include "resources/exec.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/content_format.h"

static const char *check_variable(const char *value)
{
        const char *equals = strchr(value, '=');

        return equals && equals != value ? NULL : "a variable such as \"UNIT=celsius\"";
}

static const char *check_directory(const char *value)
{
        struct stat status;

        return stat(value, &status) == 0 && S_ISDIR(status.st_mode) ? NULL : "a folder that is there";
}

const struct conf_row exec_rows[EXEC_ROWS] = {
        {
                .key = "command",
                .type = CONF_STRINGS,
                .offset = offsetof(struct exec_conf, command),
                .flags = CONF_RELOAD | CONF_EMPTY_OK,
                .doc = "The program, by its absolute path, and its arguments, each a string of its own. "
                       "There is no "
                       "shell: nothing is expanded or split.",
                .example = "( \"/usr/local/lib/coapd/temperature\", \"--unit\", \"celsius\" )",
        },
        {
                .key = "write_command",
                .type = CONF_STRINGS,
                .offset = offsetof(struct exec_conf, write_command),
                .flags = CONF_RELOAD | CONF_EMPTY_OK,
                .doc = "The program that a PUT or POST runs, as in command: it finds the request's body, of "
                       "at most "
                       "max_size bytes, on its standard input, and its method and content format in "
                       "COAPD_METHOD and "
                       "COAPD_CONTENT_FORMAT. With exit status 0 the answer is 2.04, to a POST with its "
                       "output; else "
                       "it is 5.00, or of the statuses of sysexits.h 4.00 for 65, 4.03 for 77 and 5.03 for "
                       "75. Then "
                       "command runs at once, so that observers hear of it. Requests take their turn. Let "
                       "rules of "
                       "access say who may. Without this key nobody writes, without command nobody reads.",
                .example = "( \"/usr/local/lib/coapd/relay\", \"1\" )",
        },
        {
                .key = "interval",
                .type = CONF_INT,
                .offset = offsetof(struct exec_conf, interval),
                .fallback = "60",
                .min = 0,
                .max = 31536000,
                .unit = "seconds",
                .flags = CONF_RELOAD,
                .doc = "How often it runs, counted from beginning to beginning. While one run goes on the "
                       "next waits. With on_demand it may be 0: then every GET runs it.",
        },
        {
                .key = "on_demand",
                .type = CONF_BOOL,
                .offset = offsetof(struct exec_conf, on_demand),
                .fallback = "false",
                .flags = CONF_RELOAD,
                .doc = "Runs it at the start, and from then on only while somebody observes the resource, or "
                       "when a GET finds that its output is older than interval. Such a GET is answered when "
                       "the run has ended.",
        },
        {
                .key = "timeout",
                .type = CONF_INT,
                .offset = offsetof(struct exec_conf, timeout),
                .fallback = "10",
                .min = 1,
                .max = 86400,
                .unit = "seconds",
                .flags = CONF_RELOAD,
                .doc = "How long a run may take. Then it and all that it started is sent SIGTERM, and "
                       "SIGKILL two "
                       "seconds later.",
        },
        {
                .key = "content_format",
                .type = CONF_STRING,
                .offset = offsetof(struct exec_conf, content_format),
                .fallback = "\"text/plain\"",
                .flags = CONF_RELOAD,
                .check = content_format_check,
                .doc = "What it writes, by the name or the number that IANA registered.",
        },
        {
                .key = "max_size",
                .type = CONF_INT,
                .offset = offsetof(struct exec_conf, max_size),
                .fallback = "65536",
                .min = 1,
                .max = 16777216,
                .unit = "bytes",
                .flags = CONF_RELOAD,
                .doc = "How much it may write. A run that writes more is ended and has failed.",
        },
        {
                .key = "keep",
                .type = CONF_INT,
                .offset = offsetof(struct exec_conf, keep),
                .fallback = "0",
                .min = 0,
                .max = 31536000,
                .unit = "seconds",
                .flags = CONF_RELOAD,
                .doc = "How old the output of a good run may be and still be returned when later ones fail.",
        },
        {
                .key = "directory",
                .type = CONF_STRING,
                .offset = offsetof(struct exec_conf, directory),
                .fallback = "\"/\"",
                .flags = CONF_RELOAD | CONF_PATH,
                .check = check_directory,
                .doc = "The folder in which it runs.",
        },
        {
                .key = "environment",
                .type = CONF_STRINGS,
                .offset = offsetof(struct exec_conf, environment),
                .flags = CONF_RELOAD,
                .check = check_variable,
                .doc = "Variables of its environment, which else holds nothing but PATH, LANG and "
                       "COAPD_PATH, the "
                       "path of the resource.",
                .example = "( \"UNIT=celsius\", \"TZ=Europe/Oslo\" )",
        },
};

/* What is wrong with a program; NULL: nothing, or there is none. */
static const char *check_program(const struct conf_strings *command)
{
        const char *program = command->n ? command->v[0] : NULL;
        struct stat status;

        if (!program)
                return NULL;
        if (program[0] != '/')
                return "does not begin with an absolute path, expected one such as \"/usr/bin/uptime\"";
        if (stat(program, &status) < 0)
                return errno == ENOENT ? "names a program that does not exist, expected one that does"
                                       : "names a program that cannot be reached, expected one that can";
        if (!S_ISREG(status.st_mode))
                return "names something that is not a file, expected a program";
        return access(program, X_OK) < 0 ? "names a file that may not be executed by this user, expected a "
                                           "program that coapd can run"
                                         : NULL;
}

const char *exec_check(const void *fields, const void **ret_member)
{
        const struct exec_conf *own = fields;
        const char *wrong = check_program(&own->command);

        *ret_member = &own->command;
        if (own->command.n == 0 && own->write_command.n == 0) {
                *ret_member = own;
                return "has neither command nor write_command, expected one of them or both";
        }
        if (wrong)
                return wrong;
        *ret_member = &own->interval;
        if (own->interval == 0 && !own->on_demand)
                return "is 0, expected at least 1 without on_demand";
        *ret_member = &own->write_command;
        return check_program(&own->write_command);
}

static bool strings_equal(const struct conf_strings *a, const struct conf_strings *b)
{
        bool equal = a->n == b->n;

        for (size_t i = 0; equal && i < a->n; i++)
                equal = strcmp(a->v[i], b->v[i]) == 0;
        return equal;
}

bool exec_runs_the_same(const struct exec_conf *a, const struct exec_conf *b)
{
        return strings_equal(&a->command, &b->command) &&
               strings_equal(&a->write_command, &b->write_command) &&
               strings_equal(&a->environment, &b->environment) && strcmp(a->directory, b->directory) == 0 &&
               strcmp(a->content_format, b->content_format) == 0 && a->max_size == b->max_size &&
               a->timeout == b->timeout;
}
