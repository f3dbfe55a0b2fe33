/* SPDX-License-Identifier: BSD-2-Clause */
/* The sandbox of the unit; see sandbox.h. */
#include "base/sandbox.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/span.h"
#include "base/util.h"

#define EDIT "of the unit (systemctl edit coapd)"

/* One line of mountinfo: ID PARENT DEVICE ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS-OF-THE-FILESYSTEM */
struct mount {
        char root[256];
        char point[256];
        char options[256];
        char of_filesystem[256];
};

static bool has_option(const char *options, struct span option)
{
        struct span rest = span_of_string(options);

        while (rest.n > 0) {
                if (span_equal(span_cut(&rest, ','), option))
                        return true;
        }
        return false;
}

static bool is_below(const char *path, const char *folder)
{
        size_t n = strlen(folder);

        n -= n && folder[n - 1] == '/';
        return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* A root that is longer than the room for it is cut: what is looked for stands in front. */
static bool mount_parse(struct span line, struct mount *ret_mount)
{
        CLEANUP(freep) char *copy = strndup((const char *)line.p, line.n);
        char *rest = copy ? strstr(copy, " - ") : NULL;

        return rest &&
               sscanf(copy, "%*s %*s %*s %255s %255s %255s", ret_mount->root, ret_mount->point,
                      ret_mount->options) == 3 &&
               sscanf(rest, " - %*s %*s %255s", ret_mount->of_filesystem) == 1;
}

/* The one that a path leads to: of two at one place the later one covers the other. */
static bool mount_of(const char *mountinfo, const char *path, struct mount *ret_mount)
{
        struct span rest = span_of_string(mountinfo);
        struct mount mount;
        size_t longest = 0;

        while (rest.n > 0) {
                if (!mount_parse(span_cut(&rest, '\n'), &mount) || !is_below(path, mount.point) ||
                    strlen(mount.point) < longest)
                        continue;
                longest = strlen(mount.point);
                *ret_mount = mount;
        }
        return longest;
}

const char *sandbox_hint_of(const char *mountinfo, const char *path, int error)
{
        struct mount mount;

        if (!mount_of(mountinfo, path, &mount))
                return "";
        if (error == EROFS)
                return has_option(mount.options, SPAN_LITERAL("ro")) &&
                                       !has_option(mount.of_filesystem, SPAN_LITERAL("ro"))
                               ? "; its folder takes a line in ReadWritePaths= " EDIT
                               : "";
        if (error != ENOENT && error != EACCES)
                return "";
        if (strstr(mount.root, "/inaccessible/"))
                return is_below(path, "/home") || is_below(path, "/root") || is_below(path, "/run/user")
                               ? "; it is hidden from the service by ProtectHome= " EDIT
                               : "; it is hidden from the service by InaccessiblePaths= " EDIT;
        if (strstr(mount.root, "/systemd-private-"))
                return "; the service has a folder of its own there by PrivateTmp= " EDIT;
        if (has_option(mount.of_filesystem, SPAN_LITERAL("subset=pid")))
                return "; it is hidden from the service by ProcSubset= " EDIT;
        return "";
}

const char *sandbox_hint(const char *path, int error)
{
        FILE *file = fopen("/proc/self/mountinfo", "re");
        CLEANUP(freep) char *mountinfo = NULL;
        size_t size = 0;
        ssize_t n = file ? getdelim(&mountinfo, &size, '\0', file) : -1;

        if (file)
                fclose(file);
        return n > 0 ? sandbox_hint_of(mountinfo, path, error) : "";
}
