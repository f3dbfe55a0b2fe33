/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every engine does with its files around the reading and writing: lock them against a second daemon,
 * tell whose they are, set bad ones aside under a name that says when, and make the folder's entries last.
 */
#ifndef COAPD_PERSIST_FILES_H
#define COAPD_PERSIST_FILES_H

#include <stdbool.h>

enum persist_file_kind {
        PERSIST_FILE_MISSING,
        PERSIST_FILE_EMPTY,
        PERSIST_FILE_SQLITE,
        PERSIST_FILE_REGULAR, /* anything else that can be read */
        PERSIST_FILE_FOLDER,
        PERSIST_FILE_SPECIAL, /* a device, a socket */
};

/* -errno when it cannot be looked at. */
int persist_file_kind(const char *path, enum persist_file_kind *ret_kind);

/*
 * The file that PATH leads to, which need not be there: what is made and renamed beside it has to be beside the file
 * itself, where SQLite puts its log, and not beside a symbolic link to it. Where nothing can
 * be followed, whoever opens it finds out. The caller's to free. 0 or -ENOMEM.
 */
int persist_file_follow(const char *path, char **ret_path);

/*
 * Takes PATH.lock for as long as the descriptor is open, so that two daemons never share a store. The lock's
 * file stays behind: removing it would let a third daemon lock another file of the same name. -EBUSY when
 * another process holds it, which is logged here; or another -errno.
 */
int persist_file_lock(const char *path, int *ret_fd);

/*
 * Renames PATH, with PATH-wal and PATH-shm where they are, to PATH.TAG-TIME, never over another file. The
 * name is the caller's to free. 0 or -errno, nothing is logged.
 */
int persist_file_set_aside(const char *path, const char *tag, char **ret_name);

/*
 * Puts the file BY, which is whole and synced, in the place of PATH, and keeps what was there, with its log, as
 * PATH.TAG-TIME. At no moment, and after no power cut, is there nothing at PATH. The name is the caller's to free. 0 or
 * -errno, nothing is logged.
 */
int persist_file_replace(const char *path, const char *by, const char *tag, char **ret_name);

/* fsync of the folder that PATH stands in: what was created or renamed there survives a power cut. */
int persist_folder_sync(const char *path);

/* SIZE bytes of /proc/sys/kernel/random/boot_id, "" where there is none. */
const char *persist_boot_id(char *out, int size);

#endif
