/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kind `files`: a folder of the machine, read only or writable. What the parts do is in files.h; here the
 * config's keys and the requests' methods.
 */
#include "resources/files.h"

#include <errno.h>
#include <fcntl.h>

#include "base/content_format.h"
#include "base/log.h"

enum { RETRY_AFTER_S = 30, IN_USE_RETRY_S = 2, BLOCKS_MOST = 1 << 20, BLOCK_MOST = 1024 };

struct files_conf {
        char *root;
        bool writable;
        bool listing;
        bool follow_symlinks;
        long long max_size;
};

static const struct conf_row rows[] = {
        {
                .key = "root",
                .type = CONF_STRING,
                .offset = offsetof(struct files_conf, root),
                .flags = CONF_REQUIRED | CONF_RELOAD | CONF_PATH,
                .doc = "The folder. Names that begin with a dot are not served. The content format of a file "
                       "is its "
                       "extended attribute user.mime_type, or what the name ends in tells, or "
                       "application/octet-stream.",
                .example = "\"/srv/coap\"",
        },
        {
                .key = "writable",
                .type = CONF_BOOL,
                .offset = offsetof(struct files_conf, writable),
                .fallback = "false",
                .flags = CONF_RELOAD,
                .doc = "Whether PUT writes files, with the folders that are missing, and DELETE deletes "
                       "files and "
                       "empty folders. The folder must be writable for coapd's user, and under systemd "
                       "ReadWritePaths= of the unit must name it.",
        },
        {
                .key = "listing",
                .type = CONF_BOOL,
                .offset = offsetof(struct files_conf, listing),
                .fallback = "true",
                .flags = CONF_RELOAD,
                .doc = "Whether a GET of a folder, which is named without a slash at its end, returns links "
                       "to "
                       "all that is in it (application/link-format), also to what the rules of access keep "
                       "from who asks.",
        },
        {
                .key = "follow_symlinks",
                .type = CONF_BOOL,
                .offset = offsetof(struct files_conf, follow_symlinks),
                .fallback = "false",
                .flags = CONF_RELOAD,
                .doc = "Whether symbolic links are followed, as long as they stay below the folder.",
        },
        {
                .key = "max_size",
                .type = CONF_INT,
                .offset = offsetof(struct files_conf, max_size),
                .fallback = "1048576",
                .min = 0,
                .max = 33554432,
                .unit = "bytes",
                .flags = CONF_RELOAD,
                .doc = "The largest file that a client may write. It is in memory until it is complete.",
        },
};

static const char *files_check(const void *fields, const void **ret_member)
{
        const struct files_conf *own = fields;
        struct stat status;

        *ret_member = &own->root;
        if (!own->root)
                return NULL;
        if (stat(own->root, &status) < 0)
                return errno == ENOENT ? "does not exist, expected a folder"
                                       : "cannot be reached, expected a folder";
        if (!S_ISDIR(status.st_mode))
                return "is not a folder, expected one";
        if (faccessat(AT_FDCWD, own->root, R_OK | X_OK, AT_EACCESS) < 0)
                return "may not be read by this user, expected a folder that coapd can read";
        if (!own->writable || faccessat(AT_FDCWD, own->root, W_OK, AT_EACCESS) == 0)
                return NULL;
        return errno == EROFS
                       ? "is read-only for this process, expected ReadWritePaths= of the unit to name it "
                         "(systemctl edit coapd)"
                       : "may not be written by this user, expected a folder that coapd can write";
}

static void files_destroy(void *self)
{
        struct files *files = self;

        files_watch_free(files);
        files_lists_forget(files);
        close(files->root);
        free(files);
}

static int files_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        const struct files_conf *own = conf->fields;
        struct files *files = calloc(1, sizeof *files);

        if (!files)
                return -ENOMEM;
        *files = (struct files){
                .resource = resource,
                .root = open(own->root, O_PATH | O_DIRECTORY | O_CLOEXEC),
                .writable = own->writable,
                .listing = own->listing,
                .follow_symlinks = own->follow_symlinks,
                .max_size = (size_t)own->max_size,
        };
        if (files->root < 0) {
                int r = -errno;

                log_error("%s:%u: %s: %s", conf->at.file, conf->at.line, own->root, strerror(-r));
                free(files);
                return r;
        }
        *ret_self = files;
        return 0;
}

/* --- requests --- */

static void refuse(const struct files *files, const char *path, int r, struct response *response)
{
        switch (-r) {
        case ENOENT:
        case ENOTDIR:
        case ENAMETOOLONG:
        case ELOOP: /* a symbolic link */
        case EXDEV: /* one that leads out of the root */
        case ENXIO: /* a socket */
                response_error(response, CODE_NOT_FOUND, "there is no such file");
                return;
        case EISDIR:
                response_error(response, CODE_METHOD_NOT_ALLOWED, "this is a folder");
                return;
        case ENOTEMPTY:
                response_error(response, CODE_CONFLICT, "the folder is not empty");
                return;
        case ENOTSUP:
                response_error(response, CODE_UNSUPPORTED_FORMAT,
                               "the name tells another content format, and none can "
                               "be kept beside it");
                return;
        case EACCES:
        case EPERM:
        case EROFS:
                response_error(response, CODE_FORBIDDEN, "the file's permissions do not allow this");
                return;
        case ENOSPC:
        case EDQUOT:
                response_error(response, CODE_UNAVAILABLE, "the disk is full; nothing was changed");
                response->max_age = RETRY_AFTER_S;
                break;
        case EAGAIN:
                response_error(response, CODE_UNAVAILABLE, "another program uses the file");
                response->max_age = IN_USE_RETRY_S;
                return;
        case ENOMEM:
        case EMFILE:
        case ENFILE:
                response_error(response, CODE_UNAVAILABLE, "out of memory or descriptors");
                break;
        default:
                response_error(response, CODE_INTERNAL_ERROR, "the file cannot be used");
                break;
        }
        /* Whoever may read can ask for a file that cannot be read as often as it likes. */
        LOG_RARELY(LOG_WARNING,
                   (&(struct log_fields){ .resource = resource_path(files->resource), .file = path }),
                   "resource %s: %s: %s", resource_path(files->resource), LOG_ESCAPE(span_of_string(path)),
                   strerror(-r));
}

/* A folder has one name, to which the rules of access are: the one without a slash at its end. */
static bool ends_in_slash(const struct request *request)
{
        struct span path = request->path;

        return request->rest.n == 0 && path.n > 0 && path.p[path.n - 1] == '/';
}

/* The path at files->root; else the response says that there is nothing. */
static bool find(const struct files *files, const struct request *request, char path[PATH_MAX],
                 struct response *response)
{
        int r = ends_in_slash(request) ? -ENOENT : files_path(request->rest, path);

        if (r < 0)
                refuse(files, "", r, response);
        return r == 0;
}

static void files_handle_get(void *self, const struct request *request, struct response *response)
{
        struct files *files = self;
        char path[PATH_MAX];
        int r;

        if (!find(files, request, path, response))
                return;
        r = files_get(files, path, request->rest, &response->content);
        if (r < 0) {
                refuse(files, path, r, response);
                return;
        }
        if (response->content->size > (uint64_t)BLOCKS_MOST * BLOCK_MOST) {
                response_error(response, CODE_NOT_IMPLEMENTED, "a body of CoAP is at most 1 GiB");
                return;
        }
        response->code = CODE_CONTENT;
}

static bool may_write(const struct files *files, const struct request *request, char path[PATH_MAX],
                      struct response *response)
{
        if (!files->writable)
                response_error(response, CODE_METHOD_NOT_ALLOWED, "these files are read only");
        else if (request->rest.n == 0)
                response_error(response, CODE_METHOD_NOT_ALLOWED, "this is the folder of all files");
        else
                return find(files, request, path, response);
        return false;
}

static bool files_has_below(void *self, struct span rest)
{
        struct files *files = self;
        const char *name = NULL;
        char path[PATH_MAX];
        struct stat status;

        /* What cannot be written is not made either: the answer says why. */
        if (!files->writable || rest.n == 0 || files_path(rest, path) < 0)
                return true;
        CLEANUP(closep) int folder = files_open_parent(files, path, NULL, &name);
        return folder >= 0 ? fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 : folder != -ENOENT;
}

static bool files_is_writable(const void *fields)
{
        return ((const struct files_conf *)fields)->writable;
}

static void files_handle_put(void *self, const struct request *request, struct response *response)
{
        struct files *files = self;
        char path[PATH_MAX];
        int r;

        if (!may_write(files, request, path, response))
                return;
        r = files_write(files, path, request->body, request->content_format);
        if (r < 0) {
                refuse(files, path, r, response);
                return;
        }
        response->code = r ? CODE_CREATED : CODE_CHANGED;
        files_lists_forget(files);
        files_get(files, path, request->rest, &response->content); /* for its ETag */
}

static void files_handle_delete(void *self, const struct request *request, struct response *response)
{
        struct files *files = self;
        char path[PATH_MAX];
        int r;

        if (!may_write(files, request, path, response))
                return;
        r = files_delete(files, path);
        files_lists_forget(files);
        if (r < 0 && r != -ENOENT)
                refuse(files, path, r, response);
        else
                response->code = CODE_DELETED;
}

static void files_observed(void *self)
{
        files_watch(self, (struct span){ 0 });
}

static int files_observe_below(void *self, struct span rest)
{
        return rest.n == 0 ? -ENOENT /* see ends_in_slash() */ : files_watch(self, rest);
}

static void files_wake(void *self, uint64_t now_us)
{
        (void)now_us;
        files_watch_wake(self);
}

static size_t files_formats(void *self, int formats[], size_t max)
{
        const struct files *files = self;

        (void)max;
        formats[0] = CONTENT_FORMAT_LINK_FORMAT;
        return files->listing;
}

static size_t files_max_body(void *self)
{
        const struct files *files = self;

        return files->max_size;
}

const struct kind kind_files = {
        .name = "files",
        .doc = "A folder of this machine, with all that is in it. Files are read piece by piece as they are sent, and "
               "observers of a file or a folder are told when it changes on the disk.",
        .rows = rows,
        .n_rows = ARRAY_LEN(rows),
        .conf_size = sizeof(struct files_conf),
        .flags = KIND_SUBTREE | KIND_FLEETING, /* its listings */
        .check = files_check,
        .create = files_create,
        .destroy = files_destroy,
        .handle = {
                [METHOD_GET] = files_handle_get,
                [METHOD_PUT] = files_handle_put,
                [METHOD_DELETE] = files_handle_delete,
        },
        .has_below = files_has_below,
        .is_writable = files_is_writable,
        .observed = files_observed,
        .observe_below = files_observe_below,
        .wake = files_wake,
        .formats = files_formats,
        .max_body = files_max_body,
};
