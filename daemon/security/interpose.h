/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions of ours that stand before those of GnuTLS. The dynamic linker gives libcoap the first of a name
 * that it finds, and looks at the executable first, provided that this exports it: the link editor sees to that
 * because libcoap refers to it. How a build could still go wrong (symbols hidden, libcoap linked in statically)
 * is told here, before it matters.
 */
#ifndef COAPD_SECURITY_INTERPOSE_H
#define COAPD_SECURITY_INTERPOSE_H

#include <dlfcn.h>
#include <stdbool.h>

#include "base/log.h"

typedef void any_function(void);

/* False, after a line in the log, when libcoap would not come to `ours`. */
static inline bool stands_first(const char *name, any_function *ours)
{
        any_function *first;
        void *found = dlsym(RTLD_DEFAULT, name);

        __builtin_memcpy(&first, &found, sizeof(first));
        if (first == ours)
                return true;
        log_error("this build of coapd is of no use: its %s() is not found before that of GnuTLS", name);
        return false;
}

#define STANDS_FIRST(function) stands_first(#function, (any_function *)(function))

#endif
