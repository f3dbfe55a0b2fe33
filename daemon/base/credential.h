/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that the service manager hands over: ImportCredential= and LoadCredential= of systemd.exec(5). */
#ifndef COAPD_BASE_CREDENTIAL_H
#define COAPD_BASE_CREDENTIAL_H

#include <stdbool.h>

/*
 * The file that a name of the config stands for when it is a credential: "credential:NAME" always is, a name without
 * a slash when there is one of that name, and a path below /run/credentials. Who has no credentials, because an
 * operator began it and not the service manager, gets those of the running service, or else those that the next one
 * will be given: so a check by hand sees what the service does. 1 and the path in *ret_path, where a file may be or
 * not; 0: it is a path like any other; -ENOMEM.
 */
int credential_find(const char *name, char **ret_path);

/* Whether a name says itself that it is one. */
bool credential_is_named(const char *name);

/* Whether that is where a path leads. Root reads these on behalf of the service, whose user may not. */
bool credential_is(const char *path);

/* In a folder that the service manager imports from: who else may read the file there is not for us to say. */
bool credential_is_stored(const char *path);

#endif
