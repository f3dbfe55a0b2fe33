/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way back: a store of the engine sqlite, written as a file of the engine libcoap. It holds what libcoap reads,
 * which is all but bodies beyond 64 KiB; that libcoap keeps less once it runs is its own affair.
 */
#ifndef COAPD_PERSIST_EXPORT_H
#define COAPD_PERSIST_EXPORT_H

#include "persist/sqlite_store.h"

/*
 * Puts libcoap's file in the place of the store `path`; the store itself stays as PATH.sqlite-TIME. Logs what came
 * over. 0 or -errno.
 */
int export_to_libcoap(const char *path, const struct store_schema *schema);

#endif
