/* SPDX-License-Identifier: BSD-2-Clause */
/* The user that the service runs as, for a check by root, who may read more than the service. */
#ifndef COAPD_SERVICE_USER_H
#define COAPD_SERVICE_USER_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Gives the rights of root up, for good, for those of the owner of the state's folder (the unit's StateDirectory=), in
 * every group but root's: groups that a drop-in of the unit adds are not known here, and what is refused now is
 * refused to the service whatever its groups are. False, with nothing changed: this is not root's process, or there is
 * no such user. Else its name is in *ret_name, of `size` bytes.
 */
bool service_user_become(char *ret_name, size_t size);

#endif
