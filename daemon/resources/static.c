/* SPDX-License-Identifier: BSD-2-Clause */
/* The kind `static`: content that stands in the config, or in a file that is read at start and at reload. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/content_format.h"
#include "base/log.h"
#include "resources/kind.h"

/* Kept in memory. */
enum { MAX_FILE = 16 * 1024 * 1024 };

struct static_conf {
        char *content;
        char *file;
        char *content_format;
};

static const char *check_content_format(const char *value)
{
        return content_format_by_name(span_of_string(value)) >= 0 ? NULL
                                                                  : "a content format such as \"text/plain\"";
}

static const struct conf_row rows[] = {
        {
                .key = "content",
                .type = CONF_STRING,
                .offset = offsetof(struct static_conf, content),
                .flags = CONF_RELOAD | CONF_EMPTY_OK,
                .doc = "What a GET returns. Either this or the key file is needed.",
                .example = "\"hello\"",
        },
        {
                .key = "file",
                .type = CONF_STRING,
                .offset = offsetof(struct static_conf, file),
                .flags = CONF_RELOAD | CONF_PATH,
                .doc = "The file that a GET returns, of at most 16 MiB. It is read at start and at reload.",
                .example = "\"/usr/share/coapd/motd.txt\"",
        },
        {
                .key = "content_format",
                .type = CONF_STRING,
                .offset = offsetof(struct static_conf, content_format),
                .flags = CONF_RELOAD,
                .check = check_content_format,
                .doc = "Its content format, by the name or the number that IANA registered. Without it the "
                       "name of "
                       "the file tells, and content is text/plain.",
                .example = "\"application/json\"",
        },
};

static const char *static_check(const void *fields, const void **ret_member)
{
        const struct static_conf *own = fields;
        struct stat status;

        if (!own->content == !own->file)
                return own->file ? "has both content and file, expected exactly one of them"
                                 : "has neither content nor file, expected exactly one of them";
        if (!own->file)
                return NULL;
        *ret_member = &own->file;
        if (stat(own->file, &status) < 0)
                return errno == ENOENT ? "does not exist, expected a file"
                                       : "can not be reached, expected a file";
        if (!S_ISREG(status.st_mode))
                return "is not a regular file, expected one";
        if (status.st_size > MAX_FILE)
                return "is too large to keep in memory, expected at most 16 MiB; kind = \"files\" serves "
                       "larger ones";
        return access(own->file, R_OK) < 0
                       ? "may not be read by this user, expected a file that coapd can read"
                       : NULL;
}

/* Grown under our hands it is cut at the limit, and looks changed at the next reload. */
static int read_file(const char *file, struct buf *out)
{
        enum { PIECE = 65536 };
        CLEANUP(closep) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0)
                return -errno;
        while (out->n < MAX_FILE) {
                uint8_t *room = buf_reserve(out, PIECE);
                ssize_t n = room ? read(fd, room, PIECE) : -1;

                if (!room)
                        return -ENOMEM;
                if (n < 0 && errno != EINTR)
                        return -errno;
                if (n == 0)
                        return 0;
                out->n += n > 0 ? (size_t)n : 0;
        }
        return 0;
}

static int format_of(const struct static_conf *own)
{
        int format;

        if (own->content_format)
                return content_format_by_name(span_of_string(own->content_format));
        format = own->file ? content_format_by_extension(own->file) : CONTENT_FORMAT_TEXT;
        return format >= 0 ? format : CONTENT_FORMAT_OCTET_STREAM;
}

static int static_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        const struct static_conf *own = conf->fields;
        CLEANUP(buf_deinit) struct buf content = { 0 };
        struct representation *rep;
        int r = own->file ? read_file(own->file, &content) : 0;

        (void)resource;
        if (r < 0) {
                log_error("%s:%u: %s: %s", conf->at.file, conf->at.line, own->file, strerror(-r));
                return r;
        }
        rep = representation_new(own->file ? buf_span(&content) : span_of_string(own->content),
                                 format_of(own));
        if (!rep)
                return -ENOMEM;
        *ret_self = rep;
        return 0;
}

static void static_destroy(void *self)
{
        representation_unref(self);
}

static void static_get(void *self, const struct request *request, struct response *response)
{
        (void)request;
        response->code = CODE_CONTENT;
        response->content = representation_ref(self);
}

static size_t static_formats(void *self, int formats[], size_t max)
{
        const struct representation *rep = self;

        (void)max;
        formats[0] = rep->content_format;
        return 1;
}

static uint64_t static_size(void *self)
{
        const struct representation *rep = self;

        return rep->size;
}

const struct kind kind_static = {
        .name = "static",
        .doc = "Content that stands in the config or in a file. Observers are told when a reload changes it.",
        .rows = rows,
        .n_rows = ARRAY_LEN(rows),
        .conf_size = sizeof(struct static_conf),
        .check = static_check,
        .create = static_create,
        .destroy = static_destroy,
        .handle = { [METHOD_GET] = static_get },
        .formats = static_formats,
        .size = static_size,
};
