/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files of the engine libcoap, read into stores of the engine sqlite. They have no magic and hold raw
 * structs of the libcoap that wrote them, so everything in them is doubted.
 */
#ifndef COAPD_PERSIST_IMPORT_H
#define COAPD_PERSIST_IMPORT_H

#include "persist/sqlite_store.h"

/*
 * 1: the file's first record reads as one of libcoap's file of the same purpose as this application id. 0: it does not.
 * -errno: it cannot be read, so that nobody knows.
 */
int import_recognises(const char *path, int application_id);

/*
 * Puts a store with the file's content in the file's place; the file itself stays as PATH.libcoap-TIME. Logs
 * what came over. 0; or -errno, and all is as before: -EIO where the disk fails, -EFBIG for more than a gigabyte.
 */
int import_libcoap(const char *path, const struct store_schema *schema);

#endif
