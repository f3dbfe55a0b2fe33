/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket and who answers on it; see control.h. */
#include "control/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "coapd_version.h"

/* People and their scripts; each may have a page of a listing on its way. */
enum { MAX_CONNECTIONS = 16 };

/* Whether somebody listens there. */
static bool is_taken(const char *path)
{
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        CLEANUP(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        memcpy(address.sun_path, path, strlen(path));
        return fd >= 0 && (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN);
}

/* sd-varlink takes away whatever stands at the path: it is to be a socket that nobody uses any more. */
static int check_place(const char *path)
{
        struct stat status;

        if (strlen(path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
                return -ENAMETOOLONG;
        if (lstat(path, &status) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(status.st_mode))
                return -EEXIST;
        return is_taken(path) ? -EADDRINUSE : 0;
}

static int bind_methods(sd_varlink_server *server)
{
        return sd_varlink_server_bind_method_many(
                server, CONTROL_INTERFACE ".Status", control_status, CONTROL_INTERFACE ".ListEndpoints",
                control_list_endpoints, CONTROL_INTERFACE ".ListResources", control_list_resources,
                CONTROL_INTERFACE ".ListSessions", control_list_sessions, CONTROL_INTERFACE ".ListObservers",
                control_list_observers, CONTROL_INTERFACE ".Notify", control_notify,
                CONTROL_INTERFACE ".Reload", control_reload, CONTROL_INTERFACE ".Import", control_import);
}

static int start(struct control *control)
{
        enum { MODE = 0660 };
        int r = check_place(control->path);

        if (r == 0)
                r = sd_varlink_server_new(&control->server, SD_VARLINK_SERVER_INHERIT_USERDATA);
        if (r < 0)
                return r;
        sd_varlink_server_set_userdata(control->server, control);
        r = sd_varlink_server_set_info(control->server, NULL, "coapd", COAPD_VERSION, NULL);
        if (r >= 0)
                r = sd_varlink_server_add_interface(control->server, &vl_interface_control);
        if (r >= 0)
                r = bind_methods(control->server);
        if (r >= 0)
                r = sd_varlink_server_set_connections_max(control->server, MAX_CONNECTIONS);
        if (r >= 0)
                r = sd_varlink_server_listen_address(control->server, control->path, MODE);
        if (r >= 0)
                r = sd_varlink_server_attach_event(control->server, control->host.event,
                                                   SD_EVENT_PRIORITY_NORMAL);
        return MIN(r, 0);
}

int control_open(const char *path, const struct control_host *host, struct control **ret_control)
{
        struct control *control = calloc(1, sizeof *control);
        int r = -ENOMEM;

        if (control) {
                control->host = *host;
                control->path = strdup(path);
                r = control->path ? start(control) : -ENOMEM;
        }
        if (r < 0) {
                log_error("server.control: cannot listen on %s: %s%s; coapctl will not work", path,
                          r == -EEXIST       ? "something else than a socket is there"
                          : r == -EADDRINUSE ? "another coapd does"
                                             : strerror(-r),
                          sandbox_hint(path, -r));
                if (control)
                        sd_varlink_server_unref(control->server);
                if (control)
                        free(control->path);
                free(control);
                return r;
        }
        *ret_control = control;
        return 0;
}

void control_free(struct control *control)
{
        if (!control)
                return;
        unlink(control->path);
        sd_varlink_server_unref(control->server);
        free(control->path);
        free(control);
}
