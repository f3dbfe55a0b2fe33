/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether somebody else may read what the config names. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/log.h"
#include "config/config.h"
#include "config/keyfile.h"
#include "config/memory.h"

static bool unreadable(const char *path)
{
        return path && !keyfile_is_credential(path) && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 &&
               errno == EACCES;
}

static size_t look(const struct place *place, const char *path, const char *who, FILE *errors)
{
        if (!unreadable(path))
                return 0;
        fprintf(errors,
                "%s:%u: %s: \"%s\" may not be read by the user %s, expected a file that it can read\n",
                place->at.file, place->at.line, place->key, LOG_ESCAPE(span_of_string(path)), who);
        return 1;
}

size_t config_find_unreadable(const struct config *config, const char *who, FILE *errors)
{
        const struct conf_memory *memory = config->memory;
        size_t found = 0;

        for (size_t i = 0; i < memory->n_places; i++) {
                const struct place *place = &memory->places[i];
                const void *value = place->begin;
                const struct conf_strings *strings = value;
                char *const *string = value;

                if (!place->row || !(place->row->flags & CONF_PATH))
                        continue;
                if (place->row->type == CONF_STRING)
                        found += look(place, *string, who, errors);
                else if (place->row->type == CONF_STRINGS)
                        for (size_t j = 0; j < strings->n; j++)
                                found += look(place, strings->v[j], who, errors);
        }
        return found;
}
