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

/* Each is a list for resources that are there in several formats. */
struct static_conf {
        struct conf_strings content;
        struct conf_strings file;
        struct conf_strings content_format;
};

enum { MAX_FORMS = 8 };

/* Content in its formats; the first is for who asks for none. */
struct forms {
        size_t n;
        struct representation *v[MAX_FORMS];
};

static const struct conf_row rows[] = {
        {
                .key = "content",
                .type = CONF_STRINGS,
                .offset = offsetof(struct static_conf, content),
                .flags = CONF_RELOAD | CONF_EMPTY_OK,
                .doc = "What a GET returns. Either this or the key file is needed. Several are one content "
                       "in as many "
                       "formats, of which a client chooses with Accept; who asks for none gets the first.",
                .example = "\"hello\"",
        },
        {
                .key = "file",
                .type = CONF_STRINGS,
                .offset = offsetof(struct static_conf, file),
                .flags = CONF_RELOAD | CONF_PATH,
                .doc = "The file that a GET returns, of at most 16 MiB. It is read at start and at reload. "
                       "Several are one "
                       "content in as many formats, as with content.",
                .example = "\"/usr/share/coapd/motd.txt\"",
        },
        {
                .key = "content_format",
                .type = CONF_STRINGS,
                .offset = offsetof(struct static_conf, content_format),
                .flags = CONF_RELOAD,
                .check = content_format_check,
                .doc = "Its content format, by the name or the number that IANA registered; of several one "
                       "for each. "
                       "Without it the name of the file tells, and content is text/plain.",
                .example = "\"application/json\"",
        },
};

static const char *check_file(const char *file)
{
        struct stat status;

        if (stat(file, &status) < 0)
                return errno == ENOENT ? "does not exist, expected a file"
                                       : "cannot be reached, expected a file";
        if (!S_ISREG(status.st_mode))
                return "is not a regular file, expected one";
        if (status.st_size > MAX_FILE)
                return "is too large to keep in memory, expected at most 16 MiB; kind = \"files\" serves "
                       "larger ones";
        return access(file, R_OK) < 0 ? "may not be read by this user, expected a file that coapd can read"
                                      : NULL;
}

static int format_of(const struct static_conf *own, size_t i)
{
        int format;

        if (own->content_format.n > i)
                return content_format_by_name(span_of_string(own->content_format.v[i]));
        format = own->file.n ? content_format_by_extension(own->file.v[i]) : CONTENT_FORMAT_TEXT;
        return format >= 0 ? format : CONTENT_FORMAT_OCTET_STREAM;
}

static const char *check_formats(const struct static_conf *own, size_t n)
{
        if (own->content_format.n && own->content_format.n != n)
                return "does not have as many content formats as contents, expected one for each";
        for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < i; j++)
                        if (format_of(own, i) == format_of(own, j))
                                return "has one content format twice, expected another one for each content";
        return NULL;
}

static const char *static_check(const void *fields, const void **ret_member)
{
        const struct static_conf *own = fields;
        size_t n = own->content.n + own->file.n;

        if (!own->content.n == !own->file.n)
                return own->file.n ? "has both content and file, expected exactly one of them"
                                   : "has neither content nor file, expected exactly one of them";
        *ret_member = own->file.n ? &own->file : &own->content;
        if (n > MAX_FORMS)
                return "has more than 8 contents, expected fewer";
        for (size_t i = 0; i < own->file.n; i++) {
                const char *wrong = check_file(own->file.v[i]);

                if (wrong)
                        return wrong;
        }
        if (own->content_format.n)
                *ret_member = &own->content_format;
        return check_formats(own, n);
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

static void static_destroy(void *self)
{
        struct forms *forms = self;

        for (size_t i = 0; i < forms->n; i++)
                representation_unref(forms->v[i]);
        free(forms);
}

static int add_form(const struct conf_resource *conf, size_t i, struct forms *forms)
{
        const struct static_conf *own = conf->fields;
        CLEANUP(buf_deinit) struct buf content = { 0 };
        const char *file = own->file.n ? own->file.v[i] : NULL;
        int r = file ? read_file(file, &content) : 0;

        if (r < 0) {
                log_error("%s:%u: %s: %s", conf->at.file, conf->at.line, file, strerror(-r));
                return r;
        }
        forms->v[i] = representation_new(file ? buf_span(&content) : span_of_string(own->content.v[i]),
                                         format_of(own, i));
        if (!forms->v[i])
                return -ENOMEM;
        forms->n++;
        return 0;
}

static int static_create(struct resource *resource, const struct conf_resource *conf, void **ret_self)
{
        const struct static_conf *own = conf->fields;
        struct forms *forms = calloc(1, sizeof *forms);
        int r = forms ? 0 : -ENOMEM;

        (void)resource;
        for (size_t i = 0; r == 0 && i < own->content.n + own->file.n; i++)
                r = add_form(conf, i, forms);
        if (r < 0) {
                if (forms)
                        static_destroy(forms);
                return r;
        }
        *ret_self = forms;
        return 0;
}

static void static_get(void *self, const struct request *request, struct response *response)
{
        const struct forms *forms = self;
        size_t i = 0;

        /* Where there is one alone the registry says what is wrong with another Accept. */
        while (forms->n > 1 && i < forms->n && request->accept >= 0 &&
               request->accept != forms->v[i]->content_format)
                i++;
        if (i == forms->n) {
                response_error(response, CODE_NOT_ACCEPTABLE, "none of its %zu content formats is this one",
                               i);
                return;
        }
        response->code = CODE_CONTENT;
        response->content = representation_ref(forms->v[i]);
}

/* Ascending. */
static size_t static_formats(void *self, int formats[], size_t max)
{
        const struct forms *forms = self;
        size_t n = 0;

        for (size_t i = 0; i < MIN(forms->n, max); i++) {
                size_t at = n++;

                for (; at > 0 && formats[at - 1] > forms->v[i]->content_format; at--)
                        formats[at] = formats[at - 1];
                formats[at] = forms->v[i]->content_format;
        }
        return n;
}

/* The largest. */
static uint64_t static_size(void *self)
{
        const struct forms *forms = self;
        uint64_t size = 0;

        for (size_t i = 0; i < forms->n; i++)
                size = MAX(size, forms->v[i]->size);
        return size;
}

const struct kind kind_static = {
        .name = "static",
        .doc = "Content that stands in the config or in a file, in one format or in several. Observers are "
               "told when a "
               "reload changes it.",
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
