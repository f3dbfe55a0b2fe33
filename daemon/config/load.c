/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a file to a struct config: the text with its includes, libconfig's tree of it, the values by the rows,
 * and at last the rules between keys. Each step reports all it finds before the next one is skipped.
 */
#include <errno.h>
#include <libconfig.h>
#include <malloc.h>
#include <string.h>

#include "config/check.h"
#include "config/config.h"
#include "config/memory.h"
#include "config/read.h"
#include "config/report.h"
#include "config/source.h"
#include "config/tables.h"
#include "config/uri.h"
#include "config/values.h"

static void config_freep(struct config **config)
{
        config_free(*config);
}

/* libconfig keeps secrets in its tree and frees them as they are. */
static void wipe_strings(config_setting_t *setting)
{
        if (config_setting_type(setting) == CONFIG_TYPE_STRING) {
                char *value = (char *)config_setting_get_string(setting);

                if (value)
                        explicit_bzero(value, strlen(value));
                return;
        }
        for (int i = 0; config_setting_is_aggregate(setting) && i < config_setting_length(setting); i++)
                wipe_strings(config_setting_get_elem(setting, (unsigned)i));
}

static void tree_deinit(config_t *tree)
{
        wipe_strings(config_root_setting(tree));
        config_destroy(tree);
}

static void report_syntax(const config_t *tree, const struct source *source, struct report *report)
{
        unsigned line = (unsigned)config_error_line(tree);
        const char *text = config_error_text(tree);

        report_add(report, line, source_origin(source, line), "syntax",
                   "%s at or before this line, expected KEY = VALUE;", text ? text : "not understood");
}

/* What the uri says, taken apart. A bad one was reported with its row. */
static int split_uris(struct config *config)
{
        struct conf_endpoint *endpoints = config->endpoints.v;
        struct uri uri;

        for (size_t i = 0; i < config->endpoints.n; i++) {
                if (!endpoints[i].uri || uri_parse(endpoints[i].uri, &uri))
                        continue;
                endpoints[i].transport = uri.transport;
                endpoints[i].port = uri.port;
                endpoints[i].host = strdup(uri.host);
                if (!endpoints[i].host)
                        return -ENOMEM;
        }
        return 0;
}

static int read_tree(const config_t *tree, const struct source *source, struct report *report,
                     struct config *config)
{
        struct reader reader = { .memory = config->memory, .source = source, .report = report };

        read_config(&reader, config_root_setting(tree), config);
        memory_sort(config->memory);
        if (reader.out_of_memory || split_uris(config) < 0)
                return -ENOMEM;
        return check_config(config, report);
}

/*
 * libconfig's scanner works on a copy of the text and frees it as it is, secrets and all: this has glibc overwrite what
 * is freed meanwhile. It leaves small pieces alone, which is why source_read() makes the text a large one.
 */
static bool parse_and_wipe(config_t *tree, const char *text)
{
        bool ok;

        mallopt(M_PERTURB, 0xff);
        ok = config_read_string(tree, text);
        mallopt(M_PERTURB, 0);
        return ok;
}

static int parse(const struct source *source, struct report *report, struct config *config)
{
        CLEANUP(tree_deinit) config_t tree;

        config_init(&tree);
        source_find_duplicates(source, report);
        /* So that a duplicate, reported already, does not hide all other errors. */
        config_set_option(&tree, CONFIG_OPTION_ALLOW_OVERRIDES, 1);
        if (!parse_and_wipe(&tree, (const char *)source->text.p)) {
                report_syntax(&tree, source, report);
                return 0;
        }
        return read_tree(&tree, source, report, config);
}

static int load(const char *file, struct source *source, struct report *report, struct config *config)
{
        struct conf_memory *memory = config->memory;
        int r = source_read(source, file, report);

        if (r == 0)
                r = parse(source, report, config);
        memory->files = source->files;
        source->files = (struct conf_strings){ 0 };
        return r;
}

static struct config *config_new(const char *file, const struct conf_vocabulary *vocabulary)
{
        CLEANUP(config_freep) struct config *config = calloc(1, sizeof(*config));
        struct conf_memory *memory = calloc(1, sizeof(*memory));

        if (!config || !memory) {
                free(memory);
                return NULL;
        }
        memory->vocabulary = *vocabulary;
        config->memory = memory;
        config->file = strdup(file);
        return config->file ? TAKE(config) : NULL;
}

int config_load(const char *file, const struct conf_vocabulary *vocabulary, FILE *errors,
                struct config **ret_config)
{
        CLEANUP(config_freep) struct config *config = config_new(file, vocabulary);
        CLEANUP(source_deinit) struct source source = { 0 };
        CLEANUP(report_deinit) struct report report = { 0 };
        int r = config ? load(file, &source, &report, config) : -ENOMEM;

        if (report.out_of_memory)
                r = -ENOMEM;
        report_write(&report, errors);
        if (r == -ENOMEM)
                fprintf(errors, "%s: memory: there is not enough, expected more\n", file);
        if (r == 0 && report.n)
                r = -EINVAL;
        if (r == 0)
                *ret_config = TAKE(config);
        return r;
}

void config_free(struct config *config)
{
        struct conf_memory *memory = config ? config->memory : NULL;
        struct conf_endpoint *endpoints;

        if (memory) {
                endpoints = config->endpoints.v;
                for (size_t i = 0; i < config->endpoints.n; i++)
                        free(endpoints[i].host);
                values_free(&memory->vocabulary, &conf_root, config);
                memory_free(memory);
        }
        if (config)
                free(config->file);
        free(config);
}

struct conf_origin config_origin(const struct config *config, const void *member)
{
        const struct place *place = config->memory ? memory_find(config->memory, member) : NULL;

        return place ? place->at : (struct conf_origin){ config->file, 0 };
}
