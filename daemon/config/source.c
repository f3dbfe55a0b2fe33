/* SPDX-License-Identifier: BSD-2-Clause */
/* One text out of a file and its includes; see source.h. */
#include "config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/credential.h"
#include "base/sandbox.h"
#include "config/lexer.h"

enum { MAX_DEPTH = 10, MAX_TEXT = 64 << 20, READ_CHUNK = 16384 };

struct reading {
        struct source *source;
        struct report *report;
        unsigned depth;
        bool ended; /* nothing more is included: files that include each other would do so for ever */
        int error;  /* the first */
};

static void wipe_buf(struct buf *b)
{
        if (b->p)
                explicit_bzero(b->p, b->cap);
        buf_deinit(b);
}

/* Grows by copying, so that no unwiped remains of a secret stay behind as they would with realloc(). */
static int append_wiped(struct buf *b, const char *p, size_t n)
{
        if (b->cap - b->n < n + 1) {
                struct buf larger = { 0 };

                if (!buf_reserve(&larger, (b->n + n + 1) * 2))
                        return -ENOMEM;
                buf_append(&larger, b->p, b->n);
                wipe_buf(b);
                *b = larger;
        }
        buf_append(b, p, n);
        return buf_ok(b) ? 0 : -ENOMEM;
}

/* What is masked by a link to /dev/null is empty. */
static bool is_readable_kind(const struct stat *status)
{
        return S_ISREG(status->st_mode) || S_ISDIR(status->st_mode) ||
               (S_ISCHR(status->st_mode) && status->st_rdev == makedev(1, 3));
}

/*
 * An included file that is a FIFO would stop the daemon until somebody writes to it: -ENODEV. The first file may be a
 * pipe, as of a shell that makes it on the way.
 */
static int read_file(const char *file, bool included, struct buf *text)
{
        CLEANUP(closep) int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | (included ? O_NONBLOCK : 0));
        struct stat status;
        char chunk[READ_CHUNK];
        ssize_t n;
        int r = 0;

        if (fd < 0 || fstat(fd, &status) < 0)
                return -errno;
        if (included && !is_readable_kind(&status))
                return -ENODEV;
        while (r == 0 && (n = read(fd, chunk, sizeof(chunk))) != 0) {
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        r = -errno;
                else if (text->n + (size_t)n > MAX_TEXT)
                        r = -EFBIG;
                else
                        r = append_wiped(text, chunk, (size_t)n);
        }
        explicit_bzero(chunk, sizeof(chunk));
        return r;
}

/* The name is kept until the end, as origins point to it. */
static const char *keep_name(struct source *source, const char *file)
{
        char **v = reallocarray(source->files.v, source->files.n + 1, sizeof(*v));
        char *name = strdup(file);

        if (v)
                source->files.v = v;
        if (!v || !name) {
                free(name);
                return NULL;
        }
        return v[source->files.n++] = name;
}

static int set_line(struct source *source, size_t index, struct conf_origin at)
{
        if (index >= source->cap_lines) {
                size_t cap = MAX(source->cap_lines * 2, (size_t)64);
                struct conf_origin *lines = reallocarray(source->lines, cap, sizeof(*lines));

                if (!lines)
                        return -ENOMEM;
                source->lines = lines;
                source->cap_lines = cap;
        }
        source->lines[index] = at;
        source->n_lines = index + 1;
        return 0;
}

/* Appends text that begins at `*line` of the file; the line that the text ends in becomes `*line`. */
static int append_text(struct source *source, const char *p, size_t n, const char *file, unsigned *line)
{
        size_t index = source->n_lines ? source->n_lines - 1 : 0;
        int r = set_line(source, index, (struct conf_origin){ file, *line });

        for (size_t i = 0; r == 0 && i < n; i++)
                if (p[i] == '\n')
                        r = set_line(source, ++index, (struct conf_origin){ file, ++*line });
        return r == 0 ? append_wiped(&source->text, p, n) : r;
}

int source_append_lines(struct source *source, const char *p, size_t n, const struct conf_origin *lines)
{
        int r = source->n_lines ? append_wiped(&source->text, "\n", 1) : 0;

        if (r == 0)
                r = set_line(source, source->n_lines, *lines);
        for (size_t i = 0; r == 0 && i < n; i++)
                if (p[i] == '\n')
                        r = set_line(source, source->n_lines, *++lines);
        return r == 0 ? append_wiped(&source->text, p, n) : r;
}

int source_append(struct source *source, const char *text)
{
        struct conf_origin last = source->lines[source->n_lines - 1];
        int r = 0;

        for (const char *p = text; r == 0 && (p = strchr(p, '\n')); p++)
                r = set_line(source, source->n_lines, last);
        return r == 0 ? append_wiped(&source->text, text, strlen(text)) : r;
}

static void fail(struct reading *reading, struct conf_origin at, const char *key, const char *message, int r)
{
        report_add(reading->report, (unsigned)reading->source->n_lines, at, key, "%s", message);
        if (reading->error == 0)
                reading->error = r;
}

static int expand_file(struct reading *reading, const char *file, struct conf_origin from);

/* The pattern counts from the folder of the file that names it. */
static char *pattern_from(const char *file, struct span pattern)
{
        const char *slash = strrchr(file, '/');
        int folder = slash && pattern.p[0] != '/' ? (int)(slash - file + 1) : 0;
        char *text;

        return asprintf(&text, "%.*s%.*s", folder, file, (int)pattern.n, (const char *)pattern.p) < 0 ? NULL
                                                                                                      : text;
}

/* No folder, no files; but one that cannot be looked into may have rules of access in it. */
static int stop_at(const char *folder, int error)
{
        (void)folder;
        return error != ENOENT && error != ENOTDIR;
}

static int include_matches(struct reading *reading, const char *pattern, struct conf_origin at)
{
        glob_t found = { 0 };
        int r = glob(pattern, 0, stop_at, &found);
        const char *name = r == GLOB_ABORTED ? keep_name(reading->source, pattern) : NULL;

        if (name)
                fail(reading, at, name,
                     "leads into a folder that cannot be read, expected one that coapd can read", -EINVAL);
        r = r == GLOB_NOSPACE || (r == GLOB_ABORTED && !name) ? -ENOMEM : 0;
        for (size_t i = 0; r == 0 && i < found.gl_pathc; i++)
                r = expand_file(reading, found.gl_pathv[i], at);
        globfree(&found);
        return r;
}

static int include(struct reading *reading, struct span pattern, struct conf_origin at)
{
        CLEANUP(freep) char *name = strndup((const char *)pattern.p, pattern.n);
        CLEANUP(freep) char *path = NULL;
        int r = !name ? -ENOMEM : credential_is_named(name) ? credential_find(name, &path) : 0;

        if (r == 0)
                path = pattern_from(at.file, pattern);
        if (!path)
                return -ENOMEM;
        return strpbrk(path, "*?[") ? include_matches(reading, path, at) : expand_file(reading, path, at);
}

static int expand_text(struct reading *reading, const char *text, size_t n, const char *file)
{
        struct lexer lexer;
        const char *copied = text;
        unsigned line = 1;
        enum token token;
        int r = 0;

        lexer_init(&lexer, text, n);
        while (r == 0 && (token = lexer_next(&lexer)) != TOKEN_END) {
                if (token == TOKEN_BAD) {
                        fail(reading, (struct conf_origin){ file, lexer.line }, "syntax", lexer.problem,
                             -EINVAL);
                        break;
                }
                if (token != TOKEN_INCLUDE)
                        continue;
                r = append_text(reading->source, copied, (size_t)(lexer.directive - copied), file, &line);
                copied = lexer.p;
                if (r == 0)
                        r = include(reading, span_of(lexer.token, lexer.n),
                                    (struct conf_origin){ file, lexer.line });
        }
        if (r == 0)
                r = append_text(reading->source, copied, (size_t)(text + n - copied), file, &line);
        return r;
}

/* What some editors put in front of UTF-8. */
static void skip_mark(struct buf *text)
{
        if (text->n >= 3 && memcmp(text->p, "\xef\xbb\xbf", 3) == 0)
                memset(text->p, ' ', 3);
}

/* 0 after errors that were reported, too: the rest is worth reading. */
static int expand_file(struct reading *reading, const char *file, struct conf_origin from)
{
        CLEANUP(wipe_buf) struct buf text = { 0 };
        CLEANUP(freep) char *message = NULL;
        const char *name;
        int r;

        if (reading->ended)
                return 0;
        name = keep_name(reading->source, file);
        r = name ? read_file(file, from.line, &text) : -ENOMEM;
        if (r == -ENOMEM)
                return r;
        if (r == 0 && reading->source->text.n + text.n > MAX_TEXT)
                r = -EFBIG;
        reading->ended = r == -EFBIG || reading->depth >= MAX_DEPTH;
        if (reading->depth >= MAX_DEPTH) {
                fail(reading, from, "@include",
                     "nested too deep, expected at most 10 files within each other", -ELOOP);
                return 0;
        }
        if (r < 0) {
                if (asprintf(&message, "cannot be read (%s), expected a file of text%s",
                             r == -ENODEV ? "not a regular file" : strerror(-r),
                             sandbox_hint(file, -r)) < 0) {
                        message = NULL;
                        return -ENOMEM;
                }
                fail(reading, from.line ? from : (struct conf_origin){ name, 0 }, from.line ? name : "file",
                     message, from.line ? -EINVAL : r);
                return 0;
        }
        /* A comment at the end, without a newline, must not swallow what follows the @include. */
        if (from.line && text.n && text.p[text.n - 1] != '\n' && append_wiped(&text, "\n", 1) < 0)
                return -ENOMEM;
        reading->depth++;
        skip_mark(&text);
        r = expand_text(reading, text.p ? (const char *)text.p : "", text.n, name);
        reading->depth--;
        return r;
}

/* Beyond what glibc's malloc caches as it was freed (1032 bytes); with blanks, which no line number counts. */
static int enlarge(struct buf *text)
{
        enum { LARGE = 2048 };
        char blanks[LARGE];

        memset(blanks, ' ', sizeof(blanks));
        return text->n < LARGE ? append_wiped(text, blanks, LARGE - text->n) : 0;
}

int source_read(struct source *source, const char *file, struct report *report)
{
        struct reading reading = { .source = source, .report = report };
        int r = expand_file(&reading, file, (struct conf_origin){ file, 0 });

        if (r == 0 && reading.error == 0)
                r = source_arrange(source, report);
        if (r < 0)
                return r;
        if (enlarge(&source->text) < 0 || append_wiped(&source->text, "", 1) < 0)
                return -ENOMEM;
        source->text.n--;
        return reading.error == -ELOOP ? -EINVAL : reading.error;
}

struct conf_origin source_origin(const struct source *source, unsigned line)
{
        if (source->n_lines == 0)
                return (struct conf_origin){ source->files.n ? source->files.v[0] : "", 0 };
        return source->lines[MIN(MAX(line, 1u), (unsigned)source->n_lines) - 1];
}

void source_deinit(struct source *source)
{
        wipe_buf(&source->text);
        for (size_t i = 0; i < source->files.n; i++)
                free(source->files.v[i]);
        free(source->files.v);
        free(source->lines);
        *source = (struct source){ 0 };
}
