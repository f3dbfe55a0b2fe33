/* SPDX-License-Identifier: BSD-2-Clause */
/* The list of those who may; see websocket_origin.h. */
#include "endpoints/websocket_origin.h"

#include <string.h>
#include <strings.h>

void websocket_allow_origins(struct websocket_origins *origins, const struct conf_strings *allowed)
{
        origins->allowed = allowed;
        origins->refusals.burst = 10;
        origins->refusals.interval_s = 60;
}

static bool is_origin(struct span origin, const char *name)
{
        return origin.n == strlen(name) && strncasecmp((const char *)origin.p, name, origin.n) == 0;
}

bool websocket_allows_origin(struct websocket_origins *origins, struct span origin)
{
        const struct conf_strings *allowed = origins ? origins->allowed : NULL;

        if (!allowed)
                return true;
        for (size_t i = 0; i < allowed->n; i++) {
                if (strcmp(allowed->v[i], "*") == 0 || (origin.n > 0 && is_origin(origin, allowed->v[i])))
                        return true;
        }
        log_gated(
                &origins->refusals, LOG_NOTICE, &(struct log_fields){ 0 },
                "a page of \"%s\" is not let in over WebSocket: security.websocket_origins does not have it",
                LOG_ESCAPE(origin));
        return false;
}
