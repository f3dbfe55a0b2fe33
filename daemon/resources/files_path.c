/* SPDX-License-Identifier: BSD-2-Clause */
/* From a request's path to a descriptor below the root; see files.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

#include "base/percent.h"
#include "resources/files.h"

/* The next byte of a segment that is percent-encoded; -1: not well-formed. */
static int decode_byte(struct span *segment)
{
        int c = segment->p[0];
        size_t n = 1;

        if (c == '%') {
                if (segment->n < 3 || hex_digit(segment->p[1]) < 0 || hex_digit(segment->p[2]) < 0)
                        return -1;
                c = hex_digit(segment->p[1]) << 4 | hex_digit(segment->p[2]);
                n = 3;
        }
        *segment = span_skip(*segment, n);
        return c;
}

/*
 * Appends one segment. A name that begins with a dot is hidden, and with it "." and ".."; a slash or a NUL that
 * came percent-encoded can be in no file's name.
 */
static int append_segment(struct span segment, char path[PATH_MAX], size_t *n)
{
        size_t start = *n;

        while (segment.n > 0) {
                int c = decode_byte(&segment);

                if (c <= 0 || c == '/' || *n >= PATH_MAX - 2)
                        return -ENOENT;
                path[(*n)++] = (char)c;
        }
        return *n == start || *n - start > NAME_MAX || path[start] == '.' ? -ENOENT : 0;
}

int files_path(struct span rest, char path[PATH_MAX])
{
        size_t n = 0;

        while (rest.n > 0) {
                const uint8_t *slash = memchr(rest.p, '/', rest.n);
                struct span segment = { rest.p, slash ? (size_t)(slash - rest.p) : rest.n };

                if (n > 0)
                        path[n++] = '/';
                if (append_segment(segment, path, &n) < 0 || (slash && segment.n + 1 == rest.n))
                        return -ENOENT;
                rest = span_skip(rest, segment.n + 1);
        }
        if (n == 0)
                path[n++] = '.';
        path[n] = '\0';
        return 0;
}

/* Segment by segment, none of which is a link, "." or "..": see files_path(). */
static int open_by_segments(const struct files *files, const char *path, int flags, mode_t mode)
{
        char segment[NAME_MAX + 1];
        CLEANUP(closep) int above = openat(files->root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int fd;

        for (const char *slash = strchr(path, '/'); above >= 0 && slash; slash = strchr(path, '/')) {
                snprintf(segment, sizeof segment, "%.*s", (int)(slash - path), path);
                fd = openat(above, segment, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (fd < 0)
                        return -errno;
                close(above);
                above = fd;
                path = slash + 1;
        }
        fd = above < 0 ? -1 : openat(above, path, flags | O_NOFOLLOW | O_CLOEXEC, mode);
        return fd < 0 ? -errno : fd;
}

/* Where a descriptor leads, as the kernel tells it. */
static int place_of(int fd, char place[PATH_MAX])
{
        char name[40];
        ssize_t n;

        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        n = readlink(name, place, PATH_MAX - 1);
        place[n < 0 ? 0 : n] = '\0';
        return n < 0 ? -errno : 0;
}

/* Through links, but only to what is below the root: found first, and opened when that is so. */
static int open_below(const struct files *files, const char *path, int flags)
{
        CLEANUP(closep) int found = openat(files->root, path, O_PATH | O_CLOEXEC);
        char root[PATH_MAX], place[PATH_MAX], name[40];
        size_t n;
        int fd;

        if (found < 0 || place_of(found, place) < 0 || place_of(files->root, root) < 0)
                return -errno;
        n = strcmp(root, "/") == 0 ? 0 : strlen(root);
        if (strncmp(place, root, n) != 0 || (place[n] != '/' && place[n] != '\0'))
                return -EXDEV;
        snprintf(name, sizeof name, "/proc/self/fd/%d", found);
        fd = open(name, flags | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int files_open(const struct files *files, const char *path, int flags, mode_t mode)
{
        struct open_how how = {
                .flags = (uint64_t)(flags | O_CLOEXEC),
                .mode = mode,
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
        };
        enum { TRIES = 16 };
        unsigned tries = 0;
        long fd;

        if (!files->follow_symlinks)
                how.resolve |= RESOLVE_NO_SYMLINKS;
        /* EAGAIN: something was renamed meanwhile; or another program, such as Samba, has a lease on it (fcntl(2)). */
        do
                fd = syscall(SYS_openat2, files->root, path, &how, sizeof how);
        while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < TRIES)));
        /* systemd's RestrictSUIDSGID= takes openat2() away: its mode cannot be seen by a filter. */
        if (fd < 0 && errno == ENOSYS)
                return files->follow_symlinks ? open_below(files, path, flags)
                                              : open_by_segments(files, path, flags, mode);
        return fd < 0 ? -errno : (int)fd;
}

/* Makes what is missing of the folders, from the top; `*made` is the length of the first one that was. */
static int make_folders(const struct files *files, const char *folder, size_t *made)
{
        enum { MODE = 0777 };
        char part[PATH_MAX];

        for (const char *end = folder; end; end = strchr(end + 1, '/')) {
                const char *name = NULL;
                const char *stop = strchr(end + 1, '/');
                CLEANUP(closep) int above = -1;

                snprintf(part, sizeof part, "%.*s", stop ? (int)(stop - folder) : (int)strlen(folder),
                         folder);
                above = files_open_parent(files, part, NULL, &name);
                if (above < 0)
                        return above;
                if (mkdirat(above, name, MODE) < 0) {
                        if (errno == EEXIST)
                                continue;
                        return -errno;
                }
                if (*made == 0)
                        *made = strlen(part);
                if (fsync(above) < 0)
                        return -errno;
        }
        return 0;
}

void files_unmake(const struct files *files, const char *path, size_t made)
{
        char part[PATH_MAX], *slash;

        snprintf(part, sizeof part, "%s", path);
        while (made && (slash = strrchr(part, '/')) && (size_t)(slash - part) >= made) {
                const char *name = NULL;
                CLEANUP(closep) int above = -1;

                *slash = '\0';
                above = files_open_parent(files, part, NULL, &name);
                if (above < 0 || unlinkat(above, name, AT_REMOVEDIR) < 0)
                        return;
        }
}

int files_open_parent(const struct files *files, const char *path, size_t *ret_made, const char **ret_name)
{
        const char *slash = strrchr(path, '/');
        char folder[PATH_MAX] = ".";
        int fd, r;

        if (slash)
                snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        fd = files_open(files, folder, O_RDONLY | O_DIRECTORY, 0);
        if (ret_made)
                *ret_made = 0;
        if (fd == -ENOENT && ret_made) {
                r = make_folders(files, folder, ret_made);
                fd = r < 0 ? r : files_open(files, folder, O_RDONLY | O_DIRECTORY, 0);
                if (fd < 0)
                        files_unmake(files, path, *ret_made);
        }
        if (fd >= 0)
                *ret_name = slash ? slash + 1 : path;
        return fd;
}
