/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that clients write, on a disk that has no room for what is kept beside them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/content_format.h"
#include "resources/files.h"

static int trouble;

/* Stands before that of libc. */
int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
        if (!trouble)
                return (int)syscall(SYS_fsetxattr, fd, name, value, size, flags);
        errno = trouble;
        return -1;
}

static char folder[] = "/tmp/coapd-files-XXXXXX";

static int set_up(void **state)
{
        static struct files files;

        assert_non_null(mkdtemp(folder));
        files = (struct files){ .root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC), .writable = true };
        assert_true(files.root >= 0);
        *state = &files;
        return 0;
}

static int tear_down(void **state)
{
        struct files *files = *state;

        unlinkat(files->root, "new", 0);
        close(files->root);
        return rmdir(folder);
}

static void a_full_disk_is_no_wrong_format(void **state)
{
        struct files *files = *state;
        struct span body = SPAN_LITERAL("[]");

        trouble = ENOSPC;
        assert_int_equal(files_write(files, "new", body, CONTENT_FORMAT_JSON), -ENOSPC);
        trouble = EDQUOT;
        assert_int_equal(files_write(files, "new", body, CONTENT_FORMAT_JSON), -EDQUOT);
        trouble = EOPNOTSUPP;
        assert_int_equal(files_write(files, "new", body, CONTENT_FORMAT_JSON), -ENOTSUP);
        /* Nothing is left of any of them. */
        assert_int_equal(faccessat(files->root, "new", F_OK, 0), -1);
        /* What cannot be kept beside it need not be, where it is what is told anyway. */
        assert_int_equal(files_write(files, "new", body, CONTENT_FORMAT_OCTET_STREAM), 1);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_full_disk_is_no_wrong_format, set_up, tear_down),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
