/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Descriptors that outlive the process: systemd keeps a copy of each in its descriptor store for the service
 * (FileDescriptorStoreMax=) and hands them to the next run. While one run has ended and the next has not
 * begun, the kernel goes on queueing for a socket that is kept so. Sockets of a .socket unit come the same
 * way.
 *
 * Without a service manager there is nothing to take, and keeping does nothing. One that does not read is waited for,
 * other than in notify.h: a socket that is not kept is a gap in the next restart. It is only at the start and in a
 * reload.
 */
#ifndef COAPD_SYSTEMD_FDSTORE_H
#define COAPD_SYSTEMD_FDSTORE_H

#include <stddef.h>

#include "base/named_fd.h"

/* What the manager handed to this process, all close-on-exec. Only the first call gets anything. */
int fdstore_take(struct named_fd **ret_fds, size_t *ret_n);

/*
 * Keeps `fd` under `name`: ASCII without control characters and colons, at most 255; in place of `old_name`,
 * unless that is NULL.
 */
void fdstore_keep(int fd, const char *name, const char *old_name);

/*
 * Closes those that nobody took and has the manager close its copies. Returns only when it has, or after five
 * seconds: until then the addresses are not free.
 */
void fdstore_drop(struct named_fd *fds, size_t n);

void fdstore_free(struct named_fd *fds, size_t n);

#endif
