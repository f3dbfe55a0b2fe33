/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that hold keys and certificates: whether they can be used, and small ones read whole. */
#ifndef COAPD_CONFIG_KEYFILE_H
#define COAPD_CONFIG_KEYFILE_H

#include "base/buf.h"

/*
 * NULL, or what is wrong and what is expected: "does not exist, expected a file". A private one must keep
 * everybody but its owner and group out.
 */
const char *keyfile_check(const char *path, bool private);

/*
 * The file that a name of the config stands for when it is a credential of the service manager
 * (LoadCredential= of systemd.exec): "credential:NAME" always is, a name without a slash when there is one of
 * that name, and a path below /run/credentials. Who has no credentials, because an operator began it and not the
 * service manager, gets those of the running service, or else those that the next one will be given: so a check by
 * hand sees what the service does. 1 and the path in *ret_path, where a file may be or not; 0: it is a path like any
 * other; -ENOMEM.
 */
int keyfile_credential(const char *name, char **ret_path);

/* Root reads these on behalf of the service, whose user may not. */
bool keyfile_is_credential(const char *path);

/*
 * Reads a key of at most `max` bytes; a newline at its end ("\n" or "\r\n") is not part of it. 0, -EFBIG,
 * -ENODATA for an empty file, or another -errno. The caller wipes *ret_key with keyfile_wipe().
 */
int keyfile_read(const char *path, size_t max, struct buf *ret_key);

void keyfile_wipe(struct buf *key);

#endif
