/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is generated from the schema: the copies in the tree are up to date, the sample is a good and safe
 * configuration, and every row says what it must.
 */
#include "config_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/util.h"
#include "config/tables.h"
#include "settings.h"

static void read_whole(const char *name, struct buf *ret_text)
{
        char path[512], chunk[4096];
        size_t n;
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", COAPD_SOURCE_DIR, name);
        file = fopen(path, "r");
        if (!file)
                fail_msg("%s cannot be opened", path);
        while ((n = fread(chunk, 1, sizeof(chunk), file)) > 0)
                buf_append(ret_text, chunk, n);
        fclose(file);
}

static char *generate(void (*write)(const struct conf_vocabulary *, FILE *))
{
        char *text = NULL;
        size_t size;
        FILE *out = open_memstream(&text, &size);

        assert_non_null(out);
        write(settings_vocabulary(), out);
        assert_int_equal(fclose(out), 0);
        return text;
}

#define UPDATE "%s is not what the schema says: build the target `docs` and commit what it changes"

static void sample_is_up_to_date(void **state)
{
        CLEANUP(buf_deinit) struct buf copy = { 0 };
        CLEANUP(freep) char *sample = generate(config_write_sample);

        (void)state;
        read_whole("conf/coapd.conf", &copy);
        if (strcmp(buf_string(&copy), sample) != 0)
                fail_msg(UPDATE, "conf/coapd.conf");
}

static void manual_is_up_to_date(void **state)
{
        CLEANUP(buf_deinit) struct buf copy = { 0 };
        CLEANUP(buf_deinit) struct buf expected = { 0 };
        CLEANUP(freep) char *keys = generate(config_write_manual);

        (void)state;
        read_whole("packaging/man/coapd.conf.5", &copy);
        read_whole("packaging/man/coapd.conf.5.head", &expected);
        buf_append_string(&expected, keys);
        read_whole("packaging/man/coapd.conf.5.tail", &expected);
        if (strcmp(buf_string(&copy), buf_string(&expected)) != 0)
                fail_msg(UPDATE, "packaging/man/coapd.conf.5");
}

static void replace(struct buf *text, const char *from, const char *to)
{
        CLEANUP(freep) char *old = strdup(buf_string(text));
        const char *rest = old;

        buf_reset(text);
        for (const char *found; (found = strstr(rest, from)); rest = found + strlen(from)) {
                buf_append(text, rest, (size_t)(found - rest));
                buf_append_string(text, to);
        }
        buf_append_string(text, rest);
}

/* The folders of the state and of the keys replaced by one that there is. */
static struct config *load_text(const char *text)
{
        CLEANUP(buf_deinit) struct buf relocated = { 0 };
        struct config *config = NULL;

        fixture_write("folder/sensor-1.key", "key\n", 0640);
        fixture_write("folder/dashboard.key", "key\n", 0640);
        buf_append_string(&relocated, text);
        replace(&relocated, "/var/lib/coapd", fixture_path("folder"));
        replace(&relocated, "/etc/coapd", fixture_path("folder"));
        fixture_write("sample.conf", buf_string(&relocated), 0644);
        if (config_load(fixture_path("sample.conf"), settings_vocabulary(), stderr, &config) < 0)
                fail_msg("errors in a generated or shipped configuration");
        return config;
}

static void sample_is_safe(void **state)
{
        CLEANUP(freep) char *sample = generate(config_write_sample);
        struct config *config = load_text(sample);
        const struct conf_endpoint *endpoints = config->endpoints.v;
        const struct conf_resource *resources = config->resources.v;

        (void)state;
        assert_int_equal(config->endpoints.n, 2);
        assert_string_equal(endpoints[0].uri, "coap://127.0.0.1:5683");
        assert_string_equal(endpoints[1].uri, "coap://[::1]:5683");
        assert_int_equal(config->resources.n, 1);
        assert_string_equal(resources[0].kind, "time");
        assert_false(config->dynamic.enable);
        assert_non_null(config->persist.dynamic_resources);
        assert_non_null(config->persist.observers);
        assert_non_null(config->persist.observe_counters);
        config_free(config);
}

/* The values behind `//` are the defaults, so taking them in changes nothing. */
static void sample_shows_the_defaults(void **state)
{
        CLEANUP(freep) char *sample = generate(config_write_sample);
        CLEANUP(freep) char *open = strdup(sample);
        struct config *closed_config, *open_config;
        unsigned opened = 0;

        (void)state;
        for (char *line = open; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
                char *text = line + strspn(line, " ");
                char *end = text + strcspn(text, "\n");
                size_t word = strspn(text + 3, "abcdefghijklmnopqrstuvwxyz_");

                /* Only what has a default: a string that stands for an example would name files that are not
                 * there. */
                if (strncmp(text, "// ", 3) != 0 || strncmp(text + 3 + word, " = ", 3) != 0 ||
                    end[-1] != ';' || memmem(text, (size_t)(end - text), "/etc/", 5) ||
                    strncmp(text + 3, "hint", 4) == 0)
                        continue;
                memcpy(text, "   ", 3);
                opened++;
        }
        assert_in_range(opened, 15, 60);
        closed_config = load_text(sample);
        open_config = load_text(open);
        assert_int_equal(config_diff(closed_config, open_config, stderr), 0);
        config_free(closed_config);
        config_free(open_config);
}

static unsigned check_rows(const struct conf_row *rows, size_t n, const char *group)
{
        unsigned total = 0;

        for (size_t i = 0; i < n; i++) {
                const struct conf_row *row = &rows[i];

                total++;
                if (row->group) {
                        assert_non_null(row->group->doc);
                        total += check_rows(row->group->rows, row->group->n_rows, row->key);
                        continue;
                }
                if (!row->doc || !strchr(".", row->doc[strlen(row->doc) - 1]))
                        fail_msg("%s.%s has no whole sentences", group, row->key);
                if (!row->fallback && !row->example && !(row->flags & CONF_ENGINE))
                        fail_msg("%s.%s has neither a default nor an example", group, row->key);
                if (row->type == CONF_INT && (row->min >= row->max || !row->fallback))
                        fail_msg("%s.%s has no range or no default", group, row->key);
        }
        return total;
}

static void rows_are_complete(void **state)
{
        const struct conf_vocabulary *vocabulary = settings_vocabulary();

        (void)state;
        assert_in_range(check_rows(conf_root.rows, conf_root.n_rows, ""), 50, 500);
        for (size_t i = 0; i < vocabulary->n_kinds; i++) {
                assert_non_null(vocabulary->kinds[i].doc);
                check_rows(vocabulary->kinds[i].rows, vocabulary->kinds[i].n_rows, vocabulary->kinds[i].name);
        }
}

static void demo_is_good(void **state)
{
        CLEANUP(buf_deinit) struct buf demo = { 0 };
        struct config *config;
        const struct conf_endpoint *endpoints;

        (void)state;
        read_whole("conf/examples/demo.conf", &demo);
        config = load_text(buf_string(&demo));
        endpoints = config->endpoints.v;
        for (size_t i = 0; i < config->endpoints.n; i++)
                if (strcmp(endpoints[i].host, "127.0.0.1") != 0 && strcmp(endpoints[i].host, "::1") != 0)
                        fail_msg("the demo listens on %s", endpoints[i].host);
        assert_true(config->dynamic.enable);
        config_free(config);
}

static void secure_example_is_good(void **state)
{
        CLEANUP(buf_deinit) struct buf example = { 0 };
        struct config *config;

        (void)state;
        read_whole("conf/examples/secure.conf", &example);
        config = load_text(buf_string(&example));
        assert_int_equal(config->security.psk.identities.n, 2);
        assert_int_equal(config->access.n, 2);
        config_free(config);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(sample_is_up_to_date),   cmocka_unit_test(manual_is_up_to_date),
                cmocka_unit_test(sample_is_safe),         cmocka_unit_test(sample_shows_the_defaults),
                cmocka_unit_test(rows_are_complete),      cmocka_unit_test(demo_is_good),
                cmocka_unit_test(secure_example_is_good),
        };

        return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
