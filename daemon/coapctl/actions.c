/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon is told to do. */
#include "commands.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "call.h"
#include "coapd_version.h"

int command_notify(const struct call *call)
{
        CLEANUP(sd_json_variant_unrefp) sd_json_variant *parameters = NULL;
        sd_json_variant *reply;
        bool observed;

        if (sd_json_buildo(&parameters, SD_JSON_BUILD_PAIR_STRING("path", call->argument)) < 0) {
                fprintf(stderr, "coapctl: the path is not UTF-8\n");
                return 1;
        }
        if (call_method(call->link, "Notify", parameters, &reply) < 0)
                return 1;
        observed = sd_json_variant_boolean(sd_json_variant_by_key(reply, "observed"));
        if (!observed)
                printf("nobody observes %s\n", call->argument);
        return 0;
}

int command_reload(const struct call *call)
{
        sd_json_variant *reply, *changes;

        if (call_method(call->link, "Reload", NULL, &reply) < 0)
                return 1;
        changes = sd_json_variant_by_key(reply, "changes");
        for (size_t i = 0; changes && i < sd_json_variant_elements(changes); i++)
                printf("changed: %s\n", sd_json_variant_string(sd_json_variant_by_index(changes, i)));
        if (!changes || sd_json_variant_elements(changes) == 0)
                puts("no key has changed; the files that keys name were read again");
        return 0;
}

/* The coapd that was built with this one stands beside it. */
int become_check(const char *file)
{
        static const char name[] = "coapd";
        char path[4096];
        ssize_t n = readlink("/proc/self/exe", path, sizeof path - sizeof name);
        char *slash;

        path[n < 0 ? 0 : n] = '\0';
        slash = strrchr(path, '/');
        memcpy(slash ? slash + 1 : path, name, sizeof name);
        execl(path, name, "--check", "-c", file ? file : COAPD_SYSCONFDIR "/coapd.conf", (char *)NULL);
        perror(path);
        return 1;
}

int reload_by_signal(const char *pid)
{
        int status = -1;
        pid_t checker = fork();

        if (checker == 0)
                _exit(become_check(NULL));
        if (checker < 0 || waitpid(checker, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
                return 1;
        if (kill((pid_t)strtol(pid, NULL, 10), SIGHUP) == 0)
                return 0;
        perror("coapctl: SIGHUP");
        return 1;
}
