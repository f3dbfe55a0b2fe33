/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of programs; see exec_run.h. */
#include "resources/exec_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/buf.h"

enum { GRACE_US = 2000000, MAX_LINE = 400, PIECE = 16384 };

struct run {
        const char *name;
        struct log_gate *gate;
        pid_t pid; /* and of its session and process group */
        int out, err;
        sd_event_source *on_out, *on_err, *on_end, *on_time;
        size_t max_size;
        enum run_outcome outcome; /* why it is being ended; RUN_GOOD: it is not */
        struct buf output;
        struct buf line; /* of standard error, up to now */
        void (*done)(void *user, const struct run_result *result);
        void *user;
};

static void run_free(struct run *run)
{
        sd_event_source_disable_unref(run->on_out);
        sd_event_source_disable_unref(run->on_err);
        sd_event_source_disable_unref(run->on_time);
        /* It owns the process: where that has not ended, it is killed and waited for. */
        sd_event_source_disable_unref(run->on_end);
        closep(&run->out);
        closep(&run->err);
        buf_deinit(&run->output);
        buf_deinit(&run->line);
        free(run);
}

static void run_freep(struct run **run)
{
        if (*run)
                run_free(*run);
}

/* --- its end --- */

static void kill_group(const struct run *run, int number)
{
        /* The leader is not reaped yet, so that its number is no other group's. */
        kill(-run->pid, number);
}

static int on_grace_over(sd_event_source *source, uint64_t usec, void *user)
{
        const struct run *run = user;

        (void)source;
        (void)usec;
        kill_group(run, SIGKILL);
        return 0;
}

/* Politely first; what it says from now on does not count. */
static void run_end(struct run *run, enum run_outcome why)
{
        sd_event *event = sd_event_source_get_event(run->on_end);

        if (run->outcome != RUN_GOOD)
                return;
        run->outcome = why;
        sd_event_source_disable_unref(TAKE(run->on_out));
        sd_event_source_disable_unref(TAKE(run->on_time));
        kill_group(run, SIGTERM);
        if (sd_event_add_time_relative(event, &run->on_time, CLOCK_MONOTONIC, GRACE_US, 0, on_grace_over,
                                       run) < 0)
                kill_group(run, SIGKILL);
}

static int on_timeout(sd_event_source *source, uint64_t usec, void *user)
{
        (void)source;
        (void)usec;
        run_end(user, RUN_TIMED_OUT);
        return 0;
}

/* --- what it writes --- */

static void log_line(struct run *run)
{
        char shown[2 * MAX_LINE];
        unsigned left_out;

        if (run->line.n == 0)
                return;
        if (log_gate_pass(run->gate, &left_out)) {
                if (left_out > 0)
                        log_notice("resource %s: %u lines of its program are left out here", run->name,
                                   left_out);
                log_message(LOG_NOTICE, &(struct log_fields){ .resource = run->name },
                            "resource %s: its program: %s", run->name,
                            log_escape(buf_span(&run->line), shown, sizeof shown));
        }
        buf_reset(&run->line);
}

static void take_errors(struct run *run, struct span text)
{
        for (size_t i = 0; i < text.n; i++) {
                if (text.p[i] == '\n' || run->line.n == MAX_LINE)
                        log_line(run);
                if (text.p[i] != '\n')
                        buf_append_byte(&run->line, text.p[i]);
        }
}

static void take_output(struct run *run, struct span text)
{
        if (run->outcome != RUN_GOOD)
                return;
        if (text.n > run->max_size - run->output.n) {
                run_end(run, RUN_TOO_LARGE);
                return;
        }
        buf_append_span(&run->output, text);
}

/* One piece. Returns whether there may be more at once. */
static bool read_piece(struct run *run, int fd, sd_event_source **source,
                       void (*take)(struct run *, struct span))
{
        uint8_t piece[PIECE];
        ssize_t n = read(fd, piece, sizeof piece);

        if (n > 0) {
                take(run, span_of(piece, (size_t)n));
                return true;
        }
        /* Closed: else the loop would find it ready for ever. */
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
                sd_event_source_disable_unref(TAKE(*source));
        return n < 0 && errno == EINTR;
}

static int on_output(sd_event_source *source, int fd, uint32_t events, void *user)
{
        struct run *run = user;

        (void)source;
        (void)events;
        read_piece(run, fd, &run->on_out, take_output);
        return 0;
}

static int on_errors(sd_event_source *source, int fd, uint32_t events, void *user)
{
        struct run *run = user;

        (void)source;
        (void)events;
        read_piece(run, fd, &run->on_err, take_errors);
        return 0;
}

/* What waits in the pipes; a writer that escaped from the group cannot keep us here. */
static void drain(struct run *run)
{
        for (size_t left = run->max_size + PIECE; run->on_out && left >= PIECE; left -= PIECE)
                if (!read_piece(run, run->out, &run->on_out, take_output))
                        break;
        for (int left = 8; run->on_err && left > 0; left--)
                if (!read_piece(run, run->err, &run->on_err, take_errors))
                        break;
        log_line(run);
}

static int on_end(sd_event_source *source, const siginfo_t *info, void *user)
{
        CLEANUP(run_freep) struct run *run = user;
        struct run_result result = { .status = info->si_status };

        (void)source;
        kill_group(run, SIGKILL);
        drain(run);
        result.outcome = run->outcome;
        if (result.outcome == RUN_GOOD && info->si_code != CLD_EXITED)
                result.outcome = RUN_KILLED;
        if (result.outcome == RUN_GOOD && info->si_status != 0)
                result.outcome = RUN_FAILED;
        if (result.outcome == RUN_GOOD && !buf_ok(&run->output))
                result.outcome = RUN_TOO_LARGE;
        result.output = buf_span(&run->output);
        run->done(run->user, &result);
        return 0;
}

/* --- its beginning --- */

/* The child's end blocks, as programs expect; ours does not. */
static int open_pipe(int *ret_ours, int *ret_childs)
{
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        *ret_ours = ends[0];
        *ret_childs = ends[1];
        return fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

/* A body goes through memory that is a file: nobody has to write as the program reads. */
static int open_input(struct span input, int *ret_fd)
{
        CLEANUP(closep)
        int fd = input.n ? memfd_create("coapd-input", MFD_CLOEXEC) : open("/dev/null", O_RDONLY | O_CLOEXEC);

        ssize_t written = 0;

        if (fd >= 0 && input.n)
                written = pwrite(fd, input.p, input.n, 0);
        if (fd < 0 || written < 0)
                return -errno;
        if ((size_t)written != input.n)
                return -EIO;
        *ret_fd = fd;
        fd = -1;
        return 0;
}

static int fill_actions(posix_spawn_file_actions_t *actions, const char *directory, const int fds[3])
{
        int r = 0;

        for (int fd = 0; r == 0 && fd < 3; fd++)
                r = posix_spawn_file_actions_adddup2(actions, fds[fd], fd);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(actions, 3);
        if (r == 0)
                r = posix_spawn_file_actions_addchdir_np(actions, directory);
        return -r;
}

static int fill_attributes(posix_spawnattr_t *attributes)
{
        sigset_t all, none;
        int r = posix_spawnattr_setflags(attributes,
                                         POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);

        sigfillset(&all);
        sigemptyset(&none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attributes, &all);
        if (r == 0)
                r = posix_spawnattr_setsigmask(attributes, &none);
        return -r;
}

static int spawn(const struct run_spec *spec, const int fds[3], pid_t *ret_pid)
{
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int r = -posix_spawn_file_actions_init(&actions);

        if (r < 0)
                return r;
        r = -posix_spawnattr_init(&attributes);
        if (r < 0) {
                posix_spawn_file_actions_destroy(&actions);
                return r;
        }
        r = fill_actions(&actions, spec->directory, fds);
        if (r == 0)
                r = fill_attributes(&attributes);
        if (r == 0)
                r = -posix_spawn(ret_pid, spec->command[0], &actions, &attributes, spec->command,
                                 spec->environment);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

static int watch(struct run *run, sd_event *event, uint64_t timeout_us)
{
        int r = sd_event_add_child(event, &run->on_end, run->pid, WEXITED, on_end, run);

        if (r >= 0)
                r = sd_event_source_set_child_process_own(run->on_end, true);
        if (r >= 0)
                r = sd_event_add_io(event, &run->on_out, run->out, EPOLLIN, on_output, run);
        if (r >= 0)
                r = sd_event_add_io(event, &run->on_err, run->err, EPOLLIN, on_errors, run);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &run->on_time, CLOCK_MONOTONIC, timeout_us, 0,
                                               on_timeout, run);
        return MIN(r, 0);
}

/* A child that nobody watches yet. */
static void kill_child(pid_t pid)
{
        kill(-pid, SIGKILL);
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
                ;
}

static void block_sigchld(void)
{
        sigset_t chld;

        /* sd_event_add_child(3) asks for it, though it goes by pidfd. */
        sigemptyset(&chld);
        sigaddset(&chld, SIGCHLD);
        sigprocmask(SIG_BLOCK, &chld, NULL);
}

int run_start(sd_event *event, const struct run_spec *spec,
              void (*done)(void *user, const struct run_result *result), void *user, struct run **ret_run)
{
        CLEANUP(run_freep) struct run *run = calloc(1, sizeof *run);
        CLEANUP(closep) int in = -1;
        CLEANUP(closep) int out = -1;
        CLEANUP(closep) int err = -1;
        int r;

        if (!run)
                return -ENOMEM;
        *run = (struct run){
                .name = spec->name,
                .gate = spec->gate,
                .out = -1,
                .err = -1,
                .max_size = spec->max_size,
                .done = done,
                .user = user,
        };
        block_sigchld();
        r = open_input(spec->input, &in);
        if (r == 0)
                r = open_pipe(&run->out, &out);
        if (r == 0)
                r = open_pipe(&run->err, &err);
        if (r == 0)
                r = spawn(spec, (int[3]){ in, out, err }, &run->pid);
        if (r < 0)
                return r;
        r = watch(run, event, spec->timeout_us);
        if (r < 0) {
                if (!run->on_end)
                        kill_child(run->pid);
                else
                        kill_group(run, SIGKILL);
                return r;
        }
        *ret_run = TAKE(run);
        return 0;
}

void run_stop(struct run *run)
{
        if (!run)
                return;
        kill_group(run, SIGKILL);
        run_free(run);
}
