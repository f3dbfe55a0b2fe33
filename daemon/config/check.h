/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules between keys, which no row can tell. */
#ifndef COAPD_CONFIG_CHECK_H
#define COAPD_CONFIG_CHECK_H

#include "config/config.h"
#include "config/report.h"

/* Reports every rule that is broken; values whose rows were not good are skipped. 0 or -ENOMEM. */
int check_config(const struct config *config, struct report *report);

#endif
