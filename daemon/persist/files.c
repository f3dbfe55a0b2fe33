/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks, names and kinds of the store's files; see files.h. */
#include "persist/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include "base/log.h"
#include "base/util.h"

enum { ATTEMPTS = 100 }; /* at a name that is not taken */

int persist_file_kind(const char *path, enum persist_file_kind *ret_kind)
{
        static const char magic[16] = "SQLite format 3";
        CLEANUP(closep) int fd = -1;
        char head[sizeof magic];
        struct stat st;
        ssize_t n;

        if (stat(path, &st) < 0) {
                if (errno != ENOENT)
                        return -errno;
                *ret_kind = PERSIST_FILE_MISSING;
                return 0;
        }
        if (!S_ISREG(st.st_mode)) {
                *ret_kind = S_ISDIR(st.st_mode) ? PERSIST_FILE_FOLDER : PERSIST_FILE_SPECIAL;
                return 0;
        }
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        n = read(fd, head, sizeof head);
        if (n < 0)
                return -errno;
        if (n == 0)
                *ret_kind = PERSIST_FILE_EMPTY;
        else if (n == sizeof head && memcmp(head, magic, sizeof head) == 0)
                *ret_kind = PERSIST_FILE_SQLITE;
        else
                *ret_kind = PERSIST_FILE_REGULAR;
        return 0;
}

/* What the symbolic link at PATH says, from where PATH counts. -EINVAL: it is none. */
static int read_link(const char *path, char **ret_target)
{
        char target[PATH_MAX];
        ssize_t n = readlink(path, target, sizeof target);
        const char *slash = strrchr(path, '/');
        int folder = n > 0 && target[0] != '/' && slash ? (int)(slash + 1 - path) : 0;

        if (n < 0)
                return -errno;
        if (n == sizeof target)
                return -ENAMETOOLONG;
        return asprintf(ret_target, "%.*s%.*s", folder, path, (int)n, target) < 0 ? -ENOMEM : 0;
}

int persist_file_follow(const char *path, char **ret_path)
{
        enum { LINKS_MOST = 40 }; /* as many as the kernel follows */
        CLEANUP(freep) char *at = strdup(path);
        int r = at ? 0 : -ENOMEM;

        for (int i = 0; i < LINKS_MOST && r == 0; i++) {
                char *target;

                r = read_link(at, &target);
                if (r == 0) {
                        free(at);
                        at = target;
                }
        }
        if (r == -ENOMEM)
                return r;
        *ret_path = TAKE(at);
        return 0;
}

int persist_file_lock(const char *path, int *ret_fd)
{
        CLEANUP(freep) char *name = NULL;
        CLEANUP(closep) int fd = -1;
        char holder[32] = "";

        if (asprintf(&name, "%s.lock", path) < 0)
                return -ENOMEM;
        fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                if (errno != EWOULDBLOCK)
                        return -errno;
                if (pread(fd, holder, sizeof holder - 1, 0) < 0)
                        holder[0] = '\0';
                holder[strspn(holder, "0123456789")] = '\0';
                log_error("%s: another coapd%s%s works with this store; give each its own", path,
                          holder[0] ? ", process " : "", holder);
                return -EBUSY;
        }
        /* For the message above, no more: a full disk does not matter. */
        if (ftruncate(fd, 0) == 0)
                dprintf(fd, "%ld\n", (long)getpid());
        *ret_fd = fd;
        fd = -1;
        return 0;
}

/* Renames FROM+SUFFIX to TO+SUFFIX without replacing anything; a missing one is fine. */
static int rename_beside(const char *from, const char *to, const char *suffix)
{
        CLEANUP(freep) char *a = NULL;
        CLEANUP(freep) char *b = NULL;

        if (asprintf(&a, "%s%s", from, suffix) < 0 || asprintf(&b, "%s%s", to, suffix) < 0)
                return -ENOMEM;
        if (renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE) == 0 || errno == ENOENT)
                return 0;
        return -errno;
}

/* PATH.TAG-TIME, with a number behind it from the second attempt on. */
static int name_aside(const char *path, const char *tag, int attempt, char **ret_name)
{
        time_t now = time(NULL);
        char stamp[32], number[16] = "";
        struct tm tm;

        strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
        if (attempt > 0)
                snprintf(number, sizeof number, ".%d", attempt);
        return asprintf(ret_name, "%s.%s-%s%s", path, tag, stamp, number) < 0 ? -ENOMEM : 0;
}

int persist_file_set_aside(const char *path, const char *tag, char **ret_name)
{
        /* The database first: cut off in between, its log without it is noticed; it without its log is not.
         */
        static const char *const suffixes[] = { "", "-wal", "-shm" };
        int r = -EEXIST;

        for (int attempt = 0; attempt < ATTEMPTS && r == -EEXIST; attempt++) {
                CLEANUP(freep) char *name = NULL;

                r = name_aside(path, tag, attempt, &name);
                if (r < 0)
                        return r;
                if (access(name, F_OK) == 0) {
                        r = -EEXIST;
                        continue;
                }
                for (size_t i = 0; i < ARRAY_LEN(suffixes) && r == 0; i++)
                        r = rename_beside(path, name, suffixes[i]);
                if (r == 0) {
                        persist_folder_sync(path);
                        *ret_name = TAKE(name);
                }
        }
        return r;
}

/* Gives PATH, and its log, second names. */
static int link_aside(const char *path, const char *name)
{
        CLEANUP(freep) char *log = NULL;
        CLEANUP(freep) char *log_name = NULL;

        if (asprintf(&log, "%s-wal", path) < 0 || asprintf(&log_name, "%s-wal", name) < 0)
                return -ENOMEM;
        /* A log is there only where another process still reads the database. */
        if (link(path, name) < 0 || (link(log, log_name) < 0 && errno != ENOENT))
                return -errno;
        return persist_folder_sync(path);
}

static void unlink_log(const char *path)
{
        static const char *const suffixes[] = { "-wal", "-shm" };

        for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
                CLEANUP(freep) char *name = NULL;

                if (asprintf(&name, "%s%s", path, suffixes[i]) > 0)
                        unlink(name);
        }
}

int persist_file_replace(const char *path, const char *by, const char *tag, char **ret_name)
{
        CLEANUP(freep) char *name = NULL;
        int r = -EEXIST;

        for (int attempt = 0; attempt < ATTEMPTS && r == -EEXIST; attempt++) {
                free(TAKE(name));
                r = name_aside(path, tag, attempt, &name);
                if (r == 0)
                        r = link_aside(path, name);
        }
        if (r < 0)
                return r;
        if (rename(by, path) < 0) {
                r = -errno;
                unlink(name);
                unlink_log(name);
                return r;
        }
        unlink_log(path);
        r = persist_folder_sync(path);
        if (r == 0)
                *ret_name = TAKE(name);
        return r;
}

int persist_folder_sync(const char *path)
{
        CLEANUP(freep) char *copy = strdup(path);
        CLEANUP(closep) int fd = -1;

        if (!copy)
                return -ENOMEM;
        fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

const char *persist_boot_id(char *out, int size)
{
        FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

        if (!f || !fgets(out, size, f))
                out[0] = '\0';
        if (f)
                fclose(f);
        out[strcspn(out, "\n")] = '\0';
        return out;
}
