/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Membership of multicast groups: RFC 7252, 8. A group is written "GROUP" or "GROUP%INTERFACE"; without an
 * interface the kernel's routes choose one.
 */
#ifndef COAPD_ENDPOINTS_MULTICAST_H
#define COAPD_ENDPOINTS_MULTICAST_H

#include <stdint.h>

#include "config/schema.h"

/* Joins; a group that the socket is a member of already is no error. Returns 0 or -errno. */
int multicast_join(int fd, const char *group);

void multicast_leave(int fd, const char *group);

/* The same for two lists with the same members, in any order; 0 for none. */
uint32_t multicast_hash(const struct conf_strings *groups);

#endif
