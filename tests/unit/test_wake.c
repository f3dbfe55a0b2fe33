/* SPDX-License-Identifier: BSD-2-Clause */
/* When a kind is woken, by a clock that somebody sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/syscall.h>
#include <systemd/sd-event.h>
#include <time.h>
#include <unistd.h>

#include "base/util.h"
#include "resources/internal.h"

#define MS(n) ((uint64_t)(n) * 1000)
#define HOUR MS(3600000)

static int64_t set_by_us; /* how far somebody has set the clock */
static unsigned asked;    /* how often it was read: it may run late by a little at each time */
static int64_t slow_us;

/* Stands in for libc's. The kernel's timers go by the kernel's clock. */
int clock_gettime(clockid_t clock, struct timespec *ret)
{
        int64_t us;

        if (syscall(SYS_clock_gettime, clock, ret) < 0)
                return -1;
        if (clock != CLOCK_REALTIME)
                return 0;
        asked++;
        us = (int64_t)ret->tv_sec * 1000000 + ret->tv_nsec / 1000 + set_by_us - asked * slow_us;
        ret->tv_sec = us / 1000000;
        ret->tv_nsec = us % 1000000 * 1000;
        return 0;
}

static uint64_t realtime(void)
{
        struct timespec now;

        clock_gettime(CLOCK_REALTIME, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t woken_at;

static void wake(void *self, uint64_t now_us)
{
        (void)self;
        woken_at = now_us;
}

static const struct kind kind = { .name = "test", .wake = wake };

/* The clock when it was woken; 0: not within two seconds. `then` sets the clock on, once the timer is there. */
static uint64_t wait_for(uint64_t in_us, int64_t then_us, uint64_t *ret_asked_for)
{
        CLEANUP(sd_event_unrefp) sd_event *event = NULL;
        struct registry registry = { 0 };
        struct resource resource = { .registry = &registry, .kind = &kind };
        uint64_t end;

        assert_true(sd_event_new(&event) >= 0);
        registry.host.event = event;
        woken_at = 0;
        *ret_asked_for = realtime() + in_us;
        assert_true(resource_wake_at(&resource, *ret_asked_for) >= 0);
        set_by_us += then_us;
        end = realtime() + MS(2000);
        while (!woken_at && realtime() < end)
                assert_true(sd_event_run(event, MS(100)) >= 0);
        sd_event_source_unref(resource.timer);
        return woken_at;
}

static void comes_in_time(void **state)
{
        uint64_t at, asked_for;

        (void)state;
        at = wait_for(MS(50), 0, &asked_for);
        assert_true(at >= asked_for);
        at = wait_for(0, 0, &asked_for);
        assert_true(at >= asked_for);
}

/* As a machine without a battery does when it first hears of the time, or one whose clock was wrong. */
static void comes_though_the_clock_is_set(void **state)
{
        uint64_t at, asked_for;

        (void)state;
        at = wait_for(MS(50), -(int64_t)HOUR, &asked_for);
        assert_true(at != 0 && at < asked_for);
        at = wait_for(MS(50), (int64_t)HOUR, &asked_for);
        assert_true(at >= asked_for + HOUR - MS(60));
}

/* A clock of seconds must not tell the second before. */
static void never_comes_a_little_early(void **state)
{
        uint64_t at, asked_for;

        (void)state;
        slow_us = 300;
        at = wait_for(MS(50), 0, &asked_for);
        slow_us = 0;
        assert_true(at >= asked_for);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(comes_in_time),
                cmocka_unit_test(comes_though_the_clock_is_set),
                cmocka_unit_test(never_comes_a_little_early),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
