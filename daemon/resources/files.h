/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parts of the kind `files`: files.c (the kind), files_path.c (from a request's path to a descriptor),
 * files_read.c, files_list.c and files_write.c (what a descriptor gives and takes), files_watch.c (observation).
 *
 * A path here is relative to the root, decoded, without "." and ".." and hidden names; "." alone is the root. It
 * is only ever used through files_open(), which the kernel keeps below the root whatever happens meanwhile.
 */
#ifndef COAPD_RESOURCES_FILES_H
#define COAPD_RESOURCES_FILES_H

#include <limits.h>
#include <sys/stat.h>
#include <systemd/sd-event.h>

#include "base/buf.h"
#include "resources/kind.h"

struct files_watched;
struct files_folder;

enum { FILES_LISTS = 8 };

/* A listing of a folder, for the blocks of its transfer. */
struct files_listing {
        struct representation *list; /* NULL: free */
        struct files_list_key {
                uint64_t folder[4];
                struct etag rest;
        } key;
        uint64_t until_us;
};

struct files {
        struct resource *resource;
        int root;
        bool writable;
        bool listing;
        bool follow_symlinks;
        size_t max_size;

        /* files_list.c */
        struct files_listing lists[FILES_LISTS];
        size_t next_list;

        /* files_watch.c */
        struct files_watched *watched;
        struct files_folder *folders;
        bool rebuild;     /* folders came, went or moved: watch them anew */
        uint64_t wake_us; /* 0: not waiting */
};

/* From the path in a request, libcoap's spelling. 0; -ENOENT: nothing can be there. */
int files_path(struct span rest, char path[PATH_MAX]);

/* As openat2(2), with O_CLOEXEC. A descriptor or -errno. */
int files_open(const struct files *files, const char *path, int flags, mode_t mode);

/*
 * The folder of a path, and the path's last segment. `ret_made`: makes the folders that are missing, for
 * files_unmake(); NULL: does not. A descriptor or -errno, then nothing was made.
 */
int files_open_parent(const struct files *files, const char *path, size_t *ret_made, const char **ret_name);
/* Takes back what files_open_parent() made for this path, as far as it is empty still. */
void files_unmake(const struct files *files, const char *path, size_t made);

/* What the file is now; takes `fd` over. 0, or -errno: -ENOENT for what is no file and no folder to be listed. */
int files_read(struct files *files, int fd, const char *path, struct span rest,
               struct representation **ret_rep);
/* As files_read(), by path. */
int files_get(struct files *files, const char *path, struct span rest, struct representation **ret_rep);

/* The content format of an open file. */
int files_format(int fd, const char *path);

/* A folder in link-format; does not take `fd`. */
int files_list(struct files *files, int fd, struct span rest, struct representation **ret_rep);
void files_lists_forget(struct files *files);

/* Replaces the file's content. 0; 1: there was none before; or -errno. -ENOTSUP: not with this content format. */
int files_write(struct files *files, const char *path, struct span body, int content_format);
/* Deletes a file or an empty folder. 0 or -errno. */
int files_delete(struct files *files, const char *path);

/* Changes of the path are told to its observers from now on. 0 or -errno. */
int files_watch(struct files *files, struct span rest);
void files_watch_wake(struct files *files);
void files_watch_free(struct files *files);

#endif
