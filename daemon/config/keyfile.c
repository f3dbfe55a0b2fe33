/* SPDX-License-Identifier: BSD-2-Clause */
/* Key files; see keyfile.h. */
#include "config/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

static const char *why_unreadable(int error)
{
        switch (error) {
        case ENOENT:
                return "does not exist, expected a file";
        case EACCES:
                return "may not be read by this user, expected a file that coapd can read";
        default:
                return "can not be read, expected a file";
        }
}

const char *keyfile_check(const char *path, bool private)
{
        /* Without O_NONBLOCK a FIFO would stop us here. */
        CLEANUP(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        struct stat status;

        if (fd < 0 || fstat(fd, &status) < 0)
                return why_unreadable(errno);
        if (!S_ISREG(status.st_mode))
                return "is not a regular file, expected one";
        if (status.st_size == 0)
                return "is empty, expected a file with content";
        if (private && status.st_mode & S_IRWXO)
                return "is open to every user, expected a file without access for others (chmod o= FILE)";
        return NULL;
}
