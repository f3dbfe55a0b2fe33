/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that hold keys and certificates: whether they can be used, and small ones read whole. */
#ifndef COAPD_CONFIG_KEYFILE_H
#define COAPD_CONFIG_KEYFILE_H

#include "base/buf.h"

/*
 * NULL, or what is wrong and what is expected: "can not be read (No such file or directory), expected ...".
 * A private one must keep everybody but its owner and group out.
 */
const char *keyfile_check(const char *path, bool private);

#endif
