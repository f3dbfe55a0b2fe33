/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dependencies go one way: main -> server -> modules -> base. Modules do not include each other, apart from the
 * config's two contract headers. Reads the #include lines of the whole tree.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/util.h"

static const char *const modules[] = {
        "base", "config", "endpoints", "security", "resources", "persist", "systemd", "control",
};

static bool is_contract(const char *header)
{
        return strcmp(header, "config/config.h") == 0 || strcmp(header, "config/schema.h") == 0;
}

static bool may_include(const char *module, const char *header)
{
        const char *slash = strchr(header, '/');
        size_t n = slash ? (size_t)(slash - header) : 0;

        if (!slash)
                return strcmp(header, "coapd_version.h") == 0;
        if (strncmp(header, module, n) == 0 && module[n] == '\0')
                return true;
        return strncmp(header, "base/", 5) == 0 || (is_contract(header) && strcmp(module, "base") != 0);
}

static unsigned check_file(const char *module, const char *name)
{
        char path[1024], line[512], header[256];
        unsigned violations = 0;
        FILE *file;

        snprintf(path, sizeof path, "%s/daemon/%s/%s", COAPD_SOURCE_DIR, module, name);
        file = fopen(path, "r");
        assert_non_null(file);
        while (fgets(line, sizeof line, file)) {
                if (sscanf(line, " # include \"%255[^\"]\"", header) != 1 || may_include(module, header))
                        continue;
                print_error("daemon/%s/%s includes %s\n", module, name, header);
                violations++;
        }
        fclose(file);
        return violations;
}

static void modules_look_only_down(void **state)
{
        unsigned violations = 0, files = 0;

        (void)state;
        for (size_t i = 0; i < ARRAY_LEN(modules); i++) {
                char path[512];
                struct dirent *entry;
                DIR *dir;

                snprintf(path, sizeof path, "%s/daemon/%s", COAPD_SOURCE_DIR, modules[i]);
                dir = opendir(path);
                assert_non_null(dir);
                while ((entry = readdir(dir))) {
                        const char *dot = strrchr(entry->d_name, '.');

                        if (!dot || entry->d_name[0] == '.' || (strcmp(dot, ".c") && strcmp(dot, ".h")))
                                continue;
                        violations += check_file(modules[i], entry->d_name);
                        files++;
                }
                closedir(dir);
        }
        assert_true(files > 20);
        assert_int_equal(violations, 0);
}

static void the_rule_itself(void **state)
{
        (void)state;
        assert_true(may_include("resources", "base/log.h"));
        assert_true(may_include("resources", "resources/kind.h"));
        assert_true(may_include("resources", "config/config.h"));
        assert_false(may_include("resources", "config/load.h"));
        assert_false(may_include("resources", "persist/persist.h"));
        assert_false(may_include("resources", "server.h"));
        assert_false(may_include("base", "config/config.h"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(modules_look_only_down),
                cmocka_unit_test(the_rule_itself),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
