/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon is doing, as the server tells whoever reports it. Strings live as long as the daemon. */
#ifndef COAPD_BASE_DAEMON_STATE_H
#define COAPD_BASE_DAEMON_STATE_H

#include <stdbool.h>

#include "base/metrics.h"

struct daemon_state {
        uint64_t uptime_s;
        uint64_t endpoints;
        uint64_t resources_configured;
        uint64_t resources_dynamic;
        uint64_t dynamic_bytes;
        uint64_t observers_restored; /* at the start */
        const char *store_engine;
        bool store_writable;  /* the last change of each file went in */
        uint64_t store_bytes; /* that its files take */
        struct metrics metrics;
};

#endif
