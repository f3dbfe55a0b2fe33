/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything that is read before anything is touched: the config, the keys and certificates that it names, and
 * the access rules, compiled. `--check`, a start and a reload all read it in the same way.
 */
#ifndef COAPD_SETTINGS_H
#define COAPD_SETTINGS_H

#include "config/config.h"
#include "security/access.h"
#include "security/security.h"

struct settings {
        struct config *config;
        struct security *security;
        struct access *access;
};

/* What config_load() needs to know of kinds and engines. */
const struct conf_vocabulary *settings_vocabulary(void);

/*
 * Reads it all and writes every error to `errors`, a line each. Warns in the log of what is allowed but unwise.
 * 0, -EINVAL where an error was written, or another -errno, written as well.
 */
int settings_load(const char *file, FILE *errors, struct settings *ret_settings);

/* The same with the errors in the log, and in `report` as well unless that is NULL. */
int settings_load_logged(const char *file, FILE *report, struct settings *ret_settings);

/* Frees what is still there; members may have been taken. */
void settings_deinit(struct settings *settings);

/*
 * Says which access rule decides when `subject` ("anyone", "psk:sensor-1", "cert:CN=ops", "oscore:02",
 * "net:10.0.0.1") uses `method`, or several with commas between them, on `path`. Returns 0 when it is allowed, 1 when
 * not, -EINVAL for a method, a path or a subject that is none (said on `out`).
 */
int settings_explain(const struct settings *settings, const char *method, const char *path,
                     const char *subject, FILE *out);

#endif
