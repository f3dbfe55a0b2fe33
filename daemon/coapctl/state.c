/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dynamic resources with their content, out of a daemon and into one. The format is that of
 * `coapd --dump-state --json`: an object whose member dynamic_resources is an array of objects with path,
 * content_format, attributes and body_hex.
 */
#include "commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "call.h"

struct dump {
        bool any;
        unsigned left_out;
};

static int print_resource(void *user, sd_json_variant *row)
{
        struct dump *dump = user;

        if (!sd_json_variant_by_key(row, "body_hex")) {
                fprintf(stderr,
                        "coapctl: /%s is too large for one message and left out; coapd --dump-state has it\n",
                        sd_json_variant_string(sd_json_variant_by_key(row, "path")));
                dump->left_out++;
                return 0;
        }
        fputs(dump->any ? ",\n" : "\n", stdout);
        dump->any = true;
        return sd_json_variant_dump(row, SD_JSON_FORMAT_EMPTY_ARRAY, stdout, NULL);
}

int command_dump(const struct call *call)
{
        struct dump dump = { 0 };

        fputs("{\"dynamic_resources\":[", stdout);
        if (call_list(call->link, "ListResources", "resources", true, print_resource, &dump) < 0)
                return 1;
        puts("\n]}");
        return dump.left_out ? 1 : 0;
}

/* Only the members that the daemon takes; what else the file tells of a resource is the daemon's own to make. */
static int import_one(const struct call *call, sd_json_variant *row)
{
        static const char *const keys[] = { "path", "content_format", "attributes", "body_hex" };
        CLEANUP(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        sd_json_variant *reply;
        int r = 0;

        for (size_t i = 0; i < sizeof keys / sizeof *keys && r >= 0; i++) {
                sd_json_variant *value = sd_json_variant_by_key(row, keys[i]);

                if (value && !sd_json_variant_is_null(value))
                        r = sd_json_variant_set_field(&parameters, keys[i], value);
        }
        return r < 0 ? r : call_method(call->link, "Import", parameters, &reply);
}

static int read_file(const char *name, sd_json_variant **ret_value)
{
        bool is_stdin = !name || strcmp(name, "-") == 0;
        FILE *file = is_stdin ? stdin : fopen(name, "re");
        unsigned line = 0, column = 0;
        int r;

        if (!file) {
                r = -errno;
                fprintf(stderr, "coapctl: %s: %s\n", name, strerror(-r));
                return r;
        }
        name = is_stdin ? "standard input" : name;
        /* NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange): none of the flags */
        r = sd_json_parse_file(file, name, 0, ret_value, &line, &column);
        if (!is_stdin)
                fclose(file);
        if (r < 0)
                fprintf(stderr, "%s:%u:%u: this is not JSON: %s\n", name, line, column, strerror(-r));
        return r;
}

int command_import(const struct call *call)
{
        CLEANUP(sd_json_variant_unrefp) sd_json_variant *file = NULL;
        sd_json_variant *rows;
        size_t imported = 0, n;

        if (read_file(call->argument, &file) < 0)
                return 1;
        rows = sd_json_variant_is_object(file) ? sd_json_variant_by_key(file, "dynamic_resources") : NULL;
        if (!rows || !sd_json_variant_is_array(rows)) {
                fprintf(stderr,
                        "coapctl: there is no array dynamic_resources, as `coapctl dump` writes it\n");
                return 1;
        }
        n = sd_json_variant_elements(rows);
        for (size_t i = 0; i < n; i++)
                imported += import_one(call, sd_json_variant_by_index(rows, i)) >= 0;
        printf("%zu of %zu resources imported\n", imported, n);
        return imported == n ? 0 : 1;
}
