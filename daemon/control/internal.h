/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files that make the control socket up: control.c, interface.c, views.c, actions.c. */
#ifndef COAPD_CONTROL_INTERNAL_H
#define COAPD_CONTROL_INTERNAL_H

#include <systemd/sd-varlink.h>
#include <systemd/sd-varlink-idl.h>

#include "control/control.h"

struct control {
        struct control_host host;
        sd_varlink_server *server;
        char *path;
};

#define CONTROL_INTERFACE "io.coapd.Control"

/* interface.c */
extern const sd_varlink_interface vl_interface_control;

/* What answers a call; the user data is the struct control. */
typedef int control_method(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *user);

/* views.c: they change nothing */
control_method control_status, control_list_endpoints, control_list_sessions, control_list_observers,
        control_list_resources;

/* actions.c */
control_method control_notify, control_reload, control_import;

#endif
