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

enum { HEAD_MOST = 1024, TRIES = 8 };

struct open_file {
        struct representation rep;
        int fd;
        struct state state;
        size_t head_n;
        uint8_t head[HEAD_MOST]; /* the first bytes of that state */
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

/* `n` bytes of the file as it was when its ETag was made. -EAGAIN: it has changed since then. */
static ssize_t read_state(const struct open_file *file, uint64_t offset, uint8_t *to, size_t n)
{
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

/* A file that changed gives nothing more under its old ETag, but for what was read with it. */
static ssize_t open_file_read(const struct representation *rep, uint64_t offset, uint8_t *to, size_t n)
{
        const struct open_file *file = rep->source;

        if (offset + n > file->head_n)
                return read_state(file, offset, to, n);
        memcpy(to, file->head + offset, n);
        return (ssize_t)n;
}

static void open_file_destroy(struct representation *rep)
{
        struct open_file *file = rep->source;

        close(file->fd);
        free(file);
}

/*
 * A notification is made because the file is being written, often while that goes on: an error in its place would end
 * the observation. So what the first block holds is read again until it is of one state, within reason.
 */
static void read_head(struct open_file *file, const struct stat *status)
{
        struct stat now = *status;
        ssize_t n = -EAGAIN;

        for (int i = 0; i < TRIES && n == -EAGAIN; i++) {
                file->state = state_of(&now);
                n = read_state(file, 0, file->head, (size_t)MIN(file->state.size, (uint64_t)HEAD_MOST));
                if (n == -EAGAIN && fstat(file->fd, &now) < 0)
                        return;
        }
        file->head_n = (size_t)MAX(n, 0);
}

static int read_regular(int fd, const struct stat *status, const char *path, struct representation **ret_rep)
{
        struct open_file *file = calloc(1, sizeof *file);

        if (!file) {
                close(fd);
                return -ENOMEM;
        }
        file->fd = fd;
        read_head(file, status);
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
