/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is stored, for `coapd --dump-state`: read straight from the databases of the engine `sqlite`, also while a
 * daemon writes them.
 */
#ifndef COAPD_PERSIST_DUMP_H
#define COAPD_PERSIST_DUMP_H

#include <stdbool.h>
#include <stdio.h>

#include "config/config.h"

/*
 * As tables for people, or as one JSON object with the members dynamic_resources, observers and observe_counters,
 * null where the config keeps none. 0; or -errno after a line on `errors` that names the file: -ENOENT where
 * there is none yet, -EINVAL for a file that is no database of ours or another engine's.
 */
int persist_dump(const struct conf_persist *conf, bool json, FILE *out, FILE *errors);

#endif
