/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few macros that every file uses: scope-bound cleanup, explicit hand-over, array length.
 */
#ifndef COAPD_BASE_UTIL_H
#define COAPD_BASE_UTIL_H

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

/* Runs `func` on the variable's address when it leaves scope: CLEANUP(freep) char *p = NULL; */
#define CLEANUP(func) __attribute__((cleanup(func)))

/* Hands a pointer on and leaves NULL behind, so that a CLEANUP() no longer frees it. */
#define TAKE(ptr)                                                                                            \
        ({                                                                                                   \
                __typeof__(ptr) *take_from_ = &(ptr);                                                        \
                __typeof__(ptr) take_value_ = *take_from_;                                                   \
                *take_from_ = NULL;                                                                          \
                take_value_;                                                                                 \
        })

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* For CLEANUP(): the variable is a `T *`, so the argument is really a `T **`. */
static inline void freep(void *pointer_to_pointer)
{
        free(*(void **)pointer_to_pointer);
}

static inline void closep(const int *fd)
{
        if (*fd >= 0)
                close(*fd);
}

#endif
