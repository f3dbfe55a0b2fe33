/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fixed number of places, divided among all who want one. When none is free the oldest makes room of the owner
 * that has the most: so nobody's many push out another's few, and who is alone has them all. Owners that have as many
 * make room in the order in which they came to have so many. Each step costs the same, however many there are.
 */
#ifndef COAPD_RESOURCES_FAIR_H
#define COAPD_RESOURCES_FAIR_H

#include <stddef.h>
#include <stdint.h>

#define FAIR_NONE SIZE_MAX

struct fair;

/* `n` places, at least 1, numbered from 0 on. Memory that is not needed yet is not touched. 0, -ENOMEM or -EIO. */
int fair_new(size_t n, struct fair **ret_fair);
/* Accepts NULL. */
void fair_free(struct fair *fair);

/* The place that `owner` gets, which is another's no more. */
size_t fair_take(struct fair *fair, uint64_t owner);
/* It is free again. It was taken. */
void fair_give_back(struct fair *fair, size_t place);

/* The one that was taken first, of all that are not free; FAIR_NONE: they all are. */
size_t fair_oldest(const struct fair *fair);

#endif
