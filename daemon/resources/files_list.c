/* SPDX-License-Identifier: BSD-2-Clause */
/* A folder as links (RFC 6690) to what is in it, by name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "base/content_format.h"
#include "resources/files.h"
#include "resources/uri_path.h"

/*
 * The sizes in a listing may be this old, or so many times what it took to make it; a name never is, for it changes
 * the folder.
 */
enum { LIST_FRESH_US = 2 * 1000 * 1000, LIST_FRESH_TIMES = 20 };

struct entry {
        char *name;
        uint64_t size;
        bool folder;
};

struct entries {
        struct entry *v;
        size_t n, room;
};

static void entries_deinit(struct entries *entries)
{
        for (size_t i = 0; i < entries->n; i++)
                free(entries->v[i].name);
        free(entries->v);
}

static void closedirp(DIR **dir)
{
        if (*dir)
                closedir(*dir);
}

static int add_entry(struct entries *entries, const char *name, const struct stat *status)
{
        enum { ROOM_AT_FIRST = 32 };

        if (entries->n == entries->room) {
                size_t room = entries->room ? entries->room * 2 : ROOM_AT_FIRST;
                struct entry *v = reallocarray(entries->v, room, sizeof *v);

                if (!v)
                        return -ENOMEM;
                entries->v = v;
                entries->room = room;
        }
        entries->v[entries->n] = (struct entry){
                .name = strdup(name),
                .size = (uint64_t)status->st_size,
                .folder = S_ISDIR(status->st_mode),
        };
        return entries->v[entries->n++].name ? 0 : -ENOMEM;
}

/* Only what a GET would give: a symbolic link has no size to tell before it is followed, and is left out. */
static int read_folder(int fd, struct entries *entries)
{
        int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        CLEANUP(closedirp) DIR *dir = again < 0 ? NULL : fdopendir(again);
        const struct dirent *found;

        if (!dir) {
                int r = -errno;

                if (again >= 0)
                        close(again);
                return r;
        }
        while ((found = readdir(dir))) {
                struct stat status;
                int r;

                if (found->d_name[0] == '.' || fstatat(fd, found->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 ||
                    !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
                        continue;
                r = add_entry(entries, found->d_name, &status);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int by_name(const void *a, const void *b)
{
        const struct entry *x = a, *y = b;

        return strcmp(x->name, y->name);
}

static void append_link(const struct files *files, struct span rest, const struct entry *entry,
                        struct buf *out)
{
        int format = entry->folder ? CONTENT_FORMAT_LINK_FORMAT : content_format_by_extension(entry->name);

        buf_printf(out, "%s</%s/", out->n ? "," : "", resource_path(files->resource));
        if (rest.n > 0) {
                buf_append_span(out, rest);
                buf_append_byte(out, '/');
        }
        uri_path_encode_segment(span_of_string(entry->name), out);
        buf_printf(out, ">;ct=%d", format >= 0 ? format : CONTENT_FORMAT_OCTET_STREAM);
        if (!entry->folder)
                buf_printf(out, ";sz=%llu", (unsigned long long)entry->size);
}

static uint64_t now_us(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int make_list(const struct files *files, int fd, struct span rest, struct representation **ret_rep)
{
        CLEANUP(entries_deinit) struct entries entries = { 0 };
        CLEANUP(buf_deinit) struct buf list = { 0 };
        int r = read_folder(fd, &entries);

        if (r < 0)
                return r;
        if (entries.n)
                qsort(entries.v, entries.n, sizeof *entries.v, by_name);
        for (size_t i = 0; i < entries.n; i++)
                append_link(files, rest, &entries.v[i], &list);
        *ret_rep = buf_ok(&list) ? representation_new(buf_span(&list), CONTENT_FORMAT_LINK_FORMAT) : NULL;
        return *ret_rep ? 0 : -ENOMEM;
}

static bool key_of(int fd, struct span rest, struct files_list_key *ret_key)
{
        struct files_list_key key = { .rest = etag_of(rest, 0) };
        struct stat status;

        if (fstat(fd, &status) < 0)
                return false;
        key.folder[0] = status.st_ino;
        key.folder[1] = status.st_dev;
        key.folder[2] = (uint64_t)status.st_mtim.tv_sec;
        key.folder[3] = (uint64_t)status.st_mtim.tv_nsec;
        *ret_key = key;
        return true;
}

static struct files_listing *find_listing(struct files *files, const struct files_list_key *key, uint64_t now)
{
        for (size_t i = 0; i < FILES_LISTS; i++) {
                struct files_listing *listing = &files->lists[i];

                if (listing->list && now <= listing->until_us && etag_equal(&key->rest, &listing->key.rest) &&
                    memcmp(key->folder, listing->key.folder, sizeof key->folder) == 0)
                        return listing;
        }
        return NULL;
}

static void forget(struct files_listing *listing)
{
        representation_unref(TAKE(listing->list));
}

int files_list(struct files *files, int fd, struct span rest, struct representation **ret_rep)
{
        struct representation *list = NULL;
        struct files_listing *listing;
        struct files_list_key key;
        uint64_t began = now_us();
        int r;

        if (!key_of(fd, rest, &key))
                return -errno;
        listing = find_listing(files, &key, began);
        if (!listing) {
                r = make_list(files, fd, rest, &list);
                if (r < 0)
                        return r;
                listing = &files->lists[files->next_list++ % FILES_LISTS];
                forget(listing);
                *listing = (struct files_listing){ .list = list, .key = key };
                listing->until_us = now_us();
                listing->until_us +=
                        MAX((uint64_t)LIST_FRESH_US, LIST_FRESH_TIMES * (listing->until_us - began));
        }
        *ret_rep = representation_ref(listing->list);
        return 0;
}

void files_lists_forget(struct files *files)
{
        for (size_t i = 0; i < FILES_LISTS; i++)
                forget(&files->lists[i]);
}
