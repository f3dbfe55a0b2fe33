/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One record of libcoap's own files at a time, as a row of the store that takes it over. The layouts are
 * those of the libcoap that this coapd is built with; pinned by tests.
 */
#ifndef COAPD_PERSIST_IMPORT_RECORDS_H
#define COAPD_PERSIST_IMPORT_RECORDS_H

#include "base/buf.h"
#include "persist/observation.h"
#include "persist/sqlite_row.h"

/* Bytes of a field, and of a line of text: libcoap reads no longer ones back. */
enum { LIBCOAP_FIELD_MAX = 0x10000, LIBCOAP_LINE_MAX = 1500 };

enum import_result {
        IMPORT_ROW,
        IMPORT_SKIP, /* well-formed, and nothing that can be kept */
        IMPORT_END,  /* no record; nothing can be read behind it */
};

/* What a row's spans point at, beside the file itself. */
struct import_scratch {
        struct observation observation;
        coap_pdu_t *pdu;
        struct buf buf;
        uint8_t etag[8];
};

void import_scratch_deinit(struct import_scratch *scratch);

/* Takes a record off the front of `rest`. */
typedef enum import_result (*import_record_t)(struct span *rest, struct import_scratch *scratch,
                                              struct row *ret_row);

enum import_result import_observer(struct span *rest, struct import_scratch *scratch, struct row *ret_row);
enum import_result import_resource(struct span *rest, struct import_scratch *scratch, struct row *ret_row);
enum import_result import_counter(struct span *rest, struct import_scratch *scratch, struct row *ret_row);

#endif
