/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON merge patches (RFC 7396), applied to JSON text. */
#ifndef COAPD_RESOURCES_JSON_MERGE_H
#define COAPD_RESOURCES_JSON_MERGE_H

#include "base/buf.h"

enum json_merge_result {
        JSON_MERGE_BAD_PATCH = 1, /* the patch is no JSON, or nested too deeply */
        JSON_MERGE_BAD_TARGET,    /* what is to be patched is none */
};

/*
 * Appends `target` as `patch` changes it. Numbers that are not touched keep their spelling. 0, an enum
 * json_merge_result, or -ENOMEM.
 */
int json_merge(struct span target, struct span patch, struct buf *out);

#endif
