/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CoAP Content-Formats registry of IANA (RFC 7252, 12.3): numbers and media types, content coding none.
 * Temporary registrations are left out; any number can still be named as a number.
 */
#ifndef COAPD_BASE_CONTENT_FORMAT_H
#define COAPD_BASE_CONTENT_FORMAT_H

#include "base/span.h"

enum {
        CONTENT_FORMAT_TEXT = 0,
        CONTENT_FORMAT_LINK_FORMAT = 40,
        CONTENT_FORMAT_OCTET_STREAM = 42,
        CONTENT_FORMAT_JSON = 50,
        CONTENT_FORMAT_JSON_PATCH = 51,
        CONTENT_FORMAT_MERGE_PATCH = 52,
        CONTENT_FORMAT_CBOR = 60,
        CONTENT_FORMAT_MULTIPART = 62,
        CONTENT_FORMAT_SENML_JSON = 110,
        CONTENT_FORMAT_SENML_CBOR = 112,
        CONTENT_FORMAT_PROBLEM_DETAILS = 257, /* RFC 9290 */
        CONTENT_FORMAT_MAX = 65535,
};

/*
 * The number of a media type ("application/json", "text/plain;charset=utf-8", in any case, blanks and quotes
 * around parameters do not matter, a charset of utf-8 is always good) or of a decimal number from 0 to 65535,
 * assigned or not. -1 when there is none.
 */
int content_format_by_name(struct span name);

/* For a key of the config: what would have been expected instead; NULL when there is such a content format. */
const char *content_format_check(const char *value);

/* The media type as registered, without blanks; NULL when the number is not in the table. */
const char *content_format_name(unsigned number);

/* The format that the name of a file suggests: "fw/readme.txt", "readme.txt", ".txt". -1 when unknown. */
int content_format_by_extension(const char *file_name);

#endif
