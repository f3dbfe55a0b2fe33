/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files replaced whole: written beside the old one, brought to the disk, and then renamed over it, so that readers
 * see the old content or the new one, after a power cut too. And deleted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/content_format.h"
#include "resources/files.h"

/* Hidden, and one for each folder: what a crash leaves behind, the next write there clears away. */
static const char new_name[] = ".coapd.new";

static int write_all(int fd, struct span body)
{
        while (body.n > 0) {
                ssize_t n = write(fd, body.p, body.n);

                if (n < 0 && errno != EINTR)
                        return -errno;
                body = span_skip(body, n > 0 ? (size_t)n : 0);
        }
        return 0;
}

/* A format that the name does not tell stays with the file as an attribute. */
static int keep_format(int fd, const char *name, int content_format)
{
        const char *type = content_format >= 0 ? content_format_name((unsigned)content_format) : NULL;
        char number[16];
        int r;

        if (content_format < 0 || content_format_by_extension(name) == content_format)
                return 0;
        if (!type) {
                snprintf(number, sizeof number, "%d", content_format);
                type = number;
        }
        if (fsetxattr(fd, "user.mime_type", type, strlen(type), 0) == 0)
                return 0;
        r = errno == ENOSPC || errno == EDQUOT ? -errno : -ENOTSUP;
        return files_format(fd, name) == content_format ? 0 : r;
}

static int create_new(int folder, mode_t mode)
{
        enum { FLAGS = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC };
        int fd = openat(folder, new_name, FLAGS, mode);

        if (fd < 0 && errno == EEXIST && unlinkat(folder, new_name, 0) == 0)
                fd = openat(folder, new_name, FLAGS, mode);
        return fd < 0 ? -errno : fd;
}

/* `old`: the file whose place it takes, and whose permissions; NULL: there is none. */
static int write_new(int folder, const char *name, const struct stat *old, struct span body,
                     int content_format)
{
        enum { MODE = 0666, PERMISSIONS = 0777 };
        CLEANUP(closep) int fd = create_new(folder, old ? old->st_mode & PERMISSIONS : MODE);
        int r = fd < 0 ? fd : keep_format(fd, name, content_format);

        if (r < 0)
                return r;
        if (old && fchmod(fd, old->st_mode & PERMISSIONS) < 0) /* whatever the umask is */
                return -errno;
        r = write_all(fd, body);
        return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int files_write(struct files *files, const char *path, struct span body, int content_format)
{
        const char *name = NULL;
        size_t made;
        CLEANUP(closep) int folder = files_open_parent(files, path, &made, &name);
        struct stat old;
        bool is_new;
        int r;

        if (folder < 0)
                return folder;
        is_new = fstatat(folder, name, &old, AT_SYMLINK_NOFOLLOW) < 0;
        if (!is_new && !S_ISREG(old.st_mode))
                return S_ISDIR(old.st_mode) ? -EISDIR : -EPERM;
        r = write_new(folder, name, is_new ? NULL : &old, body, content_format);
        if (r == 0 && renameat(folder, new_name, folder, name) < 0)
                r = -errno;
        if (r < 0) {
                unlinkat(folder, new_name, 0);
                files_unmake(files, path, made);
                return r;
        }
        return fsync(folder) < 0 ? -errno : is_new;
}

int files_delete(struct files *files, const char *path)
{
        const char *name = NULL;
        CLEANUP(closep) int folder = files_open_parent(files, path, NULL, &name);
        struct stat status;

        if (folder < 0)
                return folder;
        if (fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode))
                return -EPERM;
        if (unlinkat(folder, name, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0) < 0)
                return -errno;
        return fsync(folder) < 0 ? -errno : 0;
}
