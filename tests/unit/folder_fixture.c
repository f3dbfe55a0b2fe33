/* SPDX-License-Identifier: BSD-2-Clause */
/* See folder_fixture.h. */
#include "folder_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"

char test_folder[64];

int test_folder_make(const char *script)
{
        char *whole;
        int r;

        strcpy(test_folder, "/tmp/coapd-test-XXXXXX");
        if (!mkdtemp(test_folder) || asprintf(&whole, "cd %s\n%s", test_folder, script) < 0)
                return -1;
        r = system(whole);
        free(whole);
        return r;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *info)
{
        (void)status, (void)type, (void)info;
        return remove(path);
}

int test_folder_remove(void)
{
        return nftw(test_folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

char *in_folder(const char *name)
{
        static char paths[32][128];
        static size_t next;
        char *path = paths[next++ % ARRAY_LEN(paths)];

        snprintf(path, sizeof paths[0], "%s/%s", test_folder, name);
        return path;
}
