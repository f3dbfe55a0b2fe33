/* SPDX-License-Identifier: BSD-2-Clause */
/* What reaches the service manager. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "systemd/notify.h"

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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(tells_the_states, set_up, tear_down),
                cmocka_unit_test_setup_teardown(keeps_a_status_to_one_line, set_up, tear_down),
                cmocka_unit_test_setup_teardown(feeds_the_watchdog_only_where_there_is_one, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
