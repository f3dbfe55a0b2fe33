/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of `persist`: what its files may be, and which of them an engine takes alone; see check.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "coapd_version.h"
#include "config/check.h"

/* The file as the kernel will know it: its folder without links, and its name. NULL: there is no such folder. */
static char *real_file(const char *path)
{
        const char *slash = strrchr(path, '/');
        char *folder = slash ? strndup(path, (size_t)(slash - path + 1)) : strdup(".");
        CLEANUP(freep) char *given = folder;
        CLEANUP(freep) char *real = given ? realpath(given, NULL) : NULL;
        char *file;

        if (!real)
                return NULL;
        return asprintf(&file, "%s/%s", real, slash ? slash + 1 : path) < 0 ? NULL : file;
}

static bool holds_other_state(const struct check *check, const char *folder)
{
        const struct conf_persist *persist = &check->config->persist;
        const char *const paths[] = { persist->dynamic_resources, persist->observers,
                                      persist->observe_counters };
        size_t n = strlen(folder);

        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                CLEANUP(freep) char *other = paths[i] ? real_file(paths[i]) : NULL;

                if (other && strncmp(other, folder, n) == 0 && other[n] == '/')
                        return true;
        }
        return false;
}

/* What is there already. A folder is set aside when coapd starts, like any bad file, unless it is in use. */
static void check_present(struct check *check, char *const *path, const char *file, mode_t mode)
{
        const char *shown = LOG_ESCAPE(span_of_string(*path));

        if (!S_ISREG(mode) && !S_ISDIR(mode))
                check_failed(check, path, "", "\"%s\" is not a regular file, expected one or none yet",
                             shown);
        else if (S_ISDIR(mode) && holds_other_state(check, file))
                check_failed(check, path, "",
                             "\"%s\" is a folder, and another file of the state is in it, expected a file",
                             shown);
}

/* Before the first start it is not there: the unit's StateDirectory= makes it. */
static bool is_in_state_folder(const char *path)
{
        size_t n = strlen(COAPD_STATEDIR);

        return strncmp(path, COAPD_STATEDIR, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/') &&
               access(COAPD_STATEDIR, F_OK) < 0 && errno == ENOENT;
}

static void check_state_file(struct check *check, char *const *path)
{
        CLEANUP(freep) char *file = real_file(*path);
        CLEANUP(freep) char *folder = file ? strndup(file, (size_t)(strrchr(file, '/') - file + 1)) : NULL;
        const char *shown = LOG_ESCAPE(span_of_string(*path));
        struct stat status;

        if (!file && is_in_state_folder(*path))
                return;
        if (file && file[strlen(file) - 1] == '/') {
                check_failed(check, path, "", "\"%s\" names a folder, expected a file", shown);
                return;
        }
        if (!file)
                check_failed(check, path, "",
                             "the folder of \"%s\" does not exist, expected one that coapd can write to%s",
                             shown, sandbox_hint(*path, ENOENT));
        else if (folder && (stat(folder, &status) < 0 || !S_ISDIR(status.st_mode)))
                check_failed(check, path, "", "\"%s\" is not in a folder, expected one", shown);
        else if (stat(file, &status) == 0)
                check_present(check, path, file, status.st_mode);
}

static bool same_file(const char *a, const char *b)
{
        CLEANUP(freep) char *x = real_file(a);
        CLEANUP(freep) char *y = real_file(b);
        struct stat s, t;

        if (x && y && strcmp(x, y) == 0)
                return true;
        return stat(a, &s) == 0 && stat(b, &t) == 0 && s.st_dev == t.st_dev && s.st_ino == t.st_ino;
}

static void check_own_file(struct check *check, char *const *path, char *const *before)
{
        struct conf_origin at = config_origin(check->config, before);

        if (same_file(*path, *before))
                check_failed(
                        check, path, "",
                        "\"%s\" is the file of another key, expected one of its own: %s:%u has it already",
                        LOG_ESCAPE(span_of_string(*path)), at.file, at.line);
}

void check_persist(struct check *check)
{
        const struct conf_persist *persist = &check->config->persist;
        char *const *paths[] = { &persist->dynamic_resources, &persist->observers,
                                 &persist->observe_counters };

        for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
                if (!*paths[i])
                        continue;
                check_state_file(check, paths[i]);
                for (size_t j = 0; j < i; j++)
                        if (*paths[j])
                                check_own_file(check, paths[i], paths[j]);
        }
        /* libcoap deletes from both files with one callback, and crashes when only one of them is open. */
        if (persist->engine && strcmp(persist->engine, "libcoap") == 0 &&
            !persist->dynamic_resources != !persist->observe_counters)
                check_failed(
                        check, persist->dynamic_resources ? paths[0] : paths[2], "",
                        "engine = \"libcoap\" cannot keep this alone, expected both dynamic_resources and "
                        "observe_counters, or neither");
}
