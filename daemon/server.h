/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon: owns libcoap's context, the event loop and every module, and hands functions across between
 * modules that do not know each other. Here is the order in which things start, reload and stop.
 */
#ifndef COAPD_SERVER_H
#define COAPD_SERVER_H

#include "config/config.h"

struct server;

/* What config_load() needs to know of kinds and engines. */
const struct conf_vocabulary *server_vocabulary(void);

/*
 * Reads the config and everything that it names (keys, certificates, rules) without touching anything else.
 * Errors go to `errors`, a line each. 0, -EINVAL where an error was written, or another -errno.
 */
int server_check(const char *file, FILE *errors);

/*
 * Runs the daemon until SIGTERM or SIGINT. 0 after a clean stop; -EINVAL: the config has errors (logged);
 * another -errno: it could not start or go on (logged).
 */
int server_run(const char *file);

#endif
