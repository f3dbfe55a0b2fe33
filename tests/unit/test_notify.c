/* SPDX-License-Identifier: BSD-2-Clause */
/* What reaches the service manager. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "systemd/fdstore.h"
#include "systemd/notify.h"
#include "systemd/status_line.h"

static int manager = -1;

static int set_up(void **state)
{
        struct sockaddr_un a = { .sun_family = AF_UNIX };

        (void)state;
        /* An abstract name of the kernel's choice. */
        manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(manager, (struct sockaddr *)&a, sizeof a.sun_family), 0);
        getsockname(manager, (struct sockaddr *)&a, &(socklen_t){ sizeof a });
        a.sun_path[0] = '@';
        return setenv("NOTIFY_SOCKET", a.sun_path, 1);
}

static int tear_down(void **state)
{
        (void)state;
        close(manager);
        unsetenv("WATCHDOG_USEC");
        return unsetenv("NOTIFY_SOCKET");
}

static const char *heard(void)
{
        static char text[512];
        ssize_t n = recv(manager, text, sizeof text - 1, 0);

        text[n > 0 ? n : 0] = '\0';
        return text;
}

static void tells_the_states(void **state)
{
        unsigned long long usec;

        (void)state;
        notify_ready();
        assert_string_equal(heard(), "READY=1");
        notify_reloading();
        assert_int_equal(sscanf(heard(), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1);
        assert_true(usec > 0);
        notify_stopping();
        assert_string_equal(heard(), "STOPPING=1");
        notify_status("%d endpoints", 3);
        assert_string_equal(heard(), "STATUS=3 endpoints");
        notify_extend_timeout(5000000);
        assert_string_equal(heard(), "EXTEND_TIMEOUT_USEC=5000000");
}

static void keeps_a_status_to_one_line(void **state)
{
        (void)state;
        notify_status("%s", "a\nREADY=1");
        assert_string_equal(heard(), "STATUS=a READY=1");
}

static void feeds_the_watchdog_only_where_there_is_one(void **state)
{
        sd_event *event;
        unsigned n = 0;

        (void)state;
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(notify_watchdog(event), 0);
        setenv("WATCHDOG_USEC", "20000", 1);
        assert_int_equal(notify_watchdog(event), 1);
        for (int i = 0; i < 10 && n < 2; i++) {
                sd_event_run(event, 50000);
                n += strcmp(heard(), "WATCHDOG=1") == 0;
        }
        assert_int_equal(n, 2);
        sd_event_unref(event);
}

static void tells_a_status_when_it_changes_and_not_else(void **state)
{
        struct status_numbers numbers = { .endpoints = 2, .configured = 1 };
        struct status_line *line;
        sd_event *event;

        (void)state;
        unsetenv("WATCHDOG_USEC");
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(status_line_new(event, &line), 0);
        status_line_tell(line, &numbers);
        assert_non_null(
                strstr(heard(), "2 endpoints to 0 sessions: 0 observers, 1 configured and 0 dynamic"));
        /* Nothing has changed: no timer runs. */
        status_line_touch(line, &numbers);
        assert_int_equal(sd_event_run(event, 0), 0);
        /* Many changes are told once, and the last of them is. */
        for (numbers.sessions = 1; numbers.sessions < 100; numbers.sessions++)
                status_line_touch(line, &numbers);
        numbers.store_refuses = true;
        status_line_touch(line, &numbers);
        assert_string_equal(heard(), "");
        assert_true(sd_event_run(event, 10000000) > 0);
        assert_non_null(strstr(heard(), "100 sessions"));
        assert_string_equal(heard(), "");
        assert_int_equal(sd_event_run(event, 0), 0);
        status_line_free(line);
        sd_event_unref(event);
}

/* Messages until the manager's socket has no room; returns how many. */
static unsigned fill(void)
{
        unsigned n = 0;

        while (notify_status("full") == 0)
                n++;
        return n;
}

/* Whoever waits for it is ended by the alarm. */
static void does_not_wait_for_a_manager_that_does_not_read(void **state)
{
        struct status_numbers numbers = { .endpoints = 2 };
        struct status_line *line;
        sd_event *event;
        unsigned full;

        (void)state;
        alarm(60);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(status_line_new(event, &line), 0);
        full = fill();
        assert_true(full > 0);
        assert_int_equal(notify_status("x"), -EAGAIN);
        notify_reloading();
        notify_stopping();
        notify_extend_timeout(1);
        setenv("WATCHDOG_USEC", "20000", 1);
        assert_int_equal(notify_watchdog(event), 1);
        assert_int_equal(sd_event_run(event, 10000000), 1);
        unsetenv("WATCHDOG_USEC");
        status_line_tell(line, &numbers);
        for (unsigned i = 0; i < full; i++)
                assert_string_equal(heard(), "STATUS=full");
        assert_string_equal(heard(), "");
        /* Now it reads: the status comes without another change. */
        while (!strstr(heard(), "2 endpoints"))
                assert_true(sd_event_run(event, 10000000) > 0);
        alarm(0);
        status_line_free(line);
        sd_event_unref(event);
}

/* The descriptor that came along with the last message, or -1. */
static const char *heard_fd(int *ret_fd)
{
        static char text[512];
        _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
        struct iovec piece = { text, sizeof text - 1 };
        struct msghdr m = {
                .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control
        };
        ssize_t n = recvmsg(manager, &m, MSG_DONTWAIT);

        text[n > 0 ? n : 0] = '\0';
        *ret_fd = -1;
        if (n > 0 && CMSG_FIRSTHDR(&m))
                memcpy(ret_fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof *ret_fd);
        return text;
}

static ino_t inode_of(int fd)
{
        struct stat st;

        assert_int_equal(fstat(fd, &st), 0);
        return st.st_ino;
}

static void keeps_descriptors(void **state)
{
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), copy;

        (void)state;
        fdstore_keep(fd, "one", NULL);
        assert_string_equal(heard_fd(&copy), "FDSTORE=1\nFDPOLL=0\nFDNAME=one");
        assert_int_equal(inode_of(fd), inode_of(copy));
        close(copy);
        fdstore_keep(fd, "two", "one");
        assert_string_equal(heard(), "FDSTOREREMOVE=1\nFDNAME=one");
        assert_string_equal(heard_fd(&copy), "FDSTORE=1\nFDPOLL=0\nFDNAME=two");
        close(copy);
        close(fd);
}

/* The manager, in a process of its own: it ends the wait by closing what came with BARRIER=1. */
static pid_t start_manager(void)
{
        pid_t pid = fork();
        int copy;

        if (pid != 0)
                return pid;
        for (int n = 0; n < 3; n++) {
                struct pollfd ready = { .fd = manager, .events = POLLIN };
                static const char *const expected[] = { "FDSTOREREMOVE=1\nFDNAME=a",
                                                        "FDSTOREREMOVE=1\nFDNAME=c", "BARRIER=1" };

                poll(&ready, 1, 5000);
                if (strcmp(heard_fd(&copy), expected[n]) != 0)
                        _exit(1);
        }
        _exit(0); /* closes it */
}

static void drops_what_nobody_took(void **state)
{
        struct named_fd *fds = calloc(3, sizeof *fds);
        pid_t pid = start_manager();
        int status;

        (void)state;
        fds[0] = (struct named_fd){ open("/dev/null", O_RDONLY | O_CLOEXEC), strdup("a") };
        fds[1] = (struct named_fd){ -1, strdup("b") };
        fds[2] = (struct named_fd){ open("/dev/null", O_RDONLY | O_CLOEXEC), strdup("c") };
        fdstore_drop(fds, 3);
        assert_int_equal(fds[0].fd, -1);
        assert_int_equal(fds[2].fd, -1);
        fdstore_drop(fds, 3); /* nothing left to say */
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_string_equal(heard(), "");
        fdstore_free(fds, 3);
}

static int take_in_child(void)
{
        struct named_fd *fds;
        size_t n;
        char pid[16];

        snprintf(pid, sizeof pid, "%d", getpid());
        dup2(manager, 3);
        dup2(manager, 4);
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "2", 1);
        setenv("LISTEN_FDNAMES", "first:second", 1);
        if (fdstore_take(&fds, &n) < 0 || n != 2)
                return 1;
        if (fds[0].fd != 3 || strcmp(fds[0].name, "first") != 0 || strcmp(fds[1].name, "second") != 0)
                return 2;
        if (fcntl(3, F_GETFD) != FD_CLOEXEC || getenv("LISTEN_FDS"))
                return 3;
        fdstore_free(fds, n);
        return fdstore_take(&fds, &n) == 0 && n == 0 ? 0 : 4;
}

static void takes_what_the_manager_hands_over(void **state)
{
        pid_t pid = fork();
        int status;

        (void)state;
        if (pid == 0)
                _exit(take_in_child());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(tells_the_states, set_up, tear_down),
                cmocka_unit_test_setup_teardown(keeps_a_status_to_one_line, set_up, tear_down),
                cmocka_unit_test_setup_teardown(feeds_the_watchdog_only_where_there_is_one, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(tells_a_status_when_it_changes_and_not_else, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(does_not_wait_for_a_manager_that_does_not_read, set_up,
                                                tear_down),
                cmocka_unit_test_setup_teardown(keeps_descriptors, set_up, tear_down),
                cmocka_unit_test_setup_teardown(drops_what_nobody_took, set_up, tear_down),
                cmocka_unit_test_setup_teardown(takes_what_the_manager_hands_over, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
