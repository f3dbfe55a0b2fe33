/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The `allow` lists of all access rules in one hash table, keyed by rule and subject, so that asking whether
 * a list names a peer costs a few look-ups however long it is.
 */
#ifndef COAPD_SECURITY_SUBJECTS_H
#define COAPD_SECURITY_SUBJECTS_H

#include <stdbool.h>
#include <stdint.h>

#include "security/identity.h"

struct subjects;

/* For rules 0 to n_rules - 1. NULL: no memory. */
struct subjects *subjects_new(size_t n_rules);
void subjects_free(struct subjects *subjects);

/*
 * Adds a subject, "psk:sensor-1", to the list of a rule. 0, -ENOMEM, or -EINVAL with what would have been
 * expected in *ret_expected.
 */
int subjects_add(struct subjects *subjects, uint32_t rule, const char *text, const char **ret_expected);

/* Whether the list of `rule` names the peer. */
bool subjects_have(const struct subjects *subjects, uint32_t rule, const struct identity *who);

/* Whether the list of `rule` names somebody who has proved no key. */
bool subjects_have_strangers(const struct subjects *subjects, uint32_t rule);

#endif
