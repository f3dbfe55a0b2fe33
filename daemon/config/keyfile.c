/* SPDX-License-Identifier: BSD-2-Clause */
/* Key files; see keyfile.h. */
#include "config/keyfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define CREDENTIALS "/run/credentials/"
#define OF_SERVICE CREDENTIALS "coapd.service"

/* Where ImportCredential= of the unit looks, in this order. */
static const char *const stores[] = { "/etc/credstore", "/run/credstore", "/usr/local/lib/credstore",
                                      "/usr/lib/credstore" };

static bool begins_with(const char *text, const char *prefix)
{
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

static const char *why_unreadable(const char *path, int error)
{
        switch (error) {
        case ENOENT:
                return keyfile_is_credential(path) ? "is no credential of the running service, expected one "
                                                     "in /etc/credstore or of "
                                                     "LoadCredential=, which the next start finds"
                                                   : "does not exist, expected a file";
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
                return why_unreadable(path, errno);
        if (!S_ISREG(status.st_mode))
                return "is not a regular file, expected one";
        if (status.st_size == 0)
                return "is empty, expected a file with content";
        if (private && status.st_mode & S_IRWXO)
                return "is open to every user, expected a file without access for others (chmod o= FILE)";
        return NULL;
}

bool keyfile_is_credential(const char *path)
{
        for (size_t i = 0; i < ARRAY_LEN(stores); i++)
                if (begins_with(path, stores[i]) && path[strlen(stores[i])] == '/')
                        return true;
        return begins_with(path, CREDENTIALS);
}

/* 1, 0 for none, -ENOMEM. Only root can look into the stores. */
static int find_stored(const char *name, char **ret_path)
{
        for (size_t i = 0; i < ARRAY_LEN(stores); i++) {
                CLEANUP(freep) char *path = NULL;

                if (asprintf(&path, "%s/%s", stores[i], name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                if (access(path, F_OK) < 0)
                        continue;
                *ret_path = TAKE(path);
                return 1;
        }
        return 0;
}

int keyfile_credential(const char *name, char **ret_path)
{
        static const char prefix[] = "credential:";
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        const char *slash = strrchr(name, '/');
        bool by_path = begins_with(name, CREDENTIALS);
        bool asked = begins_with(name, prefix) || by_path;
        CLEANUP(freep) char *path = NULL;
        int r;

        if (begins_with(name, prefix))
                name += strlen(prefix);
        if (slash && !by_path)
                return 0;
        if ((by_path ? asprintf(&path, "%s", name)
                     : asprintf(&path, "%s/%s", folder ? folder : OF_SERVICE, name)) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (access(path, F_OK) < 0) {
                r = folder ? 0 : find_stored(slash ? slash + 1 : name, ret_path);
                if (r || !asked)
                        return r;
        }
        *ret_path = TAKE(path);
        return 1;
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
