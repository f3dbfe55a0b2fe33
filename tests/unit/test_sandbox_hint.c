/* SPDX-License-Identifier: BSD-2-Clause */
/* What of the unit is in the way of a path, by the mounts of a service as systemd makes them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/sandbox.h"

static const char service[] =
        "173 117 0:45 / / ro,nosuid,relatime shared:19 master:1 - ext4 /dev/sda1 rw,errors=remount-ro\n"
        "174 173 0:49 / /tmp rw,nosuid,nodev shared:20 - tmpfs tmpfs rw,size=2468412k\n"
        "176 173 8:17 / /data ro,relatime shared:24 - ext4 /dev/sdb1 ro\n"
        "177 173 8:18 / /srv ro,relatime - ext4 /dev/sdb2 rw\n"
        "178 177 8:18 /coap/up /srv/coap/up rw,relatime - ext4 /dev/sdb2 rw\n"
        "210 173 0:53 /systemd/inaccessible/dir /home ro,nosuid shared:50 master:8 - tmpfs tmpfs "
        "rw,mode=755\n"
        "211 173 0:63 / /proc rw,nosuid shared:51 - proc proc rw,hidepid=invisible,subset=pid\n"
        "212 173 0:53 /systemd/inaccessible/dir /opt/ours ro,nosuid - tmpfs tmpfs rw\n"
        "204 174 0:49 /systemd-private-c6931ddc-coapd.service-oJn2gY/tmp /tmp rw,nosuid - tmpfs tmpfs rw\n"
        "206 173 0:45 /var/tmp/systemd-private-c6931ddc-coapd.service-vSQzzQ/tmp /var/tmp rw - ext4 "
        "/dev/sda1 rw";

static void assert_hint(const char *path, int error, const char *setting)
{
        const char *hint = sandbox_hint_of(service, path, error);

        if (setting)
                assert_non_null(strstr(hint, setting));
        else
                assert_string_equal(hint, "");
}

static void what_is_hidden(void **state)
{
        (void)state;
        assert_hint("/home/ada/fw", ENOENT, "ProtectHome=");
        assert_hint("/home", EACCES, "ProtectHome=");
        assert_hint("/homes/ada", ENOENT, NULL);
        assert_hint("/opt/ours/x", EACCES, "InaccessiblePaths=");
        assert_hint("/tmp/x", ENOENT, "PrivateTmp=");
        assert_hint("/var/tmp/x", ENOENT, "PrivateTmp=");
        assert_hint("/proc/loadavg", ENOENT, "ProcSubset=");
        assert_hint("/var/lib/x", ENOENT, NULL);
        assert_hint("/home/ada/fw", EIO, NULL);
        assert_hint("relative", ENOENT, NULL);
}

/* A disk that has failed is not to be mended by a drop-in. */
static void what_is_read_only(void **state)
{
        (void)state;
        assert_hint("/var/lib/x", EROFS, "ReadWritePaths=");
        assert_hint("/srv/coap/fw", EROFS, "ReadWritePaths=");
        assert_hint("/srv/coap/up/x", EROFS, NULL);
        assert_hint("/data/x", EROFS, NULL);
}

static void no_service(void **state)
{
        (void)state;
        assert_string_equal(sandbox_hint_of("", "/home/ada", ENOENT), "");
        assert_string_equal(sandbox_hint_of("no mount\n\n - \n1 2 3 4 5\n", "/home/ada", ENOENT), "");
        assert_string_equal(sandbox_hint("/nosuch", ENOENT), "");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_hidden),
                cmocka_unit_test(what_is_read_only),
                cmocka_unit_test(no_service),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
