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

/* views.c: they change nothing. The user data is the struct control. */
int control_status(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *user);
int control_list_endpoints(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *user);
int control_list_sessions(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                          void *user);
int control_list_resources(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *user);
int control_list_observers(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                           void *user);

/* actions.c */
int control_notify(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *user);
int control_reload(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *user);
int control_import(sd_varlink *link, sd_json_variant *parameters, sd_varlink_method_flags_t flags,
                   void *user);

#endif
