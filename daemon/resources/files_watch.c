/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Observation of files, through inotify. A watch is on each folder from the root down to what is observed, since
 * a file that is replaced is another file. What happened is settled a moment later, by comparing ETags: an editor
 * that deletes and writes anew has changed the file, and a program that appends has done so once in a while.
 *
 * Where links are followed, the folders on the way through them are watched as well, and whatever happens in a folder
 * that is watched may have changed what is behind a link.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <time.h>

#include "base/log.h"
#include "resources/files.h"

enum {
        SOON_US = 10 * 1000,   /* whole: a rename, or closed after writing */
        LATER_US = 300 * 1000, /* maybe in the middle of something */
        MASK_WHOLE = IN_CLOSE_WRITE | IN_MOVED_TO,
        MASK_MIDDLE = IN_CREATE | IN_MODIFY | IN_ATTRIB | IN_DELETE | IN_MOVED_FROM,
        MASK_FOLDER = IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT | IN_Q_OVERFLOW,
};

struct files_watched {
        struct files_watched *next;
        struct buf rest; /* as in requests */
        struct etag seen;
        bool dirty;
        bool linked; /* there is a link on its way */
        char path[];
};

struct files_folder {
        struct files_folder *next;
        struct files *files;
        sd_event_source *source;
        char path[];
};

/* Whether `path` is `above` or below it. */
static bool lies_below(const char *path, const char *above)
{
        size_t n = strlen(above);

        return strcmp(above, ".") == 0 ||
               (strncmp(path, above, n) == 0 && (path[n] == '\0' || path[n] == '/'));
}

static void wake_within(struct files *files, uint64_t delay_us)
{
        struct timespec now;
        uint64_t at;

        clock_gettime(CLOCK_REALTIME, &now);
        at = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000 + delay_us;
        if (files->wake_us && files->wake_us <= at && at - files->wake_us <= LATER_US)
                return;
        if (resource_wake_at(files->resource, at) == 0)
                files->wake_us = at;
}

/* The way to what is observed may be another one now. */
static bool is_new_link(const struct files *files, const char *path, const struct inotify_event *event)
{
        char target;

        return files->follow_symlinks && event->mask & (IN_CREATE | IN_MOVED_TO) &&
               readlinkat(files->root, path, &target, sizeof target) >= 0;
}

static void mark(struct files *files, const struct files_folder *folder, const struct inotify_event *event)
{
        char path[PATH_MAX];
        bool touched = false;
        size_t n = 0;

        if (strcmp(folder->path, ".") != 0)
                n = (size_t)snprintf(path, sizeof path, "%s/", folder->path);
        snprintf(path + n, sizeof path - n, "%s", event->len ? event->name : "");
        for (struct files_watched *w = files->watched; w; w = w->next) {
                bool whole_folder = event->mask & MASK_FOLDER || event->len == 0;
                const char *above = whole_folder ? folder->path : path;

                if (!w->linked && !lies_below(w->path, above) && strcmp(w->path, folder->path) != 0)
                        continue;
                w->dirty = touched = true;
        }
        if (!touched)
                return;
        if (event->mask & (IN_ISDIR | MASK_FOLDER) || is_new_link(files, path, event))
                files->rebuild = true;
        wake_within(files, event->mask & MASK_WHOLE ? SOON_US : LATER_US);
}

static int on_event(sd_event_source *source, const struct inotify_event *event, void *user)
{
        struct files_folder *folder = user;

        (void)source;
        mark(folder->files, folder, event);
        return 0;
}

/* --- folders --- */

static void folder_free(struct files_folder *folder)
{
        sd_event_source_disable_unref(folder->source);
        free(folder);
}

static void drop_folders(struct files *files)
{
        struct files_folder *next;

        for (struct files_folder *folder = files->folders; folder; folder = next) {
                next = folder->next;
                folder_free(folder);
        }
        files->folders = NULL;
}

static int watch_folder(struct files *files, const char *path)
{
        CLEANUP(closep) int fd = -1;
        struct files_folder *folder;
        size_t n = strlen(path);
        int r;

        for (folder = files->folders; folder; folder = folder->next)
                if (strcmp(folder->path, path) == 0)
                        return 0;
        fd = files_open(files, path, O_RDONLY | O_DIRECTORY, 0);
        if (fd < 0)
                return fd;
        folder = calloc(1, sizeof *folder + n + 1);
        if (!folder)
                return -ENOMEM;
        folder->files = files;
        memcpy(folder->path, path, n + 1);
        r = sd_event_add_inotify_fd(resource_event(files->resource), &folder->source, fd,
                                    MASK_WHOLE | MASK_MIDDLE | IN_DELETE_SELF | IN_MOVE_SELF | IN_EXCL_UNLINK,
                                    on_event, folder);
        if (r < 0) {
                free(folder);
                return r;
        }
        folder->next = files->folders;
        files->folders = folder;
        return 0;
}

/* On a way from the root: what of it is done, without links, and what is left. */
struct way {
        struct files *files;
        char done[PATH_MAX], left[PATH_MAX];
        unsigned links;
};

static int go_up(struct way *way)
{
        char *slash = strrchr(way->done, '/');

        if (slash)
                *slash = '\0';
        else if (strcmp(way->done, ".") == 0)
                return -EXDEV;
        else
                memcpy(way->done, ".", 2);
        return 0;
}

static int go_down(struct way *way, size_t n)
{
        enum { MOST_LINKS = 40 }; /* as in path_resolution(7) */
        bool at_root = strcmp(way->done, ".") == 0;
        char next[PATH_MAX], target[PATH_MAX];
        ssize_t length;

        if (snprintf(next, sizeof next, "%s%s%.*s", at_root ? "" : way->done, at_root ? "" : "/", (int)n,
                     way->left) >= (int)sizeof next)
                return -ENAMETOOLONG;
        length = readlinkat(way->files->root, next, target, sizeof target);
        if (length < 0) {
                memcpy(way->done, next, strlen(next) + 1);
                memmove(way->left, way->left + n, strlen(way->left + n) + 1);
                return 0;
        }
        if (++way->links > MOST_LINKS || target[0] == '/')
                return -ELOOP;
        if (snprintf(next, sizeof next, "%.*s%s", (int)length, target, way->left + n) >= (int)sizeof next)
                return -ENAMETOOLONG;
        memcpy(way->left, next, strlen(next) + 1);
        return 0;
}

static int go_on(struct way *way)
{
        size_t slashes = strspn(way->left, "/"), n;

        memmove(way->left, way->left + slashes, strlen(way->left + slashes) + 1);
        n = strcspn(way->left, "/");
        if (n > 2 || strncmp(way->left, "..", n) != 0)
                return go_down(way, n);
        memmove(way->left, way->left + n, strlen(way->left + n) + 1);
        return n == 2 ? go_up(way) : 0;
}

/* From the root down to it, and itself where it is a folder. Where there is nothing, settle() will find that. */
static int watch_folders(struct files *files, struct files_watched *w)
{
        struct way way = { .files = files, .done = "." };
        int r = watch_folder(files, way.done);

        snprintf(way.left, sizeof way.left, "%s", w->path);
        while (r == 0 && way.left[0] && go_on(&way) == 0) {
                r = watch_folder(files, way.done);
                if (r == -ENOTDIR || r == -ENOENT)
                        r = 0;
        }
        w->linked = way.links > 0;
        return r;
}

/* --- what is observed --- */

static int etag_now(struct files *files, const struct files_watched *w, struct etag *ret_etag)
{
        CLEANUP(representation_unrefp) struct representation *rep = NULL;
        int r = files_get(files, w->path, buf_span(&w->rest), &rep);

        if (r == 0)
                *ret_etag = rep->etag;
        return r;
}

static void watched_free(struct files_watched *w)
{
        buf_deinit(&w->rest);
        free(w);
}

int files_watch(struct files *files, struct span rest)
{
        struct files_watched *w;
        char path[PATH_MAX];
        size_t n;
        int r = files_path(rest, path);

        if (r < 0)
                return r;
        for (w = files->watched; w; w = w->next)
                if (span_equal(buf_span(&w->rest), rest))
                        return 0;
        n = strlen(path);
        w = calloc(1, sizeof *w + n + 1);
        if (!w)
                return -ENOMEM;
        memcpy(w->path, path, n + 1);
        buf_append_span(&w->rest, rest);
        /* First the watch, then the look: so nothing is missed between them. */
        r = buf_ok(&w->rest) ? watch_folders(files, w) : -ENOMEM;
        if (r == 0)
                r = etag_now(files, w, &w->seen);
        if (r < 0) {
                static struct log_gate gate = { .burst = 1, .interval_s = 600 };

                if (r == -ENOSPC || r == -EMFILE)
                        log_gated(&gate, LOG_WARNING, NULL,
                                  "resource %s: cannot watch more files, they are not observable (see "
                                  "/proc/sys/fs/inotify)",
                                  resource_path(files->resource));
                watched_free(w);
                return r;
        }
        w->next = files->watched;
        files->watched = w;
        return 0;
}

/* Tells of a change. Returns whether somebody observes it still. */
static bool settle(struct files *files, struct files_watched *w)
{
        struct span rest = buf_span(&w->rest);
        struct etag now;
        int r = etag_now(files, w, &now);

        if (r == -EAGAIN) { /* another program uses it, and is asked to let go of it */
                w->dirty = true;
                wake_within(files, LATER_US);
                return true;
        }
        if (r < 0) {
                if (rest.n == 0)
                        resource_changed(files->resource); /* which answers an error, and that ends it */
                else
                        resource_below_gone(files->resource, rest);
                return false;
        }
        if (etag_equal(&now, &w->seen))
                return true;
        w->seen = now;
        return rest.n == 0 ? resource_changed(files->resource)
                           : resource_below_changed(files->resource, rest);
}

/* Watches anew, and looks at everything after that: what happened in between told nobody. */
static void rebuild(struct files *files)
{
        drop_folders(files);
        for (struct files_watched *w = files->watched; w; w = w->next) {
                w->dirty = true;
                watch_folders(files, w);
        }
}

static bool is_needed(const struct files *files, const struct files_folder *folder)
{
        for (const struct files_watched *w = files->watched; w; w = w->next)
                if (lies_below(w->path, folder->path))
                        return true;
        return false;
}

static bool any_is_linked(const struct files *files)
{
        const struct files_watched *w = files->watched;

        while (w && !w->linked)
                w = w->next;
        return w;
}

static void drop_unneeded_folders(struct files *files)
{
        struct files_folder **link = &files->folders;

        for (struct files_folder *folder = *link; folder; folder = *link) {
                if (is_needed(files, folder)) {
                        link = &folder->next;
                        continue;
                }
                *link = folder->next;
                folder_free(folder);
        }
}

void files_watch_wake(struct files *files)
{
        struct files_watched **link = &files->watched;
        bool dropped = false;

        files->wake_us = 0;
        files_lists_forget(files);
        if (files->rebuild)
                rebuild(files);
        files->rebuild = false;
        for (struct files_watched *w = *link; w; w = *link) {
                bool stays = !w->dirty;

                w->dirty = false;
                if (stays || settle(files, w)) {
                        link = &w->next;
                        continue;
                }
                *link = w->next;
                watched_free(w);
                dropped = true;
        }
        if (dropped && !any_is_linked(files)) {
                drop_unneeded_folders(files);
        } else if (dropped) {
                files->rebuild = true;
                wake_within(files, LATER_US);
        }
}

void files_watch_free(struct files *files)
{
        struct files_watched *next;

        drop_folders(files);
        for (struct files_watched *w = files->watched; w; w = next) {
                next = w->next;
                watched_free(w);
        }
        files->watched = NULL;
}
