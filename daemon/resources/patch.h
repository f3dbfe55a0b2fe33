/* SPDX-License-Identifier: BSD-2-Clause */
/* PATCH and iPATCH (RFC 8132), for kinds whose content stands in memory. The patches are JSON merge patches.
 */
#ifndef COAPD_RESOURCES_PATCH_H
#define COAPD_RESOURCES_PATCH_H

#include "resources/kind.h"

/*
 * The content as the request changes it, in the content format that it had, at most `max` bytes. NULL: the
 * response says why not, with the codes of RFC 8132, 3.4.
 */
struct representation *patch_apply(const struct representation *content, const struct request *request,
                                   size_t max, struct response *response);

#endif
