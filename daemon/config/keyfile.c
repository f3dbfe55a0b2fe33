/* SPDX-License-Identifier: BSD-2-Clause */
/* Key files; see keyfile.h. */
#include "config/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/credential.h"

static const char *why_unreadable(const char *path, int error)
{
        switch (error) {
        case ENOENT:
                return credential_is(path) ? "is no credential of the running service, expected one "
                                             "in /etc/credstore or of "
                                             "LoadCredential=, which the next start finds"
                                           : "does not exist, expected a file";
        case EACCES:
                return "may not be read by this user, expected a file that coapd can read";
        default:
                return "cannot be read, expected a file";
        }
}

const char *keyfile_check(const char *path, bool private)
{
        /* Without O_NONBLOCK a FIFO would stop us here. */
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat status;

        if (fd < 0 || fstat(fd, &status) < 0)
                return why_unreadable(path, errno);
        if (!S_ISREG(status.st_mode))
                return "is not a regular file, expected one";
        if (status.st_size == 0)
                return "is empty, expected a file with content";
        if (private && status.st_mode & S_IRWXO && !credential_is_stored(path))
                return "is open to every user, expected a file without access for others (chmod o= FILE)";
        return NULL;
}

int keyfile_read(const char *path, size_t max, struct buf *ret_key)
{
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        CLEANUP(keyfile_wipe) struct buf key = { 0 };
        size_t room = max + 3; /* for a newline, and a byte that shows that there is more */

        if (fd < 0)
                return -errno;
        if (!buf_reserve(&key, room))
                return -ENOMEM;
        while (key.n < room) {
                ssize_t n = read(fd, key.p + key.n, room - key.n);

                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        break;
                key.n += n > 0 ? (size_t)n : 0;
        }
        if (key.n == 0)
                return -ENODATA;
        if (key.p[key.n - 1] == '\n')
                key.n -= key.n > 1 && key.p[key.n - 2] == '\r' ? 2 : 1;
        if (key.n > max)
                return -EFBIG;
        *ret_key = key;
        key = (struct buf){ 0 };
        return 0;
}

void keyfile_wipe(struct buf *key)
{
        if (key->p)
                explicit_bzero(key->p, key->cap);
        buf_deinit(key);
}
