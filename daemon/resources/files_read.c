/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file as a representation that is read block by block. Each request opens the file anew; the ETag is made of
 * what changes with the content, so that a client sees a file that changed in mid-transfer.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/content_format.h"
#include "resources/files.h"

struct state {
        uint64_t inode, size, modified_ns, changed_ns;
};

struct open_file {
        struct representation rep;
        int fd;
        struct state state;
};

static uint64_t ns_of(const struct timespec *t)
{
        return (uint64_t)t->tv_sec * 1000000000U + (uint64_t)t->tv_nsec;
}

static struct state state_of(const struct stat *status)
{
        return (struct state){
                .inode = status->st_ino,
                .size = (uint64_t)status->st_size,
                .modified_ns = ns_of(&status->st_mtim),
                .changed_ns = ns_of(&status->st_ctim),
        };
}

int files_format(int fd, const char *path)
{
        enum { NAME_ROOM = 128 };
        char name[NAME_ROOM];
        ssize_t n = fgetxattr(fd, "user.mime_type", name, sizeof name);
        int format = n > 0 ? content_format_by_name(span_of(name, (size_t)n)) : -1;

        if (format < 0)
                format = content_format_by_extension(path);
        return format >= 0 ? format : CONTENT_FORMAT_OCTET_STREAM;
}

/* A file that changed since its ETag was made gives nothing more under it. */
static ssize_t open_file_read(const struct representation *rep, uint64_t offset, uint8_t *to, size_t n)
{
        const struct open_file *file = rep->source;
        struct stat status;
        struct state now;
        size_t done = 0;

        while (done < n) {
                ssize_t got = pread(file->fd, to + done, n - done, (off_t)(offset + done));

                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return -errno;
                if (got == 0)
                        return -EAGAIN;
                done += (size_t)got;
        }
        if (fstat(file->fd, &status) < 0)
                return -errno;
        now = state_of(&status);
        return memcmp(&now, &file->state, sizeof now) == 0 ? (ssize_t)done : -EAGAIN;
}

static void open_file_destroy(struct representation *rep)
{
        struct open_file *file = rep->source;

        close(file->fd);
        free(file);
}

static int read_regular(int fd, const struct stat *status, const char *path, struct representation **ret_rep)
{
        struct open_file *file = calloc(1, sizeof *file);

        if (!file) {
                close(fd);
                return -ENOMEM;
        }
        file->fd = fd;
        file->state = state_of(status);
        file->rep = (struct representation){
                .refs = 1,
                .content_format = files_format(fd, path),
                .size = file->state.size,
                .read = open_file_read,
                .destroy = open_file_destroy,
                .source = file,
        };
        file->rep.etag = etag_of(span_of(&file->state, sizeof file->state), file->rep.content_format);
        *ret_rep = &file->rep;
        return 0;
}

int files_read(struct files *files, int fd, const char *path, struct span rest,
               struct representation **ret_rep)
{
        struct stat status;
        int r = -ENOENT;

        if (fstat(fd, &status) < 0)
                r = -errno;
        else if (S_ISREG(status.st_mode))
                return read_regular(fd, &status, path, ret_rep);
        else if (S_ISDIR(status.st_mode) && files->listing)
                r = files_list(files, fd, rest, ret_rep);
        close(fd);
        return r;
}

/* Before it is opened: a device may start to move then, and who waits at a FIFO would go on. */
static int look(const struct files *files, const char *path)
{
        CLEANUP(closep) int fd = files_open(files, path, O_PATH, 0);
        struct stat status;

        if (fd < 0)
                return fd;
        if (fstat(fd, &status) < 0)
                return -errno;
        return S_ISREG(status.st_mode) || S_ISDIR(status.st_mode) ? 0 : -ENOENT;
}

int files_get(struct files *files, const char *path, struct span rest, struct representation **ret_rep)
{
        int fd = look(files, path);

        /* Should it be another one now: not to wait for the other end of a FIFO, nor to take a terminal. */
        if (fd == 0)
                fd = files_open(files, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
        return fd < 0 ? fd : files_read(files, fd, path, rest, ret_rep);
}
