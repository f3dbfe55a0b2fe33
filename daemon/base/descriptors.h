/* SPDX-License-Identifier: BSD-2-Clause */
/* How many descriptors this process may have open. */
#ifndef COAPD_BASE_DESCRIPTORS_H
#define COAPD_BASE_DESCRIPTORS_H

#include <stdint.h>
#include <sys/resource.h>

static inline uint64_t descriptors_most(void)
{
        struct rlimit limit = { .rlim_cur = RLIM_INFINITY };

        getrlimit(RLIMIT_NOFILE, &limit);
        return limit.rlim_cur;
}

#endif
