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
 * Reads a key of at most `max` bytes; a newline at its end ("\n" or "\r\n") is not part of it. 0, -EFBIG,
 * -ENODATA for an empty file, or another -errno. The caller wipes *ret_key with keyfile_wipe().
 */
int keyfile_read(const char *path, size_t max, struct buf *ret_key);

void keyfile_wipe(struct buf *key);

#endif
