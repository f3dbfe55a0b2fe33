/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon: owns libcoap's context, the event loop and every module, and hands functions across between
 * modules that do not know each other. Here is the order in which things start, reload and stop.
 */
#ifndef COAPD_SERVER_H
#define COAPD_SERVER_H

/*
 * Runs the daemon until SIGTERM or SIGINT. 0 after a clean stop; -EINVAL: the config has errors (logged);
 * another -errno: it could not start or go on (logged).
 */
int server_run(const char *file);

#endif
