/* SPDX-License-Identifier: BSD-2-Clause */
/* What coapctl can do: a function each, which returns the exit code. */
#ifndef COAPCTL_COMMANDS_H
#define COAPCTL_COMMANDS_H

#include <stdbool.h>

#include <systemd/sd-varlink.h>

struct call {
        sd_varlink *link;
        const char *argument; /* NULL: none */
        bool json;
        bool count;
};

/* views.c */
int command_status(const struct call *call);
int command_endpoints(const struct call *call);
int command_sessions(const struct call *call);
int command_observers(const struct call *call);
int command_resources(const struct call *call);

/* metrics.c */
int command_metrics(const struct call *call);

/* state.c: bodies in and out */
int command_dump(const struct call *call);
int command_import(const struct call *call);

/* actions.c */
int command_notify(const struct call *call);
int command_reload(const struct call *call);

/*
 * `systemctl reload` of a daemon without a control socket, whose process systemd names: its configuration is checked,
 * and then it is told by SIGHUP. Whether it follows is in the log.
 */
int reload_by_signal(const char *pid);

/* Becomes `coapd --check`. Returns only when it could not, with the exit code. */
int become_check(const char *file);

#endif
