/* SPDX-License-Identifier: BSD-2-Clause */
/* From root to the service's user; see service_user.h. */
#include "service_user.h"

#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "coapd_version.h"

static size_t all_groups_but_roots(gid_t groups[], size_t max)
{
        const struct group *group;
        size_t n = 0;

        setgrent();
        while (n < max && (group = getgrent()))
                if (group->gr_gid != 0)
                        groups[n++] = group->gr_gid;
        endgrent();
        return n;
}

bool service_user_become(char *ret_name, size_t size)
{
        enum { MAX_GROUPS = 1024 };
        gid_t groups[MAX_GROUPS];
        const struct passwd *user;
        struct stat folder;

        if (geteuid() != 0 || stat(COAPD_STATEDIR, &folder) < 0 || folder.st_uid == 0)
                return false;
        user = getpwuid(folder.st_uid);
        snprintf(ret_name, size, "%s", user ? user->pw_name : "of the service");
        return setgroups(all_groups_but_roots(groups, ARRAY_LEN(groups)), groups) == 0 &&
               setresgid(folder.st_gid, folder.st_gid, folder.st_gid) == 0 &&
               setresuid(folder.st_uid, folder.st_uid, folder.st_uid) == 0;
}
