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

struct server;

/*
 * The two halves of server_run() without the loop between them, for tests that turn it themselves: everything is
 * up, on the thread's default sd_event; and everything is down and free again. coap_startup() comes first. Returns
 * and logs as server_run(). `file` must outlive the server.
 */
int server_open(const char *file, struct server **ret_server);

/* Accepts NULL. */
void server_close(struct server *server);

#endif
