/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A new database in the place of nothing, or of a bad file. The new one is whole before the bad one goes: PATH.new
 * while it is made, and PATH.saved from then on until it is at PATH. So whoever finds a PATH.saved and nothing at
 * PATH, after a crash in between, has all that could be read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/message_ids.h"
#include "base/util.h"
#include "persist/files.h"
#include "persist/sqlite_store.h"

static int move(const char *from, const char *to)
{
        return rename(from, to) < 0 ? -errno : persist_folder_sync(to);
}

static char *beside(const struct store *store, const char *suffix)
{
        char *name;

        return asprintf(&name, "%s%s", store->path, suffix) < 0 ? NULL : name;
}

int store_make_missing(struct store *store)
{
        CLEANUP(freep) char *name = beside(store, ".new");
        int r = name ? store_create(name, store->schema) : -ENOMEM;

        return r < 0 ? r : move(name, store->path);
}

/* It is not the damage that keeps the rows from being read. */
static bool may_be_saved_later(int64_t r)
{
        return r == -ENOSPC || r == -EDQUOT || r == -ENOMEM || r == -EMFILE || r == -ENFILE;
}

/* The new database, as `saved`. */
static int make_replacement(const struct store *store, bool salvage, const char *saved, int64_t *ret_salvaged)
{
        CLEANUP(freep) char *name = beside(store, ".new");
        int64_t salvaged = 0;
        int r = name ? store_create(name, store->schema) : -ENOMEM;

        if (r < 0)
                return r;
        if (salvage)
                salvaged = store_salvage(store->path, name, store->schema);
        if (may_be_saved_later(salvaged)) {
                store_remove_files(name);
                return (int)salvaged;
        }
        *ret_salvaged = salvaged;
        return move(name, saved);
}

int store_replace(struct store *store, int verdict, const char *reason)
{
        const struct log_fields fields = { .message_id = MESSAGE_STORE_BAD, .file = store->path };
        CLEANUP(freep) char *saved = beside(store, ".saved");
        CLEANUP(freep) char *aside = NULL;
        int64_t salvaged = 0;
        int r = saved ? 0 : -ENOMEM;

        if (store->conf->bad_file == CONF_BAD_FILE_REFUSE) {
                log_message(LOG_ERR, &fields, "%s: %s; not starting, as persist.bad_file asks", store->path,
                            reason);
                return -EUCLEAN;
        }
        if (r == 0)
                r = make_replacement(store, verdict == STORE_DAMAGED, saved, &salvaged);
        if (r == 0)
                r = persist_file_set_aside(store->path, "bad", &aside);
        /* Once: it is tried again and again. */
        if (r < 0 && !store->refusing)
                log_error("%s: %s, and cannot be set aside: %s", store->path, reason, strerror(-r));
        if (r < 0)
                return r;
        r = move(saved, store->path);
        if (r < 0)
                return r;
        if (salvaged > 0)
                log_message(LOG_ERR, &fields, "%s: %s; set aside as %s, %lld rows of it are saved",
                            store->path, reason, aside, (long long)salvaged);
        else
                log_message(LOG_ERR, &fields, "%s: %s; set aside as %s, starting without %s", store->path,
                            reason, aside, store->schema->what);
        return 0;
}

int store_finish_replacing(struct store *store)
{
        CLEANUP(freep) char *saved = beside(store, ".saved");
        CLEANUP(freep) char *aside = NULL;
        int r;

        if (!saved)
                return -ENOMEM;
        if (access(saved, F_OK) < 0)
                return 0;
        /* It was not to be moved yet, and is judged again. */
        if (access(store->path, F_OK) == 0) {
                store_remove_files(saved);
                return 0;
        }
        /* Its log may be there still. */
        r = persist_file_set_aside(store->path, "bad", &aside);
        if (r == 0)
                r = move(saved, store->path);
        if (r == 0)
                log_message(LOG_ERR,
                            &(struct log_fields){ .message_id = MESSAGE_STORE_BAD, .file = store->path },
                            "%s: was bad and set aside when coapd died; going on with the rows of it that "
                            "are saved",
                            store->path);
        return r;
}
