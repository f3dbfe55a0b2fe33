/* SPDX-License-Identifier: BSD-2-Clause */
/* See config_fixture.h. */
#include "config_fixture.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/util.h"

static char folder[64];
static struct buf errors;

static const char *check_format(const char *value)
{
        return strchr(value, '/') ? NULL : "a content format such as \"text/plain\"";
}

static const char *check_access_path(const char *value)
{
        return *value == '/' ? NULL : "a path with a slash in front";
}

static const char *check_access_method(const char *value)
{
        return *value == 'G' || *value == 'O' ? NULL : "GET or OBSERVE";
}

static const char *check_access_subject(const char *value)
{
        return strchr(value, ':') || *value == 'a' ? NULL : "anyone or KIND:NAME";
}

static const struct conf_row static_rows[] = {
        { .key = "content",
          .type = CONF_STRING,
          .offset = offsetof(struct static_fields, content),
          .flags = CONF_REQUIRED | CONF_EMPTY_OK | CONF_RELOAD,
          .doc = "What a GET returns.",
          .example = "\"hello\"" },
        { .key = "content_format",
          .type = CONF_STRING,
          .offset = offsetof(struct static_fields, content_format),
          .fallback = "\"text/plain\"",
          .check = check_format,
          .doc = "Its format." },
        { .key = "limit",
          .type = CONF_INT,
          .offset = offsetof(struct static_fields, limit),
          .fallback = "7",
          .min = -9,
          .max = 9,
          .doc = "A number." },
};

static const struct conf_row files_rows[] = {
        { .key = "root",
          .type = CONF_STRING,
          .offset = offsetof(struct files_fields, root),
          .flags = CONF_REQUIRED | CONF_PATH,
          .doc = "A folder.",
          .example = "\"/srv/coap\"" },
};

static const struct conf_variant kinds[] = {
        { .name = "time", .doc = "The clock." },
        { .name = "static",
          .rows = static_rows,
          .n_rows = ARRAY_LEN(static_rows),
          .size = sizeof(struct static_fields),
          .doc = "Content that stands in the config." },
        { .name = "files",
          .rows = files_rows,
          .n_rows = ARRAY_LEN(files_rows),
          .size = sizeof(struct files_fields),
          .doc = "A folder of files." },
};

static const char *const engines[] = { "sqlite", "libcoap", NULL };

const struct conf_vocabulary fixture_vocabulary = {
        .kinds = kinds,
        .n_kinds = ARRAY_LEN(kinds),
        .engines = engines,
        .check_access_path = check_access_path,
        .check_access_method = check_access_method,
        .check_access_subject = check_access_subject,
};

const char *fixture_path(const char *name)
{
        static char paths[4][256];
        static unsigned next;
        char *path = paths[next++ % ARRAY_LEN(paths)];

        snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
        return path;
}

void fixture_write(const char *name, const char *text, unsigned mode)
{
        const char *path = fixture_path(name);
        const char *slash = strrchr(name, '/');
        FILE *file;

        if (slash) {
                char parent[256];

                snprintf(parent, sizeof(parent), "%s/%.*s", folder, (int)(slash - name), name);
                assert_true(mkdir(parent, 0755) == 0 || errno == EEXIST);
        }
        unlink(path);
        file = fopen(path, "w");
        assert_non_null(file);
        assert_true(fputs(text, file) >= 0);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(chmod(path, mode), 0);
}

int fixture_setup(void **state)
{
        char long_key[80] = { 0 };

        (void)state;
        snprintf(folder, sizeof(folder), "/tmp/coapd-config-XXXXXX");
        assert_non_null(mkdtemp(folder));
        memset(long_key, 'k', 65);
        fixture_write("good.key", "secret of sensor-1\n", 0640);
        fixture_write("open.key", "secret\n", 0644);
        fixture_write("dir-like.key", "secret\n", 0601);
        fixture_write("empty.key", "", 0600);
        fixture_write("newline.key", "\n", 0600);
        fixture_write("long.key", long_key, 0600);
        fixture_write("good.hex", "0102030405060708090a0b0c0d0e0f10\n", 0600);
        fixture_write("bad.hex", "01020304050607ff0g\n", 0600);
        fixture_write("cert.pem", "-----BEGIN CERTIFICATE-----\n", 0644);
        assert_int_equal(mkdir(fixture_path("folder"), 0755), 0);
        return 0;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
        (void)status;
        (void)flag;
        (void)ftw;
        return remove(path);
}

int fixture_teardown(void **state)
{
        (void)state;
        buf_deinit(&errors);
        return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Every `from` in `text` becomes `to`. */
static void replace(struct buf *out, const char *text, const char *from, const char *to)
{
        const char *found;

        for (; (found = strstr(text, from)); text = found + strlen(from)) {
                buf_append(out, text, (size_t)(found - text));
                buf_append_string(out, to);
        }
        buf_append_string(out, text);
}

int fixture_load(const char *text, struct config **ret_config)
{
        CLEANUP(buf_deinit) struct buf full = { 0 };
        char with_slash[80];
        char *written = NULL;
        size_t size;
        FILE *stream = open_memstream(&written, &size);
        int r;

        assert_non_null(stream);
        snprintf(with_slash, sizeof(with_slash), "%s/", folder);
        replace(&full, text, "@/", with_slash);
        fixture_write("c", buf_string(&full), 0600);
        r = config_load(fixture_path("c"), &fixture_vocabulary, stream, ret_config);
        fclose(stream);
        buf_reset(&errors);
        replace(&errors, written, folder, "@");
        free(written);
        return r;
}

const char *fixture_errors(void)
{
        return buf_string(&errors);
}

struct config *fixture_good(const char *text)
{
        struct config *config = NULL;

        if (fixture_load(text, &config) != 0)
                fail_msg("errors in a good config:\n%s\n%s", fixture_errors(), text);
        assert_string_equal(fixture_errors(), "");
        return config;
}

void fixture_run(const struct fixture_case *cases, size_t n)
{
        unsigned failed = 0;

        for (size_t i = 0; i < n; i++) {
                struct config *config = NULL;
                int r = fixture_load(cases[i].text, &config);

                if (r == -EINVAL && !config && strcmp(fixture_errors(), cases[i].errors) == 0)
                        continue;
                print_error("--- result %d of:\n%s\nis:\n%sexpected:\n%s\n", r, cases[i].text,
                            fixture_errors(), cases[i].errors);
                config_free(config);
                failed++;
        }
        if (failed)
                fail_msg("%u of %zu cases", failed, n);
}
