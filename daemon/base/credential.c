/* SPDX-License-Identifier: BSD-2-Clause */
/* Credentials of systemd; see credential.h. */
#include "base/credential.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

#define CREDENTIALS "/run/credentials/"
#define PREFIX "credential:"
#define OF_SERVICE CREDENTIALS "coapd.service"

/* Where ImportCredential= of the unit looks, in this order. */
static const char *const stores[] = { "/etc/credstore", "/run/credstore", "/usr/local/lib/credstore",
                                      "/usr/lib/credstore" };

static bool begins_with(const char *text, const char *prefix)
{
        return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool credential_is_named(const char *name)
{
        return begins_with(name, PREFIX) || begins_with(name, CREDENTIALS);
}

bool credential_is_stored(const char *path)
{
        for (size_t i = 0; i < ARRAY_LEN(stores); i++)
                if (begins_with(path, stores[i]) && path[strlen(stores[i])] == '/')
                        return true;
        return false;
}

bool credential_is(const char *path)
{
        return begins_with(path, CREDENTIALS) || credential_is_stored(path);
}

/* 1, 0 for none, -ENOMEM. Only root can look into the stores. */
static int find_stored(const char *name, char **ret_path)
{
        for (size_t i = 0; i < ARRAY_LEN(stores); i++) {
                CLEANUP(freep) char *path = NULL;

                if (asprintf(&path, "%s/%s", stores[i], name) < 0) {
                        path = NULL;
                        return -ENOMEM;
                }
                if (access(path, F_OK) < 0)
                        continue;
                *ret_path = TAKE(path);
                return 1;
        }
        return 0;
}

int credential_find(const char *name, char **ret_path)
{
        const char *folder = getenv("CREDENTIALS_DIRECTORY");
        const char *slash = strrchr(name, '/');
        bool by_path = begins_with(name, CREDENTIALS);
        bool asked = credential_is_named(name);
        CLEANUP(freep) char *path = NULL;
        int r;

        if (begins_with(name, PREFIX))
                name += strlen(PREFIX);
        if (slash && !by_path)
                return 0;
        if ((by_path ? asprintf(&path, "%s", name)
                     : asprintf(&path, "%s/%s", folder ? folder : OF_SERVICE, name)) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        if (access(path, F_OK) < 0) {
                r = folder ? 0 : find_stored(slash ? slash + 1 : name, ret_path);
                if (r || !asked)
                        return r;
        }
        *ret_path = TAKE(path);
        return 1;
}
