/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the tests of the configuration: a folder of its own with key files, a vocabulary of made-up kinds, and
 * one call that loads a text and gives back what was written, the folder's name replaced by `@`.
 */
#ifndef COAPD_TESTS_CONFIG_FIXTURE_H
#define COAPD_TESTS_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config/config.h"

/* What most texts need to be complete. */
#define ENDPOINT "endpoints = ( { uri = \"coap://127.0.0.1:5683\"; } );\n"

struct static_fields {
        char *content;
        char *content_format;
        long long limit;
};

struct files_fields {
        char *root;
};

extern const struct conf_vocabulary
        fixture_vocabulary; /* kinds time, static, files; engines sqlite, libcoap */

int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Writes a file below the folder; "conf.d/a" makes conf.d too. */
void fixture_write(const char *name, const char *text, unsigned mode);

/* The full path of a name below the folder; lives until the next call but three. */
const char *fixture_path(const char *name);

/* Replaces each `@/` in `text` by the folder, writes it to @/c and loads that. */
int fixture_load(const char *text, struct config **ret_config);

/* What the last load wrote, the folder as `@`. */
const char *fixture_errors(void);

/* Loads what must be good. */
struct config *fixture_good(const char *text);

struct fixture_case {
        const char *text;
        const char *errors; /* all of them, in their order */
};

/* Loads every text and compares what was written; all differences are shown before the test fails. */
void fixture_run(const struct fixture_case *cases, size_t n);

#endif
