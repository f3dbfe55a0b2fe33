/* SPDX-License-Identifier: BSD-2-Clause */
/* What a function of ours stands before, that has the same name: the dynamic linker's next one. */
#ifndef COAPD_BASE_FIND_REAL_H
#define COAPD_BASE_FIND_REAL_H

#include <assert.h>
#include <dlfcn.h>

/* `to`: of a pointer to such a function. ISO C has no conversion from what dlsym() returns to one. */
static inline void find_real(const char *name, void *to)
{
        void *found = dlsym(RTLD_NEXT, name);

        assert(found);
        __builtin_memcpy(to, &found, sizeof found);
}

#endif
