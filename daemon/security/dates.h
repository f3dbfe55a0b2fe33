/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When certificates and revocation lists end, to warn in time.
 */
#ifndef COAPD_SECURITY_DATES_H
#define COAPD_SECURITY_DATES_H

#include <stddef.h>
#include <time.h>

#define DATES_MAX 32

struct dates {
        struct {
                char *what;
                time_t from, until;
        } v[DATES_MAX];
        size_t n;
};

/* More than DATES_MAX are not watched. (time_t)-1: none. */
void dates_add(struct dates *dates, const char *what, time_t from, time_t until);

/* A line in the log for each that has ended, ends within 30 days, or has not begun. */
void dates_warn(const struct dates *dates, time_t now);

void dates_deinit(struct dates *dates);

#endif
