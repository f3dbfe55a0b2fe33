/* SPDX-License-Identifier: BSD-2-Clause */
/* What a start would refuse, told by a check before it; see persist_check() in persist.h. */
#include <errno.h>
#include <string.h>

#include "base/util.h"
#include "persist/files.h"
#include "persist/persist.h"
#include "persist/sqlite_store.h"

/* Whether its engine, which takes over the other one's files, would call the file bad. */
static bool is_bad(const struct conf_persist *conf, const char *path, const struct store_schema *schema,
                   char *reason, size_t size)
{
        bool is_libcoap = strcmp(conf->engine, "libcoap") == 0;
        enum persist_file_kind kind;
        int verdict;

        if (persist_file_kind(path, &kind) < 0)
                return false; /* the daemon's user may be another; a start tells */
        if (is_libcoap && kind != PERSIST_FILE_SQLITE && kind != PERSIST_FILE_FOLDER &&
            kind != PERSIST_FILE_SPECIAL)
                return false;
        verdict = store_judge(path, schema, reason, size);
        return verdict == STORE_BAD || verdict == STORE_DAMAGED;
}

int persist_check(const struct config *config, FILE *errors)
{
        const struct conf_persist *conf = &config->persist;
        const struct {
                const char *key;
                char *const *path;
                const struct store_schema *schema;
        } files[] = {
                { "dynamic_resources", &conf->dynamic_resources, &store_schema_resources },
                { "observers", &conf->observers, &store_schema_observers },
                { "observe_counters", &conf->observe_counters, &store_schema_counters },
        };
        char reason[256];
        int r = 0;

        if (conf->bad_file != CONF_BAD_FILE_REFUSE)
                return 0;
        for (size_t i = 0; i < ARRAY_LEN(files); i++) {
                struct conf_origin at = config_origin(config, files[i].path);

                if (!*files[i].path || !is_bad(conf, *files[i].path, files[i].schema, reason, sizeof reason))
                        continue;
                fprintf(errors,
                        "%s:%u: persist.%s: %s %s, expected a file that a start does not refuse (bad_file)\n",
                        at.file, at.line, files[i].key, *files[i].path, reason);
                r = -EINVAL;
        }
        return r;
}
