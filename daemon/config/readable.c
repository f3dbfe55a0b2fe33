/* SPDX-License-Identifier: BSD-2-Clause */
/* Who may read the config and what it names. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/credential.h"
#include "base/log.h"
#include "config/config.h"
#include "config/memory.h"
#include "config/tables.h"

static bool unreadable(const char *path)
{
        return path && !credential_is(path) && faccessat(AT_FDCWD, path, R_OK, AT_EACCESS) < 0 &&
               errno == EACCES;
}

/* A path is none, but a URI of PKCS#11 may hold a PIN. */
static bool is_secret(const struct place *place)
{
        const void *value = place->begin;
        const char *const *string = value;

        return place->row && place->row->flags & CONF_SECRET &&
               (!(place->row->flags & CONF_PATH) ||
                (*string && strncmp(*string, "pkcs11:", strlen("pkcs11:")) == 0));
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

/* The file itself, and what it includes. */
static size_t look_at_files(const struct conf_memory *memory, const char *who, FILE *errors)
{
        size_t found = 0;

        for (size_t i = 0; i < memory->files.n; i++) {
                if (!unreadable(memory->files.v[i]))
                        continue;
                fprintf(errors,
                        "%s: file: may not be read by the user %s, expected a file that it can read\n",
                        memory->files.v[i], who);
                found++;
        }
        return found;
}

/* What a kind has to say of its folders and programs. */
static size_t look_at_resource(const struct config *config, const struct conf_resource *resource,
                               const char *who, FILE *errors)
{
        const struct conf_memory *memory = config->memory;
        const struct conf_variant *variant = variant_find(&memory->vocabulary, resource->kind);
        const void *member = resource->fields;
        const char *wrong = variant && variant->check && resource->fields
                                    ? variant->check(resource->fields, &member)
                                    : NULL;
        const struct place *place = wrong ? memory_find(memory, member) : NULL;

        if (!place)
                return 0;
        fprintf(errors, "%s:%u: %s: %s (as the user %s)\n", place->at.file, place->at.line, place->key, wrong,
                who);
        return 1;
}

size_t config_find_unreadable(const struct config *config, const char *who, FILE *errors)
{
        const struct conf_memory *memory = config->memory;
        const struct conf_resource *resources = config->resources.v;
        size_t found = look_at_files(memory, who, errors);

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
        for (size_t i = 0; i < config->resources.n; i++)
                found += look_at_resource(config, &resources[i], who, errors);
        return found;
}

/* A key file that is open to every user is an error; whoever writes keys into the config has chosen to. */
void config_warn_of_open_secrets(const struct config *config)
{
        const struct conf_memory *memory = config->memory;
        const char *told = NULL;
        struct stat status;

        for (size_t i = 0; i < memory->n_places; i++) {
                const struct place *place = &memory->places[i];

                if (!is_secret(place) || (told && strcmp(told, place->at.file) == 0) ||
                    credential_is_stored(place->at.file) || stat(place->at.file, &status) < 0 ||
                    !(status.st_mode & S_IRWXO))
                        continue;
                told = place->at.file;
                log_warning("%s:%u: %s: stands in a file that is open to every user (chmod o= %s)", told,
                            place->at.line, place->key, told);
        }
}
