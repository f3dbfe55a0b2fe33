/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is kept of a dynamic resource: the shape in which resources/ hands it to persist/ and gets it back.
 * All spans are borrowed for the call.
 */
#ifndef COAPD_BASE_STORED_H
#define COAPD_BASE_STORED_H

#include "base/span.h"

struct stored_resource {
        struct span path;   /* as libcoap spells it: percent-encoded, no slash at either end; never empty */
        int content_format; /* -1: none was given */
        struct span etag;   /* 1 to 8 bytes */
        struct span attributes; /* Uri-Query options of the request that gave them, joined by '&' */
        struct span body;
        int64_t created_us; /* since 1970 */
        int64_t changed_us;
};

#endif
